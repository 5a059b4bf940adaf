//! Joins the stages of a run. Everything about who feeds whom is here.

use std::sync::Arc;

use crate::flow::{Admission, Budget, Fan, Graph, GraphError, Inlet, Router, Stop};
use crate::infer::{Backend, Combiner, keys_of};
use crate::plan::{LINK_CAPACITY, Schedule};
use crate::raster::OpenSource;
use crate::stages::{
    Average, Board, Commit, Encode, Infer, OutputLayout, Read, Stitch, StitchedScene, TileStage, Verdict,
};

/// A dataflow at work.
pub struct Running {
    /// Its workers.
    pub graph: Graph,
    /// The end of each scene, in any order; closes when all have ended.
    pub verdicts: Inlet<Verdict>,
    /// The memory of its units.
    pub budget: Budget,
}

/// Starts the dataflow of the board's plan. `backends` are the schedule's devices, in order.
///
/// # Errors
/// When the system gives no thread; what was started is stopped then.
pub fn wire(
    board: &Arc<Board>,
    schedule: &Schedule,
    source: &dyn OpenSource,
    backends: Vec<Box<dyn Backend>>,
    layout: &OutputLayout,
    stop: Stop,
) -> Result<Running, GraphError> {
    let plan = board.plan();
    let budget = Budget::new(schedule.unit_budget(plan));
    let costs = plan.units.iter().map(|u| u.footprint(plan).total()).collect();
    let admission = Admission::new(costs, budget.clone(), stop.clone());
    let mut graph = Graph::new(stop);

    let (units, to_tile) = graph.link(LINK_CAPACITY);
    let readers = (0..schedule.readers).map(|_| Read::new(Arc::clone(board), source.open())).collect();
    graph.spawn("read", readers, admission, units)?;

    let groups = schedule.assignment.groups();
    let (batches, to_infer): (Vec<_>, Vec<_>) = groups.iter().map(|_| graph.link(LINK_CAPACITY)).unzip();
    graph.spawn("tile", vec![TileStage::new(Arc::clone(board))], to_tile, Fan(batches))?;

    let combiner = Combiner::new(plan.pipeline.combine, plan.pipeline.shares());
    let (results, to_average) = graph.link(LINK_CAPACITY);
    let all: Vec<usize> = (0..plan.members.len()).collect();
    let mut devices: Vec<Option<Box<dyn Backend>>> = backends.into_iter().map(Some).collect();
    let mut workers = Vec::new();
    for (group, inlet) in groups.iter().zip(to_infer) {
        let complete = (group.members == all).then(|| combiner.clone());
        for &device in &group.devices {
            let Some(backend) = devices.get_mut(device).and_then(Option::take) else { continue };
            let worker = Infer::new(Arc::clone(board), backend, keys_of(&group.members), complete.clone());
            workers.push((worker, inlet.clone()));
        }
    }
    graph.spawn_routed("infer", workers, results)?;

    let (labels, to_stitch) = graph.link(LINK_CAPACITY);
    let average = Average::new(Arc::clone(board), combiner, keys_of(&all), groups.len());
    graph.spawn("average", vec![average], to_average, labels)?;

    let (rows, to_encode): (Vec<_>, Vec<_>) = (0..schedule.encoders.max(1)).map(|_| graph.link(LINK_CAPACITY)).unzip();
    let router = Router::new(rows, |rows: &StitchedScene| rows.scene() as usize);
    graph.spawn("stitch", vec![Stitch::new(Arc::clone(board))], to_stitch, router)?;

    let (files, to_commit) = graph.link(LINK_CAPACITY);
    let encoders = to_encode.into_iter().map(|inlet| (Encode::new(Arc::clone(board), layout.clone()), inlet)).collect();
    graph.spawn_routed("encode", encoders, files)?;

    let (ends, verdicts) = graph.link(LINK_CAPACITY);
    graph.spawn("commit", vec![Commit::new(Arc::clone(board))], to_commit, ends)?;
    Ok(Running { graph, verdicts, budget })
}
