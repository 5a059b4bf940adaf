//! `report.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SceneResolution;
use crate::atomic::{self, Fingerprint, WriteError};
use crate::words::format_bytes;

/// Version of the document.
pub const REPORT_FORMAT: u32 = 2;

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
    /// Name of the outputs it would have had; it is not written.
    #[serde(skip)]
    pub name: String,
    /// The file.
    pub scene: String,
    /// The stage that noticed.
    pub stage: String,
    /// Why.
    pub cause: String,
    /// What is done about its place in the archive: "not in submit.zip", "left out of submit.zip" or "blank mask of 0".
    pub action: String,
}

/// How a run was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The command's arguments, without the program; empty where a library call made it.
    pub command: Vec<String>,
    /// The folder that it ran in.
    pub folder: String,
    /// Name of the machine.
    pub host: String,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// When this was written, in UTC (RFC 3339).
    pub ended: String,
    /// What ran the networks: "torch", or "fake" for the stand-in whose masks mean nothing.
    pub backend: String,
    /// The devices, one worker each.
    pub devices: Vec<String>,
    /// What decides how their arithmetic rounds.
    pub device_class: String,
    /// Versions of swath, GDAL and libtorch.
    pub versions: BTreeMap<String, String>,
    /// What was done to label maps, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post: Vec<String>,
}

/// A scene that has its mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneReport {
    /// The file.
    pub scene: String,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// What was done about the size of its pixels, where the pipeline wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<SceneResolution>,
    /// Number of bands of the file.
    pub bands: u32,
    /// Type of its pixels.
    pub pixel_type: String,
    /// Whether an earlier run made the mask.
    pub done_before: bool,
    /// Seconds from the first read to the recorded mask; other scenes may have been under way at the same time.
    pub seconds: f64,
    /// Share of the pixels that hold no data, 0 to 1.
    pub nodata: f64,
    /// Share of the pixels of each class by name, 0 to 1, classes that do not occur left out; together with `nodata` they sum to 1.
    pub classes: BTreeMap<String, f64>,
    /// What the decoder complained about while it read the pixels.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A scene that was not done as the plan has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReducedScene {
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

/// Work that was given up so that the rest is done in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadlineStep {
    /// Seconds since the start of the command that took it.
    pub seconds: f64,
    /// Units that had not begun.
    pub units: u64,
    /// The members that they are left to; none where they were left to another run.
    pub members: Vec<String>,
}

/// submit.zip as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageReport {
    /// Path of the archive, its run directory included.
    pub path: String,
    /// Number of entries.
    pub entries: u64,
    /// What is in it.
    #[serde(flatten)]
    pub content: Fingerprint,
}

/// What a stage did with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageLine {
    /// Name of the stage.
    pub name: String,
    /// Threads that it has.
    pub workers: usize,
    /// Items taken in.
    pub items: u64,
    /// Share of its workers' time at work.
    pub busy_percent: f64,
    /// Share waiting for the stages before.
    pub wait_in_percent: f64,
    /// Share waiting for the stages behind.
    pub wait_out_percent: f64,
    /// Processor time of its workers in seconds, that of their child processes not included.
    #[serde(default)]
    pub cpu_seconds: f64,
}

/// The memory that was reserved, by cause, and what was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// Pixels, batches and labels: `--memory`.
    pub budget: u64,
    /// GDAL's cache, all decoders.
    pub decoder_cache: u64,
    /// Processes that decode, without their cache.
    #[serde(default)]
    pub decoders: u64,
    /// The members' weights in the host's memory, all workers together.
    pub weights: u64,
    /// What forward passes hold beside weights: inputs, maps between layers, logits.
    pub activations: u64,
    /// Batches on their way to and from devices that work beside the host.
    #[serde(default)]
    pub staging: u64,
    /// Rows that the post stage holds back.
    pub post: u64,
    /// Rows of blocks of TIFFs, and GDAL's cache while it copies them.
    #[serde(default)]
    pub outputs: u64,
    /// The program and its libraries.
    pub base: u64,
    /// The sum of these.
    pub reserved: u64,
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
    /// What is reserved, and for what.
    pub fn reservation(&self) -> String {
        let staging = match self.staging {
            0 => String::new(),
            bytes => format!("{} staging, ", format_bytes(bytes)),
        };
        format!(
            "{} reserved ({} pixels and labels, {} decoder cache, {} decoders, {} weights, {} activations, {staging}{} post-processing, \
             {} outputs, {} program)",
            format_bytes(self.reserved),
            format_bytes(self.budget),
            format_bytes(self.decoder_cache),
            format_bytes(self.decoders),
            format_bytes(self.weights),
            format_bytes(self.activations),
            format_bytes(self.post),
            format_bytes(self.outputs),
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
    /// Scenes that lie outside the area, and are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outside: u64,
    /// Tiles whose labels are there, without those of earlier runs.
    pub tiles: u64,
    /// Those among them without any data: no network saw them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub void_tiles: u64,
    /// Those of which the file stores nothing and that have the result of another such tile.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated_tiles: u64,
    /// Passes: of each batch, one for each member and view.
    pub forwards: u64,
    /// Parts of units that were decoded.
    pub decoded: u64,
    /// Pixels of the scenes that this run has done.
    pub pixels: u64,
    /// Pixels that the networks saw.
    pub network_pixels: u64,
    /// Wall clock of the dataflow.
    pub seconds: f64,
    /// Seconds from the start of the command until the first tile had its labels, if one got them.
    #[serde(default)]
    pub first_labels: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Totals {
    /// Million pixels of finished scenes per second.
    pub fn mpx_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.pixels as f64 / 1e6 / self.seconds } else { 0.0 }
    }
}

/// report.json.
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
    /// How it was made.
    pub run: RunInfo,
    /// Sums over all scenes.
    pub totals: Totals,
    /// Why the run was started again, once for each time.
    #[serde(default)]
    pub restarts: Vec<String>,
    /// Scenes with a mask, by the name of their outputs.
    pub scenes: BTreeMap<String, SceneReport>,
    /// Tiles that ran again in f32, because their logits in half precision were not finite, by member.
    #[serde(default)]
    pub reruns: BTreeMap<String, u64>,
    /// Scenes without a mask.
    pub failed: Vec<FailedScene>,
    /// Scenes that are left to another run because time was up.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Scenes that other shards have units of as well, of a run of a shard: what is done of them is kept, and the merge finishes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<String>,
    /// The deadline, if there was one.
    #[serde(default)]
    pub deadline: Option<DeadlineReport>,
    /// Scenes that were not done as planned, by this run or an earlier one.
    #[serde(default)]
    pub reduced: Vec<ReducedScene>,
    /// Files of this run by path relative to the run directory; `None` where a file is planned and not (yet) written.
    pub outputs: BTreeMap<String, Option<Fingerprint>>,
    /// Files of earlier runs in this directory that this one has no scene for.
    pub earlier: Vec<String>,
    /// The archive, if there is one.
    pub package: Option<PackageReport>,
    /// The stages in the order of the dataflow.
    pub stages: Vec<StageLine>,
    /// The stage that set the pace.
    pub bottleneck: Option<String>,
    /// The memory that was promised, and the most that was taken.
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
        self.reduced.iter().filter(|scene| !scene.members.is_empty()).count()
    }

    /// Whether an earlier run may have written this file.
    pub fn knows(&self, relative: &str) -> bool {
        self.outputs.contains_key(relative) || self.earlier.iter().any(|e| e == relative)
    }
}
