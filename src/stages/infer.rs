//! Runs the passes that a device holds, as far as their results are not stored.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::message::{EmptyBatch, Inferred, Outcome, PartTask, Ran, TileBatch};
use super::{Board, StageError};
use crate::atomic::WriteError;
use crate::flow::{Outbox, Stage, Stop};
use crate::infer::{Device, DeviceError, Done, Known, Logits, PassRan, PassWork, TileFault, TileResult, Wanted, Work};
use crate::journal::{Artefact, StageKey};
use crate::plan::{REMEMBERED, TilePlanes};

/// One device and the thread that owns it.
pub struct Infer {
    board: Board,
    device: Box<dyn Device>,
    /// Its place in the schedule.
    place: usize,
    /// The plan's passes that it runs, ascending.
    passes: Vec<usize>,
    stop: Stop,
    /// Asked before each forward pass: counts it, or gives up what is in flight.
    may_begin: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What the device has, oldest first.
    in_flight: VecDeque<Begun>,
    /// What came of batches of which the files store nothing, the last one first: a network is a function of what it sees.
    remembered: VecDeque<Remembered>,
}

/// What came of a batch, by what makes it what it is and the passes that ran on it.
struct Remembered {
    batch: EmptyBatch,
    passes: Vec<usize>,
    tiles: Vec<TilePlanes>,
}

/// A batch that a device has taken.
struct Begun {
    batch: Arc<TileBatch>,
    /// Tiles whose logits are computed now, for each of the passes.
    fresh: Vec<Vec<usize>>,
}

/// How long a worker waits for a further batch before it sees to what is in flight.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

impl Infer {
    /// The device at this place of the schedule, which runs these passes.
    pub fn new(board: Board, (place, device): (usize, Box<dyn Device>), passes: Vec<usize>, stop: Stop) -> Self {
        let (halt, counted) = (stop.clone(), Arc::clone(&board.progress));
        let may_begin = Arc::new(move || {
            let goes_on = !halt.is_cut();
            if goes_on {
                counted.counts().forwards += 1;
            }
            goes_on
        });
        Self { board, device, place, passes, stop, may_begin, in_flight: VecDeque::new(), remembered: VecDeque::new() }
    }

    /// Whether results of a batch come from here: all of the plan's passes run here, and its tiles are blended with no others.
    fn is_complete(&self, batch: &TileBatch) -> bool {
        self.passes.len() == self.board.plan().passes.len() && batch.ticket.geometry.blend.is_none()
    }

    /// The passes of a batch: those that run on its unit.
    fn passes_of(&self, batch: &TileBatch) -> Vec<usize> {
        self.passes.iter().filter(|pass| batch.ticket.geometry.passes.contains(pass)).copied().collect()
    }

    /// Gives a batch to the device, with what is stored of it.
    fn submit(&mut self, batch: Arc<TileBatch>) -> Result<(), DeviceError> {
        let raw = &batch.raw;
        // A tile that was not decoded has no pixels: the network must not see it.
        let undecoded: Vec<bool> = (0..raw.len()).map(|slot| task_of(&batch, slot) == PartTask::Combine).collect();
        let mut faults: Vec<Option<TileFault>> = vec![None; raw.len()];
        let (mut passes, mut fresh) = (Vec::new(), Vec::new());
        for pass in self.passes_of(&batch) {
            let stored: Vec<Option<Logits>> = (0..raw.len()).map(|slot| self.recall(&batch, slot, pass)).collect();
            let missing: Vec<usize> =
                (0..raw.len()).filter(|slot| !raw.blank[*slot] && stored[*slot].is_none()).collect();
            for slot in missing.iter().filter(|slot| undecoded[**slot]) {
                faults[*slot].get_or_insert_with(|| TileFault::Lost { member: self.member(pass) });
            }
            fresh.push(missing);
            let is_known = stored.iter().any(Option::is_some);
            passes.push(PassWork { pass, known: if is_known { Known::Tiles(stored) } else { Known::Nothing } });
        }
        let wanted = match (self.is_complete(&batch), self.board.prior.keep_logits) {
            (false, _) => Wanted::Logits,
            (true, true) => Wanted::Both,
            (true, false) => Wanted::Planes,
        };
        let may_begin = Arc::clone(&self.may_begin);
        let work = Work { batch: Arc::clone(raw), passes, faults, wanted, may_begin };
        self.in_flight.push_back(Begun { batch, fresh });
        self.device.submit(work)
    }

