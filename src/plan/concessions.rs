//! What a run gives up against its plan, unit by unit.

use std::collections::BTreeSet;

use super::{Lender, Plan, UnitGeometry};
use crate::geom::Span;
use crate::journal::{Conceded, ConcessionRecord};

/// Units that are done otherwise than the plan has it. Pure data: equal plans under equal concessions give equal bytes, and the keys of
/// stage results are those of what is really done.
///
/// A concession is recorded before it takes effect, so that a run that goes on where another was cut off makes it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concessions {
    /// Units whose batches hold one tile.
    single: BTreeSet<usize>,
    /// Units on which fewer passes run. Where several hold, what all of them leave counts.
    fewer: Vec<Fewer>,
}

/// Units on which only these of the plan's passes run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fewer {
    /// The units, ascending and apart.
    units: Vec<Span>,
    passes: BTreeSet<usize>,
}

impl Concessions {
    /// What was recorded against the plan of this digest. Another plan's concessions mean nothing to it.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a ConcessionRecord>, digest: &str) -> Self {
        let mut concessions = Self::default();
        records.into_iter().filter(|record| record.plan == digest).for_each(|record| concessions.add(&record.what));
        concessions
    }

    /// Adds what a run has given up.
    pub fn add(&mut self, conceded: &Conceded) {
        match conceded {
            Conceded::SingleTiles { unit } => {
                self.single.insert(*unit as usize);
            }
            Conceded::FewerPasses { units, passes, .. } => {
                let units = units.iter().map(|[start, end]| Span::new(*start, *end)).collect();
                self.fewer.push(Fewer { units, passes: passes.iter().map(|pass| *pass as usize).collect() });
            }
        }
    }

    /// Whether everything is done as planned.
    pub fn is_empty(&self) -> bool {
        self.single.is_empty() && self.fewer.is_empty()
    }

    /// Tiles per batch of a unit that the plan gives `planned`.
    pub fn batch_of(&self, unit: usize, planned: u32) -> u32 {
        if self.single.contains(&unit) { 1 } else { planned }
    }

    /// The passes that run on a unit, of the `planned` number.
    ///
    /// Their shares stay as they are. They no longer sum to 1, but a common factor moves no argmax, of logits or of probabilities.
    pub fn passes_of(&self, unit: usize, planned: usize) -> Vec<usize> {
        let holds = |fewer: &&Fewer| {
            let at = fewer.units.partition_point(|span| span.end as usize <= unit);
            fewer.units.get(at).is_some_and(|span| span.start as usize <= unit)
        };
        let fewer: Vec<&Fewer> = self.fewer.iter().filter(holds).collect();
        (0..planned).filter(|pass| fewer.iter().all(|fewer| fewer.passes.contains(pass))).collect()
    }

    /// A unit spelled out as it is really done.
    pub fn geometry(&self, plan: &Plan, unit: usize) -> UnitGeometry {
        let done = |unit: usize, planned: UnitGeometry| {
            let (batch, passes) = (self.batch_of(unit, planned.batch), self.passes_of(unit, plan.passes.len()));
            UnitGeometry { batch, passes, ..planned }
        };
        let mut planned = plan.units[unit].geometry(plan);
        let lenders = std::mem::take(&mut planned.lenders).into_iter();
        let lenders =
            lenders.map(|Lender { unit, geometry }| Lender { unit, geometry: done(unit, geometry) }).collect();
        UnitGeometry { lenders, ..done(unit, planned) }
    }

    /// Units that are done otherwise than planned, ascending.
    pub fn units(&self) -> BTreeSet<usize> {
        let fewer = self.fewer.iter().flat_map(|fewer| &fewer.units).flat_map(|span| span.start..span.end);
        fewer.map(|unit| unit as usize).chain(self.single.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(plan: &str, what: Conceded) -> ConcessionRecord {
        ConcessionRecord { plan: plan.into(), what }
    }

    #[test]
    fn units_run_as_recorded_for_their_plan_and_others_as_planned() {
        let fewer = |units: &[[u32; 2]], passes: &[u32]| Conceded::FewerPasses {
            units: units.to_vec(),
            passes: passes.to_vec(),
            seconds: 1.0,
        };
        let records = [
            record("a", Conceded::SingleTiles { unit: 4 }),
            record("a", fewer(&[[3, 5], [8, 20]], &[0, 2])),
            record("a", fewer(&[[9, 20]], &[0, 1])),
            record("b", fewer(&[[0, 20]], &[0])),
        ];
        let concessions = Concessions::of(&records, "a");
        let passes = [2, 3, 5, 8, 9].map(|unit| concessions.passes_of(unit, 3));
        assert_eq!(passes, [vec![0, 1, 2], vec![0, 2], vec![0, 1, 2], vec![0, 2], vec![0]]);
        assert_eq!((concessions.batch_of(4, 8), concessions.batch_of(5, 8)), (1, 8));
        assert!(Concessions::of(&records, "c").is_empty());
        assert_eq!(concessions.units().into_iter().take(4).collect::<Vec<_>>(), [3, 4, 8, 9]);
    }
}
