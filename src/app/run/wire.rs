//! Joins the stages of a run. Everything about who feeds whom is here.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::app::Error;
use crate::faults::FaultPlan;

use crate::flow::{
    Admission, Admitted, Both, Budget, Closed, Emit, Fan, Inlet, Outlet, Router, Source, Stop, Waiting, Wrapped,
};
use crate::infer::{Device, open_combiner};
use crate::journal::Journal;
use crate::lifecycle::SupervisorLink;
use crate::outputs::OutputLayout;
use crate::plan::{LINK_CAPACITY, Plan, Schedule};
use crate::raster::OpenSource;
use crate::stages::{
    Average, Board, Classified, Commit, Encode, Finished, Graph, GraphError, Infer, Inferred, Keep, KeepLabels, Opened,
    Post, Ran, Read, ReadUnit, SceneState, Stitch, StitchedScene, TileBatch, TileStage, Turn, Verdict,
};

/// A dataflow at work.
pub struct Running {
    /// The stages, their workers and the links between them.
    pub graph: Graph,
    /// The end of each scene, in any order; closes when all have ended.
    pub verdicts: Inlet<Verdict>,
    /// The memory of its units.
    pub budget: Budget,
}

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To the files of the scenes.
    Files,
    /// To the checkpoints: nothing is stitched or encoded.
    Checkpoints,
}

/// Everything that the stages of a run share.
pub struct Parts<'a> {
    /// Devices, workers and memory.
    pub schedule: &'a Schedule,
    /// Opens the scenes.
    pub source: &'a dyn OpenSource,
    /// The run directory.
    pub layout: &'a OutputLayout,
    /// Where what is done is recorded; shared with the keeper of checkpoints.
    pub journal: Arc<Mutex<Journal>>,
    /// How far it goes.
    pub goal: Goal,
    /// Whether a scene that its decoder warns of fails.
    pub strict: bool,
    /// The process that watches over this one.
    pub supervisor: SupervisorLink,
    /// Faults on purpose; none outside tests.
    pub faults: FaultPlan,
}

/// What leaves the readers: units to be cut, and labels that were stored.
#[derive(Clone)]
struct AfterRead {
    units: Outlet<ReadUnit>,
    labels: Option<Outlet<Arc<Classified>>>,
}

impl Emit<Opened> for AfterRead {
    fn emit(&self, opened: Opened) -> Result<(), Closed> {
        match opened {
            Opened::Unit(unit) => self.units.emit(unit),
            Opened::Recalled(labels) => self.labels.as_ref().map_or(Ok(()), |link| link.emit(labels)),
        }
    }
}

/// What leaves the devices: results, and logits to keep.
#[derive(Clone)]
struct AfterInfer {
    results: Outlet<Inferred>,
    kept: Outlet<Finished>,
}

impl Emit<Ran> for AfterInfer {
    fn emit(&self, ran: Ran) -> Result<(), Closed> {
        match ran {
            Ran::Inferred(inferred) => self.results.emit(inferred),
            Ran::Kept(artefact) => self.kept.emit(Finished::Kept(artefact)),
        }
    }
}

