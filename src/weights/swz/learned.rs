//! Levels for a [`trellis`](super::trellis), learned from a part of the values: paths are chosen for levels, levels moved to the means
//! of what paths gave them, in turns.
//!
//! Means have less energy than what they are means of, by as much as their squared error: at 2 bits a tenth, at 1 a third. A network adds
//! that up over its layers, whose normalisations expect what they were trained with. So what is stored are the levels times a gain that gives
//! the energy back, at the price of an error that is larger by a fourth of its square.

use half::f16;

use super::fields::Broken;
use super::histogram::{Binned, N_KEYS};
use super::huffman::{self, Code, MAX_SYMBOLS};
use super::streams;
use super::trellis::{self, Level};
use super::viterbi::{Choices, Guess, N_SUBSETS, Subsets, Symbol};

/// Values from which levels are learned, and sizes foretold.
const SAMPLE: usize = 1 << 15;
/// Values of a sample that lie beside each other: long enough for paths to be as good as in the whole.
const RUN: usize = 256;
/// Rounds of learning; two more would save less than a thousandth.
const ROUNDS: usize = 4;
/// Fewest values whose mean is better than the middle of a level's reach.
const LEAST_VALUES: f64 = 16.0;
/// What the price of a bit is less than a scalar quantiser's with the same spacing, whose error is larger by this.
const GAIN: f64 = 0.8;

/// What coding a tensor costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Bytes of its coded values: an upper bound if it is kept exact, at most some dozen above the truth; else an estimate, as a trellis is
    /// tried out on a part of the values only, a hundredth off at most unless a tensor is very uneven.
    pub bytes: u64,
    /// Sum of the squared errors of its values; likewise.
    pub squared_error: f64,
    /// Upper bound of the largest error of a value, but for the rounding of f32.
    pub max_error: f64,
}

/// What the energy of values is multiplied by at most, or divided by: some that are few have levels which are not near to them.
const MOST_GAIN: f64 = 2.0;

/// Levels for a tensor and the price at which they were learned.
#[derive(Debug)]
pub(super) struct Learned {
    /// Those that paths are chosen for.
    levels: Subsets,
    price: f64,
    /// What they are multiplied by where they are stored.
    gain: f64,
}

impl Learned {
    /// Learns levels from a sample. Those of a subset are about `2 * step` apart, so that the size is about that of an entropy-coded scalar
    /// quantiser with this `step`.
    pub(super) fn new(binned: &Binned, step: f64) -> Self {
        let means = &binned.histogram.means;
        let largest = means.iter().map(|mean| mean.abs()).fold(0.0, f64::max);
        // A cell of the grid gives rise to five levels, hence to three of a kind at most.
        let mut spacing = step / 2.0;
        let grid = loop {
            let grid = grid(means, spacing);
            if grid.len() <= MAX_SYMBOLS && largest / spacing < f64::from(i32::MAX / 4) {
                break grid;
            }
            spacing *= 1.25;
        };
        let price = GAIN * 4.0 * spacing * spacing * std::f64::consts::LN_2 / 6.0;
        let mut learned = Self { levels: Default::default(), price, gain: 1.0 };
        let total = binned.histogram.between(0, means.len());
        for j in grid {
            let value = f64::from(j) * spacing;
            let at = |x: f64| means.partition_point(|mean| *mean < x);
            let share = binned.histogram.between(at(value - spacing), at(value + spacing)) + 0.5;
            learned.levels[subset_of(j)].push(Guess { value, bits: (total / share).log2().max(0.1) });
        }
        let sample = sample(binned);
        for _ in 0..ROUNDS {
            learned.improve(binned, &sample);
        }
        learned.gain = learned.lost(binned, &sample).sqrt().clamp(1.0 / MOST_GAIN, MOST_GAIN);
        learned
    }

    /// The energy of a sample by that of the levels which stand for it.
    fn lost(&self, binned: &Binned, sample: &[u16]) -> f64 {
        let (choices, mean) = (Choices::new(binned, &self.levels, self.price), by_key(binned));
        let (mut own, mut coded) = (0.0, 0.0);
        for run in sample.chunks(RUN) {
            for (&key, (subset, level)) in run.iter().zip(choices.path(run)) {
                own += mean[usize::from(key)].powi(2);
                coded += self.levels[usize::from(subset)][usize::from(level)].value.powi(2);
            }
        }
        if coded > 0.0 { own / coded } else { 1.0 }
    }

    /// The levels as they are stored.
    fn stored(&self) -> Subsets {
        let stored = |guess: &Guess| Guess { value: f16::from_f64(guess.value * self.gain).to_f64(), ..*guess };
        self.levels.each_ref().map(|subset| subset.iter().map(stored).collect())
    }

