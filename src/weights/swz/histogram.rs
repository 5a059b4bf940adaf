//! The values of a tensor, scaled and sorted into narrow bins: all that choosing levels needs to know about them.
//!
//! A bin holds the values that agree in sign, exponent and the first [`MANTISSA_BITS`] bits of the mantissa, within [`OCTAVES`] octaves
//! below the largest; what is smaller is in the bins around 0. Bins are thus narrow beside the values in them and do not care for
//! outliers. A level is chosen for a bin as a whole, so the counts and errors that are computed here are those of the coded tensor.

use super::scales::{Scales, Scaling};

/// Bits of the mantissa that tell bins apart.
const MANTISSA_BITS: u32 = 10;
/// Octaves below the largest value that have bins of their own.
const OCTAVES: u32 = 32;
/// Bins of values that are not negative.
const HALF: u32 = OCTAVES << MANTISSA_BITS;
/// Bits of an f32's mantissa that are not in the key.
const SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - MANTISSA_BITS;
/// Fewest values that say something about the density around them.
const GROUP: f64 = 24.0;
/// Number of bins that there may be.
pub(super) const N_KEYS: usize = 2 * HALF as usize;

/// Number, sum and sum of squares of values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub(super) n: f64,
    pub(super) sum: f64,
    pub(super) squares: f64,
}

/// The values of one bin.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    /// Of the scaled values.
    scaled: Moments,
    /// Of the scaled values, each weighted with the square of its scale: this turns errors back into those of the tensor.
    weighted: Moments,
    /// Smallest and largest scaled value.
    range: (f32, f32),
    /// Largest scale.
    scale: f32,
}

/// A tensor's bins in ascending order, none empty.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Which bin it is.
    pub(super) keys: Vec<u16>,
    /// Mean of the values.
    pub(super) means: Vec<f64>,
    bins: Vec<Bin>,
    /// Moments of the scaled values of all bins before.
    before: Vec<Moments>,
}

/// A tensor that is about to be quantised.
#[derive(Debug)]
pub(super) struct Binned {
    pub(super) scales: Scales,
    /// The bin of every value.
    pub(super) keys: Vec<u16>,
    pub(super) histogram: Histogram,
}

impl Binned {
    /// Sorts finite `values` of `n_rows` channels into bins.
    pub(super) fn new(values: &[f32], n_rows: usize, scaling: Scaling) -> Self {
        let scales = Scales::of(values, n_rows, scaling);
        let factors = scales.factors();
        let row = values.len().div_ceil(factors.len()).max(1);
        let inverses: Vec<f32> = factors.iter().map(|s| if s.is_normal() { 1.0 / s } else { 0.0 }).collect();
        let scaled =
            || values.chunks(row).zip(&inverses).flat_map(|(row, inverse)| row.iter().map(move |v| v * inverse));
        let largest = scaled().map(|x| x.to_bits() & i32::MAX.cast_unsigned()).max().unwrap_or(0);
        let floor = (largest >> SHIFT).saturating_sub(HALF - 1);
        let mut bins = vec![Bin::default(); N_KEYS];
        let mut keys = Vec::with_capacity(values.len());
        for ((row, inverse), factor) in values.chunks(row).zip(&inverses).zip(&factors) {
            let weight = f64::from(*factor) * f64::from(*factor);
            for value in row {
                let x = value * inverse;
                let key = key(x, floor);
                keys.push(key);
                bins[usize::from(key)].add(x, weight, *factor);
            }
        }
        Self { scales, keys, histogram: Histogram::of(&bins) }
    }
}

/// The bin of a finite value, ascending with it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "`floor` is chosen so that keys are below N_KEYS, which is 2^16")]
fn key(x: f32, floor: u32) -> u16 {
    let magnitude = ((x.to_bits() & i32::MAX.cast_unsigned()) >> SHIFT).saturating_sub(floor);
    let key = if x.is_sign_negative() { HALF - 1 - magnitude } else { HALF + magnitude };
    key as u16
}

impl Bin {
    #[inline(always)]
    fn add(&mut self, x: f32, weight: f64, scale: f32) {
        self.range = if self.scaled.n == 0.0 { (x, x) } else { (self.range.0.min(x), self.range.1.max(x)) };
        self.scale = self.scale.max(scale);
        let x = f64::from(x);
        self.scaled.add(Moments { n: 1.0, sum: x, squares: x * x });
        self.weighted.add(Moments { n: weight, sum: weight * x, squares: weight * x * x });
    }
}