/// Starts the dataflow of the board's plan, as far as it is not done. `devices` are the schedule's, in order.
///
/// # Errors
/// When the system gives no thread, or no device to combine what several ran; what was started is stopped then.
pub fn wire(board: &Board, parts: &Parts<'_>, devices: Vec<Box<dyn Device>>, stop: Stop) -> Result<Running, Error> {
    let (plan, schedule) = (board.plan(), parts.schedule);
    let budget = Budget::new(schedule.unit_budget(plan));
    let admission = Admission::new(turns(board), budget.clone(), stop.clone());
    let supervisor = parts.supervisor.clone();
    let admission = Gate { admission, supervisor, board: board.clone(), stop: stop.clone() };
    let mut graph = Graph::new(stop.clone()).with_faults(parts.faults.clone());
    let (finished, to_commit) = graph.link(LINK_CAPACITY);
    let (labels, to_stitch) = graph.link(LINK_CAPACITY);
    let stitched = (parts.goal == Goal::Files).then(|| labels.clone());

    let reader = |_| Read::new(board.clone(), parts.source.open(), parts.strict, stop.clone());
    let readers = (0..schedule.readers).map(reader).collect();
    let groups = schedule.assignment.groups();
    let (batches, to_infer): (Vec<_>, Vec<_>) = groups.iter().map(|_| graph.link(LINK_CAPACITY)).unzip();
    spawn_tiles(&mut graph, board, admission, readers, stitched, Fan(batches))?;

    let (results, to_average) = graph.link(LINK_CAPACITY);
    let mut devices: Vec<Option<Box<dyn Device>>> = devices.into_iter().map(Some).collect();
    let mut workers = Vec::new();
    for (group, inlet) in groups.iter().zip(to_infer) {
        let is_held = |pass: &usize| group.members.contains(&plan.passes[*pass].member);
        let passes: Vec<usize> = (0..plan.passes.len()).filter(is_held).collect();
        for &place in &group.devices {
            let Some(device) = devices.get_mut(place).and_then(Option::take) else { continue };
            let worker = Infer::new(board.clone(), (place, device), passes.clone(), stop.clone());
            workers.push((worker, inlet.clone()));
        }
    }
    let combiner = match schedule.devices.first() {
        Some(device) if groups.len() > 1 && !workers.is_empty() => Some(open_combiner(plan, *device)?),
        Some(_) | None => None,
    };
    graph.spawn_routed("infer", workers, AfterInfer { results, kept: finished.clone() })?;
    let threads = NonZeroUsize::new(schedule.encoders).unwrap_or(NonZeroUsize::MIN);
    let average = vec![Average::new(board, groups.len(), combiner, threads)];
    let keepers = spawn_keep(&mut graph, board, schedule, &finished)?;
    match (parts.goal, keepers) {
        (Goal::Files, keepers) => graph.spawn("average", average, to_average, Both(labels, keepers))?,
        (Goal::Checkpoints, Some(keepers)) => graph.spawn("average", average, to_average, keepers)?,
        // Labels that nobody keeps have nowhere to go; logits may still be kept.
        (Goal::Checkpoints, None) => graph.spawn("average", average, to_average, Nowhere)?,
    }
    if parts.goal == Goal::Files {
        spawn_encode(&mut graph, board, parts, to_stitch, &finished)?;
    }
    drop(finished);
    let (ends, verdicts) = graph.link(LINK_CAPACITY);
    let commit = Commit::new(board.clone(), parts.layout.clone(), Arc::clone(&parts.journal));
    graph.spawn("commit", vec![commit], to_commit, ends)?;
    Ok(Running { graph, verdicts, budget })
}

/// Starts the part of the dataflow that reads these units of the board's plan and cuts their tiles, with one reader.
///
/// # Errors
/// When the system gives no thread.
pub fn wire_tiles(
    board: &Board,
    source: &dyn OpenSource,
    units: &[usize],
    stop: Stop,
) -> Result<(Graph, Inlet<Arc<TileBatch>>), GraphError> {
    let plan = board.plan();
    let turns: Vec<_> = units.iter().map(|unit| turn(plan, *unit, None)).collect();
    let budget = Budget::new(turns.iter().map(|turn| turn.cost).max().unwrap_or(0));
    let admission = Admission::new(turns, budget, stop.clone());
    let mut graph = Graph::new(stop.clone());
    let (batches, tiles) = graph.link(LINK_CAPACITY);
    let reader = Read::new(board.clone(), source.open(), false, stop);
    spawn_tiles(&mut graph, board, admission, vec![reader], None, batches)?;
    Ok((graph, tiles))
}

/// From units' turns to their tiles.
fn spawn_tiles(
    graph: &mut Graph,
    board: &Board,
    turns: impl Source<Admitted<Turn>> + Clone + 'static,
    readers: Vec<Read>,
    recalled: Option<Outlet<Arc<Classified>>>,
    batches: impl Emit<Arc<TileBatch>> + Clone + 'static,
) -> Result<(), GraphError> {
    let (units, to_tile) = graph.link(LINK_CAPACITY);
    graph.spawn("read", readers, turns, AfterRead { units, labels: recalled })?;
    let tiler = TileStage::new(Arc::clone(&board.scenes), Arc::clone(&board.prior));
    graph.spawn("tile", vec![tiler], to_tile, batches)
}

/// A unit that waits for its turn.
fn turn(plan: &Plan, unit: usize, alone: Option<u32>) -> Waiting<Turn> {
    Waiting { work: Turn { unit, alone }, cost: plan.units[unit].footprint(plan).total(), alone: false }
}

/// What is to be read, in order: scenes under suspicion first, each when nothing else is under way, then all others.
fn turns(board: &Board) -> Vec<Waiting<Turn>> {
    let (plan, scenes) = (board.plan(), &board.scenes);
    let mut turns = Vec::new();
    let mut enqueue = |alone: Option<u32>, units: Vec<usize>| {
        let first = turns.len();
        turns.extend(units.into_iter().map(|unit| turn(plan, unit, alone)));
        if let Some(first) = turns.get_mut(first) {
            first.alone = !scenes.suspects().is_empty();
        }
    };
    for &suspect in scenes.suspects() {
        enqueue(Some(suspect), scenes.open_units(|scene| scene == suspect as usize));
    }
    let is_suspect = |scene: usize| u32::try_from(scene).is_ok_and(|scene| scenes.suspects().contains(&scene));
    enqueue(None, scenes.open_units(|scene| !is_suspect(scene)));
    turns
}

