//! The seam to what runs the networks: a device takes work and gives it back.

use std::sync::Arc;
use std::time::Duration;

use super::DeviceError;
use super::batch::{RawBatch, TileFault, TileResult};
use super::logits::Logits;

/// A batch, and what is to be made of it.
pub struct Work {
    /// Raw crops, as they are cut from scenes.
    pub batch: Arc<RawBatch>,
    /// The passes, in the order of summation.
    pub passes: Vec<PassWork>,
    /// Tiles that have a fault before anything has run: no pass runs for their sake.
    pub faults: Vec<Option<TileFault>>,
    /// What is asked for.
    pub wanted: Wanted,
    /// Asked before each forward pass that runs, and told so of it; false gives the work up.
    pub may_begin: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// One of the plan's passes over a batch.
pub struct PassWork {
    /// Index of the pass in the plan.
    pub pass: usize,
    /// What need not be run.
    pub known: Known,
}

/// Logits that are there already.
pub enum Known {
    /// None.
    Nothing,
    /// Those of some tiles, each alone; for the others the pass runs, over the whole batch.
    Tiles(Vec<Option<Logits>>),
    /// Those of the batch.
    All(Logits),
}

impl Known {
    /// Whether a tile's are among them.
    pub(super) fn has(&self, tile: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Tiles(tiles) => tiles[tile].is_some(),
            Self::All(_) => true,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The combined result.
    Planes,
    /// Every pass's logits.
    Logits,
    /// Both.
    Both,
}

impl Wanted {
    /// Whether the combined result is.
    pub fn planes(self) -> bool {
        self != Self::Logits
    }

    /// Whether the logits of every pass are wanted.
    pub fn logits(self) -> bool {
        self != Self::Planes
    }
}

/// What became of some work.
#[derive(Debug)]
pub struct Done {
    /// The result of each tile; empty where only logits are wanted.
    pub tiles: Vec<TileResult>,
    /// Logits by index of the pass, of those that did not fail; empty where only the result is wanted.
    pub logits: Vec<(usize, Logits)>,
    /// The tiles without a result.
    pub faults: Vec<Option<TileFault>>,
    /// What each pass of the work took.
    pub ran: Vec<PassRan>,
}

/// What a pass over a batch took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassRan {
    /// Time on the device; none where all was known.
    pub time: Duration,
    /// Tiles that ran again in f32, because their logits were not finite.
    pub reruns: u64,
}

/// A device. It belongs to one thread at a time.
///
/// It normalises and pads, runs passes on its engine, and combines: stored logits and those of other devices go through the same sum as
/// its own, so equal plans give equal bytes however the work is spread.
pub trait Device: Send {
    /// How many batches it is to have in flight, so that it never waits for the next one.
    fn depth(&self) -> usize;

    /// Takes work. It may be begun or only noted.
    ///
    /// # Errors
    /// As [`Self::collect`].
    fn submit(&mut self, work: Work) -> Result<(), DeviceError>;

    /// Whether the oldest work can be collected without waiting for what was submitted after it.
    fn is_ready(&self) -> bool;

    /// What became of the oldest work; `None` when there is none.
    ///
    /// # Errors
    /// When the device is out of memory, lost, or was told not to begin a pass: then all that is in flight is given up, none of it has a
    /// result, and unless the device is lost it can be submitted again. A pass that fails alone is in the result.
    fn collect(&mut self) -> Result<Option<Done>, DeviceError>;

    /// Gives up all that is in flight.
    fn abandon(&mut self);
}
