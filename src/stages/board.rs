//! What the stages of a run share: the plan, what is known of it already, which scenes failed, and how far it is.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::{Checkpoints, Location, StageKey};
use crate::plan::{Keys, Plan};
use crate::raster::{OpenSource, RasterError};

/// Why a scene has no mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stage that noticed.
    pub stage: &'static str,
    /// What happened.
    pub cause: String,
}

/// Counters for whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    tiles: AtomicU64,
    network_pixels: AtomicU64,
    recalled_pixels: AtomicU64,
    forwards: AtomicU64,
    decoded: AtomicU64,
}

/// What earlier runs left that this one may use, and what it leaves itself.
#[derive(Debug)]
pub struct Memory {
    /// Scenes that are done already, by index.
    pub done: Vec<bool>,
    /// Results of stages by key.
    pub entries: HashMap<StageKey, Location>,
    /// Where they are, and where new ones go.
    pub checkpoints: Checkpoints,
    /// Scenes that were under way when an earlier attempt died: each has the dataflow to itself.
    pub suspects: BTreeSet<u32>,
    /// Whether labels are kept.
    pub keep_labels: bool,
    /// Whether members' logits are kept.
    pub keep_logits: bool,
}

impl Memory {
    /// Nothing is done and nothing is kept.
    pub fn nothing(n_scenes: usize, checkpoints: Checkpoints) -> Self {
        let entries = HashMap::new();
        let (done, suspects) = (vec![false; n_scenes], BTreeSet::new());
        Self { done, entries, checkpoints, suspects, keep_labels: false, keep_logits: false }
    }
}

/// The plan of a run and the fate of its scenes.
pub struct Board {
    plan: Plan,
    keys: Keys,
    memory: Memory,
    source: Arc<dyn OpenSource>,
    failed: Vec<AtomicBool>,
    failures: Mutex<Vec<Option<Failure>>>,
    progress: Progress,
}

impl Board {
    /// A board on which no scene has failed.
    pub fn new(plan: Plan, memory: Memory, source: Arc<dyn OpenSource>) -> Self {
        let n = plan.scenes.len();
        Self {
            keys: Keys::new(&plan),
            memory,
            source,
            failed: (0..n).map(|_| AtomicBool::new(false)).collect(),
            failures: Mutex::new(vec![None; n]),
            progress: Progress::default(),
            plan,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Keys of its results.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What is known already.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Where a stored result is.
    pub fn stored(&self, key: &StageKey) -> Option<&Location> {
        self.memory.entries.get(key)
    }

    /// Whether a scene was done before this run.
    pub fn is_done(&self, scene: u32) -> bool {
        self.memory.done[scene as usize]
    }

    /// Whether a scene's file is still the one that was planned.
    pub fn is_unchanged(&self, scene: u32) -> bool {
        let planned = &self.plan.scenes[scene as usize].identity;
        self.source.identify(&self.plan.path_of(scene as usize)).as_ref() == Ok::<_, &RasterError>(planned)
    }

    /// Notes a failure. The first one of a scene counts.
    pub fn fail(&self, scene: u32, stage: &'static str, cause: impl Into<String>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures[scene as usize].get_or_insert(Failure { stage, cause: cause.into() });
        self.failed[scene as usize].store(true, Ordering::Release);
    }

    /// Whether a scene has failed, so that work on it is pointless.
    pub fn has_failed(&self, scene: u32) -> bool {
        self.failed[scene as usize].load(Ordering::Acquire)
    }

    /// Why a scene has failed.
    pub fn failure(&self, scene: u32) -> Option<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)[scene as usize].clone()
    }

    /// How far the run is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl Progress {
    /// Counts tiles whose labels are there, and the pixels that the networks see of them.
    pub(super) fn count_tiles(&self, tiles: u64, pixels: u64) {
        self.tiles.fetch_add(tiles, Ordering::Relaxed);
        self.network_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Counts tiles whose labels were stored: they are as good as classified, and no network sees them.
    pub(super) fn count_recalled(&self, tiles: u64, pixels: u64) {
        self.count_tiles(tiles, pixels);
        self.recalled_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Counts a forward pass.
    pub(super) fn count_forward(&self) {
        self.forwards.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a part of a unit that was decoded.
    pub(super) fn count_decoded(&self) {
        self.decoded.fetch_add(1, Ordering::Relaxed);
    }

    /// Tiles classified, those whose labels were stored included.
    pub fn tiles(&self) -> u64 {
        self.tiles.load(Ordering::Relaxed)
    }

    /// Pixels of these tiles, as the networks see them.
    pub fn network_pixels(&self) -> u64 {
        self.network_pixels.load(Ordering::Relaxed)
    }

    /// Those of them whose labels were stored.
    pub fn recalled_pixels(&self) -> u64 {
        self.recalled_pixels.load(Ordering::Relaxed)
    }

    /// Forward passes that ran: one per batch, member and view.
    pub fn forwards(&self) -> u64 {
        self.forwards.load(Ordering::Relaxed)
    }

    /// Parts of units that were decoded.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}
