//! Passes over what is not done, and what a run gives up on the way so that it comes to its end.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::super::deadline::Step;
use super::super::wire::Parts;
use super::super::{devices, wire};
use super::{Error, Extent, Run};
use crate::config::format_duration;
use crate::flow::{GraphError, StageReport};
use crate::infer::{BackendError, open_backends};
use crate::journal::{Conceded, ConcessionRecord, DeviceFaultRecord, Journal, JournalError, Record};
use crate::report::Watch;

impl Run<'_> {
    /// One pass over all that is not done, and one more as long as scenes were put off.
    pub(super) fn passes(&mut self, extent: Extent, watch: &mut Watch) -> Result<(), Error> {
        let started = Instant::now();
        let mut stages: Vec<StageReport> = Vec::new();
        loop {
            if let Some(deadline) = &mut self.deadline {
                self.board.look_ahead();
                deadline.begin_pass(&self.board.ahead());
            }
            let parts = Parts {
                schedule: &self.schedule,
                source: self.source.as_ref(),
                layout: &self.outputs.layout,
                journal: Arc::clone(&self.journal),
                extent,
                strict: self.options.strict,
                guard: self.options.guard.clone(),
                faults: self.options.faults.clone(),
            };
            let backends = std::mem::take(&mut self.backends);
            let running = wire(&self.board, &parts, backends, self.stop.clone())?;
            let budget = running.budget.clone();
            let followed = self.follow(running, watch);
            let wall = started.elapsed();
            self.record.measure(&self.board, wall, budget.peak());
            let ended = followed?.join().map_err(|error| self.note_lost(error))?;
            stages = StageReport::sum(stages, ended);
            self.record.stages(&stages, wall);
            if let Some(signal) = self.signals.caught() {
                return Err(Error::Stopped(signal));
            }
            if self.stop.is_draining() || !self.next_pass(watch)? {
                return Ok(());
            }
        }
    }

    /// Prepares a pass over the scenes that were put off: the units that a device had not the memory for will run tile by tile. False
    /// when there are none.
    fn next_pass(&mut self, watch: &Watch) -> Result<bool, Error> {
        let units = self.board.units_put_off();
        if units.is_empty() {
            return Ok(false);
        }
        let single = |unit: &usize| Conceded::SingleTiles { unit: u32::try_from(*unit).unwrap_or(u32::MAX) };
        let conceded: Vec<Conceded> = units.iter().map(single).collect();
        watch.line(&format!(
            "out of memory on a device: {} of {} units are done again, tile by tile",
            units.len(),
            self.board.plan().units.len()
        ));
        let entries = {
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            concede(&mut journal, &self.record.report.plan, &conceded)?;
            journal.state()?.entries
        };
        let reopened = open_backends(self.board.plan(), &self.schedule, &self.device_faults);
        self.backends = reopened.map_err(|error| self.not_reopened(error))?;
        let board = Arc::get_mut(&mut self.board);
        let board = board.ok_or_else(|| Error::Internal("a stage outlives its pass".into()))?;
        board.begin_pass(&conceded, entries);
        Ok(true)
    }

    /// Does what the deadline asks for, if it asks for something.
    pub(super) fn look_at_clock(&mut self, watch: &Watch) -> Result<(), Error> {
        let elapsed = self.options.begun.elapsed();
        let Some(deadline) = &mut self.deadline else { return Ok(()) };
        if self.stop.is_draining() || !deadline.is_due(elapsed) {
            return Ok(());
        }
        let (pace, ahead) = (self.board.pace().read(), self.board.ahead());
        let line = match deadline.look(elapsed, pace, &ahead) {
            None => return Ok(()),
            Some(Step::Over) => {
                self.stop.drain();
                self.record.step(elapsed, ahead.units, &[]);
                format!(
                    "the next unit does not fit into what is left: nothing more begins, and {} units are left over",
                    ahead.units
                )
            }
            Some(Step::Members { members, fits }) => {
                let (journal, plan) = (&self.journal, &self.record.report.plan);
                let conceded = self.board.concede_members(members, elapsed.as_secs_f64(), |what| {
                    let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
                    concede(&mut journal, plan, std::slice::from_ref(what))
                })?;
                if conceded.n_units() == 0 {
                    return Ok(());
                }
                let names: Vec<String> = self.board.plan().members.iter().map(|m| m.member.name.clone()).collect();
                let units = conceded.n_units();
                self.record.step(elapsed, units, &names[..members]);
                let few = if fits { "as many members as fit" } else { "one member, and even that may not fit" };
                format!("{units} units that have not begun are left to {few}: {}", names[..members].join(" + "))
            }
        };
        let limit = self.options.deadline.unwrap_or_default();
        watch.line(&format!("deadline: after {} of {}, {line}", format_duration(elapsed), format_duration(limit)));
        Ok(())
    }

    /// The error that ended the dataflow; a device that was lost is counted.
    fn note_lost(&self, error: GraphError) -> Error {
        devices::lost_in(&error).map_or_else(|| error.into(), |fault| self.count(fault))
    }

    /// The error of a device that was there in the last pass and cannot be opened for the next one: it is lost, and counted.
    fn not_reopened(&self, error: BackendError) -> Error {
        devices::lost(&error).map_or_else(|| error.into(), |fault| self.count(fault))
    }

    fn count(&self, fault: DeviceFaultRecord) -> Error {
        devices::count(&mut self.journal.lock().unwrap_or_else(PoisonError::into_inner), fault)
    }

    /// Tells which of these scenes have failed, where the dataflow ends before it gives them verdicts.
    pub(super) fn note_failed(&mut self, scenes: impl Iterator<Item = u32>, watch: &Watch) -> Result<(), Error> {
        let plan = self.board.plan();
        for idx in scenes {
            if let Some(failure) = self.board.failure(idx) {
                let (name, path) = (&plan.scenes[idx as usize].name, plan.label_of(idx as usize).into());
                self.record.fail(&self.outputs, &plan.pipeline, name, path, &failure, watch)?;
            }
        }
        let records = self.record.failure_records();
        Ok(self.journal.lock().unwrap_or_else(PoisonError::into_inner).append(&records)?)
    }
}

/// Writes concessions down.
fn concede(journal: &mut Journal, plan: &str, conceded: &[Conceded]) -> Result<(), JournalError> {
    let record = |what: &Conceded| Record::Concession(ConcessionRecord { plan: plan.to_owned(), what: what.clone() });
    journal.append(&conceded.iter().map(record).collect::<Vec<_>>())
}
