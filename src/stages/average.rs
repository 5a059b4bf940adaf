//! Brings the results of a batch from several groups of devices together, and the batches of a unit.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::message::{Classified, Inferred, Outcome, PartTask, Ticket, TileBatch};
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
pub struct Average {
    scenes: Arc<Scenes>,
    progress: Arc<Progress>,
    pace: Arc<Pace>,
    /// What combines, where nobody else does, and how many groups of devices answer.
    combiner: Option<(Box<dyn Device>, usize)>,
    waiting: BTreeMap<(usize, usize), Collected>,
    /// Planes of the units that are begun.
    units: BTreeMap<usize, Vec<(usize, Told)>>,
}

/// Planes of a tile, or why there are none, in words.
type Told = Result<TilePlanes, String>;

#[derive(Default)]
struct Collected {
    forwards: BTreeMap<usize, Logits>,
    faults: Vec<Option<TileFault>>,
    answers: usize,
}

impl Average {
    /// An averager; with a device where `n_groups` groups of devices each run a part of the passes.
    pub fn new(
        scenes: Arc<Scenes>,
        progress: Arc<Progress>,
        pace: Arc<Pace>,
        combiner: Option<(Box<dyn Device>, usize)>,
    ) -> Self {
        Self { scenes, progress, pace, combiner, waiting: BTreeMap::new(), units: BTreeMap::new() }
    }

    /// The planes of the batch, once nothing is missing.
    fn collect(&mut self, batch: &TileBatch, outcome: Outcome) -> Result<Option<Vec<TileResult>>, DeviceError> {
        let (forwards, faults) = match outcome {
            Outcome::Complete(tiles) => return Ok(Some(tiles)),
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
        let Some((combiner, n_groups)) = &mut self.combiner else {
            return Ok(Some(vec![Err(TileFault::Missing); batch.raw.len()]));
        };
        if collected.answers < *n_groups {
            return Ok(None);
        }
        let Collected { forwards, mut faults, .. } = self.waiting.remove(&key).unwrap_or_default();
        if self.scenes.is_put_off(batch.ticket.unit) {
            return Ok(Some(vec![Ok(TilePlanes(Vec::new())); batch.raw.len()]));
        }
        let is_complete = batch.ticket.geometry.passes.iter().all(|pass| forwards.contains_key(pass));
        if !is_complete && !batch.raw.is_blank() {
            faults.iter_mut().for_each(|fault| *fault = fault.take().or(Some(TileFault::Missing)));
        }
        let passes = forwards.into_iter().map(|(pass, logits)| PassWork { pass, known: Known::All(logits) }).collect();
        let may_begin = Arc::new(|| true);
        combiner.submit(Work { batch: Arc::clone(&batch.raw), passes, faults, wanted: Wanted::Planes, may_begin })?;
        Ok(combiner.collect()?.map(|done| done.tiles))
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
        let Some(mut tiles) = self.collect(&batch, outcome)? else { return Ok(()) };
        self.pace.leave();
        mark_nodata(&batch.raw, &self.scenes.plan().planes, &mut tiles);
        let ticket = Arc::clone(&batch.ticket);
        mark_outside(&ticket, batch.first_tile, &self.scenes.plan().planes, &mut tiles);
        let (n_tiles, seen, recalled) = counted(&ticket, batch.first_tile..batch.first_tile + tiles.len());
        {
            let mut counts = self.progress.counts();
            counts.add_tiles(n_tiles, seen, recalled);
            counts.void += self.void(&batch);
        }
        let told = |(tile, planes): (usize, TileResult)| planes.map_err(|fault| self.told(&fault, &batch, tile));
        let tiles: Vec<Told> = tiles.into_iter().enumerate().map(told).collect();
        let unit = self.units.entry(ticket.unit).or_default();
        unit.extend((batch.first_tile..).zip(tiles));
        if unit.len() < ticket.geometry.tiles.len() {
            return Ok(());
        }
        let mut tiles = self.units.remove(&ticket.unit).unwrap_or_default();
        if self.scenes.is_put_off(ticket.unit) {
            let (n_tiles, seen, recalled) = counted(&ticket, 0..tiles.len());
            self.progress.counts().take_tiles(n_tiles, seen, recalled);
        }
        tiles.sort_unstable_by_key(|(idx, _)| *idx);
        let tiles = self.finished(&ticket, tiles);
        if !tiles.is_empty() {
            // A unit that nobody waits for ends here: behind, it would hold its memory until the end of the run.
            out.put(Arc::new(Classified { ticket, tiles }));
        }
        Ok(())
    }
}
