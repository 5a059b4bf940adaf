//! Runs the members that a device holds, as far as their results are not stored.

use std::sync::Arc;

use super::Board;
use super::message::{Inferred, Outcome, PartTask, Ran, TileBatch};
use crate::atomic::WriteError;
use crate::config::classes::NODATA_LABEL;
use crate::flow::{Outbox, Stage};
use crate::infer::{Backend, Combiner, ForwardKey, Logits, TileFault, combine};
use crate::journal::Artefact;

/// One device and the thread that owns it.
pub struct Infer {
    board: Arc<Board>,
    backend: Box<dyn Backend>,
    keys: Vec<ForwardKey>,
    names: Vec<String>,
    /// What combines the result, where the device holds every member.
    combiner: Option<Combiner>,
}

/// Forward passes of a batch.
#[derive(Default)]
struct Passes {
    forwards: Vec<(ForwardKey, Logits)>,
    faults: Vec<Option<TileFault>>,
    /// Slots whose logits were computed now, per forward pass.
    fresh: Vec<(ForwardKey, Vec<usize>)>,
}

impl Infer {
    /// A device that runs `keys`; with a combiner they are all of the plan's.
    pub fn new(
        board: Arc<Board>,
        backend: Box<dyn Backend>,
        keys: Vec<ForwardKey>,
        combiner: Option<Combiner>,
    ) -> Self {
        let names = board.plan().members.iter().map(|m| m.member.name.clone()).collect();
        Self { board, backend, keys, names, combiner }
    }

    /// The result of a batch, and what is kept of it.
    fn run(&mut self, batch: &TileBatch) -> Result<(Outcome, Option<Artefact>), WriteError> {
        let raw = &batch.raw;
        if raw.is_blank() {
            let blank = match self.combiner {
                Some(_) => Outcome::Complete(raw.kept.iter().map(|k| Ok(vec![NODATA_LABEL; k.size.len()])).collect()),
                None => Outcome::Partial { forwards: Vec::new(), faults: vec![None; raw.len()] },
            };
            return Ok((blank, self.keep(batch, &Passes::default())?));
        }
        let memory = self.board.memory();
        if let Some(combiner) = &self.combiner
            && memory.entries.is_empty()
            && !memory.keep_logits
        {
            self.keys.iter().for_each(|_| self.board.progress().count_forward());
            return Ok((Outcome::Complete(self.backend.classify(raw, &self.keys, combiner, &self.names)), None));
        }
        let passes = self.passes(batch);
        let artefact = self.keep(batch, &passes)?;
        let Passes { forwards, faults, .. } = passes;
        let outcome = match &self.combiner {
            Some(combiner) if forwards.len() == self.keys.len() => {
                let forwards: Vec<&Logits> = forwards.iter().map(|(_, logits)| logits).collect();
                Outcome::Complete(combine(raw, &forwards, combiner, faults))
            }
            Some(_) => Outcome::Complete(faults.into_iter().map(|f| Err(f.unwrap_or(TileFault::Missing))).collect()),
            None => Outcome::Partial { forwards, faults },
        };
        Ok((outcome, artefact))
    }

    /// Every forward pass: stored, run, or for some tiles the one and for others the other.
    fn passes(&mut self, batch: &TileBatch) -> Passes {
        let mut passes = Passes { faults: vec![None; batch.raw.len()], ..Passes::default() };
        for key in self.keys.clone() {
            let stored: Vec<Option<Logits>> = (0..batch.raw.len()).map(|slot| self.recall(batch, slot, key)).collect();
            let missing = |slot: &usize| !batch.raw.blank[*slot] && stored[*slot].is_none();
            // A tile that was not decoded has no pixels: the network must not see it.
            let (lost, fresh): (Vec<usize>, Vec<usize>) =
                (0..batch.raw.len()).filter(missing).partition(|slot| task_of(batch, *slot) == PartTask::Combine);
            for slot in lost {
                let member = self.names[key.member].clone();
                passes.faults[slot].get_or_insert(TileFault::Lost { member });
            }
            let ran = if fresh.is_empty() {
                let spec = &self.board.plan().members[key.member].member.spec;
                Some(Logits::zeros(spec, batch.raw.crop, batch.raw.len()))
            } else {
                self.board.progress().count_forward();
                let name = &self.names[key.member];
                match self.backend.forward_checked(&batch.raw, key, name, &mut passes.faults) {
                    Ok(logits) => Some(logits),
                    Err(fault) => {
                        passes.faults.fill(Some(fault));
                        None
                    }
                }
            };
            let Some(mut logits) = ran else { continue };
            for (slot, stored) in stored.iter().enumerate() {
                if let Some(stored) = stored {
                    logits.copy_tile(slot, stored, 0);
                }
            }
            passes.forwards.push((key, logits));
            passes.fresh.push((key, fresh));
        }
        passes
    }

