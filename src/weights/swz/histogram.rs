//! The values of a tensor, scaled and sorted into narrow bins: all that choosing levels needs to know about them.
//!
//! A bin holds the values that agree in sign, exponent and the first [`MANTISSA_BITS`] bits of the mantissa, within [`OCTAVES`] octaves
//! below the largest; what is smaller is in the bins around 0. Bins are thus narrow beside the values in them and do not care for
//! outliers. A level is chosen for a bin as a whole, so the counts and errors that are computed here are those of the coded tensor.

use super::scales::Scales;

/// Bits of the mantissa that tell bins apart.
const MANTISSA_BITS: u32 = 10;
/// Octaves below the largest value that have bins of their own.
const OCTAVES: u32 = 32;
/// Bins of values that are not negative.
const HALF: u32 = OCTAVES << MANTISSA_BITS;
/// Bits of an f32's mantissa that are not in the key.
const SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - MANTISSA_BITS;
/// Number of bins that there may be.
pub(super) const N_KEYS: usize = 2 * HALF as usize;

/// The values of one bin.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    n: f64,
    /// Of the scaled values.
    sum: f64,
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
    /// Number of values in all bins before.
    before: Vec<f64>,
}

/// A tensor that is about to be quantised.
#[derive(Debug)]
pub(super) struct Binned {
    pub(super) scales: Scales,
    /// The bin of every value.
    pub(super) keys: Vec<u16>,
    pub(super) histogram: Histogram,
    /// Sum of the squares of the values' scales, which turns the mean squared error of scaled values into the tensor's squared error.
    pub(super) weight: f64,
}

impl Binned {
    /// Sorts finite `values` of `n_rows` channels into bins.
    pub(super) fn new(values: &[f32], n_rows: usize) -> Self {
        let scales = Scales::of(values, n_rows);
        let factors = scales.factors();
        let row = values.len().div_ceil(factors.len()).max(1);
        let inverses: Vec<f32> = factors.iter().map(|s| if s.is_normal() { 1.0 / s } else { 0.0 }).collect();
        let scaled =
            || values.chunks(row).zip(&inverses).flat_map(|(row, inverse)| row.iter().map(move |v| v * inverse));
        let largest = scaled().map(|x| x.to_bits() & i32::MAX.cast_unsigned()).max().unwrap_or(0);
        let floor = (largest >> SHIFT).saturating_sub(HALF - 1);
        let mut bins = vec![Bin::default(); N_KEYS];
        let (mut keys, mut weight) = (Vec::with_capacity(values.len()), 0.0);
        for ((row, inverse), factor) in values.chunks(row).zip(&inverses).zip(&factors) {
            weight += row.len() as f64 * f64::from(*factor) * f64::from(*factor);
            for value in row {
                let x = value * inverse;
                let key = key(x, floor);
                keys.push(key);
                bins[usize::from(key)].add(x, *factor);
            }
        }
        Self { scales, keys, histogram: Histogram::of(&bins), weight }
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
    fn add(&mut self, x: f32, scale: f32) {
        self.range = if self.n == 0.0 { (x, x) } else { (self.range.0.min(x), self.range.1.max(x)) };
        self.scale = self.scale.max(scale);
        self.n += 1.0;
        self.sum += f64::from(x);
    }
}

impl Histogram {
    fn of(all: &[Bin]) -> Self {
        let (mut keys, mut bins, mut before) = (Vec::new(), Vec::new(), vec![0.0]);
        for (key, bin) in (0..=u16::MAX).zip(all).filter(|(_, bin)| bin.n > 0.0) {
            keys.push(key);
            before.push(before[bins.len()] + bin.n);
            bins.push(*bin);
        }
        let means = bins.iter().map(|bin| bin.sum / bin.n).collect();
        Self { keys, means, bins, before }
    }

    /// Number of values in the bins `start..end`.
    pub(super) fn between(&self, start: usize, end: usize) -> f64 {
        self.before[end] - self.before[start]
    }

    /// Upper bound of the tensor's largest error when `level` stands for the values of bin `idx`.
    pub(super) fn max_error(&self, idx: usize, level: f64) -> f64 {
        let bin = &self.bins[idx];
        (level - f64::from(bin.range.0)).abs().max((level - f64::from(bin.range.1)).abs()) * f64::from(bin.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend_and_hold_every_value() {
        let values: Vec<f32> = (-5000..5000i16).map(|i| f32::from(i) * f32::from(i).abs().sqrt()).collect();
        let binned = Binned::new(&values, 10);
        assert!(binned.histogram.means.is_sorted_by(|a, b| a < b));
        assert!(binned.histogram.keys.is_sorted_by(|a, b| a < b));
        let all = binned.histogram.between(0, binned.histogram.means.len());
        assert_eq!((all, binned.keys.len()), (10_000.0, 10_000));
        // Scaled values have a mean square of 1, up to the rounding of the scales.
        let expected: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        assert!((binned.weight / expected - 1.0).abs() < 0.1, "{} {expected}", binned.weight);
    }

    #[test]
    fn outliers_do_not_coarsen_the_bins_of_the_rest() {
        let mut values: Vec<f32> = (0..1000u16).map(|i| 1.0 + f32::from(i) / 1000.0).collect();
        values.push(1e6);
        let binned = Binned::new(&values, 1);
        assert!(binned.histogram.means.len() > 900);
    }

    #[test]
    fn zeros_and_both_ends_have_bins() {
        let values = [0.0, -0.0, f32::MIN_POSITIVE, -1e-30, 1.0, -1.0];
        let binned = Binned::new(&values, 1);
        assert_eq!(binned.histogram.keys, [0, 32767, 32768, 65535]);
        assert_eq!(Binned::new(&[0.0; 3], 1).histogram.means, [0.0]);
    }
}
