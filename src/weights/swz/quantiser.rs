//! Choosing the levels that stand for the values of a tensor.
//!
//! Both ways are Lloyd's iteration on the bins of a [`Histogram`]: every bin goes to the level that is best for it, every level to the
//! mean of its bins. They differ in what is best. [`clusters`] takes the nearest of `2^b` levels: one-dimensional k-means. [`steps`]
//! adds to the squared distance a price per bit of the level's code, so that it spends bits where they buy most (entropy-constrained
//! quantisation: Chou, Lookabaugh and Gray, 1989); the levels come out nearly evenly spaced, frequent ones with wider reach. At equal
//! size its error is smaller, for Gaussian values by half a decibel at 8 bits and one at 3.

use half::f16;

use super::histogram::Histogram;
use super::huffman::{self, MAX_SYMBOLS};

/// Most rounds; what is left to gain then is less than a thousandth.
const MAX_ROUNDS: usize = 100;
/// Relative gain of a round below which it is the last one.
const LEAST_GAIN: f64 = 1e-6;
/// Rounds with the lengths of a real code, after those with the ideal ones.
const CODED_ROUNDS: usize = 3;

/// Levels and their code.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    /// In ascending order.
    pub(super) values: Vec<f16>,
    /// Lengths of their codes in bits.
    pub(super) lengths: Vec<u8>,
    /// For each the end of its bins, which begin where those of the one before end.
    ends: Vec<usize>,
}

/// What levels cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LevelCost {
    /// Length of all codes together.
    pub(super) n_bits: u64,
    /// Sum of the squared errors of the tensor.
    pub(super) squared_error: f64,
    /// Upper bound of the largest error.
    pub(super) max_error: f64,
}

/// At most `2^bits` levels of least squared error.
pub(super) fn clusters(histogram: &Histogram, bits: u8) -> Levels {
    let n_levels = 1usize << bits;
    let mut start =
        if histogram.means.len() <= n_levels { histogram.means.clone() } else { histogram.companded(n_levels) };
    start.dedup();
    let bits = vec![0.0; start.len()];
    settle(histogram, Partition::of(histogram, &start, &bits, 0.0), |_| 0.0, 0.0).coded(histogram)
}

/// Levels that are about `step` apart, in units of the scale, and as many bits for them as that is worth.
///
/// Where there would be more levels than a code may have, they are further apart.
pub(super) fn steps(histogram: &Histogram, step: f64) -> Levels {
    let mut step = step;
    let start = loop {
        let mut cells: Vec<f64> = histogram.means.iter().map(|mean| (mean / step).round() * step).collect();
        cells.dedup();
        if cells.len() <= MAX_SYMBOLS {
            break cells;
        }
        step *= 1.25;
    };
    // The price at which a bit more or less changes nothing, many levels presumed: the error is step^2 / 12 and a bit halves the step.
    let price = step * step * std::f64::consts::LN_2 / 6.0;
    let total = histogram.between(0, histogram.means.len()).n;
    let ideal = |n: f64| (total / n).log2();
    let even = vec![0.0; start.len()];
    let mut partition = settle(histogram, Partition::of(histogram, &start, &even, 0.0), ideal, price);
    for _ in 0..CODED_ROUNDS {
        let bits: Vec<f64> = partition.code_lengths().into_iter().map(f64::from).collect();
        partition = Partition::of(histogram, &partition.levels, &bits, price);
    }
    partition.coded(histogram)
}

/// Lloyd's iteration; `bits` says how long the code of a level of so many values is.
fn settle(histogram: &Histogram, start: Partition, bits: impl Fn(f64) -> f64, price: f64) -> Partition {
    let mut partition = start;
    let mut cost = f64::INFINITY;
    for _ in 0..MAX_ROUNDS {
        let lengths: Vec<f64> = partition.counts.iter().map(|&n| bits(n)).collect();
        partition = Partition::of(histogram, &partition.levels, &lengths, price);
        let rate: f64 = partition.counts.iter().map(|&n| n * bits(n)).sum();
        let new_cost = partition.error + price * rate;
        if new_cost >= cost * (1.0 - LEAST_GAIN) {
            break;
        }
        cost = new_cost;
    }
    partition
}

/// Bins shared out among levels. Each level has a bin at least and is the mean of its values.
struct Partition {
    levels: Vec<f64>,
    counts: Vec<f64>,
    ends: Vec<usize>,
    /// Sum of the squared errors of the scaled values.
    error: f64,
}

