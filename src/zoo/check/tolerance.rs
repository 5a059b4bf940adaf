//! When an output counts as the reference's.

use tch::{Kind, Tensor};

use super::fixture::OutputFacts;
use crate::zoo::spec::Network;

/// Largest error of a value as a share of the output's root mean square.
const SHARE_OF_RMS: f64 = 1e-4;
/// Largest error of a value in units of the reference's own rounding error.
const ROUNDING_ERRORS: f64 = 20.0;
/// Share of the pixels that may differ where a network picks points by how uncertain they are: near ties fall either way.
const UNCERTAIN_PIXELS: f64 = 0.005;

/// How far values may be from the reference.
pub(super) struct Tolerance {
    absolute: f64,
    /// Share of pixels that may be farther.
    outliers: f64,
}

impl Tolerance {
    pub(super) fn of(facts: &OutputFacts, network: Network) -> Self {
        let rounding = facts.max_abs_diff_f64.unwrap_or(0.0) * ROUNDING_ERRORS;
        let picks_points = matches!(network, Network::RendDaNet | Network::RendUnet);
        let outliers = if picks_points { UNCERTAIN_PIXELS } else { 0.0 };
        Self { absolute: (facts.rms * SHARE_OF_RMS).max(rounding), outliers }
    }

    /// The largest error in units of the tolerance, outliers left out. `saved_stride`: the reference holds every so manieth row and
    /// column.
    pub(super) fn error(&self, ours: &Tensor, reference: &Tensor, saved_stride: i64) -> Result<f64, String> {
        let ours = match ours.dim() {
            4 => ours.slice(2, None, None, saved_stride).slice(3, None, None, saved_stride),
            _ => ours.shallow_clone(),
        };
        if ours.size() != reference.size() {
            return Err(format!("its shape is {:?}, the reference's {:?}", ours.size(), reference.size()));
        }
        let error = (&ours - reference).abs().to_kind(Kind::Double) / self.absolute;
        // A pixel is as wrong as its worst channel.
        let per_pixel = if error.dim() == 4 { error.amax([1], false) } else { error }.flatten(0, -1);
        if per_pixel.isfinite().all().int64_value(&[]) == 0 {
            return Ok(f64::NAN);
        }
        let (sorted, _) = per_pixel.sort(0, true);
        let skipped = (per_pixel.numel() as f64 * self.outliers).floor();
        #[expect(clippy::cast_possible_truncation, reason = "a count of pixels")]
        let skipped = skipped as i64;
        Ok(sorted.double_value(&[skipped]))
    }
}
