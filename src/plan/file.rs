//! A plan as a file, and back: lines of JSON, first all but scenes and units, then one of each per line, so that nobody needs to hold more
//! of a large plan than the part that is theirs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{PLAN_FORMAT, Plan, Planned, Refusal};
use crate::atomic::{self, AtomicFile, WriteError};

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// [`PLAN_FORMAT`], before anything that depends on it.
    swath_plan: u32,
    /// SHA-256 of the plan.
    digest: String,
    n_scenes: usize,
    n_units: usize,
    refused: Vec<Refusal>,
    ignored: u64,
    plan: Plan,
}

/// What is read before it is known whether the rest can be.
#[derive(Debug, Deserialize)]
struct Version {
    swath_plan: u32,
}

/// Why a file is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It cannot be read.
    #[error("cannot read the plan `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is of another version, damaged, or no plan at all.
    #[error("`{}` is no plan that this version of swath reads: {reason}; write one with swath plan --save", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Planned {
    /// Writes the plan to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WriteError> {
        let failed = |source: io::Error| WriteError { operation: "write the plan", path: path.to_owned(), source };
        let head = Head {
            swath_plan: PLAN_FORMAT,
            digest: self.plan.digest().map_err(|e| failed(e.into()))?,
            n_scenes: self.plan.scenes.len(),
            n_units: self.plan.units.len(),
            refused: self.refused.clone(),
            ignored: self.ignored,
            plan: self.plan.head(),
        };
        atomic::write_with(path, |file| {
            line(file, &head)?;
            self.plan.scenes.iter().try_for_each(|scene| line(file, scene))?;
            self.plan.units.iter().try_for_each(|unit| line(file, unit))
        })
    }

    /// Reads a plan that was saved.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub fn load(path: &Path) -> Result<Self, PlanFileError> {
        let read = |source| PlanFileError::Read { path: path.to_owned(), source };
        let wrong = |reason: String| PlanFileError::Format { path: path.to_owned(), reason };
        let mut lines = BufReader::new(File::open(path).map_err(read)?).lines();
        let mut text = || lines.next().transpose().map_err(read);
        let first = text()?.ok_or_else(|| wrong("it is empty".into()))?;
        let version: Version = serde_json::from_str(&first).map_err(|e| wrong(e.to_string()))?;
        if version.swath_plan != PLAN_FORMAT {
            return Err(wrong(format!("it has format {}, this version reads {PLAN_FORMAT}", version.swath_plan)));
        }
        let head: Head = serde_json::from_str(&first).map_err(|e| wrong(e.to_string()))?;
        let Head { digest, n_scenes, n_units, refused, ignored, mut plan, .. } = head;
        let mut value = || text()?.ok_or_else(|| wrong("its end is missing".into()));
        plan.scenes = (0..n_scenes).map(|_| parse(&value()?, path)).collect::<Result<_, _>>()?;
        plan.units = (0..n_units).map(|_| parse(&value()?, path)).collect::<Result<_, _>>()?;
        if plan.digest().ok().as_ref() != Some(&digest) {
            return Err(wrong("it is not as it was written".into()));
        }
        Ok(Self { plan, refused, ignored })
    }
}

fn line(file: &mut AtomicFile, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

fn parse<T: DeserializeOwned>(line: &str, path: &Path) -> Result<T, PlanFileError> {
    serde_json::from_str(line).map_err(|e| PlanFileError::Format { path: path.to_owned(), reason: e.to_string() })
}
