//! Carries a job out: from what is done already to a checked archive and a report.

mod passes;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::devices::{self, without_lost};
use super::disk::Done;
use super::options::RunOptions;
use super::outputs::Outputs;
use super::record::{self, ReportBuilder};
use super::resume::{Found, Reuse, StageName, holds, look_back};
use super::wire::Goal;
use super::{Job, Running, disk, preconditions, share, throughput};
use crate::app::Error;
use crate::app::page::{Limit, no_page, write_page};
use crate::faults::Faults;
use crate::flow::{Closed, Stall, Stop, Watchdog, watch_over};
use crate::geom::Size;
use crate::infer::{Device, DeviceError, open_devices};
use crate::journal::ledger::{AttemptCounts, ShardName};
use crate::journal::{self, FailureRecord, Journal, RunRecord, State};
use crate::lifecycle::{AttemptInfo, Ending, Lock, SignalWatcher, SupervisorLink, machine};
use crate::outputs::legend;
use crate::plan::{BackendKind, Concessions, Plan, Planned, Refusal, Schedule};
use crate::report::{self, Detail, Event, RunInfo, RunReport, RunState, Snapshot, StageLine, Watch};
use crate::stages::{Board, DeviceTimes, Graph, PassTotals, Scenes};

/// A run that came to its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it did, as report.json has it.
    pub report: RunReport,
    /// The run directory.
    pub out: PathBuf,
    /// report.html, if it was asked for and could be written.
    pub page: Option<PathBuf>,
    /// When the devices were open, if any was needed.
    pub devices_open: Option<Instant>,
    /// When the first tiles had their labels.
    pub first_tiles: Option<Instant>,
    /// How far each forward pass is, by its number in the plan.
    pub passes: Vec<(usize, PassTotals)>,
    /// When devices were at work.
    pub devices: DeviceTimes,
}

/// Carries a job out, as far as it is not done already.
///
/// # Errors
/// When the run directory is in use, foreign files lie at output names, the networks cannot be loaded, the outputs cannot be
/// written, somebody stops it, or a stage panics. Scenes that failed, or that a deadline left over, are no error: they are in the report.
pub fn execute(job: Job, options: &RunOptions) -> Result<Ended, Error> {
    let reuse = if options.origin.restarted { Reuse::Everything } else { options.reuse };
    let options = &RunOptions { reuse, ..options.clone() };
    preconditions::of_job(&job, options)?;
    preconditions::of_folder(&job, options)?;
    let needed = disk::need(&job.planned.plan, |_| Done::Nothing);
    let explain = |e| disk::explain(e, &options.out, needed);
    let _lock = Lock::take(options.journal_dir(), options.break_lock).map_err(|e| explain(e.into()))?;
    let cut = share::take_in(&job.planned.plan, options).map_err(explain)?;
    // Read once, now that nobody else writes.
    let (outputs, state) = preconditions::of_outputs(&job, options)?;
    let mut run = Run::begin(job, options, outputs, state, cut).map_err(explain)?;
    let done = run.carry_out();
    run.note_late();
    let first_tiles = run.board.progress.read().first_tiles;
    let since_begun = |at: Instant| at.saturating_duration_since(options.limits.begun).as_secs_f64();
    run.record.report.totals.first_labels = first_tiles.map(since_begun);
    run.record.close(run.board.plan(), &run.board.terms.concessions());
    let decoders = run.source.helpers_peak();
    run.record.report.memory.peak_decoders = decoders;
    run.record.report.memory.peak_rss = machine::peak_rss() + decoders + options.origin.supervisor.peak_of_supervisor();
    let came_to_its_end = done.is_ok() && run.record.report.missing.is_empty();
    run.record.report.run.ended = record::now();
    run.record.report.state = if came_to_its_end { RunState::Finished } else { RunState::Stopped };
    let recorded = run.record_end(came_to_its_end);
    let written = run.record.report.write(&run.outputs.book.report());
    let page = run.write_page(done.is_ok());
    // The first error is the one to tell.
    let explain = |e| disk::explain(e, &options.out, run.outstanding_bytes());
    done.map_err(explain)?;
    recorded.and(written.map_err(Error::from)).map_err(explain)?;
    let (passes, devices) =
        (run.board.plan().kept_first().zip(run.board.pace.read()).collect(), run.board.pace.devices());
    let (devices_open, out) = (run.devices_open, options.out.clone());
    Ok(Ended { report: run.record.report, out, page, devices_open, first_tiles, passes, devices })
}

