//! Logits of blended tiles, and who waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::message::{PartTask, Ticket, TileBatch, Told};
use super::scenes::Scenes;
use super::validity::{mark, mark_outside, owned_validity};
use crate::infer::{Blender, Logits, Window};
use crate::parallel;
use crate::plan::{Tile, TilePlanes};

/// Holds the logits of units until all that they are blended with have come, and blends them.
///
/// A unit waits only for units that entered before it, and lets go of what it holds, and of its credit, when the last that waits for it is done.
pub(super) struct Blending {
    scenes: Arc<Scenes>,
    blender: Blender,
    threads: NonZeroUsize,
    units: BTreeMap<usize, Held>,
}

/// What comes of a unit.
pub(super) struct BlendedUnit {
    pub(super) ticket: Arc<Ticket>,
    /// All of its tiles, in order.
    pub(super) tiles: Vec<(usize, Told)>,
}

/// What is there of a unit.
struct Held {
    ticket: Arc<Ticket>,
    tiles: BTreeMap<usize, HeldTile>,
    /// The units that wait for it.
    lends_to: BTreeSet<usize>,
    /// Whether its own planes have left, or nobody wants any.
    is_done: bool,
}

/// What is there of a tile.
struct HeldTile {
    /// The passes over its batch.
    forwards: Arc<Vec<(usize, Logits)>>,
    /// Its place in the batch.
    slot: usize,
    /// Whether nothing that it sees is data, or nobody looks at it any more.
    is_blank: bool,
    /// Which of the pixels that it owns hold data; `None` where all do.
    valid: Option<Vec<u8>>,
    /// Why there are no logits.
    cause: Option<String>,
}

impl Blending {
    pub(super) fn new(scenes: Arc<Scenes>, threads: NonZeroUsize) -> Self {
        let blender = Blender::of(scenes.plan());
        Self { scenes, blender, threads, units: BTreeMap::new() }
    }

    /// Takes what all passes made of a batch, and why some tiles have nothing.
    pub(super) fn add(&mut self, batch: &TileBatch, forwards: Vec<(usize, Logits)>, causes: Vec<Option<String>>) {
        let (ticket, raw) = (&batch.ticket, &batch.raw);
        let unit = self.units.entry(ticket.unit).or_insert_with(|| Held {
            ticket: Arc::clone(ticket),
            tiles: BTreeMap::new(),
            lends_to: ticket.lends_to.iter().copied().collect(),
            is_done: ticket.tasks.iter().all(|task| *task == PartTask::Lend),
        });
        let forwards = Arc::new(forwards);
        for (slot, cause) in causes.into_iter().enumerate() {
            let (forwards, valid) = (Arc::clone(&forwards), owned_validity(raw, slot));
            let is_blank = raw.blank[slot] || (cause.is_none() && forwards.is_empty());
            unit.tiles.insert(batch.first_tile + slot, HeldTile { forwards, slot, is_blank, valid, cause });
        }
    }

    /// The units that need not wait any longer, with what comes of their tiles, in the order of the plan.
    pub(super) fn blended(&mut self) -> Vec<BlendedUnit> {
        let mut left = Vec::new();
        while let Some(unit) = self.ready() {
            let tiles = self.blend(unit);
            if let Some(held) = self.units.get_mut(&unit) {
                held.is_done = true;
                let ticket = Arc::clone(&held.ticket);
                for lender in &ticket.borrows {
                    if let Some(lender) = self.units.get_mut(lender) {
                        lender.lends_to.remove(&unit);
                    }
                }
                left.push(BlendedUnit { ticket, tiles });
            }
        }
        self.units.retain(|_, held| !(held.is_done && held.is_whole() && held.lends_to.is_empty()));
        left
    }

