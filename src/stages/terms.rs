//! On which terms units are done, and which have begun.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::{Conceded, StageKey};
use crate::outputs::OutputKind;
use crate::plan::{Concessions, Keys, Plan, UnitGeometry};

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
pub struct Terms {
    plan: Arc<Plan>,
    units: Mutex<Units>,
}

struct Units {
    concessions: Concessions,
    /// Units that have begun in this pass.
    begun: Vec<bool>,
    /// Units that are to be done, and those that the networks must see, as far as somebody wants to know. They wait until they begin.
    open: Vec<bool>,
    needs_networks: Vec<bool>,
    /// Units of blended tiles that are not run, since their planes are stored.
    stored: Vec<bool>,
}

impl Terms {
    /// No unit has begun.
    pub(super) fn new(plan: Arc<Plan>, concessions: Concessions) -> Self {
        let none = || vec![false; plan.units.len()];
        let units = Units { concessions, begun: none(), open: none(), needs_networks: none(), stored: none() };
        Self { plan, units: Mutex::new(units) }
    }

    fn units(&self) -> MutexGuard<'_, Units> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is given up against the plan.
    pub fn concessions(&self) -> Concessions {
        self.units().concessions.clone()
    }

    /// Begins a unit and spells out how it is done: from here on its terms stand.
    pub(super) fn begin(&self, unit: usize) -> UnitGeometry {
        let mut units = self.units();
        units.begun[unit] = true;
        units.concessions.geometry(&self.plan, unit)
    }

    /// Says which units are to be done, and which of them the networks must see.
    pub(super) fn note_needs(&self, open: Vec<bool>, needs_networks: Vec<bool>) {
        let mut units = self.units();
        (units.open, units.needs_networks) = (open, needs_networks);
    }

    /// Says which units of blended tiles are left as they are stored. That stands for the pass: a unit is run only together with all whose
    /// tiles come before its own.
    pub(super) fn note_stored(&self, stored: Vec<bool>) {
        self.units().stored = stored;
    }

    /// Whether a unit of blended tiles is run.
    pub(super) fn is_run(&self, unit: usize) -> bool {
        !self.units().stored[unit]
    }

    /// The units that are run and take logits of this one.
    pub(super) fn lends_to(&self, unit: usize) -> Vec<usize> {
        let units = self.units();
        self.plan.borrowers(unit).filter(|other| !units.stored[*other]).collect()
    }

    /// The units whose logits this one takes, if it is run.
    pub(super) fn borrows(&self, unit: usize, geometry: &UnitGeometry) -> Vec<usize> {
        if self.is_run(unit) { geometry.lenders.iter().map(|lender| lender.unit).collect() } else { Vec::new() }
    }

    /// Of these scenes those some of whose units have not begun.
    pub(super) fn unbegun(&self, scenes: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let units = self.units();
        let waits = |scene: &u32| self.plan.units_of(*scene as usize).any(|unit| !units.begun[unit]);
        scenes.into_iter().filter(waits).collect()
    }

    /// Key of an output of a scene whose units have all begun.
    pub(super) fn output_key(&self, keys: &Keys, scene: u32, kind: &dyn OutputKind) -> StageKey {
        keys.output(&self.plan, &self.units().concessions, scene as usize, kind)
    }

    /// What has not begun, as far as it was looked up.
    pub fn ahead(&self) -> Ahead {
        let (plan, units) = (self.plan.as_ref(), self.units());
        let all = units.open.iter().zip(&units.begun).filter(|(open, begun)| **open && !**begun).count();
        let mut pixels = vec![0; plan.passes.len()];
        let mut ahead = Ahead { all, ..Ahead::default() };
        for unit in units.waiting() {
            let cost = plan.units[unit].cost(plan);
            let passes = units.concessions.passes_of(unit, pixels.len());
            passes.into_iter().for_each(|pass| pixels[pass] += cost);
            if ahead.units == 0 {
                let geometry = units.concessions.geometry(plan, unit);
                ahead.next = cost;
                ahead.batch = geometry.crop.area() * geometry.batch_len(0) as u64;
            }
            ahead.units += 1;
        }
        // What is run again for its logits alone takes its time too.
        for unit in units.lending(plan) {
            let passes = units.concessions.passes_of(unit, pixels.len());
            passes.into_iter().for_each(|pass| pixels[pass] += plan.units[unit].cost(plan));
        }
        ahead.pixels = plan.kept_first().map(|pass| pixels[pass]).collect();
        ahead
    }

    /// Lets only the first `n_passes` of those that are kept run on the units that wait. `record` writes it down first, and no unit begins
    /// meanwhile.
    ///
    /// # Errors
    /// When `record` fails; nothing is given up then.
    pub fn concede_passes<E>(
        &self,
        n_passes: usize,
        seconds: f64,
        record: impl FnOnce(&Conceded) -> Result<(), E>,
    ) -> Result<Conceded, E> {
        let mut waiting = self.units();
        let mut units: Vec<[u32; 2]> = Vec::new();
        for unit in waiting.waiting().filter_map(|unit| u32::try_from(unit).ok()) {
            match units.last_mut() {
                Some([_, end]) if *end == unit => *end += 1,
                _ => units.push([unit, unit + 1]),
            }
        }
        let passes = self.plan.keeping(n_passes).into_iter().filter_map(|pass| u32::try_from(pass).ok()).collect();
        let conceded = Conceded::FewerPasses { units, passes, seconds };
        if conceded.n_units() > 0 {
            record(&conceded)?;
            waiting.concessions.add(&conceded);
        }
        Ok(conceded)
    }
}

impl Units {
    /// The units that have not begun, whose planes are stored and whose logits others need.
    fn lending<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = usize> + 'a {
        let waits = |unit: &usize| self.stored[*unit] && !self.begun[*unit];
        let is_run = |unit: usize| self.open[unit] && !self.stored[unit];
        (0..self.begun.len()).filter(waits).filter(move |unit| plan.borrowers(*unit).any(is_run))
    }

    /// The units that wait for networks.
    fn waiting(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.begun.len()).filter(|&unit| self.needs_networks[unit] && !self.begun[unit])
    }
}