/// Lets units begin no further ahead of the networks than the time that is left allows, and tells the process that watches over this
/// one what is under way.
#[derive(Clone)]
struct Gate {
    admission: Admission<Turn>,
    supervisor: SupervisorLink,
    board: Board,
    stop: Stop,
}

impl Source<Admitted<Turn>> for Gate {
    fn next(&self) -> Option<Admitted<Turn>> {
        let Board { scenes, pace, .. } = &self.board;
        if !pace.enter(|| self.stop.is_draining()) {
            return None;
        }
        let Some(mut admitted) = self.admission.next() else {
            pace.leave();
            return None;
        };
        let plan = scenes.plan();
        let Turn { unit, alone } = admitted.work;
        let is_meant = |scene: u32| alone.is_none_or(|alone| alone == scene);
        let is_open = |scene: u32| matches!(scenes.state(scene), SceneState::Open | SceneState::Deferred);
        let scenes =
            plan.units[unit].scenes().filter(|scene| u32::try_from(*scene).is_ok_and(|s| is_meant(s) && is_open(s)));
        let names = || scenes.map(|scene| plan.scenes[scene].name.clone()).collect();
        if let Some(in_flight) = self.supervisor.enter(names, alone.is_some()) {
            admitted.credit.guard(in_flight);
        }
        Some(admitted)
    }

    fn next_within(&self, _patience: Duration) -> Result<Option<Admitted<Turn>>, Closed> {
        self.next().map(Some).ok_or(Closed)
    }
}

/// An end of the dataflow.
#[derive(Clone, Copy)]
struct Nowhere;

impl<T> Emit<T> for Nowhere {
    fn emit(&self, _item: T) -> Result<(), Closed> {
        Ok(())
    }
}

/// What keeps labels, where they are kept: all tiles of a unit go to one keeper.
fn spawn_keep(
    graph: &mut Graph,
    board: &Board,
    schedule: &Schedule,
    finished: &Outlet<Finished>,
) -> Result<Option<Router<Arc<Classified>>>, GraphError> {
    if board.prior.keep_labels == KeepLabels::Never {
        return Ok(None);
    }
    let (labels, to_keep): (Vec<_>, Vec<_>) = (0..schedule.encoders.max(1)).map(|_| graph.link(LINK_CAPACITY)).unzip();
    let keepers = to_keep
        .into_iter()
        .map(|inlet| (Keep::new(Arc::clone(&board.scenes), Arc::clone(&board.prior)), inlet))
        .collect();
    graph.spawn_routed("keep", keepers, Wrapped::new(finished.clone(), Finished::Kept))?;
    Ok(Some(Router::new(labels, |classified: &Arc<Classified>| classified.ticket.unit)))
}

/// From tiles to files.
fn spawn_encode(
    graph: &mut Graph,
    board: &Board,
    parts: &Parts<'_>,
    to_stitch: Inlet<Arc<Classified>>,
    finished: &Outlet<Finished>,
) -> Result<(), GraphError> {
    let n_encoders = parts.schedule.encoders.max(1);
    let (rows, to_encode): (Vec<_>, Vec<_>) = (0..n_encoders).map(|_| graph.link(LINK_CAPACITY)).unzip();
    let router = Router::new(rows, |rows: &StitchedScene| rows.scene() as usize);
    if board.plan().pipeline.post.is_nothing() {
        graph.spawn("stitch", vec![Stitch::new(Arc::clone(&board.scenes))], to_stitch, router)?;
    } else {
        let (maps, to_post): (Vec<_>, Vec<_>) = (0..n_encoders).map(|_| graph.link(LINK_CAPACITY)).unzip();
        let maps = Router::new(maps, |rows: &StitchedScene| rows.scene() as usize);
        graph.spawn("stitch", vec![Stitch::new(Arc::clone(&board.scenes))], to_stitch, maps)?;
        let workers = to_post.into_iter().map(|inlet| (Post::new(Arc::clone(&board.scenes)), inlet)).collect();
        graph.spawn_routed("post", workers, router)?;
    }
    let encoder = |inlet| (Encode::new(Arc::clone(&board.scenes), parts.layout.clone(), parts.source.open()), inlet);
    let encoders = to_encode.into_iter().map(encoder).collect();
    graph.spawn_routed("encode", encoders, Wrapped::new(finished.clone(), Finished::Scene))
}
