//! A plan as a file, and back: lines of JSON, written from the first to the last, and read where they are wanted.
//!
//! ```text
//! head          all of the plan but what follows: it does not grow with the number of scenes
//! scenes, units with their costs, refused scenes, one a line
//! index         where the head and each block of lines lie, with their digests
//! end           where the index lies, with its digest
//! ```
//!
//! Whoever opens a file reads its end, the index and the head; then only the blocks that hold what is asked for. Each part is held against
//! its digest when it is read, so that a part of a plan can be trusted as the whole can.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cost::Costs;
use super::{PLAN_FORMAT, Plan, Planned, Refusal, Scene, Unit};
use crate::atomic::{self, AtomicFile, WriteError};

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// [`PLAN_FORMAT`], before anything that depends on it.
    swath_plan: u32,
    /// SHA-256 of the plan.
    digest: String,
    n_scenes: usize,
    n_units: usize,
    n_refused: usize,
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

#[derive(Debug, Serialize, Deserialize)]
struct Block {
    offset: u64,
    bytes: u64,
    sha256: String,
}

/// The line before the last.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    head: Block,
    scenes: Vec<Block>,
    units: Vec<Block>,
    /// What all units cost up to the end of each block of them.
    costs: Vec<u64>,
    refused: Vec<Block>,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    index: Block,
}

/// Lines in a block: of scenes, half a megabyte. An index of 10^6 scenes has 170 kB.
pub(super) const BLOCK: usize = 1024;

/// The last line is shorter.
const END_BYTES: u64 = 256;

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
    /// It is shorter than was asked for.
    #[error("the plan `{}` has {n} {what}, and not those from {} to {}", path.display(), asked.start, asked.end)]
    Range {
        /// The file.
        path: PathBuf,
        /// "scenes" or "units".
        what: &'static str,
        /// How many it has.
        n: usize,
        /// Those that were asked for, counted from 0.
        asked: Range<usize>,
    },
    /// It is cut into fewer shards.
    #[error(
        "there is no shard {index} of the plan `{}`: it is cut into {count}, counted from 0 to {}; name one of these, and --shards as \
         `swath shard` says",
        path.display(),
        count.saturating_sub(1)
    )]
    Shard {
        /// The file.
        path: PathBuf,
        /// The one that was asked for.
        index: u32,
        /// How many there are.
        count: u32,
    },
}

/// A saved plan of which parts can be read.
#[derive(Debug)]
pub struct PlanFile {
    path: PathBuf,
    file: File,
    head: Head,
    index: Index,
    /// The blocks of units that were read last.
    recent: Vec<(usize, Vec<Costed>)>,
}

/// A unit and its cost.
pub(super) type Costed = (Unit, u64);

/// Around a border lie two.
const RECENT: usize = 2;