    /// The stored logits of one tile, if they are there and whole.
    fn recall(&self, batch: &TileBatch, slot: usize, key: ForwardKey) -> Option<Logits> {
        if batch.raw.blank[slot] || self.board.memory().entries.is_empty() {
            return None;
        }
        let name = self.board.keys().logits(&batch.ticket.geometry, batch.first_tile + slot, key.member);
        let location = self.board.stored(&name)?;
        let spec = &self.board.plan().members[key.member].member.spec;
        let limit = Logits::stored_len(spec, batch.raw.crop);
        Logits::from_stored(spec, batch.raw.crop, &self.board.memory().checkpoints.read(location, limit).ok()?)
    }

    /// Keeps what was computed now, and which pixels are data.
    fn keep(&self, batch: &TileBatch, passes: &Passes) -> Result<Option<Artefact>, WriteError> {
        if !self.board.memory().keep_logits {
            return Ok(None);
        }
        let (keys, geometry) = (self.board.keys(), &batch.ticket.geometry);
        let is_wanted = |slot: &usize| {
            let part = geometry.tiles[batch.first_tile + slot].part as usize;
            // A tile of a failed scene is blank because it was not read, which says nothing about its pixels.
            let failed = self.board.has_failed(geometry.parts[part].scene);
            batch.ticket.tasks[part] == PartTask::Run && !failed && passes.faults.get(*slot).is_none_or(Option::is_none)
        };
        let mut entries = Vec::new();
        for slot in (0..batch.raw.len()).filter(is_wanted) {
            let tile = batch.first_tile + slot;
            let void = batch.raw.blank[slot];
            let valid = if void {
                vec![0; batch.raw.crop.len()]
            } else {
                batch.raw.valid_of(slot).unwrap_or_default().to_vec()
            };
            entries.push((keys.validity(geometry, tile), valid));
            if void {
                // No member runs it; that they have nothing to say is kept, so that nothing seems to be missing.
                entries.extend(self.keys.iter().map(|key| (keys.logits(geometry, tile, key.member), Vec::new())));
            }
        }
        entries.retain(|(key, _)| self.board.stored(key).is_none());
        for ((key, logits), (_, fresh)) in passes.forwards.iter().zip(&passes.fresh) {
            for slot in fresh.iter().filter(|slot| is_wanted(slot)) {
                let name = keys.logits(geometry, batch.first_tile + slot, key.member);
                entries.push((name, bytemuck::cast_slice(logits.tile(*slot)).to_vec()));
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let mut writer = self.board.memory().checkpoints.create(entries.iter().map(|(key, _)| key))?;
        for (key, content) in entries {
            writer.add(key, &[&content])?;
        }
        writer.finish().map(Some)
    }
}

/// What the part that a slot of a batch belongs to needs.
fn task_of(batch: &TileBatch, slot: usize) -> PartTask {
    let ticket = &batch.ticket;
    ticket.tasks[ticket.geometry.tiles[batch.first_tile + slot].part as usize]
}

impl Stage for Infer {
    type In = Arc<TileBatch>;
    type Out = Ran;
    type Error = WriteError;

    fn process(&mut self, batch: Arc<TileBatch>, out: &Outbox<'_, Ran>) -> Result<(), WriteError> {
        let (outcome, artefact) = self.run(&batch)?;
        if let Some(artefact) = artefact {
            out.put(Ran::Kept(artefact));
        }
        out.put(Ran::Inferred(Inferred { batch, outcome }));
        Ok(())
    }
}
