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
    #[serde(default)]
    outside: u64,
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

impl Plan {
    /// All of a saved plan but its scenes and units, which are not looked at.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub fn head_of(path: &Path) -> Result<Self, PlanFileError> {
        Ok(head(&mut lines(path)?, path)?.plan)
    }
}

/// The lines of a file.
type Lines = io::Lines<BufReader<File>>;

fn lines(path: &Path) -> Result<Lines, PlanFileError> {
    let file = File::open(path).map_err(|source| PlanFileError::Read { path: path.to_owned(), source })?;
    Ok(BufReader::new(file).lines())
}

fn next(lines: &mut Lines, path: &Path) -> Result<Option<String>, PlanFileError> {
    lines.next().transpose().map_err(|source| PlanFileError::Read { path: path.to_owned(), source })
}

/// The first line, if this version understands it.
fn head(lines: &mut Lines, path: &Path) -> Result<Head, PlanFileError> {
    let first = next(lines, path)?.ok_or_else(|| wrong(path, "it is empty"))?;
    let version: Version = parse(&first, path)?;
    if version.swath_plan != PLAN_FORMAT {
        let reason = format!("it has format {}, this version reads {PLAN_FORMAT}", version.swath_plan);
        return Err(wrong(path, reason));
    }
    parse(&first, path)
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
            outside: self.outside,
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
        let mut lines = lines(path)?;
        let Head { digest, n_scenes, n_units, refused, ignored, outside, mut plan, .. } = head(&mut lines, path)?;
        let mut value = || next(&mut lines, path)?.ok_or_else(|| wrong(path, "its end is missing"));
        plan.scenes = (0..n_scenes).map(|_| parse(&value()?, path)).collect::<Result<_, _>>()?;
        plan.units = (0..n_units).map(|_| parse(&value()?, path)).collect::<Result<_, _>>()?;
        if plan.digest().ok().as_ref() != Some(&digest) {
            return Err(wrong(path, "it is not as it was written"));
        }
        Ok(Self { plan, refused, ignored, outside, parts: 0 })
    }
}

fn line(file: &mut AtomicFile, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

fn parse<T: DeserializeOwned>(line: &str, path: &Path) -> Result<T, PlanFileError> {
    serde_json::from_str(line).map_err(|e| wrong(path, e.to_string()))
}

fn wrong(path: &Path, reason: impl Into<String>) -> PlanFileError {
    PlanFileError::Format { path: path.to_owned(), reason: reason.into() }
}