impl PlanFile {
    /// Reads what does not grow with the plan, and where the rest is.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub fn open(path: &Path) -> Result<Self, PlanFileError> {
        let read = read_error(path);
        let mut file = BufReader::new(File::open(path).map_err(read)?);
        let mut first = Vec::new();
        file.read_until(b'\n', &mut first).map_err(read)?;
        if first.is_empty() {
            return Err(wrong(path, "it is empty"));
        }
        let Version { swath_plan } = parse(&first, path)?;
        if swath_plan != PLAN_FORMAT {
            let reason = format!("it has format {swath_plan}, this version reads {PLAN_FORMAT}");
            return Err(wrong(path, reason));
        }
        let mut file = file.into_inner();
        let End { index } =
            parse(&last_line(&mut file).map_err(read)?, path).map_err(|_| wrong(path, "its end is missing"))?;
        let index: Index = parse(&index.read(&mut file, path)?, path)?;
        let head = parse(&index.head.read(&mut file, path)?, path)?;
        Ok(Self { path: path.to_owned(), file, head, index, recent: Vec::new() })
    }

    /// The plan without scenes and units.
    pub fn head(&self) -> &Plan {
        &self.head.plan
    }

    /// SHA-256 of the plan.
    pub fn digest(&self) -> &str {
        &self.head.digest
    }

    /// Number of scenes.
    pub fn n_scenes(&self) -> usize {
        self.head.n_scenes
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.head.n_units
    }

    /// Some of the scenes. Those that a [`Unit`] names are counted from the first of the plan.
    ///
    /// # Errors
    /// When the plan has no such scenes, the file cannot be read, or is not what was written.
    pub fn scenes(&mut self, range: Range<usize>) -> Result<Vec<Scene>, PlanFileError> {
        self.check("scenes", self.head.n_scenes, &range)?;
        lines(&mut self.file, &self.path, &self.index.scenes, range)
    }

    /// Some of the units.
    ///
    /// # Errors
    /// As [`Self::scenes`].
    pub fn units(&mut self, range: Range<usize>) -> Result<Vec<Unit>, PlanFileError> {
        self.check("units", self.head.n_units, &range)?;
        let costed: Vec<Costed> = lines(&mut self.file, &self.path, &self.index.units, range)?;
        Ok(costed.into_iter().map(|(unit, _)| unit).collect())
    }

    /// Scenes that were refused in planning, and how many files were left out for other reasons.
    pub(super) fn left_out(&mut self) -> Result<(Vec<Refusal>, [u64; 2]), PlanFileError> {
        let refused = lines(&mut self.file, &self.path, &self.index.refused, 0..self.head.n_refused)?;
        Ok((refused, [self.head.ignored, self.head.outside]))
    }

    /// What all of its units cost together, in millions of floating-point operations.
    pub fn cost(&self) -> u64 {
        self.index.costs.last().copied().unwrap_or(0)
    }

    /// What the units before those of a block cost.
    pub(super) fn cost_before(&self, block: usize) -> u64 {
        block.checked_sub(1).and_then(|before| self.index.costs.get(before)).copied().unwrap_or(0)
    }

    /// The block of units in which so much has been spent.
    pub(super) fn block_at(&self, cost: u64) -> usize {
        self.index.costs.partition_point(|behind| *behind <= cost)
    }

    /// The units of a block with their costs.
    pub(super) fn block(&mut self, number: usize) -> Result<&[Costed], PlanFileError> {
        if let Some(at) = self.recent.iter().position(|(known, _)| *known == number) {
            return Ok(&self.recent[at].1);
        }
        let range = number * BLOCK..((number + 1) * BLOCK).min(self.head.n_units);
        let units = lines(&mut self.file, &self.path, &self.index.units, range)?;
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push((number, units));
        Ok(self.recent.last().map_or(&[], |(_, units)| units))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn check(&self, what: &'static str, n: usize, asked: &Range<usize>) -> Result<(), PlanFileError> {
        let (path, asked) = (self.path.clone(), asked.clone());
        if asked.start <= asked.end && asked.end <= n {
            Ok(())
        } else {
            Err(PlanFileError::Range { path, what, n, asked })
        }
    }
}

impl Block {
    /// Its bytes, if they are those that were written.
    fn read(&self, file: &mut File, path: &Path) -> Result<Vec<u8>, PlanFileError> {
        let read = read_error(path);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.offset)).map_err(read)?;
        file.take(self.bytes).read_to_end(&mut bytes).map_err(read)?;
        let is_whole = crate::hex(&Sha256::digest(&bytes)) == self.sha256;
        if is_whole { Ok(bytes) } else { Err(wrong(path, "it is not as it was written")) }
    }
}

/// The values of some lines of a section.
fn lines<T: DeserializeOwned>(
    file: &mut File,
    path: &Path,
    blocks: &[Block],
    range: Range<usize>,
) -> Result<Vec<T>, PlanFileError> {
    let mut found = Vec::with_capacity(range.len());
    let own = blocks.iter().enumerate().take(range.end.div_ceil(BLOCK)).skip(range.start / BLOCK);
    for (number, block) in own {
        let bytes = block.read(file, path)?;
        let numbered = (number * BLOCK..).zip(bytes.split_inclusive(|byte| *byte == b'\n'));
        for (_, line) in numbered.filter(|(at, _)| range.contains(at)) {
            found.push(parse(line, path)?);
        }
    }
    if found.len() == range.len() { Ok(found) } else { Err(wrong(path, "its index does not hold all of it")) }
}

