//! Runs the members that a device holds, as far as their results are not stored.

use std::sync::Arc;
use std::time::Instant;

use super::Board;
use super::message::{Inferred, Outcome, PartTask, Ran, TileBatch};
use crate::atomic::WriteError;
use crate::config::classes::NODATA_LABEL;
use crate::flow::{Outbox, Stage, Stop};
use crate::infer::{Backend, BackendError, Combiner, ForwardKey, Logits, PassTally, RawBatch, TileFault, combine};
use crate::journal::Artefact;

/// Why a device cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// Logits cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The device is lost, or out of memory for a batch that may be tried again.
    #[error(transparent)]
    Device(#[from] BackendError),
}

/// One device and the thread that owns it.
pub struct Infer {
    board: Arc<Board>,
    backend: Metered,
    keys: Vec<ForwardKey>,
    names: Vec<String>,
    /// What combines the result, where the device holds every member.
    combiner: Option<Combiner>,
    stop: Stop,
    /// What each of `keys` took of the batch at hand.
    tally: PassTally,
}

/// A device whose forward passes are counted, and none of which begins once the run leaves what is queued.
struct Metered {
    inner: Box<dyn Backend>,
    board: Arc<Board>,
    stop: Stop,
}

impl Backend for Metered {
    fn forward(&mut self, batch: &RawBatch, key: ForwardKey) -> Result<Logits, BackendError> {
        if self.stop.is_cut() {
            return Err(BackendError::Halted);
        }
        self.board.progress().count_forward();
        self.inner.forward(batch, key)
    }

