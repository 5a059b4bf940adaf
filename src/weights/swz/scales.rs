//! What the values of a tensor are divided by before they are quantised: a scale per slice of its first dimension, which is the output
//! channel of a convolution.
//!
//! Channels are normalised after a convolution, so what counts is a channel's error relative to the channel. Their scales are eighths
//! of octaves below the largest one: exact enough, because the levels adapt to what is left, and less than a byte each.

use super::exact;
use super::fields::{Broken, Fields};

/// 2^(-k/8).
const EIGHTHS: [f32; 8] =
    [1.0, 0.917_004_05, 0.840_896_4, 0.771_105_4, 0.707_106_77, 0.648_419_8, 0.594_603_55, 0.545_253_9];
/// First byte where there is one scale.
const ONE: u8 = 0;
/// First byte where there is one per channel.
const MANY: u8 = 1;

/// The scales of a tensor. None is negative; that of zeros is 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scales {
    /// The largest scale.
    base: f32,
    /// Eighths of octaves below it, per channel; none where there is one scale.
    below: Option<Vec<u8>>,
}

impl Scales {
    /// The root mean squares of finite `values` in `n_rows` channels.
    pub(super) fn of(values: &[f32], n_rows: usize) -> Self {
        if n_rows < 2 {
            return Self { base: normal(rms(values)), below: None };
        }
        let rows: Vec<f64> = values.chunks(values.len().div_ceil(n_rows).max(1)).map(rms).collect();
        let largest = rows.iter().copied().fold(0.0, f64::max);
        let below = |row: &f64| if *row > 0.0 { narrow((largest / row).log2() * 8.0) } else { u8::MAX };
        Self { base: normal(largest), below: Some(rows.iter().map(below).collect()) }
    }

    /// The scale of every channel, or the one.
    pub(super) fn factors(&self) -> Vec<f32> {
        let mut octave = self.base;
        let mut table = Vec::new();
        for _ in 0..=u8::MAX / 8 {
            table.extend(EIGHTHS.map(|eighth| octave * eighth));
            octave *= 0.5;
        }
        self.below.as_ref().map_or_else(|| vec![self.base], |all| all.iter().map(|&k| table[usize::from(k)]).collect())
    }

    /// Multiplies values in `n_rows` channels with their scales. The products are finite if the values are: where f32 ends, they do.
    pub(super) fn apply(&self, values: &mut [f32]) {
        let factors = self.factors();
        let row = values.len().div_ceil(factors.len()).max(1);
        for (row, factor) in values.chunks_mut(row).zip(factors) {
            row.iter_mut().for_each(|value| *value = (*value * factor).clamp(f32::MIN, f32::MAX));
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), Broken> {
        out.push(if self.below.is_some() { MANY } else { ONE });
        out.extend(self.base.to_le_bytes());
        if let Some(below) = &self.below {
            out.extend(exact::encode(below, 1)?);
        }
        Ok(())
    }

    /// Upper bound of what [`Self::write`] appends.
    pub(super) fn max_bytes(&self) -> u64 {
        5 + self.below.as_ref().map_or(0, |below| exact::max_bytes(below, 1))
    }

    /// Reads those of a tensor of `n_rows` channels.
    pub(super) fn read(fields: &mut Fields<'_>, n_rows: usize) -> Result<Self, Broken> {
        let kind = fields.u8()?;
        let base = fields.f32()?;
        if !base.is_finite() || base < 0.0 {
            return Err(Broken::new(format!("{base} is no scale")));
        }
        let below = match kind {
            ONE => None,
            MANY => Some(exact::decode(fields, n_rows, 1)?),
            other => return Err(Broken::new(format!("no scales begin with the byte {other}"))),
        };
        Ok(Self { base, below })
    }
}

fn rms(values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    if values.is_empty() { 0.0 } else { (sum / values.len() as f64).sqrt() }
}

/// A scale that can be divided by, or 0: what is smaller than every normal number is as good as 0.
#[expect(clippy::cast_possible_truncation, reason = "a root mean square of f32 values is in the range of f32")]
fn normal(rms: f64) -> f32 {
    let rms = rms as f32;
    if rms.is_normal() { rms } else { 0.0 }
}

/// Rounds a number that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
fn narrow(eighths: f64) -> u8 {
    eighths.round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(scales: &Scales, n_rows: usize) {
        let mut bytes = Vec::new();
        scales.write(&mut bytes).unwrap();
        assert!(bytes.len() as u64 <= scales.max_bytes());
        let mut fields = Fields(&bytes);
        assert_eq!(&Scales::read(&mut fields, n_rows).unwrap(), scales);
        fields.end().unwrap();
    }

    #[test]
    fn one_channel_has_its_root_mean_square() {
        let scales = Scales::of(&[3.0, -3.0, 3.0, 3.0], 1);
        assert_eq!(scales.factors(), [3.0]);
        round_trip(&scales, 1);
    }

    #[test]
    fn channels_are_right_within_a_sixteenth_of_an_octave() {
        let rms: Vec<f32> = (0..300u16).map(|i| 0.7 * 0.93f32.powi(i32::from(i % 150))).collect();
        let values: Vec<f32> = rms.iter().flat_map(|&r| [r, -r, r]).collect();
        let scales = Scales::of(&values, 300);
        for (factor, rms) in scales.factors().iter().zip(&rms) {
            assert!((factor / rms).log2().abs() < 1.0 / 16.0 + 1e-3, "{factor} {rms}");
        }
        round_trip(&scales, 300);
    }

    #[test]
    fn zeros_have_a_scale_that_is_finite() {
        assert_eq!(Scales::of(&[0.0; 4], 1).factors(), [0.0]);
        assert_eq!(Scales::of(&[0.0; 4], 2).factors(), [0.0, 0.0]);
        let one = Scales::of(&[0.0, 0.0, 1.0, 1.0], 2).factors();
        assert!(one[0] > 0.0 && one[0] < 1e-9 && one[1] == 1.0, "{one:?}");
        assert_eq!(Scales::of(&[1e-45], 1).factors(), [0.0]);
    }

    #[test]
    fn what_is_no_scale_is_refused() {
        for base in [f32::NAN, f32::INFINITY, -1.0] {
            assert!(Scales::read(&mut Fields(&[&[0][..], &base.to_le_bytes()].concat()), 1).is_err());
        }
        assert!(Scales::read(&mut Fields(&[2, 0, 0, 0, 0]), 1).is_err());
    }
}
