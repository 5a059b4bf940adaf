//! `report.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, WriteError};
use crate::config::format_bytes;

/// Version of the document.
pub const REPORT_FORMAT: u32 = 1;

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It has begun and not ended: what is listed may or may not be there.
    Running,
    /// It was stopped or could not go on.
    Stopped,
    /// It came to its end.
    Finished,
}

/// A scene without a mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedScene {
    /// The file.
    pub scene: String,
    /// The stage that noticed.
    pub stage: String,
    /// Why.
    pub cause: String,
    /// What was done about its place in the archive: "withheld", "omitted" or "blank mask of 0".
    pub action: String,
}

/// A scene that was not done as the plan has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcededScene {
    /// The file.
    pub scene: String,
    /// Number of its units: rows of tiles, or one.
    pub units: u64,
    /// Those that ran tile by tile because a device was out of memory, by their numbers in the plan.
    pub single_tiles: Vec<u64>,
    /// How many of its units each member saw, where time was too short for all to see all; empty otherwise.
    #[serde(default)]
    pub members: BTreeMap<String, u64>,
}

/// What a deadline asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeadlineReport {
    /// Seconds from the start of the command.
    pub seconds: f64,
    /// What was given up, by earlier runs too where this one repeats it.
    pub steps: Vec<DeadlineStep>,
    /// Seconds by which it was missed; none where it was kept.
    #[serde(default)]
    pub missed_by: Option<f64>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadlineStep {
    /// Seconds since the start of the command that took it.
    pub seconds: f64,
    /// Units that had not begun.
    pub units: u64,
    /// The members that they are left to; none where they were left to another run.
    pub members: Vec<String>,
}

/// A file that the run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// The archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageReport {
    /// Where it is.
    pub path: String,
    /// Number of entries.
    pub entries: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// What a stage did with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageLine {
    /// Name.
    pub name: String,
    /// Workers.
    pub workers: usize,
    /// Items taken in.
    pub items: u64,
    /// Share of its workers' time at work.
    pub busy_percent: f64,
    /// Share waiting for the stages before.
    pub wait_in_percent: f64,
    /// Share waiting for the stages behind.
    pub wait_out_percent: f64,
}

/// The memory that was promised, by cause, and what was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// Pixels, batches and labels: `--memory`.
    pub budget: u64,
    /// GDAL's cache, all decoders.
    pub decoder_cache: u64,
    /// Processes that decode, without their cache.
    #[serde(default)]
    pub decoders: u64,
    /// Weights.
    pub weights: u64,
    /// Activations.
    pub activations: u64,
    /// Rows that the post stage holds back.
    pub post: u64,
    /// The program and its libraries.
    pub base: u64,
    /// The sum of these.
    pub promised: u64,
    /// The most that was resident: of this process, and of its parent and each decoder what it did not share with others. A decoder
    /// that died before it could be asked does not count.
    pub peak_rss: u64,
    /// The decoders' part of it.
    #[serde(default)]
    pub peak_decoders: u64,
    /// The most that units held of their share of the budget.
    pub peak_units: u64,
}

impl BudgetReport {
    /// The promise and what it is made of.
    pub fn promise(&self) -> String {
        format!(
            "{} promised ({} budget, {} decoder cache, {} decoders, {} weights, {} activations, {} post, {} program)",
            format_bytes(self.promised),
            format_bytes(self.budget),
            format_bytes(self.decoder_cache),
            format_bytes(self.decoders),
            format_bytes(self.weights),
            format_bytes(self.activations),
            format_bytes(self.post),
            format_bytes(self.base)
        )
    }
}

/// Sums of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Scenes that have their mask.
    pub done: u64,
    /// Those among them that earlier runs had done.
    pub reused: u64,
    /// Scenes that have none.
    pub failed: u64,
    /// Files that are no scenes.
    pub ignored: u64,
    /// Tiles classified.
    pub tiles: u64,
    /// Forward passes.
    pub forwards: u64,
    /// Parts of units that were decoded.
    pub decoded: u64,
    /// Pixels of the scenes that this run has done.
    pub pixels: u64,
    /// Pixels that the networks saw.
    pub network_pixels: u64,
    /// Wall clock of the dataflow.
    pub seconds: f64,
}

impl Totals {
    /// Million pixels of finished scenes per second.
    pub fn mpx_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.pixels as f64 / 1e6 / self.seconds } else { 0.0 }
    }
}

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Version of swath.
    pub swath: String,
    /// How far the run came.
    pub state: RunState,
    /// SHA-256 of the plan.
    pub plan: String,
    /// Sums.
    pub totals: Totals,
    /// How earlier attempts of this run died; each was followed by another one.
    #[serde(default)]
    pub deaths: Vec<String>,
    /// Scenes without a mask.
    pub failed: Vec<FailedScene>,
    /// Scenes that are left to another run because time was up.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The deadline, if there was one.
    #[serde(default)]
    pub deadline: Option<DeadlineReport>,
    /// Scenes that were not done as planned, by this run or an earlier one.
    #[serde(default)]
    pub conceded: Vec<ConcededScene>,
    /// Files of this run by path relative to the run directory; `None` where a file is planned and not (yet) written.
    pub outputs: BTreeMap<String, Option<OutputFile>>,
    /// Files of earlier runs in this directory that this one has no scene for.
    pub earlier: Vec<String>,
    /// The archive, if there is one.
    pub package: Option<PackageReport>,
    /// The stages.
    pub stages: Vec<StageLine>,
    /// The stage that set the pace.
    pub bottleneck: Option<String>,
    /// Memory.
    pub memory: BudgetReport,
}

impl RunReport {
    /// Writes it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        let fail = |e: serde_json::Error| WriteError { operation: "write", path: path.into(), source: e.into() };
        let mut text = serde_json::to_vec_pretty(self).map_err(fail)?;
        text.push(b'\n');
        atomic::write(path, &text)
    }

    /// Reads what an earlier run left; `None` when there is none or it is of another format.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read(path).ok()?;
        serde_json::from_slice::<Self>(&text).ok().filter(|r| r.format == REPORT_FORMAT)
    }

    /// Number of scenes that fewer members saw than the plan has.
    pub fn degraded(&self) -> usize {
        self.conceded.iter().filter(|scene| !scene.members.is_empty()).count()
    }

    /// Whether an earlier run may have written this file.
    pub fn knows(&self, relative: &str) -> bool {
        self.outputs.contains_key(relative) || self.earlier.iter().any(|e| e == relative)
    }
}