/// Tells what does not move, with the stage table, and ends the process.
fn give_up(stall: &Stall, stages: &[StageLine], supervisor: &SupervisorLink) -> ! {
    report::tell(&Event::Stalled { stages });
    supervisor.give_up(stall)
}

/// How this run is made.
fn run_info(plan: &Plan, schedule: &Schedule, options: &RunOptions) -> RunInfo {
    let now = record::now();
    RunInfo {
        command: options.origin.arguments.clone(),
        folder: folder(),
        host: machine::host(),
        started: now.clone(),
        ended: now,
        backend: plan.backend.name().to_owned(),
        devices: schedule.devices.iter().map(ToString::to_string).collect(),
        device_class: plan.device_class.clone(),
        versions: plan.versions.iter().cloned().collect(),
        post: plan.pipeline.post.words(&plan.pipeline.classes),
    }
}

/// The folder that the command runs in.
fn folder() -> String {
    std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default()
}

/// The scenes of a plan that were under way when an earlier attempt died.
fn suspects(plan: &Plan, attempt: &AttemptInfo) -> BTreeSet<u32> {
    (0..).zip(&plan.scenes).filter(|(_, scene)| attempt.suspects.contains(&scene.name)).map(|(idx, _)| idx).collect()
}

/// Gives up the scenes that earlier attempts died of.
fn leave_out(scenes: &Scenes, attempt: &AttemptInfo) {
    for (idx, scene) in (0..).zip(&scenes.plan().scenes) {
        if let Some(how) = attempt.quarantined.get(&scene.name) {
            scenes.fail(
                idx,
                "supervisor",
                None,
                format!("the program {how} while this scene was under way, and again when it ran alone"),
            );
        }
    }
}

/// What ends a run, and what hears of signals where it is no part of something that does.
fn watched(options: &RunOptions) -> Result<(Stop, Option<SignalWatcher<Ending>>), Error> {
    let stop = options.origin.part_of.clone().unwrap_or_default();
    let watch = || SignalWatcher::of_worker(stop.clone(), options.limits.grace, &options.origin.supervisor);
    let signals = options.origin.part_of.is_none().then(watch).transpose()?;
    Ok((stop, signals))
}

/// Gives scenes their end about which nothing is to be done here: those that have failed elsewhere, which it returns, and those of which the
/// plan has a part only, and all of that is kept already.
fn end(scenes: &Scenes, failed: Vec<(u32, FailureRecord)>, for_networks: &[usize]) -> Vec<FailureRecord> {
    failed.iter().for_each(|(scene, _)| scenes.end(*scene));
    let is_kept = |scene: &u32| scenes.plan().units_of(*scene as usize).all(|unit| !for_networks.contains(&unit));
    scenes.cut().into_iter().filter(is_kept).for_each(|scene| scenes.end(scene));
    failed.into_iter().map(|(_, failure)| failure).collect()
}

fn extent(plan: &Plan) -> Snapshot {
    let totals = plan.totals();
    Snapshot { scenes: plan.scenes.len() as u64, tiles: totals.tiles, network_pixels: totals.network_pixels }
}

/// The journal without what is to be forgotten.
fn open_journal(options: &RunOptions, plan: &str) -> Result<Journal, Error> {
    if options.reuse == Reuse::Nothing {
        Journal::remove(options.journal_dir())?;
    }
    let mut journal = Journal::open(options.journal_dir())?;
    if !options.origin.restarted {
        journal.forget_device_faults()?;
    }
    if options.limits.deadline.is_none() {
        journal.forget_fewer_passes(plan)?;
    }
    Ok(journal)
}

/// What it means that a device cannot be opened: where it was there when a person started the run, it is lost, and counts.
fn not_opened(error: DeviceError, options: &RunOptions) -> Error {
    let Some(fault) = devices::lost(&error).filter(|_| options.origin.restarted) else { return error.into() };
    Journal::open(options.journal_dir()).map_or_else(Error::from, |mut journal| devices::count(&mut journal, fault))
}

/// Writes what a run directory says of all of its scenes before any work.
fn tell(planned: &Planned, outputs: &Outputs) -> Result<(), Error> {
    planned.save(&outputs.book.plan())?;
    if planned.plan.pipeline.outputs.legend {
        legend::save(&outputs.book, &planned.plan.pipeline)?;
    }
    Ok(())
}

