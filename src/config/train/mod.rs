//! `[train]`: how a network is trained. The network itself, its bands and its normalisation are the member's.

mod augment;
mod distill;
mod loss;
mod optimiser;
mod schedule;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use augment::Augment;
pub use distill::Distill;
use distill::DistillTable;
pub use loss::{Balance, Loss, Term};
pub use optimiser::{Optimiser, Rule};
pub use schedule::Schedule;

use self::loss::LossTable;
use self::optimiser::OptimiserTable;
use self::schedule::ScheduleTable;
use super::data::Sampling;
use super::fault::Fault;

/// What the best weights are the best of: scores of whole validation scenes, more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Mean over the classes of intersection over union.
    #[default]
    MeanIou,
    /// The same weighted by the pixels of each class.
    WeightedIou,
    /// Share of pixels that are right.
    Accuracy,
}

impl Metric {
    /// Its name in pipeline files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeanIou => "mean-iou",
            Self::WeightedIou => "weighted-iou",
            Self::Accuracy => "accuracy",
        }
    }
}

/// Which weights are validated and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Averaging {
    /// Those of the last step.
    #[default]
    None,
    /// A mean over all steps in which each has this share of the weight of the next one (exponential moving average).
    Ema(f64),
    /// The plain mean of the weights at the end of each epoch from this one on (Izmailov et al. 2018, arXiv:1803.05407).
    Swa(u32),
}

/// Arithmetic of the forward and backward pass. Weights, gradients and sums stay f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// f32 on a CPU, f16 on a GPU.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// IEEE half with a scaled loss: what libtorch's autocast makes of each operation.
    F16,
}

/// A checked `[train]` table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Train {
    /// The weights that training starts from: of the same network, with other classes perhaps, or of its backbone. None: the member's.
    #[serde(skip)]
    pub start: Option<PathBuf>,
    /// Epochs in all, those before a resumption included.
    pub epochs: u32,
    /// Steps of an epoch; `None` for as many as the labelled pixels fill crops.
    pub steps_per_epoch: Option<u32>,
    /// Crops of a step.
    pub batch: u32,
    /// The parts that a step's crops go through the network in, one after the other, for want of memory.
    pub parts: u32,
    /// Side of a crop, in the network's pixels.
    pub crop: u32,
    /// Where crops are taken from.
    pub sampling: Sampling,
    /// All that is drawn follows from it.
    pub seed: u64,
    /// What the norm of all gradients is cut to; `None` for no bound.
    pub clip: Option<f64>,
    /// Arithmetic of the passes; weights and sums are f32 always.
    pub precision: Arithmetic,
    /// Epochs between two validations.
    pub validate_every: u32,
    /// What validations are compared by.
    pub metric: Metric,
    /// Validations without a better one after which training ends; `None` for never.
    pub patience: Option<u32>,
    /// Which weights are kept.
    pub average: Averaging,
    /// The epochs at whose end the weights are kept as members of an ensemble.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<u32>,
    /// What the loss of a side output counts against that of the output; `None` as the network's authors have it.
    pub side_weight: Option<f64>,
    /// Their weighted sum is minimised.
    pub losses: Vec<Term>,
    /// Who follows the gradients, and how fast.
    pub optimiser: Optimiser,
    /// The rate over time.
    pub schedule: Schedule,
    /// What is done to crops.
    pub augment: Augment,
    /// Who else is learnt from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distill: Option<Distill>,
}

#[cfg(test)]
impl Default for Train {
    /// What an empty table means for three classes.
    fn default() -> Self {
        TrainTable::default().checked(3, Path::new("")).unwrap()
    }
}

/// `[train]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TrainTable {
    start: Option<PathBuf>,
    epochs: u32,
    steps_per_epoch: Option<u32>,
    batch: u32,
    parts: u32,
    crop: u32,
    sampling: Sampling,
    seed: u64,
    clip: f64,
    precision: Arithmetic,
    validate_every: u32,
    metric: Metric,
    patience: u32,
    average: Averaging,
    snapshots: bool,
    side_weight: Option<f64>,
    losses: Vec<LossTable>,
    optimiser: OptimiserTable,
    schedule: ScheduleTable,
    augment: Augment,
    distill: Option<DistillTable>,
}

