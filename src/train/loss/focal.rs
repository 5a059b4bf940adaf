//! Focal loss.

use tch::{Reduction, Tensor};

use super::truth::Truth;

/// What a sum that something is divided by is at least.
const LEAST: f64 = 1e-6;

pub(super) fn value(logits: &Tensor, truth: &Truth<'_>, gamma: f64, alpha: Option<f64>, normalised: bool) -> Tensor {
    let one_hot = truth.one_hot();
    let none = None::<&Tensor>;
    let entropy = logits.binary_cross_entropy_with_logits(&one_hot, none, none, Reduction::None);
    let weight = (-(-&entropy).expm1()).pow_tensor_scalar(gamma);
    let mut each = &weight * entropy;
    if let Some(alpha) = alpha {
        each *= &one_hot * (2.0 * alpha - 1.0) + (1.0 - alpha);
    }
    if normalised {
        let weight =
            (weight * truth.valid().unsqueeze(1)).sum_dim_intlist([0_i64, 2, 3].as_slice(), true, logits.kind());
        each /= weight.clamp_min(LEAST);
    }
    truth.mean_of_classes(&each)
}
