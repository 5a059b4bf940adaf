//! Brings the members' results of a batch together, and the batches of a unit.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use super::message::{Classified, Inferred, Outcome, PartTask, Ticket, TileBatch};
use super::suspicion;
use super::validity::label_nodata;
use super::{Board, Progress};
use crate::config::classes::ClassId;
use crate::flow::{Outbox, Stage};
use crate::infer::{Combiner, ForwardKey, Logits, TileFault, TileLabels, combine};

/// The averager: takes complete results as they are, and collects partial ones until every group of devices has answered.
///
/// A unit leaves it as a whole: a batch that cannot be run puts the unit off, and then none of its labels may be in any file. The labels
/// are covered by the unit's credit, wherever they wait.
pub struct Average {
    board: Arc<Board>,
    combiner: Combiner,
    keys: Vec<ForwardKey>,
    n_groups: usize,
    waiting: BTreeMap<(usize, usize), Collected>,
    /// Labels of the units that are begun.
    units: BTreeMap<usize, Vec<(usize, Told)>>,
}

/// Labels of a tile, or why there are none, in words.
type Told = Result<Vec<ClassId>, String>;
/// Tiles of a unit by what was done for them.
struct Counted {
    seen: u64,
    recalled: u64,
}

impl Counted {
    fn of(ticket: &Ticket, tiles: Range<usize>) -> Self {
        let task = |idx: usize| ticket.tasks[ticket.geometry.tiles[idx].part as usize];
        let count = |wanted: PartTask| tiles.clone().filter(|idx| task(*idx) == wanted).count() as u64;
        Self { seen: count(PartTask::Run), recalled: count(PartTask::Combine) }
    }

    fn count(&self, progress: &Progress, crop: u64) {
        progress.count_seen(self.seen, self.seen * crop);
        progress.count_recalled(self.recalled, self.recalled * crop);
    }

    fn uncount(&self, progress: &Progress, crop: u64) {
        progress.uncount(self.seen + self.recalled, self.seen * crop, self.recalled * crop);
    }
}

#[derive(Default)]
struct Collected {
    forwards: BTreeMap<ForwardKey, Logits>,
    faults: Vec<Option<TileFault>>,
    answers: usize,
}

impl Average {
    /// An averager of these forward passes, in the plan's order, of which `n_groups` groups of devices each run a part.
    pub fn new(board: Arc<Board>, combiner: Combiner, keys: Vec<ForwardKey>, n_groups: usize) -> Self {
        Self { board, combiner, keys, n_groups, waiting: BTreeMap::new(), units: BTreeMap::new() }
    }

    /// The labels of the batch, once nothing is missing.
    fn collect(&mut self, batch: &TileBatch, outcome: Outcome) -> Option<Vec<TileLabels>> {
        let (forwards, faults) = match outcome {
            Outcome::Complete(tiles) => return Some(tiles),
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
        let Collected { forwards, faults, .. } = self.waiting.remove(&key)?;
        if self.board.is_put_off(batch.ticket.unit) {
            return Some(batch.raw.kept.iter().map(|_| Ok(Vec::new())).collect());
        }
        let in_order: Vec<&Logits> = self.keys.iter().filter_map(|k| forwards.get(k)).collect();
        Some(combine(&batch.raw, &in_order, &self.combiner, faults))
    }

    /// The fault of a tile of a batch in words: as long as the batch is there, its pixels tell.
    fn told(&self, fault: &TileFault, batch: &TileBatch, tile: usize) -> String {
        let (plan, geometry) = (self.board.plan(), &batch.ticket.geometry);
        let planned = geometry.tiles[batch.first_tile + tile];
        let scene = &plan.scenes[geometry.parts[planned.part as usize].scene as usize];
        let at = format!("{fault} (the tile at column {}, row {})", planned.centre.x, planned.centre.y);
        suspicion::cause(fault, plan, scene, &batch.raw, tile).map_or(at.clone(), |more| format!("{at}; {more}"))
    }

    /// Notes what faults cost, and lets go of the tiles that nobody waits for.
    fn finished(&self, ticket: &Ticket, tiles: Vec<(usize, Told)>) -> Vec<(usize, Option<Vec<ClassId>>)> {
        let put_off = self.board.is_put_off(ticket.unit);
        let mut finished = Vec::with_capacity(tiles.len());
        for (idx, labels) in tiles {
            let tile = ticket.geometry.tiles[idx];
            if !ticket.tasks[tile.part as usize].is_classified() {
                continue;
            }
            match labels {
                Err(cause) if !put_off => {
                    self.board.fail(ticket.geometry.parts[tile.part as usize].scene, "infer", cause);
                    finished.push((idx, None));
                }
                labels => finished.push((idx, labels.ok().filter(|_| !put_off))),
            }
        }
        finished
    }
}

impl Stage for Average {
    type In = Inferred;
    type Out = Arc<Classified>;
    type Error = Infallible;

    fn process(&mut self, inferred: Inferred, out: &Outbox<'_, Arc<Classified>>) -> Result<(), Infallible> {
        let Inferred { batch, outcome } = inferred;
        let Some(mut tiles) = self.collect(&batch, outcome) else { return Ok(()) };
        self.board.pace().leave();
        label_nodata(&batch.raw, &mut tiles);
        let ticket = Arc::clone(&batch.ticket);
        let counted = Counted::of(&ticket, batch.first_tile..batch.first_tile + tiles.len());
        counted.count(self.board.progress(), batch.raw.crop.area());
        let told = |(tile, labels): (usize, TileLabels)| labels.map_err(|fault| self.told(&fault, &batch, tile));
        let tiles: Vec<Told> = tiles.into_iter().enumerate().map(told).collect();
        let unit = self.units.entry(ticket.unit).or_default();
        unit.extend((batch.first_tile..).zip(tiles));
        if unit.len() < ticket.geometry.tiles.len() {
            return Ok(());
        }
        let mut tiles = self.units.remove(&ticket.unit).unwrap_or_default();
        if self.board.is_put_off(ticket.unit) {
            Counted::of(&ticket, 0..tiles.len()).uncount(self.board.progress(), batch.raw.crop.area());
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