impl Default for TrainTable {
    fn default() -> Self {
        Self {
            start: None,
            epochs: 100,
            steps_per_epoch: None,
            batch: 8,
            parts: 1,
            crop: 256,
            sampling: Sampling::Area,
            seed: 0,
            clip: 0.0,
            precision: Arithmetic::Auto,
            validate_every: 1,
            metric: Metric::MeanIou,
            patience: 0,
            average: Averaging::None,
            snapshots: false,
            side_weight: None,
            losses: Vec::new(),
            optimiser: OptimiserTable::default(),
            schedule: ScheduleTable::default(),
            augment: Augment::default(),
            distill: None,
        }
    }
}

/// A number within its bounds; what is no number is in none.
fn within(key: &str, value: f64, range: RangeInclusive<f64>) -> Result<f64, Fault> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Fault::value(key, value, format!("{} to {}", range.start(), range.end())))
}

fn no_snapshots() -> Fault {
    let text = "they are taken where the rate starts again: train.schedule.kind = \"warm-restarts\", with a period of whole epochs, one at least";
    Fault::about("train.snapshots", text.to_owned())
}

/// Crops up to here.
const LARGEST_CROP: u32 = 8192;

impl TrainTable {
    fn check_numbers(&self) -> Result<(), Fault> {
        for (key, value) in [
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("parts", self.parts),
            ("validate_every", self.validate_every),
            ("steps_per_epoch", self.steps_per_epoch.unwrap_or(1)),
        ] {
            if value == 0 {
                return Err(Fault::value(format!("train.{key}"), 0, "1 or more"));
            }
        }
        if !(8..=LARGEST_CROP).contains(&self.crop) {
            return Err(Fault::value("train.crop", self.crop, format!("8 to {LARGEST_CROP} pixels")));
        }
        if !self.batch.is_multiple_of(self.parts) {
            let text = format!("{} crops cannot be shared out among {} parts of equal size", self.batch, self.parts);
            return Err(Fault::about("train.parts", text));
        }
        for (key, value) in [("clip", self.clip), ("side_weight", self.side_weight.unwrap_or(0.0))] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Fault::value(format!("train.{key}"), value, "0 or more"));
            }
        }
        let is_share = |decay: f64| decay > 0.0 && decay < 1.0;
        match self.average {
            Averaging::Ema(decay) if !is_share(decay) => {
                Err(Fault::value("train.average.ema", decay, "between 0 and 1, e.g. 0.999"))
            }
            Averaging::Swa(from) if from >= self.epochs => {
                let text = format!("it begins with epoch {from} and there are {}, counted from 0", self.epochs);
                Err(Fault::about("train.average.swa", text))
            }
            Averaging::None | Averaging::Ema(_) | Averaging::Swa(_) => Ok(()),
        }
    }

    pub(super) fn checked(self, n_classes: usize, folder: &Path) -> Result<Train, Fault> {
        self.check_numbers()?;
        let mut losses = Vec::new();
        for (at, table) in self.losses.into_iter().enumerate() {
            losses.push(table.checked(&format!("train.losses.{at}"), n_classes)?);
        }
        if losses.is_empty() {
            losses.push(Term::usual());
        }
        let ends = losses.iter().filter_map(|term| term.until).filter(|until| *until < f64::from(self.epochs));
        if let Some(gap) = ends.chain([0.0]).find(|epoch| !losses.iter().any(|term| term.is_on(*epoch))) {
            let text = format!("none of them counts at epoch {gap}; look at their `from` and `until`");
            return Err(Fault::about("train.losses", text));
        }
        let schedule = self.schedule.checked(self.epochs)?;
        let snapshots =
            if self.snapshots { schedule.restarts(self.epochs).ok_or_else(no_snapshots)? } else { Vec::new() };
        Ok(Train {
            start: self.start.map(|start| folder.join(start)),
            epochs: self.epochs,
            steps_per_epoch: self.steps_per_epoch,
            batch: self.batch,
            parts: self.parts,
            crop: self.crop,
            sampling: self.sampling,
            seed: self.seed,
            clip: (self.clip > 0.0).then_some(self.clip),
            precision: self.precision,
            validate_every: self.validate_every,
            metric: self.metric,
            patience: (self.patience > 0).then_some(self.patience),
            average: self.average,
            snapshots,
            side_weight: self.side_weight,
            losses,
            optimiser: self.optimiser.checked()?,
            schedule,
            augment: self.augment.checked()?,
            distill: self.distill.map(|table| table.checked(folder)).transpose()?,
        })
    }
}
