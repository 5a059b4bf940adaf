//! What is recorded: self-contained values.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StageKey;
use crate::atomic::{Fingerprint, sha256_of};

/// Something that has happened for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// Outputs of a scene are there.
    Scene(SceneRecord),
    /// A scene has failed.
    Failure(FailureRecord),
    /// Stage results are kept.
    Artefact(ArtefactRecord),
    /// The archive is made.
    Archive(ArchiveRecord),
    /// A run has begun, or the one of this number has ended.
    Run(RunRecord),
    /// A run gives something up against its plan, from here on.
    Concession(ConcessionRecord),
    /// A device was lost.
    #[serde(rename = "device-fault")]
    DeviceFault(DeviceFaultRecord),
}

/// A file of the run directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Relative to the run directory, with `/`.
    pub path: String,
    /// What is in it.
    #[serde(flatten)]
    pub content: Fingerprint,
}

impl FileRecord {
    /// Whether a file of its length is at its place.
    pub fn is_there(&self, dir: &Path) -> bool {
        let found = std::fs::metadata(dir.join(&self.path));
        found.is_ok_and(|meta| meta.is_file() && meta.len() == self.content.bytes)
    }

    /// Whether it is there with every recorded byte.
    pub fn is_whole(&self, dir: &Path) -> bool {
        self.is_there(dir) && sha256_of(&dir.join(&self.path)).is_ok_and(|found| found == self.content.sha256)
    }
}

/// A scene and those of its outputs that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneRecord {
    /// Name of the scene's outputs.
    pub name: String,
    /// Whether these are all that its run was to make: then the scene is done. Otherwise the others are still to be made.
    pub complete: bool,
    /// The run that made the last of them.
    pub attempt: u64,
    /// One of each kind that is there.
    pub outputs: Vec<OutputRecord>,
    /// What was found out on the way.
    pub facts: SceneFacts,
}

/// One kind of output of a scene. It holds if all of its files do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Name of the kind.
    pub kind: String,
    /// Key of the encoded result.
    pub key: StageKey,
    /// Beside rasters there may be sidecars.
    pub files: Vec<FileRecord>,
}

impl SceneRecord {
    /// The files of all outputs.
    pub fn files(&self) -> impl Iterator<Item = &FileRecord> {
        self.outputs.iter().flat_map(|output| &output.files)
    }
}

/// What a report says of a scene beside its files, so that it can be told again without doing the scene again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneFacts {
    /// Pixels of each label that occurs, ascending; 255 is nodata.
    pub pixels: Vec<(u8, u64)>,
    /// Milliseconds from its first read to its record.
    pub milliseconds: u64,
    /// What the decoder complained about while it read the pixels.
    pub warnings: Vec<String>,
}

/// A scene without files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// Name of the outputs it would have had.
    pub name: String,
    /// The file, and the page of it where one was named.
    pub file: String,
    /// The stage that noticed.
    pub stage: String,
    /// The unit that it was about, where it was one.
    #[serde(default)]
    pub unit: Option<u32>,
    /// The run that it failed in; 0 where it was left out of a plan that no run has begun with.
    #[serde(default)]
    pub attempt: u64,
    /// Why, and where something can be done what.
    pub cause: String,
}

/// A file of stage results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtefactRecord {
    /// The file itself.
    pub file: FileRecord,
    /// What is in it.
    pub entries: Vec<EntryRecord>,
}

/// One result in an artefact file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// What it is found by.
    pub key: StageKey,
    /// First byte of its frame.
    pub offset: u64,
    /// Length of its frame in bytes.
    pub bytes: u64,
}

/// Where a result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The artefact file, relative to the run directory.
    pub path: String,
    /// First byte of its frame.
    pub offset: u64,
    /// Length of its frame in bytes.
    pub bytes: u64,
}

/// submit.zip as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// Key of its content.
    pub key: StageKey,
    /// Where it is, and its digest.
    pub file: FileRecord,
    /// Masks in it, and the manifest where there is one.
    pub entries: u64,
    /// The value of the masks that stand for scenes without one, where these are not left out.
    pub blank: Option<u16>,
}

/// A run that has begun, or ended: enough to begin it again, and to report what it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its number among the runs of its directory, from 1.
    pub attempt: u64,
    /// SHA-256 of its plan.
    pub plan: String,
    /// Version of swath.
    pub swath: String,
    /// Seconds since 1970.
    pub started: u64,
    /// Number of scenes that it was to segment.
    pub scenes: u64,
    /// Tiles of these scenes.
    pub tiles: u64,
    /// Scenes among them that were done before.
    pub done_before: u64,
    /// Folder that the command ran in.
    pub folder: String,
    /// The command's arguments, without the program; empty where it was not started by one.
    pub arguments: Vec<String>,
    /// What its report says beside what the plan and the records of scenes tell.
    pub report: serde_json::Value,
}

/// What a run gives up against its plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConcessionRecord {
    /// SHA-256 of the plan: the numbers of units are its.
    pub plan: String,
    /// What is given up.
    #[serde(flatten)]
    pub what: Conceded,
}

/// What a run may give up against its plan, by the numbers of units and passes there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "conceded", rename_all = "kebab-case")]
pub enum Conceded {
    /// A device was out of memory: the batches of this unit hold one tile.
    SingleTiles {
        /// Index of the unit.
        unit: u32,
    },
    /// Time was short: only these of the plan's passes run on these units.
    FewerPasses {
        /// First unit and the one behind the last, of each run of units, ascending.
        units: Vec<[u32; 2]>,
        /// Indices of the passes, ascending.
        passes: Vec<u32>,
        /// Seconds since the command began.
        seconds: f64,
    },
}

impl Conceded {
    /// Number of units that it is about.
    pub fn n_units(&self) -> usize {
        match self {
            Self::SingleTiles { .. } => 1,
            Self::FewerPasses { units, .. } => units.iter().map(|[start, end]| (end - start) as usize).sum(),
        }
    }
}

/// A device that is of no use to the process that used it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFaultRecord {
    /// Name of the device.
    pub device: String,
    /// What the device's library said of it.
    pub detail: String,
}
