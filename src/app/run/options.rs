//! How a job is carried out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::resume::{Reuse, StageName};
use crate::faults::FaultPlan;
use crate::flow::Stop;
use crate::journal::ledger::ShardName;
use crate::lifecycle::{Clock, SupervisorLink, machine};
use crate::plan::ShardCut;
use crate::process::own_parent;
use crate::report::Show;
use crate::words::absolute;

/// What becomes of the archive when scenes failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartialArchive {
    /// There is none.
    #[default]
    Withhold,
    /// It is made without them.
    Omit,
    /// It holds a mask of this value in their place.
    Blank(u16),
}

impl std::str::FromStr for PartialArchive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let blank = text.strip_prefix("blank:").and_then(|value| value.parse().ok()).map(Self::Blank);
        let named = if text == "omit" { Some(Self::Omit) } else { blank };
        named.ok_or_else(|| format!("`{text}` is neither omit nor blank:VALUE"))
    }
}

/// How a job is carried out.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run directory.
    pub out: PathBuf,
    /// Whether files that no earlier run wrote may be replaced.
    pub overwrite: bool,
    /// Whether the lock of another host is broken.
    pub break_lock: bool,
    /// How much of what earlier runs left is used.
    pub reuse: Reuse,
    /// Stop after this stage.
    pub until: Option<StageName>,
    /// Whether scenes fail that their decoder warns of.
    pub strict: bool,
    /// What becomes of the archive when scenes failed.
    pub partial: PartialArchive,
    /// Whether masks of fake networks are packed.
    pub pack_fake: bool,
    /// Whether report.html is written.
    pub page: bool,
    /// What is shown on standard error.
    pub show: Show,
    /// How long it may take.
    pub limits: TimeLimits,
    /// What it is started by.
    pub origin: Origin,
    /// Who else works in the run directory.
    pub sharing: Sharing,
    /// Faults on purpose; none outside tests.
    pub faults: FaultPlan,
}

/// Who else works in a run directory.
#[derive(Clone, Debug, Default)]
pub enum Sharing {
    /// Nobody: it is this run's alone.
    #[default]
    Alone,
    /// Others, each at a part of one plan: this one keeps its journal to itself, and publishes what is in it.
    Part(Part),
    /// Nobody any more: what parts of a plan have published is put together, and no network runs.
    Merge(Merge),
}

/// A run of a part of a plan.
#[derive(Clone, Debug)]
pub struct Part {
    /// The folder of its journal and its report, on this host.
    pub own: PathBuf,
    /// Which part it is.
    pub shard: ShardName,
    /// The plan's file, for whoever puts the parts together.
    pub plan: PathBuf,
}

impl Part {
    /// A shard of a cut plan, by a folder on this host's own disk: below `scratch`, or the system's folder for temporary files. All processes
    /// that `supervisor` starts one after the other have the same one.
    pub fn of(shard: (ShardCut, u32), plan: &Path, scratch: Option<&Path>, supervisor: &SupervisorLink) -> Self {
        let (ShardCut { slots, count }, index) = shard;
        let watched = supervisor.is_watched().then(own_parent).flatten();
        let pid = watched.unwrap_or_else(std::process::id);
        let scratch = scratch.map_or_else(std::env::temp_dir, Path::to_owned);
        Self {
            own: scratch.join(format!("swath-shard-{index}-{}-{pid}", machine::host())),
            shard: ShardName { index, count, slots },
            plan: absolute(plan),
        }
    }
}

/// A run that puts parts together.
#[derive(Clone, Debug)]
pub struct Merge {
    /// The whole plan's file.
    pub plan: PathBuf,
    /// Where its journal is made, where SQLite cannot work in the run directory.
    pub scratch: Option<PathBuf>,
    /// How long what is recorded may take to be seen from here.
    pub patience: Duration,
}

/// How long a network file system may say that a file is not there which another host has made.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long a run may take, and parts of it.
#[derive(Clone, Debug)]
pub struct TimeLimits {
    /// When the command began, in whichever process.
    pub begun: Instant,
    /// How long after that it is to be done, with fewer members if need be.
    pub deadline: Option<Duration>,
    /// What watches the time until work begins.
    pub clock: Clock,
    /// How long a run that was told to stop may take to finish what it has begun.
    pub grace: Duration,
    /// How long nothing may move before the run gives itself up; `None` for ever.
    pub stall: Option<Duration>,
}

/// What a run is started by: nothing, where a library call makes it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The command's arguments, for `resume`.
    pub arguments: Vec<String>,
    /// The process that watches over this one.
    pub supervisor: SupervisorLink,
    /// Whether this goes on by itself where another process was cut off: then what was to be discarded is gone already, and the devices
    /// that were lost count.
    pub restarted: bool,
    /// The signal of what this run is a part of: who gave it hears of the system's signals.
    pub part_of: Option<Stop>,
}

impl RunOptions {
    /// Into this directory, and otherwise as `swath run --no-page` does.
    pub fn into(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            overwrite: false,
            break_lock: false,
            reuse: Reuse::default(),
            until: None,
            strict: false,
            partial: PartialArchive::default(),
            pack_fake: false,
            page: false,
            show: Show::NOTHING,
            limits: TimeLimits::default(),
            origin: Origin::default(),
            sharing: Sharing::Alone,
            faults: FaultPlan::default(),
        }
    }

    /// The folder of the journal and its lock.
    pub fn journal_dir(&self) -> &Path {
        match &self.sharing {
            Sharing::Part(part) => &part.own,
            Sharing::Merge(Merge { scratch: Some(scratch), .. }) => scratch,
            Sharing::Merge(Merge { scratch: None, .. }) | Sharing::Alone => &self.out,
        }
    }

    /// The folder of what tells of all of the run: its report, the plan, the archive.
    pub fn book_dir(&self) -> &Path {
        match &self.sharing {
            Sharing::Part(part) => &part.own,
            Sharing::Merge(_) | Sharing::Alone => &self.out,
        }
    }
}

impl RunOptions {
    /// Into a directory that belongs to something larger, whose stop ends it: masks, made anew.
    pub(in crate::app) fn masks_into(out: impl Into<PathBuf>, supervisor: &SupervisorLink, stop: &Stop) -> Self {
        let origin = Origin { supervisor: supervisor.clone(), part_of: Some(stop.clone()), ..Origin::default() };
        let (reuse, until) = (Reuse::Nothing, Some(StageName::Encode));
        Self { reuse, until, overwrite: true, origin, ..Self::into(out) }
    }
}

impl TimeLimits {
    /// Batch systems kill 30 seconds after they ask.
    pub const GRACE: Duration = Duration::from_secs(20);

    /// The slowest item seen so far is a batch of large crops through an ensemble on one core: minutes, not tens of them.
    pub const STALL: Duration = Duration::from_secs(600);
}

impl Default for TimeLimits {
    fn default() -> Self {
        let (grace, stall) = (Self::GRACE, Some(Self::STALL));
        Self { begun: Instant::now(), deadline: None, clock: Clock::default(), grace, stall }
    }
}