    /// Moves the levels to the means of the values that they stand for, and their code lengths to what their numbers suggest.
    fn improve(&mut self, binned: &Binned, sample: &[u16]) {
        let choices = Choices::new(binned, &self.levels, self.price);
        let mut sums = self.levels.each_ref().map(|subset| vec![(0.5, 0.0); subset.len()]);
        let mean = by_key(binned);
        for run in sample.chunks(RUN) {
            for (&key, (subset, level)) in run.iter().zip(choices.path(run)) {
                let sum = &mut sums[usize::from(subset)][usize::from(level)];
                *sum = (sum.0 + 1.0, sum.1 + mean[usize::from(key)]);
            }
        }
        for kind in 0..2 {
            let of_kind = |subset: usize| sums[subset].iter().map(|(n, _)| *n).sum::<f64>();
            let total = of_kind(kind) + of_kind(kind + 2);
            for subset in [kind, kind + 2] {
                for (guess, (n, sum)) in self.levels[subset].iter_mut().zip(&sums[subset]) {
                    guess.bits = (total / n).log2();
                    if *n > LEAST_VALUES {
                        guess.value = sum / (n - 0.5);
                    }
                }
            }
        }
    }

    /// What coding costs, foretold from a sample.
    pub(super) fn cost(&self, binned: &Binned) -> Cost {
        let (sample, choices, mean) = (sample(binned), Choices::new(binned, &self.levels, self.price), by_key(binned));
        let (stored, mut counts, mut error) = (self.stored(), self.counts(), 0.0);
        for run in sample.chunks(RUN) {
            for (&key, (subset, level)) in run.iter().zip(choices.path(run)) {
                let (subset, level) = (usize::from(subset), usize::from(level));
                error += (mean[usize::from(key)] - stored[subset][level].value).powi(2);
                counts[subset][level] += 1;
            }
        }
        let n_bits: u64 = self.coded(&counts).iter().map(|kind| kind.n_bits).sum();
        let n_sampled = sample.len() as f64;
        let n_bits = whole_number(n_bits as f64 * binned.keys.len() as f64 / n_sampled);
        let table = |kind: usize| trellis::level_bytes(self.levels[kind].len() + self.levels[kind + 2].len());
        let bytes = (table(0) + table(1)) as u64 + streams::max_bytes(binned.keys.len(), n_bits);
        Cost {
            bytes: binned.scales.max_bytes() + bytes,
            squared_error: error / n_sampled * binned.weight,
            max_error: choices.max_error(binned, &stored),
        }
    }

    /// Codes the values of `binned`.
    pub(super) fn encode(&self, binned: &Binned) -> Result<Vec<u8>, Broken> {
        let choices = Choices::new(binned, &self.levels, self.price);
        let mut path = Vec::with_capacity(binned.keys.len());
        for part in streams::parts(binned.keys.len()) {
            path.extend(choices.path(&binned.keys[part]));
        }
        let mut counts = self.counts();
        path.iter().for_each(|(subset, level)| counts[usize::from(*subset)][usize::from(*level)] += 1);
        let mut out = Vec::new();
        binned.scales.write(&mut out)?;
        let mut codes = self.levels.each_ref().map(|subset| vec![Code::default(); subset.len()]);
        for kind in self.coded(&counts) {
            trellis::write_levels(&mut out, &kind.levels)?;
            for ((subset, level), code) in kind.symbols.iter().zip(kind.codes()) {
                codes[usize::from(*subset)][usize::from(*level)] = code;
            }
        }
        let code = |idx: usize| {
            let (subset, level) = path[idx];
            codes[usize::from(subset)][usize::from(level)]
        };
        streams::write(&mut out, path.len(), code)?;
        Ok(out)
    }

    /// A zero for every level.
    fn counts(&self) -> [Vec<u64>; N_SUBSETS] {
        self.levels.each_ref().map(|subset| vec![0; subset.len()])
    }

    /// The levels of both kinds of states that occur, with their codes.
    fn coded(&self, counts: &[Vec<u64>; N_SUBSETS]) -> [CodedKind; 2] {
        let stored = self.stored();
        [0, 1].map(|kind| CodedKind::new(&stored, counts, kind))
    }
}

/// The levels of one kind of states that occur.
struct CodedKind {
    symbols: Vec<Symbol>,
    levels: Vec<Level>,
    n_bits: u64,
}

impl CodedKind {
    fn new(stored: &Subsets, counts: &[Vec<u64>; N_SUBSETS], kind: u8) -> Self {
        let (mut symbols, mut numbers) = (Vec::new(), Vec::new());
        for subset in [kind, kind + 2] {
            for (level, &n) in (0..).zip(&counts[usize::from(subset)]) {
                // A code of one symbol would leave bits without meaning, so each subset keeps a level.
                let n = if level == 0 && counts[usize::from(subset)].iter().all(|n| *n == 0) { 1 } else { n };
                if n > 0 {
                    symbols.push((subset, level));
                    numbers.push(n);
                }
            }
        }
        let lengths = huffman::lengths(&numbers);
        let n_bits = numbers.iter().zip(&lengths).map(|(n, length)| n * u64::from(*length)).sum();
        let level = |(symbol, length): (&Symbol, u8)| Level {
            value: f16::from_f64(stored[usize::from(symbol.0)][usize::from(symbol.1)].value),
            branch: symbol.0 >> 1,
            length,
        };
        let levels = symbols.iter().zip(lengths).map(level).collect();
        Self { symbols, levels, n_bits }
    }

