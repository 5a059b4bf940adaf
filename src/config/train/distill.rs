//! What a network learns from other networks, as written and as meant.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::within;

/// A checked `[train.distill]`: knowledge distillation (Hinton et al. 2015, arXiv:1503.02531).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distill {
    /// The pipeline file of the teachers, or one's bundle.
    #[serde(skip)]
    pub teacher: PathBuf,
    /// What their answers count against labels.
    pub weight: f64,
    /// What logits are divided by before they become probabilities.
    pub temperature: f64,
}

/// `[train.distill]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DistillTable {
    teacher: PathBuf,
    #[serde(default = "half")]
    weight: f64,
    #[serde(default = "two")]
    temperature: f64,
}

const fn half() -> f64 {
    0.5
}

const fn two() -> f64 {
    2.0
}

impl DistillTable {
    pub(super) fn checked(self, folder: &Path) -> Result<Distill, Fault> {
        Ok(Distill {
            teacher: folder.join(self.teacher),
            weight: within("train.distill.weight", self.weight, 0.0..=1.0)?,
            temperature: within("train.distill.temperature", self.temperature, 0.1..=100.0)?,
        })
    }
}