    fn member(&self, pass: usize) -> String {
        let plan = self.board.plan();
        plan.members[plan.passes[pass].member].member.name.clone()
    }

    /// Passes the oldest result on. What a device that is out of memory had in flight is tried again, one batch at a time.
    fn collect(&mut self, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        match self.device.collect() {
            Ok(done) => self.done(done, out),
            Err(error) => self.failed(error, out),
        }
    }

    fn done(&mut self, done: Option<Done>, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        let (Some(done), Some(Begun { batch, fresh })) = (done, self.in_flight.pop_front()) else { return Ok(()) };
        self.remember(&batch, &done.tiles);
        let kept = self.kept(&batch, &done, &fresh);
        let outcome = match self.is_complete(&batch) {
            true => Outcome::Complete(done.tiles),
            false => Outcome::Partial { forwards: done.logits, faults: done.faults },
        };
        self.put(batch, outcome, kept, &done.ran, out)
    }

    /// Keeps what came of an empty batch.
    fn remember(&mut self, batch: &TileBatch, tiles: &[TileResult]) {
        let passes = &batch.ticket.geometry.passes;
        let Some(empty) = batch.empty.as_ref().filter(|_| self.may_remember(batch)) else { return };
        let tiles: Result<Vec<TilePlanes>, _> = tiles.iter().cloned().collect();
        if let (Ok(tiles), None) = (tiles, self.position_of(empty, passes)) {
            self.remembered.truncate(REMEMBERED - 1);
            self.remembered.push_front(Remembered { batch: empty.clone(), passes: passes.clone(), tiles });
        }
    }

    /// What came of another batch like it.
    fn recalled(&mut self, batch: &TileBatch) -> Option<Vec<TilePlanes>> {
        let at = self.position_of(batch.empty.as_ref()?, &batch.ticket.geometry.passes)?;
        let found = self.remembered.remove(at)?;
        let tiles = found.tiles.clone();
        self.remembered.push_front(found);
        Some(tiles)
    }

    fn position_of(&self, empty: &EmptyBatch, passes: &[usize]) -> Option<usize> {
        self.remembered.iter().position(|kept| kept.passes == passes && kept.batch == *empty)
    }

    /// Whether planes are all that is wanted of a batch, and come from here.
    fn may_remember(&self, batch: &TileBatch) -> bool {
        self.is_complete(batch) && !self.board.prior.keep_logits
    }

    /// What follows from an error of the device for all that it had in flight.
    fn failed(&mut self, error: DeviceError, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        let in_flight = std::mem::take(&mut self.in_flight);
        self.device.abandon();
        match error {
            DeviceError::OutOfMemory { .. } => in_flight.into_iter().enumerate().try_for_each(|(idx, begun)| {
                // The oldest has had a try.
                let tries = if idx == 0 { 1 } else { 2 };
                self.alone(&begun.batch, tries, out)
            }),
            DeviceError::Halted => in_flight.into_iter().try_for_each(|begun| self.leave(begun.batch, out)),
            error @ (DeviceError::Lost { .. }
            | DeviceError::Missing { .. }
            | DeviceError::Forward { .. }
            | DeviceError::Weights { .. }) => Err(error.into()),
        }
    }