/// The record of a run that begins.
fn begun(
    attempt: u64,
    planned: &Planned,
    record: &mut ReportBuilder,
    options: &RunOptions,
) -> Result<RunRecord, Error> {
    Ok(RunRecord {
        attempt,
        plan: record.report.plan.clone(),
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        started: machine::seconds_since_1970(),
        scenes: (planned.plan.scenes.len() + planned.refused.len()) as u64,
        tiles: planned.plan.totals().tiles,
        done_before: record.report.totals.done,
        folder: folder(),
        arguments: options.origin.arguments.clone(),
        report: record.own_part()?,
    })
}

/// Time between two looks at workers that are about to end.
const LAST_STEPS: Duration = Duration::from_millis(1);

/// Time that pictures of scenes may take after a run, or a fiftieth of its own.
const PICTURES: Duration = Duration::from_secs(4);

/// A run that has begun.
struct Run<'a> {
    stop: Stop,
    /// Watched to the very end: once taken over, a signal does nothing by itself any more.
    /// None where the run is a part of something that watches.
    signals: Option<SignalWatcher<Ending>>,
    options: &'a RunOptions,
    board: Board,
    schedule: Schedule,
    source: Arc<dyn crate::raster::OpenSource>,
    outputs: Outputs,
    refused: Vec<Refusal>,
    /// Scenes of the plan that have failed elsewhere.
    failed_before: Vec<FailureRecord>,
    journal: Arc<Mutex<Journal>>,
    /// As the journal has it.
    run: RunRecord,
    /// The schedule's devices, where something is left for networks to do.
    devices: Vec<Box<dyn Device>>,
    devices_open: Option<Instant>,
    /// What goes wrong with them, and with the time, on purpose, counted over all passes.
    device_faults: Faults,
    clock_faults: Faults,
    record: ReportBuilder,
    deadline: Option<Deadline>,
}

