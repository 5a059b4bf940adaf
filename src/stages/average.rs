//! Brings the results of a batch from several groups of devices together, and the batches of a unit.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use super::Board;
use super::blend::{BlendedUnit, Blending};
use super::message::{Classified, Inferred, Outcome, PartTask, Ticket, TileBatch, Told};
use super::pace::Pace;
use super::progress::Progress;
use super::scenes::Scenes;
use super::suspicion;
use super::validity::{mark_nodata, mark_outside};
use crate::flow::{Outbox, Stage};
use crate::infer::{Device, DeviceError, Known, Logits, PassWork, TileFault, TileResult, Wanted, Work};
use crate::plan::TilePlanes;

/// The averager: takes complete results as they are; where groups of devices each run a part, it collects theirs and has them combined by
/// a device of its own, of the plan's class.
///
/// A unit leaves it as a whole: a batch that cannot be run puts the unit off, and then none of its planes may be in any file. The planes
/// are covered by the unit's credit, wherever they wait.
///
/// BlendedUnit tiles it combines itself, when the logits of all that see them are there.
pub struct Average {
    scenes: Arc<Scenes>,
    progress: Arc<Progress>,
    pace: Arc<Pace>,
    /// How many groups of devices answer.
    n_groups: usize,
    /// What combines their answers, where there are several.
    combiner: Option<Box<dyn Device>>,
    blending: Blending,
    waiting: BTreeMap<(usize, usize), Collected>,
    /// Planes of the units that are begun.
    units: BTreeMap<usize, Vec<(usize, Told)>>,
}

/// What devices answer about a batch.
enum Gathered {
    /// Its planes.
    Tiles(Vec<TileResult>),
    /// The logits of its passes, and the tiles for which they are useless.
    Logits(BTreeMap<usize, Logits>, Vec<Option<TileFault>>),
}

#[derive(Default)]
struct Collected {
    forwards: BTreeMap<usize, Logits>,
    faults: Vec<Option<TileFault>>,
    answers: usize,
}

impl Average {
    /// An averager on so many threads, which takes answers of `n_groups` groups of devices; with a device where these are several.
    pub fn new(board: &Board, n_groups: usize, combiner: Option<Box<dyn Device>>, threads: NonZeroUsize) -> Self {
        let Board { scenes, progress, pace, .. } = board.clone();
        let blending = Blending::new(Arc::clone(&scenes), threads);
        let (waiting, units) = (BTreeMap::new(), BTreeMap::new());
        Self { scenes, progress, pace, n_groups, combiner, blending, waiting, units }
    }

    /// What all groups of devices answer about a batch, once they have, and the tiles for which that is useless.
    fn gather(&mut self, batch: &TileBatch, outcome: Outcome) -> Option<Gathered> {
        let (forwards, faults) = match outcome {
            Outcome::Complete(tiles) => return Some(Gathered::Tiles(tiles)),
            Outcome::Partial { forwards, faults } => (forwards, faults),
        };
        let key = (batch.ticket.unit, batch.first_tile);
        let collected = self.waiting.entry(key).or_default();
        collected.answers += 1;
        collected.forwards.extend(forwards);
        collected.faults.resize(faults.len(), None);
        for (all, new) in collected.faults.iter_mut().zip(faults) {
            *all = all.take().or(new);
        }
        if collected.answers < self.n_groups {
            return None;
        }
        let Collected { forwards, mut faults, .. } = self.waiting.remove(&key).unwrap_or_default();
        let is_put_off = self.scenes.is_put_off(batch.ticket.unit);
        let is_complete = batch.ticket.geometry.passes.iter().all(|pass| forwards.contains_key(pass));
        if !is_complete && !is_put_off && !batch.raw.is_blank() {
            faults.iter_mut().for_each(|fault| *fault = fault.take().or(Some(TileFault::Missing)));
        }
        Some(Gathered::Logits(forwards, faults))
    }

    /// The planes of a batch.
    fn combine(&mut self, batch: &TileBatch, gathered: Gathered) -> Result<Vec<TileResult>, DeviceError> {
        let (forwards, faults) = match gathered {
            Gathered::Tiles(tiles) => return Ok(tiles),
            Gathered::Logits(forwards, faults) => (forwards, faults),
        };
        if self.scenes.is_put_off(batch.ticket.unit) {
            return Ok(vec![Ok(TilePlanes(Vec::new())); batch.raw.len()]);
        }
        let Some(combiner) = &mut self.combiner else {
            return Ok(vec![Err(TileFault::Missing); batch.raw.len()]);
        };
        let passes = forwards.into_iter().map(|(pass, logits)| PassWork { pass, known: Known::All(logits) }).collect();
        let may_begin = Arc::new(|| true);
        combiner.submit(Work { batch: Arc::clone(&batch.raw), passes, faults, wanted: Wanted::Planes, may_begin })?;
        Ok(combiner.collect()?.map(|done| done.tiles).unwrap_or_default())
    }

    /// The fault of a tile of a batch in words: as long as the batch is there, its pixels tell.
    fn told(&self, fault: &TileFault, batch: &TileBatch, tile: usize) -> String {
        let (plan, geometry) = (self.scenes.plan(), &batch.ticket.geometry);
        let planned = geometry.tiles[batch.first_tile + tile];
        let scene = &plan.scenes[geometry.parts[planned.part as usize].scene as usize];
        let at = format!("{fault} (the tile at column {}, row {})", planned.centre.x, planned.centre.y);
        suspicion::cause(fault, plan, scene, &batch.raw, tile).map_or(at.clone(), |more| format!("{at}; {more}"))
    }