    fn forward_f32(&mut self, batch: &RawBatch, key: ForwardKey) -> Option<Result<Logits, BackendError>> {
        self.inner.forward_f32(batch, key)
    }
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
        stop: Stop,
    ) -> Self {
        let backend = Metered { inner: backend, board: Arc::clone(&board), stop: stop.clone() };
        let names = board.plan().members.iter().map(|m| m.member.name.clone()).collect();
        let tally = PassTally::of(keys.len());
        Self { board, backend, keys, names, combiner, stop, tally }
    }

    /// The result of a batch, and what is kept of it. A unit that is put off, or that the run leaves while it is queued or between two
    /// forward passes, has none.
    fn attempt(&mut self, batch: &TileBatch) -> Result<(Outcome, Option<Artefact>), InferError> {
        let ticket = &batch.ticket;
        if self.stop.is_cut() {
            self.board.put_off(ticket);
        }
        if self.board.is_put_off(ticket.unit) {
            self.tally.clear();
            return Ok((self.blank(batch), None));
        }
        match self.tries(batch) {
            Err(InferError::Device(BackendError::Halted)) => {
                self.board.put_off(ticket);
                Ok((self.blank(batch), None))
            }
            done => done,
        }
    }

    /// A device that is out of memory gets a second chance, with nothing of the first held; then the unit is put off, to be done with
    /// batches of one tile, so that what comes of it does not depend on which of its batches did not fit. A tile that does not fit alone
    /// has no labels.
    fn tries(&mut self, batch: &TileBatch) -> Result<(Outcome, Option<Artefact>), InferError> {
        if let Ok(done) = unless_out_of_memory(self.run(batch))? {
            return Ok(done);
        }
        match unless_out_of_memory(self.run(batch))? {
            Ok(done) => Ok(done),
            Err(_) if batch.raw.len() > 1 => {
                self.board.put_off(&batch.ticket);
                Ok((self.blank(batch), None))
            }
            Err(detail) => {
                let fault = TileFault::OutOfMemory { detail };
                let outcome = match self.combiner {
                    Some(_) => Outcome::Complete(vec![Err(fault)]),
                    None => Outcome::Partial { forwards: Vec::new(), faults: vec![Some(fault)] },
                };
                Ok((outcome, None))
            }
        }
    }

    /// What stands for the result of a batch that is not run.
    fn blank(&self, batch: &TileBatch) -> Outcome {
        let kept = &batch.raw.kept;
        match self.combiner {
            Some(_) => Outcome::Complete(kept.iter().map(|k| Ok(vec![NODATA_LABEL; k.size.len()])).collect()),
            None => Outcome::Partial { forwards: Vec::new(), faults: vec![None; kept.len()] },
        }
    }

    /// The forward passes of a batch: those of the members that see its unit.
    fn keys(&self, batch: &TileBatch) -> Vec<ForwardKey> {
        let members = batch.ticket.geometry.members;
        self.keys.iter().filter(|key| key.member < members).copied().collect()
    }

    /// Runs what is not stored.
    fn run(&mut self, batch: &TileBatch) -> Result<(Outcome, Option<Artefact>), InferError> {
        let raw = &batch.raw;
        self.tally.clear();
        if raw.is_blank() {
            return Ok((self.blank(batch), self.keep(batch, &Passes::default())?));
        }
        let keys = self.keys(batch);
        let memory = self.board.memory();
        if let Some(combiner) = &self.combiner
            && memory.entries.is_empty()
            && !memory.keep_logits
        {
            let classified = self.backend.classify(raw, &keys, combiner, &self.names, &mut self.tally)?;
            return Ok((Outcome::Complete(classified), None));
        }
        let passes = self.passes(batch, &keys)?;
        let artefact = self.keep(batch, &passes)?;
        let Passes { forwards, faults, .. } = passes;
        let outcome = match &self.combiner {
            Some(combiner) if forwards.len() == keys.len() => {
                let forwards: Vec<&Logits> = forwards.iter().map(|(_, logits)| logits).collect();
                Outcome::Complete(combine(raw, &forwards, combiner, faults))
            }
            Some(_) => Outcome::Complete(faults.into_iter().map(|f| Err(f.unwrap_or(TileFault::Missing))).collect()),
            None => Outcome::Partial { forwards, faults },
        };
        Ok((outcome, artefact))
    }

    /// Every forward pass: stored, run, or for some tiles the one and for others the other.
    fn passes(&mut self, batch: &TileBatch, keys: &[ForwardKey]) -> Result<Passes, BackendError> {
        let mut passes = Passes { faults: vec![None; batch.raw.len()], ..Passes::default() };
        for (idx, &key) in keys.iter().enumerate() {
            let began = Instant::now();
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
                let name = &self.names[key.member];
                let reruns = &mut self.tally.reruns[idx];
                match self.backend.forward_checked(&batch.raw, key, name, &mut passes.faults, reruns)? {
                    Ok(logits) => Some(logits),
                    Err(fault) => {
                        passes.faults.fill(Some(fault));
                        None
                    }
                }
            };
            self.tally.times[idx] = began.elapsed();
            let Some(mut logits) = ran else { continue };
            for (slot, stored) in stored.iter().enumerate() {
                if let Some(stored) = stored {
                    logits.copy_tile(slot, stored, 0);
                }
            }
            passes.forwards.push((key, logits));
            passes.fresh.push((key, fresh));
        }
        Ok(passes)
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
                entries
                    .extend(self.keys(batch).iter().map(|key| (keys.logits(geometry, tile, key.member), Vec::new())));
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

/// A result; or what a device said that was out of memory; or an error that ends the run.
fn unless_out_of_memory<T>(ran: Result<T, InferError>) -> Result<Result<T, String>, InferError> {
    match ran {
        Ok(done) => Ok(Ok(done)),
        Err(InferError::Device(BackendError::OutOfMemory { detail })) => Ok(Err(detail)),
        Err(error) => Err(error),
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
    type Error = InferError;

    fn process(&mut self, batch: Arc<TileBatch>, out: &Outbox<'_, Ran>) -> Result<(), InferError> {
        let (outcome, artefact) = self.attempt(&batch)?;
        let pixels = batch.raw.crop.area() * batch.raw.len() as u64;
        let PassTally { times, reruns } = &self.tally;
        for ((key, time), reruns) in self.keys(&batch).iter().zip(times).zip(reruns) {
            self.board.pace().pass(key.member, pixels, *time);
            self.board.pace().rerun(key.member, *reruns);
        }
        if let Some(artefact) = artefact {
            out.put(Ran::Kept(artefact));
        }
        out.put(Ran::Inferred(Inferred { batch, outcome }));
        Ok(())
    }
}