impl<'a> Run<'a> {
    /// Finds out what is done, and writes down that a run has begun: from here on everything it leaves is known as its own.
    fn begin(
        job: Job,
        options: &'a RunOptions,
        outputs: Outputs,
        mut state: State,
        cut: Option<ShardName>,
    ) -> Result<Self, Error> {
        let Job { planned, schedule, promise, source, .. } = job;
        let plan = &planned.plan;
        let device_faults = options.faults.at("device");
        let digest = record::digest(plan)?;
        let attempt = state.run.as_ref().map_or(0, |run| run.attempt) + 1;
        let has_deadline = options.limits.deadline.is_some();
        state.concessions.retain(|conceded| holds(conceded, &digest, has_deadline));
        let conceded = std::mem::take(&mut state.concessions);
        let concessions = Concessions::of(&conceded, &digest);
        let lost = std::mem::take(&mut state.device_faults);
        let schedule = without_lost(&schedule, if options.origin.restarted { &lost } else { &[] })?;
        let found = look_back(plan, &concessions, state, &outputs.layout, options.reuse)?;
        let Found { prior, scenes, archive, damaged, stale, reduced, discarded, usable, for_networks, failed } = found;
        share::check_whole(&for_networks, cut, options)?;
        // Before anything is touched: weights that do not fit end the run here.
        let open = || open_devices(plan, &schedule, &device_faults).map_err(|e| not_opened(e, options));
        let devices = if for_networks.is_empty() { Vec::new() } else { open()? };
        let devices_open = (!devices.is_empty()).then(Instant::now);
        options.limits.clock.stop();
        let mut journal = open_journal(options, &digest)?;
        // What no longer holds is forgotten for good: a run that is stopped must not find it again.
        journal.forget_stale(&stale, &discarded, reduced)?;
        let n_temporaries = share::remove_temporaries(options);
        let mut record = ReportBuilder::begin(&planned, &promise, &outputs, run_info(plan, &schedule, options))?;
        outputs.withdraw_page();
        tell(&planned, &outputs)?;
        record.report.restarts.clone_from(&options.origin.supervisor.attempt().deaths);
        record.found(plan, &scenes, archive, damaged, usable, n_temporaries);
        record.steps(options.limits.deadline, plan, &conceded);
        let n_devices = schedule.devices.len();
        let deadline = options.limits.deadline.map(|limit| Deadline::new(limit, plan, n_devices, options.partial));
        let run = begun(attempt, &planned, &mut record, options)?;
        journal.append(&[journal::Record::Run(run.clone())])?;
        share::publish(&mut journal, plan, &record.report.run, options)?;
        options.origin.supervisor.begun();
        let Planned { plan, refused, .. } = planned;
        let suspects = suspects(&plan, options.origin.supervisor.attempt());
        let scenes = Scenes::new(Arc::new(plan), Arc::clone(&source), scenes, suspects, attempt);
        leave_out(&scenes, options.origin.supervisor.attempt());
        let failed_before = end(&scenes, failed, &for_networks);
        let board = Board::new(scenes, concessions, prior);
        let journal = Arc::new(Mutex::new(journal));
        let (stop, signals) = watched(options)?;
        Ok(Self {
            stop,
            signals,
            options,
            board,
            schedule,
            source,
            outputs,
            refused,
            failed_before,
            journal,
            run,
            devices,
            devices_open,
            device_faults,
            clock_faults: options.faults.at("clock"),
            record,
            deadline,
        })
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down how it has ended, and tells those whom it works beside.
    fn record_end(&mut self, is_complete: bool) -> Result<(), Error> {
        self.run.report = self.record.own_part()?;
        let ended = journal::Record::Run(self.run.clone());
        self.journal().append(&[ended])?;
        let (plan, totals) = (self.board.plan(), &self.record.report.totals);
        let kept_units = self.board.scenes.cut().iter().map(|scene| plan.units_of(*scene as usize).len() as u64).sum();
        let counts = AttemptCounts { done: totals.done, failed: totals.failed, kept_units, complete: is_complete };
        Ok(self.journal().publish_end(counts)?)
    }

    /// Writes the page, which fails no run. Its pictures have a small part of the run's time, and none where somebody waits for its end.
    fn write_page(&self, went_well: bool) -> Option<PathBuf> {
        let Self { options, record, .. } = self;
        if !options.page {
            return None;
        }
        let limits = &options.limits;
        let left = limits.deadline.map(|limit| limit.saturating_sub(limits.begun.elapsed()) / 2);
        let share = Duration::try_from_secs_f64(record.report.totals.seconds / 50.0).unwrap_or_default();
        let time = share.max(PICTURES).min(left.unwrap_or(Duration::MAX));
        let stop = &self.stop;
        let is_stopped = || !went_well || stop.is_draining() || stop.is_tripped();
        let limit = Limit { until: Instant::now().checked_add(time), is_stopped: &is_stopped };
        let (plan, readers) = (self.board.plan(), self.schedule.readers);
        match write_page(&options.out, plan, &record.report, self.source.as_ref(), readers, &limit) {
            Ok(page) => Some(page),
            Err(error) => {
                if options.show.detail > Detail::Quiet {
                    report::tell(&Event::Warning { text: &no_page(&error, &options.out) });
                }
                None
            }
        }
    }

    fn carry_out(&mut self) -> Result<(), Error> {
        let mut watch = {
            let plan = self.board.plan();
            Watch::new(extent(plan), self.record.known_extent(plan), self.options.show)
        };
        watch.tell(&self.record.earlier(self.board.plan()));
        if let Some(warning) = disk::warning(self.outstanding_bytes(), disk::free(&self.options.out)) {
            watch.tell(&Event::Warning { text: &warning });
        }
        let is_done = self.record.report.totals.done == self.board.plan().scenes.len() as u64;
        if !is_done || !self.refused.is_empty() || !self.failed_before.is_empty() {
            self.withdraw_archive()?;
        }
        self.note_refused(&watch)?;
        if !is_done {
            self.run_stages(&mut watch)?;
        }
        let is_packed = self.options.pack_fake || self.board.plan().backend != BackendKind::Fake;
        match self.options.until {
            None | Some(StageName::Pack) if is_packed => self.pack(),
            // Nobody shall hand in the archive of an earlier run as this one's.
            None | Some(StageName::Pack) => self.withdraw_archive(),
            Some(_) => {
                self.record.keep_archive(&self.outputs.layout);
                Ok(())
            }
        }
    }

    /// Bytes that what is still to come may take on disk.
    fn outstanding_bytes(&self) -> u64 {
        let plan = self.board.plan();
        let has_archive = self.record.report.package.is_some() || self.record.archive.is_some();
        disk::need(plan, |scene| match self.record.is_done(&plan.scenes[scene].name) {
            false => Done::Nothing,
            true if has_archive => Done::All,
            true => Done::Files,
        })
    }

    fn withdraw_archive(&mut self) -> Result<(), Error> {
        self.record.archive = None;
        self.journal().forget_archive()?;
        self.outputs.withdraw_archive()
    }

    fn run_stages(&mut self, watch: &mut Watch) -> Result<(), Error> {
        let goal = match self.options.until {
            None | Some(StageName::Encode | StageName::Pack) => Goal::Files,
            Some(_) => Goal::Checkpoints,
        };
        let ended = self.passes(goal, watch);
        watch.finish();
        ended?;
        let left_over = if self.stop.is_draining() { self.board.left_over() } else { Vec::new() };
        match goal {
            Goal::Files => {
                let unheard: BTreeSet<u32> = left_over.iter().copied().chain(self.board.scenes.cut()).collect();
                self.note_failed(unheard.into_iter(), watch)?;
            }
            Goal::Checkpoints => self.note_failed(self.board.scenes.all(), watch)?,
        }
        self.record.left_over(&self.board, &left_over);
        if goal == Goal::Files {
            self.record.check_complete(&self.board)?;
        }
        let totals = &self.record.report.totals;
        // Labels that were stored cost the networks nothing, and fewer members take less: such a run says nothing about their speed.
        let as_planned = left_over.is_empty() && self.board.terms.concessions().is_empty();
        if as_planned && self.board.progress.read().recalled_pixels == 0 {
            throughput::remember(self.board.plan(), &self.schedule, totals.network_pixels, totals.seconds);
        }
        Ok(())
    }

    fn note_refused(&mut self, watch: &Watch) -> Result<(), Error> {
        let pipeline = &self.board.plan().pipeline;
        let mut records = Vec::new();
        for failure in self.refused.iter().map(|refusal| &refusal.failure).chain(&self.failed_before) {
            let failure = FailureRecord { attempt: self.run.attempt, ..failure.clone() };
            self.record.fail(&self.outputs, pipeline, failure.clone(), watch)?;
            records.push(journal::Record::Failure(failure));
        }
        Ok(self.journal().append(&records)?)
    }

    /// Takes verdicts and shows progress until the dataflow has ended.
    fn follow(&mut self, running: Running, watch: &mut Watch) -> Result<Graph, Error> {
        let Running { graph, verdicts, .. } = running;
        let mut scenes = self.record.report.totals.done;
        let known = self.record.known_extent(self.board.plan());
        let mut watchdog = self.options.limits.stall.map(Watchdog::new);
        let (mut recorded, started) = (self.board.progress.read().records, Instant::now());
        let mut failed = None;
        loop {
            let mut taken = Ok(());
            match verdicts.recv_timeout(Watch::INTERVAL) {
                Ok(Some(verdict)) => {
                    scenes += 1;
                    taken = self.record.take(verdict, &self.board, &self.outputs, watch);
                }
                Ok(None) => {}
                // Whatever has happened, workers are watched until they are gone: one that does not come back cannot be joined.
                Err(Closed) if graph.has_ended() => return failed.map_or(Ok(graph), Err),
                Err(Closed) => std::thread::sleep(LAST_STEPS),
            }
            let counts = self.board.progress.read();
            if std::mem::replace(&mut recorded, counts.records) != counts.records {
                self.options.origin.supervisor.recorded();
            }
            if let Some(stall) = watchdog.as_mut().and_then(|dog| dog.look(&graph)) {
                self.give_up(&stall, &graph, started.elapsed(), watch);
            }
            if let Err(error) = taken.and_then(|()| self.look_at_clock(watch)) {
                self.stop.trip();
                failed.get_or_insert(error);
            }
            let counts = self.board.progress.read();
            let (tiles, network_pixels) = (known.tiles + counts.tiles, known.network_pixels + counts.seen_pixels);
            watch.show(Snapshot { scenes, tiles, network_pixels });
        }
    }

    /// Tells what does not move and ends the process: a worker that does not come back cannot be joined.
    fn give_up(&mut self, stall: &Stall, graph: &Graph, wall: Duration, watch: &Watch) -> ! {
        watch.finish();
        self.record.stages(&graph.reports(), wall);
        give_up(stall, &self.record.report.stages, &self.options.origin.supervisor)
    }

    /// Makes the archive out of what the journal knows as done, unless it is there or withheld.
    fn pack(&mut self) -> Result<(), Error> {
        let planned = self.board.plan().scenes.iter().map(|s| (s.name.clone(), Some(s.header.size)));
        let sizes: Vec<(String, Option<Size>)> =
            planned.chain(self.refused.iter().map(|r| (r.failure.name.clone(), r.size))).collect();
        let stages = self.record.report.stages.clone();
        let faults = self.options.faults.at("pack");
        let supervisor = &self.options.origin.supervisor;
        let work = |alive: &dyn Fn()| {
            faults.pass("submit.zip");
            self.record.pack(&self.outputs, self.options.partial, &sizes, &self.board, alive)
        };
        let stalled = |stall: &Stall| give_up(stall, &stages, supervisor);
        let Some(archive) = watch_over("pack", self.options.limits.stall, stalled, work)? else {
            return Ok(());
        };
        Ok(self.journal().append(&[journal::Record::Archive(archive)])?)
    }
}
