//! Brings the members' results of a batch together.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::Board;
use super::message::{Classified, Inferred, Outcome, TileBatch};
use super::validity::label_nodata;
use crate::config::classes::ClassId;
use crate::flow::{Outbox, Stage};
use crate::infer::{Combiner, ForwardKey, Logits, TileFault, TileLabels, combine};

/// The averager: passes complete results on, and collects partial ones until every group of devices has answered.
pub struct Average {
    board: Arc<Board>,
    combiner: Combiner,
    keys: Vec<ForwardKey>,
    n_groups: usize,
    waiting: BTreeMap<(usize, usize), Collected>,
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
        Self { board, combiner, keys, n_groups, waiting: BTreeMap::new() }
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
        let in_order: Vec<&Logits> = self.keys.iter().filter_map(|k| forwards.get(k)).collect();
        Some(combine(&batch.raw, &in_order, &self.combiner, faults))
    }

    /// Notes what a fault costs, and lets go of the tiles that nobody waits for.
    fn finished(&self, batch: &TileBatch, tiles: Vec<TileLabels>) -> Vec<(usize, Option<Vec<ClassId>>)> {
        let ticket = &batch.ticket;
        let mut finished = Vec::with_capacity(tiles.len());
        for (idx, labels) in (batch.first_tile..).zip(tiles) {
            let tile = ticket.geometry.tiles[idx];
            if !ticket.tasks[tile.part as usize].is_classified() {
                continue;
            }
            if let Err(fault) = &labels {
                let at = format!("{fault} for the tile at column {}, row {}", tile.centre.x, tile.centre.y);
                self.board.fail(ticket.geometry.parts[tile.part as usize].scene, "infer", at);
            }
            finished.push((idx, labels.ok()));
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
        label_nodata(&batch.raw, &mut tiles);
        let tiles = self.finished(&batch, tiles);
        self.board.progress().count_tiles(tiles.len() as u64, batch.raw.crop.area() * tiles.len() as u64);
        if !tiles.is_empty() {
            // A batch that nobody waits for ends here: behind, it would hold its unit's memory until the end of the run.
            out.put(Arc::new(Classified { ticket: Arc::clone(&batch.ticket), tiles }));
        }
        Ok(())
    }
}
