//! On which terms units are done, and which have begun.

use crate::journal::Conceded;
use crate::plan::{Concessions, Plan, UnitGeometry};

/// What has not begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Number of units, those that need no network included.
    pub all: usize,
    /// Number of those that wait for networks; what follows is about them.
    pub units: usize,
    /// Pixels of the first of them.
    pub next: u64,
    /// Pixels of its first batch.
    pub batch: u64,
    /// Pixels on which each pass will run, in the order in which a deadline keeps them.
    pub pixels: Vec<u64>,
}

/// Under one lock: whoever begins a unit and whoever gives something up for units that have not begun wait for each other.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) concessions: Concessions,
    /// Units that have begun in this pass.
    begun: Vec<bool>,
    /// Units that are to be done, and those that the networks must see, as far as somebody wants to know. They wait until they begin.
    open: Vec<bool>,
    needs_networks: Vec<bool>,
}

impl Terms {
    /// No unit has begun.
    pub(super) fn new(plan: &Plan, concessions: Concessions) -> Self {
        let none = || vec![false; plan.units.len()];
        Self { concessions, begun: none(), open: none(), needs_networks: none() }
    }

    /// Begins a unit: from here on its terms stand.
    pub(super) fn begin(&mut self, plan: &Plan, unit: usize) -> UnitGeometry {
        self.begun[unit] = true;
        self.concessions.geometry(plan, unit)
    }

    /// Says which units are to be done, and which of them the networks must see.
    pub(super) fn note_needs(&mut self, open: Vec<bool>, needs_networks: Vec<bool>) {
        (self.open, self.needs_networks) = (open, needs_networks);
    }

    /// Whether a unit has begun.
    pub(super) fn has_begun(&self, unit: usize) -> bool {
        self.begun[unit]
    }

    /// The units that wait for networks.
    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.begun.len()).filter(|&unit| self.needs_networks[unit] && !self.begun[unit])
    }

    /// The same in figures.
    pub(super) fn ahead(&self, plan: &Plan) -> Ahead {
        let all = self.open.iter().zip(&self.begun).filter(|(open, begun)| **open && !**begun).count();
        let mut pixels = vec![0; plan.passes.len()];
        let mut ahead = Ahead { all, ..Ahead::default() };
        for unit in self.waiting() {
            let cost = plan.units[unit].cost(plan);
            let passes = self.concessions.passes_of(unit, pixels.len());
            passes.into_iter().for_each(|pass| pixels[pass] += cost);
            if ahead.units == 0 {
                let geometry = self.concessions.geometry(plan, unit);
                ahead.next = cost;
                ahead.batch = geometry.crop.area() * geometry.batch_len(0) as u64;
            }
            ahead.units += 1;
        }
        ahead.pixels = plan.kept_first().map(|pass| pixels[pass]).collect();
        ahead
    }

    /// What it is to let only the first `n_passes` of those that are kept run on the units that wait.
    pub(super) fn fewer_passes(&self, plan: &Plan, n_passes: usize, seconds: f64) -> Conceded {
        let mut units: Vec<[u32; 2]> = Vec::new();
        for unit in self.waiting().filter_map(|unit| u32::try_from(unit).ok()) {
            match units.last_mut() {
                Some([_, end]) if *end == unit => *end += 1,
                _ => units.push([unit, unit + 1]),
            }
        }
        let passes = plan.keeping(n_passes).into_iter().filter_map(|pass| u32::try_from(pass).ok()).collect();
        Conceded::FewerPasses { units, passes, seconds }
    }
}
