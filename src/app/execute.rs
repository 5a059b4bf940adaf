//! Carries a job out: from loaded networks to a checked archive and a report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::outputs::Outputs;
use super::record::Record;
use super::signals::Signals;
use super::{Error, Job, Running, machine, throughput, wire};
use crate::config::Pipeline;
use crate::flow::{Closed, Graph, Stop};
use crate::geom::Size;
use crate::infer::{Backend, open_backends};
use crate::plan::{Plan, Planned, Refusal, Schedule};
use crate::raster::OpenSource;
use crate::report::{RunReport, RunState, Snapshot, Watch};
use crate::stages::{Board, Failure};

/// What becomes of the archive when scenes failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partial {
    /// There is none.
    #[default]
    Withhold,
    /// It is made without them.
    Omit,
    /// It holds a mask of this value in their place.
    Blank(u16),
}

/// How a job is carried out.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run directory.
    pub out: PathBuf,
    /// Whether files that no earlier run wrote may be replaced.
    pub overwrite: bool,
    /// What becomes of the archive when scenes failed.
    pub partial: Partial,
    /// Whether progress is shown on standard error.
    pub show: bool,
}

/// A run that came to its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it did.
    pub report: RunReport,
    /// The run directory.
    pub out: PathBuf,
}

/// Carries a job out.
///
/// # Errors
/// When the networks cannot be loaded, foreign files lie at output names, the outputs cannot be written, somebody stops it, or
/// a stage panics. Failed scenes are no error: they are in the report.
pub fn execute(job: Job, options: &RunOptions) -> Result<Ended, Error> {
    let Job { planned, schedule, promise, source, .. } = job;
    let Planned { plan, refused, ignored } = planned;
    check_partial(options.partial, &plan.pipeline)?;
    let backends = if plan.scenes.is_empty() { Vec::new() } else { open_backends(&plan, &schedule)? };
    let outputs = Outputs::open(&options.out);
    let layout = outputs.layout.clone();
    let names = plan.scenes.iter().map(|s| s.name.as_str()).chain(refused.iter().map(|r| r.name.as_str()));
    let foreign = outputs.foreign(names, &plan.pipeline);
    if !foreign.is_empty() && !options.overwrite {
        return Err(Error::Foreign(foreign));
    }
    let mut record = Record::begin(&plan, &promise, &outputs, ignored)?;
    let board = Arc::new(Board::new(plan));
    let mut run = Run { board, outputs, refused, record: &mut record, partial: options.partial, show: options.show };
    let done = run.carry_out(&schedule, source.as_ref(), backends);
    record.report.memory.peak_rss = machine::peak_rss();
    record.report.state = if done.is_ok() { RunState::Finished } else { RunState::Stopped };
    let written = record.report.write(&layout.report());
    // The first error is the one to tell.
    done?;
    written?;
    Ok(Ended { report: record.report, out: options.out.clone() })
}

/// A run that has begun.
struct Run<'a> {
    board: Arc<Board>,
    outputs: Outputs,
    refused: Vec<Refusal>,
    record: &'a mut Record,
    partial: Partial,
    show: bool,
}

impl Run<'_> {
    fn carry_out(
        &mut self,
        schedule: &Schedule,
        source: &dyn OpenSource,
        backends: Vec<Box<dyn Backend>>,
    ) -> Result<(), Error> {
        let mut watch = Watch::new(extent(self.board.plan()), self.show);
        self.outputs.withdraw_archive()?;
        self.note_refused(&watch)?;
        if self.board.plan().scenes.is_empty() {
            return Ok(());
        }
        let stop = Stop::new();
        let signals = Signals::watch(stop.clone());
        let signals = signals.map_err(|source| Error::System { operation: "watch for signals", source })?;
        let started = Instant::now();
        let running = wire(&self.board, schedule, source, backends, &self.outputs.layout, stop)?;
        let budget = running.budget.clone();
        let followed = self.follow(running, &mut watch);
        watch.finish();
        let wall = started.elapsed();
        self.record.measure(&self.board, wall, budget.peak());
        self.record.stages(&followed?.join()?, wall);
        if let Some(signal) = signals.caught() {
            return Err(Error::Stopped(signal));
        }
        self.record.check_complete(&self.board)?;
        let totals = &self.record.report.totals;
        throughput::remember(self.board.plan(), schedule, totals.network_pixels, totals.seconds);
        let sizes = self.sizes();
        self.record.pack(&self.outputs, self.partial, &sizes, &self.board.plan().pipeline)
    }

    fn note_refused(&mut self, watch: &Watch) -> Result<(), Error> {
        let pipeline = &self.board.plan().pipeline;
        for scene in &self.refused {
            let failure = Failure { stage: "plan", cause: scene.cause.clone() };
            self.record.fail(&self.outputs, pipeline, &scene.name, scene.file.clone(), &failure, watch)?;
        }
        Ok(())
    }

    /// Takes verdicts and shows progress until the dataflow has ended.
    fn follow(&mut self, running: Running, watch: &mut Watch) -> Result<Graph, Error> {
        let Running { graph, verdicts, .. } = running;
        let mut scenes = 0;
        loop {
            match verdicts.recv_timeout(Watch::INTERVAL) {
                Ok(Some(verdict)) => {
                    scenes += 1;
                    self.record.take(verdict, &self.board, &self.outputs, watch)?;
                }
                Ok(None) => {}
                Err(Closed) => return Ok(graph),
            }
            let progress = self.board.progress();
            watch.show(Snapshot { scenes, tiles: progress.tiles(), network_pixels: progress.network_pixels() });
        }
    }

    /// Name and, where known, size of every scene, refused ones included.
    fn sizes(&self) -> Vec<(String, Option<Size>)> {
        let planned = self.board.plan().scenes.iter().map(|s| (s.name.clone(), Some(s.header.size)));
        planned.chain(self.refused.iter().map(|r| (r.name.clone(), r.size))).collect()
    }
}

fn check_partial(partial: Partial, pipeline: &Pipeline) -> Result<(), Error> {
    match partial {
        Partial::Blank(value) if !pipeline.classes.holds(value) => Err(Error::Usage(format!(
            "--allow-partial=blank:{value}: no class of the pipeline has the value {value}; masks may hold only those"
        ))),
        Partial::Withhold | Partial::Omit | Partial::Blank(_) => Ok(()),
    }
}

fn extent(plan: &Plan) -> Snapshot {
    let totals = plan.totals();
    Snapshot { scenes: plan.scenes.len() as u64, tiles: totals.tiles, network_pixels: totals.network_pixels }
}
