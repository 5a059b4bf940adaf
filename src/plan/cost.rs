//! What units cost: integers that follow from the plan alone, so that every host cuts it alike.

use std::collections::BTreeMap;

use super::{Plan, Unit};
use crate::geom::Size;

/// Operations per pixel of a network that nobody has counted, such as a program: of the order of those that the catalogue has.
const UNCOUNTED: f64 = 1e6;

/// A cost is in millions of floating-point operations: those of 10^6 scenes are far from the end of 64 bits.
const UNIT: f64 = 1e6;

/// Costs of a plan's units.
pub(super) struct Costs<'a> {
    plan: &'a Plan,
    /// Of a tile, by its crop.
    tiles: BTreeMap<Size, u64>,
}

impl<'a> Costs<'a> {
    /// Those of a plan, of which only the head and the scenes are looked at.
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self { plan, tiles: BTreeMap::new() }
    }

    /// What every pass over every tile of a unit takes.
    pub(super) fn unit(&mut self, unit: &Unit) -> u64 {
        match *unit {
            Unit::Band { scene, cols, .. } => {
                let crop = self.plan.scenes[scene as usize].grid.crop();
                self.tile(crop).saturating_mul(u64::from(cols.len()))
            }
            Unit::Group { .. } => {
                let crops = unit.scenes().map(|scene| self.plan.scenes[scene].grid.crop());
                crops.map(|crop| self.tile(crop)).fold(0, u64::saturating_add)
            }
        }
    }

    fn tile(&mut self, crop: Size) -> u64 {
        let plan = self.plan;
        *self.tiles.entry(crop).or_insert_with(|| plan.tile_cost(crop))
    }
}

impl Plan {
    /// What all passes over one tile cost, in millions of floating-point operations; never nothing.
    pub fn tile_cost(&self, crop: Size) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it ends at the largest number")]
        let of_pass = |member: usize| {
            let spec = &self.members[member].member.spec;
            let seen = spec.size_rule().padded(crop);
            let operations = spec.macs_at(seen).map_or_else(|| UNCOUNTED * seen.area() as f64, |macs| 2.0 * macs);
            (operations / UNIT).round() as u64
        };
        self.passes.iter().map(|pass| of_pass(pass.member)).fold(0, u64::saturating_add).max(1)
    }
}
