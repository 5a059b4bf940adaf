//! Losses: `[N, C, H, W]` logits and `[N, H, W]` labels in, one value out.
//!
//! With one channel the task is binary: labels are 0 and 1, and what is a softmax otherwise is a sigmoid. Pixels whose label is [`IGNORED`]
//! take no part. Sources stand at each loss; where a loss has several definitions in the field, the fixtures of `models check` say
//! which one this is.

mod cross_entropy;
mod focal;
mod lovasz;
mod overlap;
mod structure;
mod truth;

use tch::{Kind, Tensor};

use self::truth::Truth;
pub use crate::config::train::Loss;

/// The label of pixels that take no part.
pub const IGNORED: i64 = 255;

impl Loss {
    /// Its value, of no dimension. Panics as tch does when libtorch refuses.
    pub fn value(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        let truth = Truth::new(logits, labels);
        match self {
            Self::CrossEntropy { class_weights, smoothing } => {
                cross_entropy::plain(logits, &truth, class_weights, *smoothing)
            }
            Self::Smoothed2020 { smoothing } => cross_entropy::smoothed_2020(logits, &truth, *smoothing),
            Self::EdgeSmoothed { smoothing, radius } => {
                cross_entropy::edge_smoothed(logits, &truth, *smoothing, *radius)
            }
            Self::HardPixels { threshold, at_least } => cross_entropy::hard(logits, &truth, *threshold, *at_least),
            Self::Binary => {
                let one_hot = truth.one_hot();
                let each = logits.binary_cross_entropy_with_logits(
                    &one_hot,
                    None::<&Tensor>,
                    None::<&Tensor>,
                    tch::Reduction::None,
                );
                truth.mean_of_classes(&each)
            }
            Self::Focal { gamma, alpha, normalised } => focal::value(logits, &truth, *gamma, *alpha, *normalised),
            Self::Tversky { costs, smooth, log } => overlap::tversky(logits, &truth, *costs, *smooth, *log),
            Self::Dice2020 { sigmoid } => overlap::dice_2020(logits, &truth, *sigmoid),
            Self::LovaszSoftmax { absent, per_image } => lovasz::softmax(logits, labels, *absent, *per_image),
            Self::LovaszHinge { per_image } => lovasz::hinge(logits, labels, *per_image),
            Self::Structure => structure::one_minus_ssim(logits, &truth),
            Self::SoftIou => overlap::soft_iou(logits, &truth),
        }
    }
}

/// A mix of losses.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(pub Vec<(f64, Loss)>);

impl Mix {
    /// The weighted sum. 0 for none.
    pub fn value(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        let terms = self.0.iter().map(|(weight, loss)| loss.value(logits, labels) * *weight);
        terms
            .reduce(|sum, term| sum + term)
            .unwrap_or_else(|| Tensor::zeros([1], (Kind::Float, logits.device())).sum(Kind::Float))
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn every_loss() -> Vec<Loss> {
        let tversky = |costs| Loss::Tversky { costs, smooth: 1.0, log: false };
        vec![
            Loss::CROSS_ENTROPY,
            Loss::CrossEntropy { class_weights: vec![1.0, 2.0, 0.5], smoothing: 0.1 },
            Loss::Smoothed2020 { smoothing: 0.1 },
            Loss::EdgeSmoothed { smoothing: 0.2, radius: 2 },
            Loss::HardPixels { threshold: 0.7, at_least: 5 },
            Loss::Binary,
            Loss::Focal { gamma: 2.0, alpha: Some(0.25), normalised: true },
            tversky([0.5, 0.5]),
            tversky([0.3, 0.7]),
            Loss::Dice2020 { sigmoid: false },
            Loss::LovaszSoftmax { absent: false, per_image: true },
            Loss::LovaszHinge { per_image: true },
            Loss::Structure,
            Loss::SoftIou,
        ]
    }

    fn batch() -> (Tensor, Tensor) {
        tch::manual_seed(7);
        let logits = Tensor::randn([2, 3, 9, 8], (Kind::Double, Device::Cpu));
        let labels = Tensor::randint(3, [2, 9, 8], (Kind::Int64, Device::Cpu));
        (logits, labels)
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let (logits, labels) = batch();
        for loss in every_loss() {
            let leaf = logits.copy().set_requires_grad(true);
            loss.value(&leaf, &labels).backward();
            let gradient = leaf.grad();
            for (class, y, x) in [(0, 0, 0), (1, 4, 3), (2, 8, 7)] {
                let moved = |by: f64| {
                    let moved = logits.copy();
                    drop(moved.get(1).get(class).get(y).get(x).g_add_scalar_(by));
                    loss.value(&moved, &labels).double_value(&[])
                };
                let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                let found = gradient.double_value(&[1, class, y, x]);
                assert!((expected - found).abs() < 1e-6, "{loss:?}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn ignored_pixels_take_no_part() {
        let (logits, labels) = batch();
        // The lower half is ignored in one, and not there in the other.
        let ignored = labels.copy();
        drop(ignored.narrow(1, 5, 4).fill_(IGNORED));
        let other = logits.copy();
        drop(other.narrow(2, 5, 4).fill_(3.0));
        for loss in every_loss() {
            let a = loss.value(&logits, &ignored).double_value(&[]);
            let b = loss.value(&other, &ignored).double_value(&[]);
            assert!((a - b).abs() < 1e-12, "{loss:?}: {a} and {b}");
            assert!(a.is_finite(), "{loss:?}");
            if !matches!(loss, Loss::Structure | Loss::EdgeSmoothed { .. }) {
                let cut = loss.value(&logits.narrow(2, 0, 5), &labels.narrow(1, 0, 5)).double_value(&[]);
                assert!((a - cut).abs() < 1e-12, "{loss:?}: {a} and {cut}");
            }
        }
    }

    #[test]
    fn a_batch_without_a_label_costs_nothing() {
        let (logits, labels) = batch();
        let none = labels.full_like(IGNORED);
        let kinds = || [Kind::Double, Kind::Float].into_iter();
        for (loss, kind) in every_loss().into_iter().flat_map(|loss| kinds().map(move |kind| (loss.clone(), kind))) {
            let leaf = logits.to_kind(kind).copy().set_requires_grad(true);
            let value = loss.value(&leaf, &none);
            assert_eq!(value.double_value(&[]), 0.0, "{loss:?}");
            value.backward();
            assert_eq!(leaf.grad().abs().max().double_value(&[]), 0.0, "{loss:?}");
        }
    }

    #[test]
    fn a_mix_is_the_weighted_sum() {
        let (logits, labels) = batch();
        let mix = Mix(vec![(0.5, Loss::CROSS_ENTROPY), (2.0, Loss::SoftIou)]);
        let alone = |loss: Loss| loss.value(&logits, &labels).double_value(&[]);
        let expected = 0.5 * alone(Loss::CROSS_ENTROPY) + 2.0 * alone(Loss::SoftIou);
        assert!((mix.value(&logits, &labels).double_value(&[]) - expected).abs() < 1e-12);
    }
}