impl Partition {
    /// Gives each bin to the level of least squared distance plus `price` times bits, then moves the levels to their bins.
    fn of(histogram: &Histogram, levels: &[f64], bits: &[f64], price: f64) -> Self {
        let mut partition = Self { levels: vec![], counts: vec![], ends: vec![], error: 0.0 };
        let mut start = 0;
        for (_, next) in reaches(levels, bits, price) {
            let end = start + histogram.means[start..].partition_point(|mean| *mean < next);
            let bins = histogram.between(start, end);
            if end > start {
                partition.levels.push(bins.sum / bins.n);
                partition.counts.push(bins.n);
                partition.ends.push(end);
                partition.error += bins.squares - bins.sum * bins.sum / bins.n;
            }
            start = end;
        }
        partition
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole numbers")]
    fn code_lengths(&self) -> Vec<u8> {
        huffman::lengths(&self.counts.iter().map(|&n| n as u64).collect::<Vec<_>>())
    }

    /// The levels as they are stored.
    fn coded(self, histogram: &Histogram) -> Levels {
        let lengths = self.code_lengths();
        debug_assert_eq!(self.ends.last().copied().unwrap_or(0), histogram.means.len());
        let values = self.levels.iter().map(|&level| f16::from_f64(level)).collect();
        Levels { values, lengths, ends: self.ends }
    }
}

/// The levels that are best anywhere, in ascending order, each with the value where its reach ends; the last is infinite.
///
/// The cost of a level is a parabola over the value, all of them equally wide, so their lower envelope is one of straight lines and
/// each level has one interval or none.
pub(super) fn reaches(levels: &[f64], bits: &[f64], price: f64) -> Vec<(usize, f64)> {
    let meet = |a: usize, b: usize| {
        let distance = levels[b] - levels[a];
        if distance > 0.0 {
            (levels[a] + levels[b]) / 2.0 + price * (bits[b] - bits[a]) / (2.0 * distance)
        } else if bits[b] < bits[a] {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }
    };
    let mut envelope: Vec<(usize, f64)> = Vec::with_capacity(levels.len());
    for level in 0..levels.len() {
        let start = loop {
            match envelope.last() {
                None => break f64::NEG_INFINITY,
                Some(&(top, top_start)) => {
                    let start = meet(top, level);
                    if start > top_start {
                        break start;
                    }
                    envelope.pop();
                }
            }
        };
        if start < f64::INFINITY {
            envelope.push((level, start));
        }
    }
    let ends = envelope.iter().skip(1).map(|(_, start)| *start).chain([f64::INFINITY]);
    envelope.iter().map(|(level, _)| *level).zip(ends).collect()
}

impl Levels {
    /// The bins of each level.
    pub(super) fn bins(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(start, end)| start..end)
    }

    /// What coding the values of `histogram` costs.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole numbers")]
    pub(super) fn cost(&self, histogram: &Histogram) -> LevelCost {
        let mut cost = LevelCost { n_bits: 0, squared_error: 0.0, max_error: 0.0 };
        for ((bins, value), length) in self.bins().zip(&self.values).zip(&self.lengths) {
            let (error, furthest) = histogram.errors(bins.start, bins.end, value.to_f64());
            cost.n_bits += histogram.between(bins.start, bins.end).n as u64 * u64::from(*length);
            cost.squared_error += error;
            cost.max_error = cost.max_error.max(furthest);
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Binned;
    use super::super::scales::Scaling;
    use super::super::testing::gaussian;
    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        Binned::new(values, 1, Scaling::Tensor).histogram
    }

    /// Bits per value and relative squared error.
    fn measured(levels: &Levels, histogram: &Histogram, values: &[f32]) -> (f64, f64) {
        let cost = levels.cost(histogram);
        let energy: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        (cost.n_bits as f64 / values.len() as f64, cost.squared_error / energy)
    }

    #[test]
    fn clusters_of_gaussian_values_have_the_error_of_the_optimal_quantiser() {
        let values = gaussian(7, 200_000);
        let histogram = histogram(&values);
        // Max, "Quantizing for minimum distortion", 1960, table I: 4, 8 and 16 levels; 256 by Panter and Dite's formula.
        for (bits, expected) in [(2, 0.1175), (3, 0.03454), (4, 0.009497), (8, 2.7207 / 65536.0)] {
            let (_, error) = measured(&clusters(&histogram, bits), &histogram, &values);
            assert!((error / expected - 1.0).abs() < 0.06, "{bits} bits: {error} instead of {expected}");
        }
    }

    #[test]
    fn steps_are_near_the_bound_of_entropy_coded_scalar_quantisation() {
        let values = gaussian(8, 200_000);
        let histogram = histogram(&values);
        for step in [0.0625, 0.125, 0.25, 0.5, 1.0] {
            let (bits, error) = measured(&steps(&histogram, step), &histogram, &values);
            // A quarter of a bit above the rate-distortion function, and what a Huffman code is above the entropy.
            let excess = bits + 0.5 * error.log2();
            assert!((0.2..0.33).contains(&excess), "step {step}: {excess} bits above the rate-distortion function");
        }
    }

    #[test]
    fn few_distinct_values_are_levels_themselves() {
        let values: Vec<f32> = (0..1000u16).map(|i| [0.25, -0.5, 1.0, 2.0][usize::from(i % 4)]).collect();
        let histogram = histogram(&values);
        let (bits, error) = measured(&clusters(&histogram, 2), &histogram, &values);
        assert!(bits == 2.0 && error < 1e-6, "{bits} {error}");
    }

    #[test]
    fn too_many_levels_are_set_further_apart() {
        let values = gaussian(9, 50_000);
        let histogram = histogram(&values);
        let levels = steps(&histogram, 1e-4);
        assert!(levels.values.len() <= MAX_SYMBOLS && levels.values.len() > MAX_SYMBOLS / 2);
    }

    #[test]
    fn a_dear_level_reaches_less_far_or_nowhere() {
        assert_eq!(reaches(&[0.0, 2.0], &[1.0, 1.0], 1.0), [(0, 1.0), (1, f64::INFINITY)]);
        assert_eq!(reaches(&[0.0, 2.0], &[1.0, 2.0], 1.0), [(0, 1.25), (1, f64::INFINITY)]);
        assert_eq!(reaches(&[0.0, 1.0, 2.0], &[1.0, 9.0, 1.0], 1.0), [(0, 1.0), (2, f64::INFINITY)]);
    }
}
