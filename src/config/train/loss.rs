//! Losses as data: as written and as meant. Their arithmetic, and the numbers of their references, are in `train`.

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::within;

/// What a network in training is held to; smaller is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Cross-entropy against targets that are smoothed where another label is near, mean over the pixels.
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
}

/// Weights of classes that follow from their pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// 1 by the share of the pixels.
    Inverse,
    /// (1 - beta) / (1 - beta^n) for n pixels, beta = 0.999999 (Cui et al. 2019, arXiv:1901.05555).
    Effective,
}

impl Balance {
    const BETA: f64 = 0.999_999;

    /// A weight for each class from its pixels, 1 in the mean over those that are there; 0 for others.
    pub fn weights(self, pixels: &[u64]) -> Vec<f64> {
        let all: u64 = pixels.iter().sum();
        let raw = |n: u64| match self {
            _ if n == 0 => 0.0,
            Self::Inverse => all as f64 / n as f64,
            Self::Effective => (1.0 - Self::BETA) / -(n as f64 * Self::BETA.ln()).exp_m1(),
        };
        let raw: Vec<f64> = pixels.iter().map(|n| raw(*n)).collect();
        let n_there = raw.iter().filter(|weight| **weight > 0.0).count().max(1);
        let mean = raw.iter().sum::<f64>() / n_there as f64;
        raw.iter().map(|weight| if mean > 0.0 { weight / mean } else { 0.0 }).collect()
    }
}

/// A loss in a mix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Term {
    /// Its name in reports.
    pub name: String,
    /// What it counts against the other losses.
    pub weight: f64,
    /// The epoch from which on it counts.
    pub from: f64,
    /// The epoch from which on it counts no more.
    pub until: Option<f64>,
    /// What is minimised.
    pub loss: Loss,
    /// Its weights of classes, where they follow from the data.
    pub balance: Option<Balance>,
}

impl Term {
    /// Whether it counts at a time.
    pub fn is_on(&self, epoch: f64) -> bool {
        epoch >= self.from && self.until.is_none_or(|until| epoch < until)
    }

    /// What a pipeline without losses has.
    pub fn usual() -> Self {
        let (name, loss) = (Kind::CrossEntropy.name().to_owned(), Loss::CROSS_ENTROPY);
        Self { name, weight: 1.0, from: 0.0, until: None, loss, balance: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    CrossEntropy,
    #[serde(rename = "smoothed-2020")]
    Smoothed2020,
    EdgeSmoothed,
    HardPixels,
    Binary,
    Focal,
    Dice,
    Tversky,
    Jaccard,
    #[serde(rename = "dice-2020")]
    Dice2020,
    LovaszSoftmax,
    LovaszHinge,
    Structure,
    SoftIou,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::Smoothed2020 => "smoothed-2020",
            Self::EdgeSmoothed => "edge-smoothed",
            Self::HardPixels => "hard-pixels",
            Self::Binary => "binary",
            Self::Focal => "focal",
            Self::Dice => "dice",
            Self::Tversky => "tversky",
            Self::Jaccard => "jaccard",
            Self::Dice2020 => "dice-2020",
            Self::LovaszSoftmax => "lovasz-softmax",
            Self::LovaszHinge => "lovasz-hinge",
            Self::Structure => "structure",
            Self::SoftIou => "soft-iou",
        }
    }
}

/// Weights of classes as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a weight for each class, or \"inverse\" or \"effective\"")]
enum ClassWeights {
    Given(Vec<f64>),
    Named(Balance),
}

/// `[[train.losses]]`. Which keys there are depends on the kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LossTable {
    kind: Kind,
    weight: Option<f64>,
    from: Option<f64>,
    until: Option<f64>,
    class_weights: Option<ClassWeights>,
    smoothing: Option<f64>,
    radius: Option<u32>,
    threshold: Option<f64>,
    at_least: Option<u32>,
    gamma: Option<f64>,
    alpha: Option<f64>,
    normalised: Option<bool>,
    costs: Option<[f64; 2]>,
    smooth: Option<f64>,
    log: Option<bool>,
    sigmoid: Option<bool>,
    absent: Option<bool>,
    per_image: Option<bool>,
}

impl LossTable {
    pub(super) fn checked(mut self, key: &str, n_classes: usize) -> Result<Term, Fault> {
        let (kind, name) = (self.kind, self.kind.name().to_owned());
        let weight = self.weight.take().map_or(Ok(1.0), |weight| number(key, "weight", weight, 1e6))?;
        let from = self.from.take().map_or(Ok(0.0), |from| number(key, "from", from, 1e9))?;
        let until = self.until.take().map(|until| number(key, "until", until, 1e9)).transpose()?;
        if until.is_some_and(|until| until <= from) {
            let text = "it ends before it begins: `until` is the epoch from which on it counts no more";
            return Err(Fault::about(key, text));
        }
        let (class_weights, balance) = self.class_weights(key, n_classes)?;
        let loss = self.loss(key, class_weights)?;
        match self == Self::nothing_but(kind) {
            true => Ok(Term { name, weight, from, until, loss, balance }),
            false => Err(Fault::about(key, format!("it has keys that the kind `{name}` does not take"))),
        }
    }

