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

/// The label of pixels that take no part.
pub const IGNORED: i64 = 255;

/// A loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Cross-entropy, mean over the pixels by the weight of their class.
    CrossEntropy {
        /// A weight per class; 1 for all when empty.
        class_weights: Vec<f64>,
        /// As PyTorch has it: this share of the target is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
        smoothing: f64,
    },
    /// Cross-entropy against a target of `1 - smoothing` on the class and `smoothing / C` on each other one, as the 2020 entry has it.
    /// These do not sum to 1.
    Smoothed2020 {
        /// What the class loses.
        smoothing: f64,
    },
    /// Cross-entropy against targets that are smoothed where another label is near ([`super::smoothing`]), mean over the pixels.
    EdgeSmoothed {
        /// Share of the target that is spread over all classes at an edge.
        smoothing: f64,
        /// How far away another label makes an edge, in pixels.
        radius: i64,
    },
    /// Cross-entropy over hard pixels: those whose class has a probability below the threshold, and at least so many of the hardest
    /// (Shrivastava et al. 2016, arXiv:1604.03540; as in the repository of HRNet).
    HardPixels {
        /// The probability from which on a pixel is easy.
        threshold: f64,
        /// How many pixels of a batch are hard in any case.
        at_least: i64,
    },
    /// Binary cross-entropy of each class against the rest, mean over all of them.
    Binary,
    /// Focal loss of each class against the rest (Lin et al. 2017, arXiv:1708.02002), mean over pixels, then over classes.
    Focal {
        /// How much less what is right already counts.
        gamma: f64,
        /// Weight of the class, against `1 - alpha` of the rest.
        alpha: Option<f64>,
        /// Whether it is divided by the sum of the weights of the pixels.
        normalised: bool,
    },
    /// 1 - the overlap of each class's probability with its pixels, over the whole batch. Classes that the batch does not have add
    /// nothing, and count in the mean.
    ///
    /// I / (I + a (P - I) + b (T - I)), where I is the sum of their products and P and T are their sums (Salehi et al. 2017,
    /// arXiv:1706.05721). With a = b = 1/2 it is the Dice coefficient, with 1 that of Jaccard.
    Tversky {
        /// a: what false positives cost, and b: what false negatives do.
        costs: [f64; 2],
        /// What is added to numerator and denominator.
        smooth: f64,
        /// Whether it is -log of the overlap.
        log: bool,
    },
    /// 1 - 2 (I + 1) / (P + T + 1) per image over all classes together, as the 2020 entry has it. It can be negative.
    Dice2020 {
        /// Whether probabilities are those of each class against the rest.
        sigmoid: bool,
    },
    /// Lovasz-softmax (Berman et al. 2018, arXiv:1705.08790), mean over classes.
    LovaszSoftmax {
        /// Whether classes that are not there count as well.
        absent: bool,
        /// Whether it is the mean over images, and not of the batch as one.
        per_image: bool,
    },
    /// Lovasz hinge (the same source) of each class against the rest.
    LovaszHinge {
        /// Whether it is the mean over images, and not of the batch as one.
        per_image: bool,
    },
    /// 1 - structural similarity of probabilities and labels, as BASNet has it (Qin et al. 2019): 11 x 11 Gaussian of sigma 1.5.
    Structure,
    /// 1 - I / (P + T - I) per image over all classes together, as BASNet has it.
    SoftIou,
}

impl Loss {
    /// Plain cross-entropy.
    pub const CROSS_ENTROPY: Self = Self::CrossEntropy { class_weights: Vec::new(), smoothing: 0.0 };

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
