//! What is recorded of a training.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One line of `metrics.jsonl`. Equal trainings have equal ones, but for what is under `time`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MetricsRecord {
    /// What the trainer saw at a step, or on the average of those since its last record.
    Step(StepRecord),
    /// How well the network does on scenes that it is not trained with.
    Validation(ValidationRecord),
    /// Something that a reader of the curves must know.
    Note(NoteRecord),
}

/// See [`MetricsRecord::Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimiser steps that were done, this one included.
    pub step: u64,
    /// Passes over the training data that these are.
    pub epoch: f64,
    /// The weighted sum of all losses, as it is minimised.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The terms of the loss by name, where it has several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "numbers")]
    pub parts: BTreeMap<String, f64>,
    /// The learning rate of the first group of parameters.
    pub rate: f64,
    /// The norm of all gradients before they are clipped, where it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub gradient_norm: Option<f64>,
    /// What no two trainings have equal.
    pub time: StepTime,
}

/// How fast it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Crops per second since the last record.
    pub samples_per_second: f64,
    /// The share of that time in which the trainer had to wait for crops.
    pub loader_wait_share: f64,
    /// Seconds of training, those before an interruption included.
    pub seconds: f64,
}

/// See [`MetricsRecord::Validation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Optimiser steps that were done before.
    pub step: u64,
    /// Passes over the training data that these are.
    pub epoch: f64,
    /// The name of the metric that decides which weights are kept.
    pub metric: String,
    /// Its value.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// The mean of the classes' intersections over unions.
    #[serde(deserialize_with = "number")]
    pub mean_iou: f64,
    /// The share of pixels whose class is right.
    #[serde(deserialize_with = "number")]
    pub accuracy: f64,
    /// The intersection over union of each class of the table; none where neither truth nor prediction has it.
    pub iou: Vec<Option<f64>>,
    /// Whether nothing before was as good.
    pub is_best: bool,
    /// What no two trainings have equal.
    pub time: ValidationTime,
}

/// How long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationTime {
    /// Seconds that it took.
    pub seconds: f64,
}

/// See [`MetricsRecord::Note`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoteRecord {
    /// The step from which the training goes on.
    pub step: u64,
    /// What a person should know, in words.
    pub text: String,
}

impl MetricsRecord {
    /// The step that it belongs to.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Validation(record) => record.step,
            Self::Note(record) => record.step,
        }
    }

    /// Its numbers by the names that TensorBoard has them under.
    pub(super) fn scalars(&self, classes: &[String]) -> BTreeMap<String, f64> {
        let mut scalars = BTreeMap::new();
        let mut add = |group: &str, name: &str, value: f64| {
            scalars.insert(format!("{group}/{name}"), value);
        };
        match self {
            Self::Step(record) => {
                add("train", "epoch", record.epoch);
                add("train", "loss", record.loss);
                add("train", "rate", record.rate);
                record.gradient_norm.iter().for_each(|norm| add("train", "gradient_norm", *norm));
                record.parts.iter().for_each(|(name, value)| add("loss", name, *value));
                add("time", "samples_per_second", record.time.samples_per_second);
                add("time", "loader_wait_share", record.time.loader_wait_share);
            }
            Self::Validation(record) => {
                add("validation", "mean-iou", record.mean_iou);
                add("validation", "accuracy", record.accuracy);
                add("validation", &record.metric, record.value);
                let of_classes = classes.iter().zip(&record.iou);
                of_classes.for_each(|(name, iou)| iou.iter().for_each(|iou| add("iou", name, *iou)));
                add("time", "validation_seconds", record.time.seconds);
            }
            Self::Note(_) => {}
        }
        scalars
    }
}

/// JSON has no word for what is not a number: `null` is one.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

fn some_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    number(from).map(Some)
}

fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let numbers: BTreeMap<String, Option<f64>> = BTreeMap::deserialize(from)?;
    Ok(numbers.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}
