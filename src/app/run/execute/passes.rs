//! Passes over what is not done, and what a run gives up on the way so that it comes to its end.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::super::deadline::Step;
use super::super::wire::Parts;
use super::super::{devices, wire};
use super::{Error, Goal, Run};
use crate::faults::Fault;
use crate::flow::StageReport;
use crate::infer::{DeviceError, open_devices};
use crate::journal::{Conceded, ConcessionRecord, DeviceFaultRecord, Journal, JournalError, Record};
use crate::lifecycle::SignalWatcher;
use crate::report::{self, Event, TimeStep, Watch};
use crate::stages::GraphError;

/// How late it is when a test says that the deadline is over.
const PLANTED_LATENESS: Duration = Duration::from_secs(21);

impl Run<'_> {
    /// One pass over all that is not done, and one more as long as scenes were put off.
    pub(super) fn passes(&mut self, goal: Goal, watch: &mut Watch) -> Result<(), Error> {
        let started = Instant::now();
        let mut stages: Vec<StageReport> = Vec::new();
        loop {
            if self.deadline.is_some() || self.board.plan().is_blended() {
                self.board.look_ahead();
            }
            if let Some(deadline) = &mut self.deadline {
                let ahead = self.board.terms.ahead();
                deadline.begin_pass(&ahead);
                self.board.pace.allow(deadline.batches_ahead(self.options.limits.begun.elapsed(), &ahead));
            }
            let parts = Parts {
                schedule: &self.schedule,
                source: self.source.as_ref(),
                layout: &self.outputs.layout,
                journal: Arc::clone(&self.journal),
                goal,
                strict: self.options.strict,
                supervisor: self.options.origin.supervisor.clone(),
                faults: self.options.faults.clone(),
            };
            let opened = std::mem::take(&mut self.devices);
            let running = wire(&self.board, &parts, opened, self.stop.clone())?;
            let budget = running.budget.clone();
            let followed = self.follow(running, watch);
            let wall = started.elapsed();
            self.record.measure(&self.board, wall, budget.peak());
            let ended = followed?.join().map_err(|error| self.note_lost(error))?;
            stages = StageReport::sum(stages, ended);
            self.record.stages(&stages, wall);
            if let Some(signal) = self.signals.as_ref().and_then(SignalWatcher::caught) {
                return Err(Error::Stopped(signal));
            }
            if self.stop.is_draining() || !self.next_pass(goal, watch)? {
                return Ok(());
            }
        }
    }

    /// Prepares a pass over the scenes that were put off: the units that a device had not the memory for will run tile by tile. False
    /// when there are none.
    fn next_pass(&mut self, goal: Goal, watch: &Watch) -> Result<bool, Error> {
        let units = self.board.scenes.units_put_off();
        if units.is_empty() {
            return Ok(false);
        }
        let single = |unit: &usize| Conceded::SingleTiles { unit: u32::try_from(*unit).unwrap_or(u32::MAX) };
        let conceded: Vec<Conceded> = units.iter().map(single).collect();
        let (parts, of_parts) = (units.len() as u64, self.board.plan().units.len() as u64);
        watch.tell(&Event::OutOfMemory { parts, of_parts });
        // Nobody else gives those their verdicts, and the next pass knows only that they have their end.
        match goal {
            Goal::Checkpoints => self.note_failed(self.board.scenes.all(), watch)?,
            Goal::Files => self.note_failed(self.board.scenes.cut().into_iter(), watch)?,
        }
        concede(&mut self.journal(), &self.record.report.plan, &conceded)?;
        let reopened = open_devices(self.board.plan(), &self.schedule, &self.device_faults);
        self.devices = reopened.map_err(|error| self.not_reopened(error))?;
        self.board.begin_pass(&conceded);
        if self.board.prior.grows() {
            let stored = self.journal().locate(self.board.open_keys())?;
            Arc::make_mut(&mut self.board.prior).entries.extend(stored);
        }
        Ok(true)
    }

    /// Time since the command began.
    fn elapsed(&self) -> Duration {
        let name = format!("{} passes", self.board.progress.read().forwards);
        let is_late = self.clock_faults.strike(&name) == Some(Fault::Late);
        let planted = self.options.limits.deadline.filter(|_| is_late).map(|limit| limit + PLANTED_LATENESS);
        planted.unwrap_or_default().max(self.options.limits.begun.elapsed())
    }

    /// Says by how much the deadline is missed, if it is.
    pub(super) fn note_late(&mut self) {
        let Some(limit) = self.options.limits.deadline else { return };
        let late = self.elapsed().saturating_sub(limit).as_secs_f64();
        if let Some(deadline) = self.record.report.deadline.as_mut().filter(|_| late > 0.0) {
            deadline.missed_by = Some(late);
            report::tell(&Event::DeadlineMissed { seconds: late });
        }
    }

    /// Does what the deadline asks for, if it asks for something.
    pub(super) fn look_at_clock(&mut self, watch: &Watch) -> Result<(), Error> {
        if self.stop.is_cut() {
            self.board.leave_unbegun();
            return Ok(());
        }
        let (elapsed, draining) = (self.elapsed(), self.stop.is_draining());
        let Some(deadline) = &mut self.deadline else { return Ok(()) };
        if !deadline.is_due(elapsed) {
            return Ok(());
        }
        let (pace, ahead) = (self.board.pace.read(), self.board.terms.ahead());
        let step = deadline.look(elapsed, pace, &ahead, draining);
        self.board.pace.allow(deadline.batches_ahead(elapsed, &ahead));
        let names: Vec<String>;
        let step = match step {
            None => return Ok(()),
            Some(Step::Over) => {
                self.stop.drain();
                self.record.step(elapsed, ahead.units, &[]);
                TimeStep::Drained { parts: ahead.units as u64 }
            }
            Some(Step::Cut) => {
                self.stop.cut();
                if !draining {
                    self.record.step(elapsed, ahead.all, &[]);
                }
                TimeStep::Cut { parts: ahead.all as u64 }
            }
            Some(Step::Passes { passes, fits }) => {
                let (journal, plan) = (&self.journal, &self.record.report.plan);
                let conceded = self.board.terms.concede_passes(passes, elapsed.as_secs_f64(), |what| {
                    let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
                    concede(&mut journal, plan, std::slice::from_ref(what))
                })?;
                if conceded.n_units() == 0 {
                    return Ok(());
                }
                let plan = self.board.plan();
                names = plan.names_of(&plan.keeping(passes));
                self.record.step(elapsed, conceded.n_units(), &names);
                TimeStep::FewerMembers { parts: conceded.n_units() as u64, members: &names, fits }
            }
        };
        let limit = self.options.limits.deadline.unwrap_or_default();
        watch.tell(&Event::Deadline { elapsed, limit, step });
        Ok(())
    }

    /// The error that ended the dataflow; a device that was lost is counted.
    fn note_lost(&self, error: GraphError) -> Error {
        devices::lost_in(&error).map_or_else(|| error.into(), |fault| self.count(fault))
    }

    /// The error of a device that was there in the last pass and cannot be opened for the next one: it is lost, and counted.
    fn not_reopened(&self, error: DeviceError) -> Error {
        devices::lost(&error).map_or_else(|| error.into(), |fault| self.count(fault))
    }

    fn count(&self, fault: DeviceFaultRecord) -> Error {
        devices::count(&mut self.journal(), fault)
    }

    /// Tells which of these scenes have failed, where the dataflow ends before it gives them verdicts.
    pub(super) fn note_failed(&mut self, scenes: impl Iterator<Item = u32>, watch: &Watch) -> Result<(), Error> {
        let mut records = Vec::new();
        for failure in scenes.filter_map(|idx| self.board.scenes.failure(idx)) {
            self.record.fail(&self.outputs, &self.board.plan().pipeline, failure.clone(), watch)?;
            records.push(Record::Failure(failure));
        }
        Ok(self.journal().append(&records)?)
    }
}

fn concede(journal: &mut Journal, plan: &str, conceded: &[Conceded]) -> Result<(), JournalError> {
    let record = |what: &Conceded| Record::Concession(ConcessionRecord { plan: plan.to_owned(), what: what.clone() });
    journal.append(&conceded.iter().map(record).collect::<Vec<_>>())
}