    fn codes(&self) -> Vec<Code> {
        huffman::codes(&self.levels.iter().map(|level| level.length).collect::<Vec<_>>())
    }
}

/// The multiples of `spacing` that values are near to, in ascending order.
#[expect(clippy::cast_possible_truncation, reason = "the conversion saturates, and the caller refuses such a spacing")]
fn grid(means: &[f64], spacing: f64) -> Vec<i32> {
    let mut cells: Vec<i32> = means.iter().map(|mean| (mean / spacing).round() as i32).collect();
    cells.dedup();
    let mut grid: Vec<i32> = cells.iter().flat_map(|&j| j.saturating_sub(2)..=j.saturating_add(2)).collect();
    grid.sort_unstable();
    grid.dedup();
    grid
}

fn subset_of(j: i32) -> usize {
    match j.rem_euclid(4) {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 3,
    }
}

/// The bins of a sample of the values, in runs.
fn sample(binned: &Binned) -> Vec<u16> {
    let keys = &binned.keys;
    if keys.len() <= SAMPLE {
        return keys.clone();
    }
    let n_runs = SAMPLE / RUN;
    let start = |run: usize| (keys.len() - RUN) / (n_runs - 1) * run;
    (0..n_runs).flat_map(|run| keys[start(run)..start(run) + RUN].iter().copied()).collect()
}

/// The mean of every bin.
fn by_key(binned: &Binned) -> Vec<f64> {
    let mut means = vec![0.0; N_KEYS];
    binned.histogram.keys.iter().zip(&binned.histogram.means).for_each(|(key, mean)| means[usize::from(*key)] = *mean);
    means
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
fn whole_number(x: f64) -> u64 {
    x.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::super::fields::Fields;
    use super::super::testing::gaussian;
    use super::*;

    /// Bits per value and relative squared error, as coded; the same as foretold.
    fn measured(values: &[f32], n_rows: usize, step: f64) -> [(f64, f64); 2] {
        let binned = Binned::new(values, n_rows);
        let learned = Learned::new(&binned, step);
        let cost = learned.cost(&binned);
        let bytes = learned.encode(&binned).unwrap();
        let mut fields = Fields(&bytes);
        let decoded = trellis::decode(&mut fields, values.len(), n_rows).unwrap();
        fields.end().unwrap();
        let square = |v: f32| f64::from(v) * f64::from(v);
        let error: f64 = values.iter().zip(&decoded).map(|(a, b)| square(a - b)).sum();
        let max = values.iter().zip(&decoded).map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max);
        assert!(max <= cost.max_error * 1.000_01, "{max} {}", cost.max_error);
        let energy: f64 = values.iter().map(|&v| square(v)).sum();
        let n = values.len() as f64;
        [(bytes.len() as f64 * 8.0 / n, error / energy), (cost.bytes as f64 * 8.0 / n, cost.squared_error / energy)]
    }

    #[test]
    fn the_error_is_nearly_a_decibel_below_the_best_of_scalar_quantisers() {
        let values = gaussian(11, 400_000);
        for (step, most) in [(0.125, 0.14), (0.25, 0.14), (0.5, 0.15), (1.0, 0.19)] {
            let [(bits, error), _] = measured(&values, 1, step);
            // Without the gain, which gives all of the energy back.
            let error = 1.0 - (1.0 - error / 2.0).powi(2);
            // Scalar quantisers are a quarter of a bit above the rate-distortion function, and more with a real code.
            let excess = bits + 0.5 * error.log2();
            assert!((0.05..most).contains(&excess), "step {step}: {excess} bits above the rate-distortion function");
        }
    }

    #[test]
    fn coded_values_have_the_energy_of_their_own() {
        let values = gaussian(13, 200_000);
        for step in [0.125, 0.5, 1.0, 2.0] {
            let binned = Binned::new(&values, 1);
            let bytes = Learned::new(&binned, step).encode(&binned).unwrap();
            let decoded = trellis::decode(&mut Fields(&bytes), values.len(), 1).unwrap();
            let energy = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
            let left = energy(&decoded) / energy(&values);
            assert!((left - 1.0).abs() < 0.01, "step {step}: {left} of the energy");
        }
    }

    #[test]
    fn cost_is_foretold_within_a_hundredth() {
        let mut values = gaussian(12, 600_000);
        values
            .chunks_mut(1000)
            .zip(0u16..)
            .for_each(|(row, i)| row.iter_mut().for_each(|v| *v *= 0.996f32.powi(i.into())));
        for step in [0.125, 0.5] {
            let [(bits, error), (foretold_bits, foretold_error)] = measured(&values, 600, step);
            assert!((foretold_bits / bits - 1.0).abs() < 0.01, "{foretold_bits} {bits}");
            assert!((foretold_error / error - 1.0).abs() < 0.01, "{foretold_error} {error}");
        }
    }

    #[test]
    fn few_and_odd_values_are_coded_too() {
        for values in [&[0.0][..], &[1.0; 5], &[0.0, 1e-30, 1e30, -5.0], &[3.0, -3.0, 3.0]] {
            for step in [1e-3, 0.5, 64.0] {
                measured(values, 1, step);
            }
        }
    }
}
