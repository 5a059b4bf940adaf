//! Results of stages by key: what earlier runs and passes left that this one may use, and where it leaves its own.

use std::collections::HashMap;

use crate::config::Checkpoint;
use crate::journal::{ArtefactError, Checkpoints, Location, StageKey};
use crate::plan::{Keys, Plan, UnitGeometry};

/// Whose labels a run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepLabels {
    /// Nobody's.
    Never,
    /// Those of scenes that several units make: of such a scene a part may lie elsewhere, or be done when a host is lost.
    OfSeveralUnits,
    /// All, as the pipeline asks.
    Always,
}

/// What earlier runs and passes left. A pass does not add to it: a result is of use once its record is on disk, to the next pass.
#[derive(Clone, Debug)]
pub struct PriorResults {
    /// The keys of the plan.
    pub keys: Keys,
    /// Where each result is.
    pub entries: HashMap<StageKey, Location>,
    /// The files that they are in, and that new ones go into.
    pub checkpoints: Checkpoints,
    /// Which labels are kept.
    pub(crate) keep_labels: KeepLabels,
    /// Whether it keeps members' logits.
    pub(crate) keep_logits: bool,
}

impl PriorResults {
    /// A plan's, of which nothing is there yet.
    pub fn nothing(plan: &Plan, checkpoints: Checkpoints) -> Self {
        let keeps = |kind| plan.pipeline.checkpoints.contains(&kind);
        let keep_labels = match (keeps(Checkpoint::Labels), &plan.part) {
            (true, _) => KeepLabels::Always,
            (false, Some(_)) => KeepLabels::OfSeveralUnits,
            (false, None) => KeepLabels::Never,
        };
        let keep_logits = keeps(Checkpoint::MemberLogits);
        Self { keys: Keys::new(plan), entries: HashMap::new(), checkpoints, keep_labels, keep_logits }
    }

    /// Whether this run adds to it.
    pub fn grows(&self) -> bool {
        self.keep_labels != KeepLabels::Never || self.keep_logits
    }

    /// Whether a result is stored.
    pub fn has(&self, key: &StageKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether every plane of a part is stored.
    pub fn has_planes(&self, geometry: &UnitGeometry, part: u32) -> bool {
        self.keys.planes(geometry, part).all(|key| self.has(&key))
    }

    /// Whether every pass's logits of a tile are stored, and which of its pixels are data.
    pub fn has_logits(&self, geometry: &UnitGeometry, tile: usize) -> bool {
        self.has(&self.keys.validity(geometry, tile)) && self.keys.all_logits(geometry, tile).all(|key| self.has(&key))
    }

    /// Whether that is so of every tile of a part.
    pub fn has_all_logits(&self, geometry: &UnitGeometry, part: u32) -> bool {
        geometry.tiles_of(part).all(|tile| self.has_logits(geometry, tile))
    }

    /// A stored result, of which at most `limit` bytes are expected; `None` where none is stored.
    pub(super) fn read(&self, key: &StageKey, limit: usize) -> Option<Result<Vec<u8>, ArtefactError>> {
        self.entries.get(key).map(|location| self.checkpoints.read(location, limit))
    }
}