    /// A unit that is there, with all that lend to it.
    fn ready(&self) -> Option<usize> {
        let is_there = |unit: &usize| self.units.get(unit).is_some_and(Held::is_whole);
        let waits = |(unit, held): &(&usize, &Held)| !held.is_done && is_there(unit);
        let can_leave = |held: &Held| held.ticket.borrows.iter().all(is_there);
        self.units.iter().filter(waits).find(|(_, held)| can_leave(held)).map(|(unit, _)| *unit)
    }

    /// What comes of a unit's tiles.
    fn blend(&self, unit: usize) -> Vec<(usize, Told)> {
        let Some(held) = self.units.get(&unit) else { return Vec::new() };
        let ticket = &held.ticket;
        let lenders = ticket.borrows.iter().filter_map(|lender| self.units.get(lender));
        let all: Vec<&Held> = lenders.chain([held]).collect();
        // What was not run cannot be blended with: the next pass does both.
        if all.iter().any(|held| self.scenes.is_undone(held.ticket.unit)) {
            self.scenes.let_wait(ticket);
        }
        let is_wanted = !self.scenes.is_put_off(unit) && ticket.seen().all(|scene| !self.scenes.has_failed(scene));
        let tiles: Vec<(usize, &HeldTile)> = held.tiles.iter().map(|(idx, tile)| (*idx, tile)).collect();
        let planes = |(idx, tile): &(usize, &HeldTile)| self.tile(ticket, *idx, tile, &all);
        let mut told: Vec<Told> = match is_wanted {
            true => parallel::map(self.threads, &tiles, |_| 1, planes),
            false => tiles.iter().map(|(idx, _)| Ok(self.void(&ticket.geometry.tiles[*idx]))).collect(),
        };
        mark_outside(ticket, 0, &self.scenes.plan().planes, &mut told);
        tiles.iter().map(|(idx, _)| *idx).zip(told).collect()
    }

    fn void(&self, tile: &Tile) -> TilePlanes {
        self.blender.void(tile.centre.size.len())
    }

    /// The planes of one tile, from those of these units' that see what it owns.
    fn tile(&self, ticket: &Ticket, idx: usize, held: &HeldTile, all: &[&Held]) -> Told {
        let (geometry, plan) = (&ticket.geometry, self.scenes.plan());
        let tile = &geometry.tiles[idx];
        let grid = plan.scenes[geometry.parts[tile.part as usize].scene as usize].grid;
        let is_near = |other: &Tile| {
            let before = [(tile.crop_x - other.crop_x, grid.x.centre), (tile.crop_y - other.crop_y, grid.y.centre)];
            before.iter().all(|(before, centre)| (0..=i64::from(*centre)).contains(before))
        };
        let mut near: Vec<(&Tile, &HeldTile)> = Vec::new();
        for held in all {
            let of_unit = held.tiles.iter().map(|(idx, other)| (&held.ticket.geometry.tiles[*idx], other));
            near.extend(of_unit.filter(|(other, _)| is_near(other)));
        }
        near.sort_unstable_by_key(|(other, _)| (other.crop_y, other.crop_x));
        if let Some(cause) = near.iter().find_map(|(_, other)| other.cause.as_ref()) {
            return Err(cause.clone());
        }
        if held.is_blank {
            return Ok(self.void(tile));
        }
        let windows: Vec<Window<'_>> =
            near.iter().filter(|(_, other)| !other.is_blank).map(|(tile, held)| held.window(tile)).collect();
        let mut planes = self.blender.planes(held.window(tile), geometry.crop, tile.kept, &windows);
        if let Some(valid) = &held.valid {
            mark(valid, &plan.planes, &mut planes);
        }
        Ok(planes)
    }
}

impl Held {
    /// Whether all of its batches have come.
    fn is_whole(&self) -> bool {
        self.tiles.len() == self.ticket.geometry.tiles.len()
    }
}

impl HeldTile {
    fn window(&self, tile: &Tile) -> Window<'_> {
        Window { forwards: &self.forwards, slot: self.slot, corner: [tile.crop_x, tile.crop_y] }
    }
}
