//! Cross-entropy and its kin.

use tch::{Kind, Reduction, Tensor};

use super::IGNORED;
use super::truth::Truth;
use crate::train::smoothing;

/// What a sum of weights that is divided by is at least: more than 0 in f32 as well.
const LEAST: f64 = 1e-30;

/// PyTorch's own.
pub(super) fn plain(logits: &Tensor, truth: &Truth<'_>, class_weights: &[f64], smoothing: f64) -> Tensor {
    let weights = (!class_weights.is_empty())
        .then(|| Tensor::from_slice(class_weights).to_kind(logits.kind()).to_device(logits.device()));
    let sum = logits.cross_entropy_loss(truth.labels(), weights.as_ref(), Reduction::Sum, IGNORED, smoothing);
    let valid = truth.valid();
    let n = match &weights {
        None => valid.sum(logits.kind()),
        Some(weights) => {
            (weights.index_select(0, &truth.listed().flatten(0, -1)) * valid.flatten(0, -1)).sum(logits.kind())
        }
    };
    sum / n.clamp_min(LEAST)
}

pub(super) fn smoothed_2020(logits: &Tensor, truth: &Truth<'_>, smoothing: f64) -> Tensor {
    let logs = logits.log_softmax(1, None::<Kind>);
    let rest = smoothing / logits.size()[1] as f64;
    let of_class = logs.gather(1, &truth.listed().unsqueeze(1), false).squeeze_dim(1);
    let of_all = logs.sum_dim_intlist(1, false, logs.kind());
    -truth.mean(&(of_class * (1.0 - smoothing - rest) + of_all * rest))
}

pub(super) fn edge_smoothed(logits: &Tensor, truth: &Truth<'_>, smoothing: f64, radius: i64) -> Tensor {
    let edges = smoothing::edges(truth.labels(), radius);
    let target = smoothing::soft(&truth.one_hot(), &edges, smoothing);
    -truth.mean(&(target * logits.log_softmax(1, None::<Kind>)).sum_dim_intlist(1, false, logits.kind()))
}

pub(super) fn hard(logits: &Tensor, truth: &Truth<'_>, threshold: f64, at_least: i64) -> Tensor {
    let listed = truth.listed();
    let logs = logits.log_softmax(1, None::<Kind>).gather(1, &listed.unsqueeze(1), false).squeeze_dim(1);
    let logs = logs.masked_select(&truth.valid());
    let n = logs.size()[0];
    if n == 0 {
        return logs.sum(logs.kind());
    }
    let (sorted, _) = logs.detach().exp().sort(0, false);
    let rank = at_least.clamp(0, n - 1);
    let easy = sorted.narrow(0, rank, 1).clamp_min(threshold);
    let hard = logs.detach().exp().lt_tensor(&easy).to_kind(logs.kind());
    -(logs * &hard).sum(hard.kind()) / hard.sum(hard.kind()).clamp_min(1.0)
}
