//! What is minimised: a mix of losses of the network's output, and of its side outputs.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::loss::{IGNORED, Loss};
use crate::config::train::Term;
use crate::zoo::segmenter::{Segmented, Side};
use crate::zoo::spec::{Network, NetworkSpec, Upsample, Variant};

/// Where points lie is a side output of this name's beginning; the side output that follows holds their logits.
const POINTS: &str = "points";

/// What training minimises.
#[derive(Clone, Debug)]
pub(super) struct Objective {
    terms: Vec<Term>,
    side_weight: f64,
}

/// Its value.
#[derive(Debug)]
pub(super) struct Value {
    /// The weighted sum, with a graph to follow back.
    pub(super) total: Tensor,
    /// What each term of the output itself has: name and value before its weight.
    pub(super) terms: Vec<(String, Tensor)>,
}

impl Objective {
    /// The mix of a pipeline, where classes have so many pixels.
    pub(super) fn new(terms: &[Term], side_weight: Option<f64>, spec: &NetworkSpec, pixels: &[u64]) -> Self {
        let resolved = |term: &Term| match (&term.loss, term.balance) {
            (Loss::CrossEntropy { smoothing, .. }, Some(balance)) => {
                let loss = Loss::CrossEntropy { class_weights: balance.weights(pixels), smoothing: *smoothing };
                Term { loss, ..term.clone() }
            }
            _ => term.clone(),
        };
        let side_weight = side_weight.unwrap_or_else(|| usual_side_weight(spec));
        Self { terms: terms.iter().map(resolved).collect(), side_weight }
    }

    /// What an answer costs against labels, `[N, H, W]`, of which those of each crop count as `weights` says: crops of one weight together, and
    /// of these the mean by weight and number of labels. So a pixel's cross-entropy counts as its crop does, and what is counted over regions
    /// is counted over regions of one kind. Panics as tch does when libtorch refuses.
    pub(super) fn weighted(&self, out: &Segmented, labels: &Tensor, weights: &[f64], epoch: f64) -> Value {
        let mut kinds: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        (0..).zip(weights).for_each(|(at, weight)| kinds.entry(weight.to_bits()).or_default().push(at));
        let labelled = |labels: &Tensor| labels.ne(IGNORED).sum(Kind::Int64).int64_value(&[]) as f64;
        let of_kind = |(weight, crops): (&u64, &Vec<i64>)| {
            let crops = Tensor::from_slice(crops).to_device(labels.device());
            let labels = labels.index_select(0, &crops);
            (f64::from_bits(*weight) * labelled(&labels), crops, labels)
        };
        let kinds: Vec<(f64, Tensor, Tensor)> = match kinds.len() {
            0 | 1 => Vec::new(),
            _ => kinds.iter().map(of_kind).filter(|(counts, ..)| *counts > 0.0).collect(),
        };
        let all: f64 = kinds.iter().map(|(counts, ..)| counts).sum();
        let values = kinds
            .iter()
            .map(|(counts, crops, labels)| (counts / all, self.value(&selected(out, crops), labels, epoch)));
        let joined = values.map(|(share, value)| Value {
            total: value.total * share,
            terms: value.terms.into_iter().map(|(name, term)| (name, term * share)).collect(),
        });
        let sum = joined.reduce(|a, b| Value {
            total: a.total + b.total,
            terms: a.terms.into_iter().zip(b.terms).map(|((name, a), (_, b))| (name, a + b)).collect(),
        });
        sum.unwrap_or_else(|| self.value(out, labels, epoch))
    }

    /// What an answer costs against `labels`, `[N, H, W]`, at a time in epochs. Panics as tch does when libtorch refuses.
    fn value(&self, out: &Segmented, labels: &Tensor, epoch: f64) -> Value {
        let on: Vec<&Term> = self.terms.iter().filter(|term| term.is_on(epoch)).collect();
        // Sums are f32 whatever the network's arithmetic is.
        let sum_of = |logits: &Tensor, labels: &Tensor| -> Vec<Tensor> {
            let logits =
                if logits.kind() == Kind::Double { logits.shallow_clone() } else { logits.to_kind(Kind::Float) };
            on.iter().map(|term| term.loss.value(&logits, labels)).collect()
        };
        let weighted =
            |values: &[Tensor]| values.iter().zip(&on).map(|(value, term)| value * term.weight).reduce(|a, b| a + b);
        let main = sum_of(&at_full_size(&out.values, out.upsample, labels), labels);
        let mut total = weighted(&main);
        for (logits, labels) in sides(&out.side, labels) {
            let side = weighted(&sum_of(&logits, &labels)).map(|side| side * self.side_weight);
            total = total.zip(side).map(|(total, side)| total + side);
        }
        let total = total.unwrap_or_else(|| out.values.sum(out.values.kind()) * 0.0);
        Value { total, terms: on.iter().map(|term| term.name.clone()).zip(main).collect() }
    }
}

#[cfg(test)]
impl Objective {
    /// Without the terms that follow the first.
    pub(super) fn only_the_first(&mut self) {
        self.terms.truncate(1);
    }
}

/// The answers to some crops of a batch.
fn selected(out: &Segmented, crops: &Tensor) -> Segmented {
    let of = |values: &Tensor| values.index_select(0, crops);
    let side = |side: &Side| Side { values: of(&side.values), ..*side };
    Segmented { values: of(&out.values), side: out.side.iter().map(side).collect(), ..*out }
}

/// As their authors have it.
fn usual_side_weight(spec: &NetworkSpec) -> f64 {
    match (spec.network, spec.variant) {
        (Network::HrnetOcr, Variant::Naic) => 1.0,
        (Network::HrnetOcr | Network::PspNet, _) => 0.4,
        _ => 1.0,
    }
}

/// The logits of each side output with their labels: of every pixel, or of points.
fn sides(sides: &[Side], labels: &Tensor) -> Vec<(Tensor, Tensor)> {
    let mut all = Vec::new();
    let mut points: Option<&Tensor> = None;
    for side in sides {
        if side.name.starts_with(POINTS) {
            points = Some(&side.values);
        } else if let Some(points) = points.take() {
            // `[N, C, P]` as a picture of one column.
            all.push((side.values.unsqueeze(3), labels_at(points, labels).unsqueeze(2)));
        } else {
            all.push((at_full_size(&side.values, side.upsample, labels), labels.shallow_clone()));
        }
    }
    all
}

/// The labels of the pixels that points, `[N, P, 2]` from 0 to 1 with corners aligned, are nearest to.
fn labels_at(points: &Tensor, labels: &Tensor) -> Tensor {
    let [height, width] = [1, 2].map(|dim| labels.size()[dim]);
    let nearest =
        |axis: i64, side: i64| (points.select(2, axis) * (side - 1) as f64).round().clamp(0.0, (side - 1) as f64);
    let at = (nearest(1, height) * width as f64 + nearest(0, width)).to_kind(Kind::Int64);
    labels.flatten(1, 2).gather(1, &at, false)
}

/// Brought to the height and width of `like`.
pub(super) fn at_full_size(values: &Tensor, upsample: Option<Upsample>, like: &Tensor) -> Tensor {
    let size = like.size();
    match (upsample, &size[..]) {
        (Some(upsample), [.., height, width]) => upsample.apply(values, [*height, *width]),
        _ => values.shallow_clone(),
    }
}