impl Moments {
    #[inline(always)]
    fn add(&mut self, other: Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Sum of the squared distances to `level`.
    fn error(&self, level: f64) -> f64 {
        (self.squares - level * (2.0 * self.sum - level * self.n)).max(0.0)
    }
}

impl Histogram {
    fn of(all: &[Bin]) -> Self {
        let (mut keys, mut bins) = (Vec::new(), Vec::new());
        for (key, bin) in (0..=u16::MAX).zip(all).filter(|(_, bin)| bin.scaled.n > 0.0) {
            keys.push(key);
            bins.push(*bin);
        }
        let means = bins.iter().map(|bin| bin.scaled.sum / bin.scaled.n).collect();
        let mut before = vec![Moments::default()];
        let mut total = Moments::default();
        for bin in &bins {
            total.add(bin.scaled);
            before.push(total);
        }
        Self { keys, means, bins, before }
    }

    /// Moments of the scaled values of the bins `start..end`.
    pub(super) fn between(&self, start: usize, end: usize) -> Moments {
        let (a, b) = (self.before[start], self.before[end]);
        Moments { n: b.n - a.n, sum: b.sum - a.sum, squares: b.squares - a.squares }
    }

    /// Sum of the squared errors of the tensor's values in the bins `start..end`, and an upper bound of the largest error, when
    /// `level` stands for them.
    pub(super) fn errors(&self, start: usize, end: usize, level: f64) -> (f64, f64) {
        let of_bin = |bin: &Bin| {
            let furthest = (level - f64::from(bin.range.0)).abs().max((level - f64::from(bin.range.1)).abs());
            (bin.weighted.error(level), furthest * f64::from(bin.scale))
        };
        let add = |(sum, max): (f64, f64), (error, furthest): (f64, f64)| (sum + error, max.max(furthest));
        self.bins[start..end].iter().map(of_bin).fold((0.0, 0.0), add)
    }

    /// Quantiles of the cube root of the density: `n` positions, each a bin's mean. There the levels of least squared error are, if
    /// there are many (Panter and Dite, "Quantization distortion in pulse-count modulation with nonuniform spacing of levels", 1951).
    pub(super) fn companded(&self, n: usize) -> Vec<f64> {
        let groups = self.groups();
        let share = |&(start, end): &(usize, usize)| {
            let width = self.means[end.min(self.means.len() - 1)] - self.means[start];
            (self.between(start, end).n * width * width).cbrt()
        };
        let total: f64 = groups.iter().map(share).sum();
        let mut positions = Vec::with_capacity(n);
        let mut sum = 0.0;
        for group in &groups {
            sum += share(group);
            let first = positions.len();
            while positions.len() < n && sum >= total * (positions.len() as f64 + 0.5) / n as f64 {
                positions.push(self.means[group.0]);
            }
            // Several levels in one group are spread over it.
            let (n_here, n_bins) = (positions.len() - first, group.1 - group.0);
            for (idx, position) in positions[first..].iter_mut().enumerate() {
                *position = self.means[group.0 + n_bins * idx / n_here];
            }
        }
        positions
    }

    /// Runs of bins that hold enough values for a density.
    fn groups(&self) -> Vec<(usize, usize)> {
        let mut groups = Vec::new();
        let mut start = 0;
        for end in 1..=self.means.len() {
            if self.between(start, end).n >= GROUP || end == self.means.len() {
                groups.push((start, end));
                start = end;
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend_and_hold_every_value() {
        let values: Vec<f32> = (-5000..5000i16).map(|i| f32::from(i) * f32::from(i).abs().sqrt()).collect();
        let binned = Binned::new(&values, 10, Scaling::Channel);
        assert!(binned.histogram.means.is_sorted_by(|a, b| a < b));
        assert!(binned.histogram.keys.is_sorted_by(|a, b| a < b));
        let all = binned.histogram.between(0, binned.histogram.means.len());
        assert_eq!(all.n, 10_000.0);
        let (squares, _) = binned.histogram.errors(0, binned.histogram.means.len(), 0.0);
        let expected: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        assert!((squares / expected - 1.0).abs() < 1e-6, "{squares} {expected}");
    }

    #[test]
    fn outliers_do_not_coarsen_the_bins_of_the_rest() {
        let mut values: Vec<f32> = (0..1000u16).map(|i| 1.0 + f32::from(i) / 1000.0).collect();
        values.push(1e6);
        let binned = Binned::new(&values, 1, Scaling::Tensor);
        assert!(binned.histogram.means.len() > 900);
    }

    #[test]
    fn zeros_and_both_ends_have_bins() {
        let values = [0.0, -0.0, f32::MIN_POSITIVE, -1e-30, 1.0, -1.0];
        let binned = Binned::new(&values, 1, Scaling::Tensor);
        assert_eq!(binned.histogram.keys, [0, 32767, 32768, 65535]);
        assert_eq!(Binned::new(&[0.0; 3], 1, Scaling::Channel).histogram.means, [0.0]);
    }
}