    /// How many tiles of a batch hold no data: those of scenes that are given up are blank for another reason.
    fn void(&self, batch: &TileBatch) -> u64 {
        let geometry = &batch.ticket.geometry;
        let is_void = |(slot, blank): (usize, &bool)| {
            let part = geometry.tiles[batch.first_tile + slot].part as usize;
            *blank && batch.ticket.tasks[part].is_classified() && !self.scenes.is_dropped(geometry.parts[part].scene)
        };
        batch.raw.blank.iter().enumerate().filter(|tile| is_void(*tile)).count() as u64
    }

    /// Notes what faults cost, and lets go of the tiles that nobody waits for.
    fn finished(&self, ticket: &Ticket, tiles: Vec<(usize, Told)>) -> Vec<(usize, Option<TilePlanes>)> {
        let put_off = self.scenes.is_put_off(ticket.unit);
        let mut finished = Vec::with_capacity(tiles.len());
        for (idx, planes) in tiles {
            let tile = ticket.geometry.tiles[idx];
            if !ticket.tasks[tile.part as usize].is_classified() {
                continue;
            }
            match planes {
                Err(cause) if !put_off => {
                    self.scenes.fail(
                        ticket.geometry.parts[tile.part as usize].scene,
                        "infer",
                        Some(ticket.unit),
                        cause,
                    );
                    finished.push((idx, None));
                }
                planes => finished.push((idx, planes.ok().filter(|_| !put_off))),
            }
        }
        finished
    }
}

/// How many of a unit's tiles the networks' stages give, and what of their pixels networks have seen and was stored.
fn counted(ticket: &Ticket, tiles: Range<usize>) -> (u64, u64, u64) {
    let task = |idx: usize| ticket.tasks[ticket.geometry.tiles[idx].part as usize];
    let count = |wanted: PartTask| tiles.clone().filter(|idx| task(*idx) == wanted).count() as u64;
    let (seen, recalled, crop) = (count(PartTask::Run), count(PartTask::Combine), ticket.geometry.crop.area());
    (seen + recalled, seen * crop, recalled * crop)
}

impl Stage for Average {
    type In = Inferred;
    type Out = Arc<Classified>;
    type Error = DeviceError;

    fn process(&mut self, inferred: Inferred, out: &Outbox<'_, Arc<Classified>>) -> Result<(), DeviceError> {
        let Inferred { batch, outcome } = inferred;
        let Some(gathered) = self.gather(&batch, outcome) else { return Ok(()) };
        self.pace.leave();
        let (n_tiles, seen, recalled) = counted(&batch.ticket, batch.first_tile..batch.first_tile + batch.raw.len());
        {
            let mut counts = self.progress.counts();
            counts.add_tiles(n_tiles, seen, recalled);
            counts.void += self.void(&batch);
        }
        let mut tiles = match gathered {
            Gathered::Logits(forwards, faults) if !batch.ticket.geometry.blend.is_none() => {
                let told = |(tile, fault): (usize, &Option<TileFault>)| Some(self.told(fault.as_ref()?, &batch, tile));
                let causes = faults.iter().enumerate().map(told).collect();
                self.blending.add(&batch, forwards.into_iter().collect(), causes);
                for BlendedUnit { ticket, tiles } in self.blending.blended() {
                    self.leave(ticket, tiles, out);
                }
                return Ok(());
            }
            gathered @ (Gathered::Tiles(_) | Gathered::Logits(..)) => self.combine(&batch, gathered)?,
        };
        mark_nodata(&batch.raw, &self.scenes.plan().planes, &mut tiles);
        let ticket = Arc::clone(&batch.ticket);
        mark_outside(&ticket, batch.first_tile, &self.scenes.plan().planes, &mut tiles);
        let told = |(tile, planes): (usize, TileResult)| planes.map_err(|fault| self.told(&fault, &batch, tile));
        let tiles: Vec<Told> = tiles.into_iter().enumerate().map(told).collect();
        let unit = self.units.entry(ticket.unit).or_default();
        unit.extend((batch.first_tile..).zip(tiles));
        if unit.len() < ticket.geometry.tiles.len() {
            return Ok(());
        }
        let mut tiles = self.units.remove(&ticket.unit).unwrap_or_default();
        tiles.sort_unstable_by_key(|(idx, _)| *idx);
        self.leave(ticket, tiles, out);
        Ok(())
    }
}

impl Average {
    /// Lets a unit go, all tiles of it.
    fn leave(&self, ticket: Arc<Ticket>, tiles: Vec<(usize, Told)>, out: &Outbox<'_, Arc<Classified>>) {
        if self.scenes.is_put_off(ticket.unit) {
            let (n_tiles, seen, recalled) = counted(&ticket, 0..tiles.len());
            self.progress.counts().take_tiles(n_tiles, seen, recalled);
        }
        let tiles = self.finished(&ticket, tiles);
        if !tiles.is_empty() {
            // A unit that nobody waits for ends here: behind, it would hold its memory until the end of the run.
            out.put(Arc::new(Classified { ticket, tiles }));
        }
    }
}