    /// Another chance, with nothing else held. Without success the unit is put off, to be done with batches of one tile, so that what
    /// comes of it does not depend on which of its batches did not fit. A tile that does not fit alone has no result.
    fn alone(&mut self, batch: &Arc<TileBatch>, tries: usize, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        match self.submit(Arc::clone(batch)).and_then(|()| self.device.collect()) {
            Ok(done) => self.done(done, out),
            Err(DeviceError::OutOfMemory { detail }) => {
                self.in_flight.clear();
                self.device.abandon();
                if tries > 1 {
                    return self.alone(batch, tries - 1, out);
                }
                let batch = Arc::clone(batch);
                if batch.raw.len() > 1 {
                    return self.leave(batch, out);
                }
                let fault = TileFault::OutOfMemory { detail };
                let outcome = match self.is_complete(&batch) {
                    true => Outcome::Complete(vec![Err(fault)]),
                    false => Outcome::Partial { forwards: Vec::new(), faults: vec![Some(fault)] },
                };
                self.put(batch, outcome, Vec::new(), &[], out)
            }
            Err(error) => self.failed(error, out),
        }
    }

    /// Leaves a batch to a further pass over its unit, or to another run.
    fn leave(&self, batch: Arc<TileBatch>, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        self.board.scenes.put_off(&batch.ticket);
        self.blank(batch, Vec::new(), out)
    }

    /// Passes on what stands for the result of a batch that no network sees.
    fn blank(
        &self,
        batch: Arc<TileBatch>,
        kept: Vec<(StageKey, Vec<u8>)>,
        out: &Outbox<'_, Ran>,
    ) -> Result<(), StageError> {
        let (planes, areas) = (&self.board.plan().planes, batch.raw.kept.iter().map(|kept| kept.size.len()));
        let outcome = match self.is_complete(&batch) {
            true => Outcome::Complete(areas.map(|area| Ok(TilePlanes::void(planes, area))).collect()),
            false => Outcome::Partial { forwards: Vec::new(), faults: vec![None; batch.raw.len()] },
        };
        self.put(batch, outcome, kept, &[], out)
    }

    /// Counts a batch, and passes on what came of it and what is kept.
    fn put(
        &self,
        batch: Arc<TileBatch>,
        outcome: Outcome,
        kept: Vec<(StageKey, Vec<u8>)>,
        ran: &[PassRan],
        out: &Outbox<'_, Ran>,
    ) -> Result<(), StageError> {
        let pixels = batch.raw.crop.area() * batch.raw.len() as u64;
        for (idx, pass) in self.passes_of(&batch).into_iter().enumerate() {
            self.board.pace.ran(pass, pixels, ran.get(idx).copied().unwrap_or_default());
        }
        if !ran.is_empty() {
            self.board.pace.worked(self.place, ran.iter().map(|ran| ran.time).sum());
        }
        if let Some(artefact) = self.write(kept)? {
            out.put(Ran::Kept(artefact));
        }
        out.put(Ran::Inferred(Inferred { batch, outcome }));
        Ok(())
    }

    /// The stored logits of one tile, if they are there and whole.
    fn recall(&self, batch: &TileBatch, slot: usize, pass: usize) -> Option<Logits> {
        if batch.raw.blank[slot] || self.board.prior.entries.is_empty() {
            return None;
        }
        let name = self.board.prior.keys.logits(&batch.ticket.geometry, batch.first_tile + slot, pass);
        let plan = self.board.plan();
        let member = &plan.members[plan.passes[pass].member];
        let spec = &member.member.spec;
        let limit = Logits::stored_len(spec, batch.raw.crop);
        let bytes = self.board.prior.read(&name, limit)?.ok()?;
        Logits::from_stored(spec, batch.raw.crop, member.resolved_precision, &bytes)
    }

