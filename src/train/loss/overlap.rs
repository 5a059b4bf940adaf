//! Losses of overlap.

use tch::Tensor;

use super::truth::Truth;

/// What a denominator or an overlap in a logarithm is at least.
const LEAST: f64 = 1e-7;

pub(super) fn tversky(logits: &Tensor, truth: &Truth<'_>, costs: [f64; 2], smooth: f64, log: bool) -> Tensor {
    let [both, probable, there] = sums(logits, truth, false, [0, 2, 3]);
    let [false_positives, false_negatives] = costs;
    let wrong = (probable - &both) * false_positives + (&there - &both) * false_negatives;
    let overlap = (&both + smooth) / (wrong + &both + smooth).clamp_min(LEAST);
    let loss = if log { -overlap.clamp_min(LEAST).log() } else { 1.0 - overlap };
    (loss * there.gt(0)).mean(logits.kind())
}

pub(super) fn dice_2020(logits: &Tensor, truth: &Truth<'_>, sigmoid: bool) -> Tensor {
    let [both, probable, there] = sums(logits, truth, sigmoid, [1, 2, 3]);
    of_labelled(1.0 - (both + 1.0) * 2.0 / (probable + &there + 1.0), &there)
}

pub(super) fn soft_iou(logits: &Tensor, truth: &Truth<'_>) -> Tensor {
    let [both, probable, there] = sums(logits, truth, false, [1, 2, 3]);
    let union = probable + &there - &both;
    of_labelled(1.0 - both / union.clamp_min(LEAST), &there)
}

/// I, P and T over these dimensions.
fn sums(logits: &Tensor, truth: &Truth<'_>, sigmoid: bool, over: [i64; 3]) -> [Tensor; 3] {
    let (probabilities, one_hot) = (truth.probabilities(logits, sigmoid), truth.one_hot());
    let sum = |t: Tensor| t.sum_dim_intlist(over.as_slice(), false, logits.kind());
    [sum(&probabilities * &one_hot), sum(probabilities), sum(one_hot)]
}

/// The mean over the images that have any label.
fn of_labelled(loss: Tensor, there: &Tensor) -> Tensor {
    let labelled = there.gt(0).to_kind(loss.kind());
    (loss * &labelled).sum(labelled.kind()) / labelled.sum(labelled.kind()).clamp_min(1.0)
}
