//! Which bytes were recorded for what: two answers are a conflict.

use std::collections::HashMap;

use super::frame::{Mark, mark};
use super::head::AttemptHead;
use crate::journal::{FileRecord, Record, StageKey};

/// Two attempts recorded different bytes for one thing: a network, a driver or a library is not as deterministic as its plan asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What both have recorded.
    pub what: Claimed,
    /// What was read first.
    pub first: Claim,
    /// What is different.
    pub second: Claim,
}

/// Something whose bytes follow from the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// A file of a scene.
    Output {
        /// Name of the scene's outputs.
        scene: String,
        /// Name of the kind.
        kind: String,
        /// Key of the encoded result.
        key: StageKey,
        /// Relative to the run directory.
        path: String,
    },
    /// A file of stage results.
    Artefact {
        /// Relative to the run directory.
        path: String,
        /// Keys of what is in it, by which a plan knows the unit.
        keys: Vec<StageKey>,
    },
}

/// Who recorded which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The first file of the attempt that did.
    pub head: AttemptHead,
    /// Length of the file.
    pub bytes: u64,
    /// First digits of its SHA-256.
    pub sha256: String,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, first, second } = self;
        write!(f, "{what} came out in two ways: {first}; {second}")
    }
}

impl std::fmt::Display for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output { scene, kind, path, .. } => write!(f, "`{path}` ({kind} of the scene `{scene}`)"),
            Self::Artefact { path, .. } => write!(f, "the stage results in `{path}`"),
        }
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let AttemptHead { host, devices, device_class, drivers, attempt, .. } = &self.head;
        let (devices, drivers) = (devices.join(", "), drivers.join(", "));
        let Self { bytes, sha256, .. } = self;
        write!(
            f,
            "{bytes} bytes with SHA-256 {sha256}.. on {host} ({devices}; class {device_class}; {drivers}; attempt {attempt})"
        )
    }
}

/// The first claim of each thing, and what differs.
#[derive(Debug, Default)]
pub(super) struct Claims {
    known: HashMap<Mark, Bytes>,
    found: Vec<(Claimed, Bytes, Bytes)>,
}

/// A claim in as few bytes as may be: a run has millions.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    bytes: u64,
    /// The first quarter of its SHA-256.
    digest: u64,
    attempt: u32,
}

impl Claims {
    /// Takes in what an attempt recorded.
    pub(super) fn add(&mut self, attempt: u32, record: &Record) {
        match record {
            Record::Scene(scene) => {
                let files = scene.outputs.iter().flat_map(|output| output.files.iter().map(move |file| (output, file)));
                for (output, file) in files {
                    let parts = ["output", &scene.name, &output.kind, output.key.as_str(), &file.path];
                    let what = || Claimed::Output {
                        scene: scene.name.clone(),
                        kind: output.kind.clone(),
                        key: output.key.clone(),
                        path: file.path.clone(),
                    };
                    self.claim(mark(&parts), Bytes::of(attempt, file), what);
                }
            }
            Record::Artefact(artefact) => {
                let path = &artefact.file.path;
                let keys = || artefact.entries.iter().map(|entry| entry.key.clone()).collect();
                let what = || Claimed::Artefact { path: path.clone(), keys: keys() };
                self.claim(mark(&["artefact", path]), Bytes::of(attempt, &artefact.file), what);
            }
            Record::Failure(_)
            | Record::Concession(_)
            | Record::Archive(_)
            | Record::Run(_)
            | Record::DeviceFault(_) => {}
        }
    }

    fn claim(&mut self, thing: Mark, bytes: Bytes, what: impl FnOnce() -> Claimed) {
        let first = *self.known.entry(thing).or_insert(bytes);
        if (first.bytes, first.digest) != (bytes.bytes, bytes.digest) {
            self.found.push((what(), first, bytes));
        }
    }

    /// What differs, with who recorded it.
    pub(super) fn conflicts(&self, who: impl Fn(u32) -> Option<AttemptHead>) -> Vec<Conflict> {
        let claim = |bytes: &Bytes| {
            Some(Claim { head: who(bytes.attempt)?, bytes: bytes.bytes, sha256: format!("{:016x}", bytes.digest) })
        };
        let conflict = |(what, first, second): &(Claimed, Bytes, Bytes)| {
            Some(Conflict { what: what.clone(), first: claim(first)?, second: claim(second)? })
        };
        self.found.iter().filter_map(conflict).collect()
    }
}

impl Bytes {
    fn of(attempt: u32, file: &FileRecord) -> Self {
        // What is no digest was written by nobody, and is told from others as well as can be.
        let digest =
            file.content.sha256.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
        Self { attempt, bytes: file.content.bytes, digest }
    }
}
