//! What the stages of a run share: the plan, which scenes failed, and how far it is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::plan::Plan;

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
    forwards: AtomicU64,
}

/// The plan of a run and the fate of its scenes.
#[derive(Debug)]
pub struct Board {
    plan: Plan,
    failed: Vec<AtomicBool>,
    failures: Mutex<Vec<Option<Failure>>>,
    progress: Progress,
}

impl Board {
    /// A board on which no scene has failed.
    pub fn new(plan: Plan) -> Self {
        let n = plan.scenes.len();
        Self {
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
    /// Counts a classified batch.
    pub(super) fn count_batch(&self, tiles: u64, pixels: u64) {
        self.tiles.fetch_add(tiles, Ordering::Relaxed);
        self.network_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Counts forward passes.
    pub(super) fn count_forwards(&self, n: u64) {
        self.forwards.fetch_add(n, Ordering::Relaxed);
    }

    /// Tiles classified.
    pub fn tiles(&self) -> u64 {
        self.tiles.load(Ordering::Relaxed)
    }

    /// Pixels that the networks have seen.
    pub fn network_pixels(&self) -> u64 {
        self.network_pixels.load(Ordering::Relaxed)
    }

    /// Forward passes that ran: one per batch, member and view.
    pub fn forwards(&self) -> u64 {
        self.forwards.load(Ordering::Relaxed)
    }
}