    /// What is kept of a batch: which pixels are data, and the logits that were computed now.
    fn kept(&self, batch: &TileBatch, done: &Done, fresh: &[Vec<usize>]) -> Vec<(StageKey, Vec<u8>)> {
        if !self.board.prior.keep_logits {
            return Vec::new();
        }
        let is_sound = |slot: &usize| done.faults.get(*slot).is_none_or(Option::is_none);
        let mut entries = self.kept_validity(batch, is_sound);
        let (keys, geometry) = (&self.board.prior.keys, &batch.ticket.geometry);
        for ((pass, logits), fresh) in done.logits.iter().zip(fresh) {
            for slot in fresh.iter().filter(|slot| is_sound(slot) && self.may_keep(batch, **slot)) {
                let name = keys.logits(geometry, batch.first_tile + slot, *pass);
                entries.push((name, logits.stored(*slot)));
            }
        }
        entries
    }

    /// A tile of a failed scene is blank because it was not read, which says nothing about its pixels.
    fn may_keep(&self, batch: &TileBatch, slot: usize) -> bool {
        let geometry = &batch.ticket.geometry;
        let part = geometry.tiles[batch.first_tile + slot].part as usize;
        batch.ticket.tasks[part].is_read() && !self.board.scenes.has_failed(geometry.parts[part].scene)
    }

    fn kept_validity(&self, batch: &TileBatch, is_sound: impl Fn(&usize) -> bool) -> Vec<(StageKey, Vec<u8>)> {
        let (keys, geometry, raw) = (&self.board.prior.keys, &batch.ticket.geometry, &batch.raw);
        let mut entries = Vec::new();
        for slot in (0..raw.len()).filter(|slot| is_sound(slot) && self.may_keep(batch, *slot)) {
            let (tile, void) = (batch.first_tile + slot, raw.blank[slot]);
            let valid = if void { vec![0; raw.crop.len()] } else { raw.valid_of(slot).unwrap_or_default().to_vec() };
            entries.push((keys.validity(geometry, tile), valid));
            if void {
                // No pass runs on it; that they have nothing to say is kept, so that nothing seems to be missing.
                let none = |pass: usize| (keys.logits(geometry, tile, pass), Vec::new());
                entries.extend(self.passes_of(batch).into_iter().map(none));
            }
        }
        entries.retain(|(key, _)| !self.board.prior.has(key));
        entries
    }

    fn write(&self, entries: Vec<(StageKey, Vec<u8>)>) -> Result<Option<Artefact>, WriteError> {
        if entries.is_empty() {
            return Ok(None);
        }
        let mut writer = self.board.prior.checkpoints.create(entries.iter().map(|(key, _)| key))?;
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
    type Error = StageError;

    fn process(&mut self, batch: Arc<TileBatch>, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        if self.stop.is_cut() {
            self.board.scenes.put_off(&batch.ticket);
        }
        if self.board.scenes.is_put_off(batch.ticket.unit) {
            return self.blank(batch, Vec::new(), out);
        }
        if batch.raw.is_blank() {
            let keeps = self.board.prior.keep_logits;
            let kept = if keeps { self.kept_validity(&batch, |_| true) } else { Vec::new() };
            return self.blank(batch, kept, out);
        }
        if let Some(tiles) = self.recalled(&batch) {
            self.board.progress.counts().repeated += tiles.len() as u64;
            return self.put(batch, Outcome::Complete(tiles.into_iter().map(Ok).collect()), Vec::new(), &[], out);
        }
        if let Err(error) = self.submit(batch) {
            return self.failed(error, out);
        }
        while self.in_flight.len() >= self.device.depth() {
            self.collect(out)?;
        }
        Ok(())
    }

    /// Results leave when they are ready: whoever waits for them may hold the memory that a further batch needs.
    fn patience(&self) -> Option<Duration> {
        (!self.in_flight.is_empty()).then_some(LOOK_AGAIN)
    }

    fn idle(&mut self, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        if self.device.is_ready() { self.collect(out) } else { Ok(()) }
    }

    fn finish(&mut self, out: &Outbox<'_, Ran>) -> Result<(), StageError> {
        while !self.in_flight.is_empty() {
            self.collect(out)?;
        }
        Ok(())
    }
}