    fn class_weights(&mut self, key: &str, n_classes: usize) -> Result<(Vec<f64>, Option<Balance>), Fault> {
        match self.class_weights.take_if(|_| self.kind == Kind::CrossEntropy) {
            None => Ok((Vec::new(), None)),
            Some(ClassWeights::Named(balance)) => Ok((Vec::new(), Some(balance))),
            Some(ClassWeights::Given(given)) => {
                let is_sound = given.iter().all(|w| w.is_finite() && *w >= 0.0) && given.iter().any(|w| *w > 0.0);
                if given.len() == n_classes && is_sound {
                    return Ok((given, None));
                }
                let wanted =
                    format!("{n_classes} numbers of 0 or more, one for each class, or \"inverse\" or \"effective\"");
                Err(Fault::value(format!("{key}.class_weights"), format_args!("{given:?}"), wanted))
            }
        }
    }

    /// The loss, from the keys that its kind takes.
    fn loss(&mut self, key: &str, class_weights: Vec<f64>) -> Result<Loss, Fault> {
        let smoothing =
            |own: &mut Self, usual: f64| number(key, "smoothing", own.smoothing.take().unwrap_or(usual), 1.0);
        Ok(match self.kind {
            Kind::CrossEntropy => Loss::CrossEntropy { class_weights, smoothing: smoothing(self, 0.0)? },
            Kind::Smoothed2020 => Loss::Smoothed2020 { smoothing: smoothing(self, 0.1)? },
            Kind::EdgeSmoothed => {
                Loss::EdgeSmoothed { smoothing: smoothing(self, 0.2)?, radius: self.radius.take().unwrap_or(8).into() }
            }
            Kind::HardPixels => Loss::HardPixels {
                threshold: number(key, "threshold", self.threshold.take().unwrap_or(0.7), 1.0)?,
                at_least: self.at_least.take().unwrap_or(100_000).into(),
            },
            Kind::Binary => Loss::Binary,
            Kind::Focal => Loss::Focal {
                gamma: number(key, "gamma", self.gamma.take().unwrap_or(2.0), 100.0)?,
                alpha: self.alpha.take().map(|alpha| number(key, "alpha", alpha, 1.0)).transpose()?,
                normalised: self.normalised.take().unwrap_or(false),
            },
            Kind::Dice => self.overlap(key, [0.5; 2])?,
            Kind::Jaccard => self.overlap(key, [1.0; 2])?,
            Kind::Tversky => {
                let is_sound = |costs: &[f64; 2]| costs.iter().all(|cost| cost.is_finite() && *cost >= 0.0);
                let costs = self.costs.take().filter(is_sound).ok_or_else(|| {
                    Fault::about(key, "it needs `costs = [0.3, 0.7]`: what false positives and false negatives cost")
                })?;
                self.overlap(key, costs)?
            }
            Kind::Dice2020 => Loss::Dice2020 { sigmoid: self.sigmoid.take().unwrap_or(false) },
            Kind::LovaszSoftmax => Loss::LovaszSoftmax {
                absent: self.absent.take().unwrap_or(false),
                per_image: self.per_image.take().unwrap_or(false),
            },
            Kind::LovaszHinge => Loss::LovaszHinge { per_image: self.per_image.take().unwrap_or(true) },
            Kind::Structure => Loss::Structure,
            Kind::SoftIou => Loss::SoftIou,
        })
    }

    fn overlap(&mut self, key: &str, costs: [f64; 2]) -> Result<Loss, Fault> {
        let smooth = number(key, "smooth", self.smooth.take().unwrap_or(0.0), 1e6)?;
        Ok(Loss::Tversky { costs, smooth, log: self.log.take().unwrap_or(false) })
    }
}

/// A number from 0 to `most`.
fn number(key: &str, name: &str, value: f64, most: f64) -> Result<f64, Fault> {
    within(&format!("{key}.{name}"), value, 0.0..=most)
}

impl LossTable {
    fn nothing_but(kind: Kind) -> Self {
        Self {
            kind,
            weight: None,
            from: None,
            until: None,
            class_weights: None,
            smoothing: None,
            radius: None,
            threshold: None,
            at_least: None,
            gamma: None,
            alpha: None,
            normalised: None,
            costs: None,
            smooth: None,
            log: None,
            sigmoid: None,
            absent: None,
            per_image: None,
        }
    }
}