/// The last line of a file, as far as it may have to do with a plan.
fn last_line(file: &mut File) -> io::Result<Vec<u8>> {
    let bytes = file.metadata()?.len();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(bytes.saturating_sub(END_BYTES)))?;
    file.read_to_end(&mut tail)?;
    let is_whole = tail.pop() == Some(b'\n');
    let start = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(if is_whole { tail.split_off(start) } else { Vec::new() })
}

impl Plan {
    /// All of a saved plan but its scenes and units, which are not looked at.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub fn head_of(path: &Path) -> Result<Self, PlanFileError> {
        Ok(PlanFile::open(path)?.head.plan)
    }
}

impl Planned {
    /// Writes the plan to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WriteError> {
        let Self { plan, refused, ignored, outside, parts: _ } = self;
        let failed = |source: io::Error| WriteError { operation: "write the plan", path: path.to_owned(), source };
        let head = Head {
            swath_plan: PLAN_FORMAT,
            digest: plan.digest().map_err(|e| failed(e.into()))?,
            n_scenes: plan.scenes.len(),
            n_units: plan.units.len(),
            n_refused: refused.len(),
            ignored: *ignored,
            outside: *outside,
            plan: plan.head(),
        };
        atomic::write_with(path, |file| {
            let mut sink = Sink { file, offset: 0 };
            let head = sink.block(&[head])?;
            let mut costs = Costs::of(plan);
            let costed: Vec<Costed> = plan.units.iter().map(|unit| (*unit, costs.unit(unit))).collect();
            let (scenes, units, refused) = (sink.blocks(&plan.scenes)?, sink.blocks(&costed)?, sink.blocks(refused)?);
            let costs = costed.chunks(BLOCK).scan(0, |sum: &mut u64, units| {
                *sum = units.iter().map(|(_, cost)| *cost).fold(*sum, u64::saturating_add);
                Some(*sum)
            });
            let index = sink.block(&[Index { head, scenes, units, costs: costs.collect(), refused }])?;
            sink.block(&[End { index }]).map(drop)
        })
    }

    /// Reads a plan that was saved.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub fn load(path: &Path) -> Result<Self, PlanFileError> {
        let mut saved = PlanFile::open(path)?;
        let (scenes, units) = (saved.scenes(0..saved.n_scenes())?, saved.units(0..saved.n_units())?);
        let (refused, [ignored, outside]) = saved.left_out()?;
        let Head { digest, plan, .. } = saved.head;
        let plan = Plan { scenes, units, ..plan };
        if plan.digest().ok().as_ref() != Some(&digest) {
            return Err(wrong(path, "it is not as it was written"));
        }
        Ok(Self { plan, refused, ignored, outside, parts: 0 })
    }
}

/// Writes blocks one behind the other.
struct Sink<'a> {
    file: &'a mut AtomicFile,
    offset: u64,
}

impl Sink<'_> {
    fn block<T: Serialize>(&mut self, values: &[T]) -> io::Result<Block> {
        let mut text = Vec::new();
        for value in values {
            serde_json::to_writer(&mut text, value)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        let (offset, bytes) = (self.offset, text.len() as u64);
        self.offset += bytes;
        Ok(Block { offset, bytes, sha256: crate::hex(&Sha256::digest(&text)) })
    }

    fn blocks<T: Serialize>(&mut self, values: &[T]) -> io::Result<Vec<Block>> {
        values.chunks(BLOCK).map(|values| self.block(values)).collect()
    }
}

fn parse<T: DeserializeOwned>(line: &[u8], path: &Path) -> Result<T, PlanFileError> {
    serde_json::from_slice(line).map_err(|e| wrong(path, e.to_string()))
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> PlanFileError + Copy + '_ {
    |source| PlanFileError::Read { path: path.to_owned(), source }
}

fn wrong(path: &Path, reason: impl Into<String>) -> PlanFileError {
    PlanFileError::Format { path: path.to_owned(), reason: reason.into() }
}
