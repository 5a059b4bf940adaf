//! A device whose logits end in the machine's own memory, and the one sum over them there is for its class.

use std::collections::VecDeque;
use std::time::Instant;

use super::DeviceError;
use super::batch::{RawBatch, TileFault, TileResult};
use super::combine::Combiner;
use super::device::{Device, Done, Known, PassRan, PassWork, Work};
use super::engine::{Engine, Input};
use super::input::InputPlan;
use super::logits::Logits;
use crate::config::Precision;
use crate::geom::View;
use crate::plan::{MemberPlan, Pass, Plan};
use crate::zoo::spec::NetworkSpec;

/// The device. Work that it has taken waits until somebody asks for it.
pub(super) struct HostDevice {
    engine: Box<dyn Engine>,
    combiner: Combiner,
    members: Vec<HostMember>,
    passes: Vec<Pass>,
    queue: VecDeque<Work>,
    depth: usize,
    /// What a network sees, kept from batch to batch.
    input: Vec<f32>,
}

struct HostMember {
    name: String,
    spec: NetworkSpec,
    input: InputPlan,
    precision: Precision,
}

/// A batch on its way through its passes.
struct Passing<'a> {
    batch: &'a RawBatch,
    faults: Vec<Option<TileFault>>,
    /// Tiles for whose sake a pass runs, unless their logits are known.
    open: Vec<bool>,
}

impl HostDevice {
    /// A device that asks for `depth` batches in flight.
    pub(super) fn new(plan: &Plan, engine: Box<dyn Engine>, combiner: Combiner, depth: usize) -> Self {
        let member = |m: &MemberPlan| HostMember {
            name: m.member.name.clone(),
            spec: m.member.spec.clone(),
            input: InputPlan::new(&m.member.input, &plan.bands, m.member.spec.size_rule(), plan.pipeline.tiling.border),
            precision: m.resolved_precision,
        };
        Self {
            engine,
            combiner,
            members: plan.members.iter().map(member).collect(),
            passes: plan.passes.clone(),
            queue: VecDeque::new(),
            depth: depth.max(1),
            input: Vec::new(),
        }
    }

    fn run(&mut self, work: Work) -> Result<Done, DeviceError> {
        let Work { batch, passes, faults, wanted, may_begin } = work;
        let open = batch.blank.iter().zip(&faults).map(|(blank, fault)| !blank && fault.is_none()).collect();
        let mut passing = Passing { batch: &batch, faults, open };
        let (mut logits, mut ran) = (Vec::new(), vec![PassRan::default(); passes.len()]);
        for (PassWork { pass, known }, ran) in passes.into_iter().zip(&mut ran) {
            if passing.needs(&known) && !may_begin() {
                return Err(DeviceError::Halted);
            }
            match self.pass(pass, known, &mut passing, ran) {
                Ok(values) => logits.push((pass, values)),
                // The pass alone has failed.
                Err(DeviceError::Forward { detail }) => {
                    let member = self.members[self.passes[pass].member].name.clone();
                    passing.faults.fill(Some(TileFault::Forward { member, detail }));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let faults = passing.faults;
        let tiles = if wanted.planes() { self.combine(&batch, &logits, &faults) } else { Vec::new() };
        let logits = if wanted.logits() { logits } else { Vec::new() };
        Ok(Done { tiles, logits, faults, ran })
    }

    /// The logits of one pass: known, run, or for some tiles the one and for others the other.
    fn pass(
        &mut self,
        pass: usize,
        known: Known,
        passing: &mut Passing<'_>,
        ran: &mut PassRan,
    ) -> Result<Logits, DeviceError> {
        let needs_run = passing.needs(&known);
        let batch = passing.batch;
        if needs_run {
            self.engine.ready(self.passes[pass])?;
        }
        let began = Instant::now();
        let mut logits = match known {
            Known::All(logits) => return Ok(logits),
            Known::Nothing | Known::Tiles(_) if needs_run => self.checked(pass, &known, passing, ran)?,
            Known::Nothing | Known::Tiles(_) => {
                let spec = &self.members[self.passes[pass].member].spec;
                Logits::zeros(spec, batch.crop, batch.len())
            }
        };
        if needs_run {
            ran.time = began.elapsed();
        }
        if let Known::Tiles(tiles) = known {
            for (tile, known) in tiles.iter().enumerate() {
                if let Some(known) = known {
                    logits.copy_tile(tile, known, 0);
                }
            }
        }
        Ok(logits)
    }

    /// Runs a pass and notes the tiles whose logits are not finite, after another try in f32.
    fn checked(
        &mut self,
        idx: usize,
        known: &Known,
        passing: &mut Passing<'_>,
        ran: &mut PassRan,
    ) -> Result<Logits, DeviceError> {
        let pass = self.passes[idx];
        let member = &self.members[pass.member];
        let batch = passing.batch;
        member.input.fill(batch, &mut self.input);
        let padded = member.input.padded(batch.crop);
        if pass.view != View::Identity {
            self.input = pass.view.turn(&self.input, padded);
        }
        let input = Input { batch, values: &self.input, size: pass.view.of_size(padded) };
        let forward = |engine: &mut Box<dyn Engine>, precision| {
            engine.forward(pass, input, precision).map(|logits| logits.turned(pass.view.inverse()))
        };
        let mut logits = forward(&mut self.engine, member.precision)?;
        let counts = |tile: &usize| passing.open[*tile] && !known.has(*tile);
        let broken: Vec<usize> = (0..batch.len()).filter(counts).filter(|&tile| !logits.is_finite(tile)).collect();
        if !broken.is_empty() && self.engine.can_widen(pass, member.precision) {
            let again = forward(&mut self.engine, Precision::F32)?;
            ran.reruns = broken.len() as u64;
            // The others keep what they have: a tile's result does not depend on which tiles share its batch.
            broken.iter().for_each(|tile| logits.copy_tile(*tile, &again, *tile));
        }
        for tile in broken {
            if !logits.is_finite(tile) {
                passing.faults[tile].get_or_insert_with(|| TileFault::NonFinite { member: member.name.clone() });
            }
        }
        Ok(logits)
    }

    /// The planes of every tile that has no fault.
    fn combine(&self, batch: &RawBatch, logits: &[(usize, Logits)], faults: &[Option<TileFault>]) -> Vec<TileResult> {
        let planes = |(tile, fault): (usize, &Option<TileFault>)| match fault {
            Some(fault) => Err(fault.clone()),
            None if batch.blank[tile] => Ok(self.combiner.void(batch.kept[tile].size.len())),
            None => Ok(self.combiner.planes(logits, tile, batch.kept[tile])),
        };
        faults.iter().enumerate().map(planes).collect()
    }
}

impl Passing<'_> {
    /// Whether a pass must run.
    fn needs(&self, known: &Known) -> bool {
        (0..self.open.len()).any(|tile| self.open[tile] && !known.has(tile))
    }
}

impl Device for HostDevice {
    fn depth(&self) -> usize {
        self.depth
    }

    fn submit(&mut self, work: Work) -> Result<(), DeviceError> {
        self.queue.push_back(work);
        Ok(())
    }

    fn is_ready(&self) -> bool {
        !self.queue.is_empty()
    }

    fn collect(&mut self) -> Result<Option<Done>, DeviceError> {
        let Some(work) = self.queue.pop_front() else { return Ok(None) };
        let done = self.run(work).map(Some);
        if done.is_err() {
            self.abandon();
        }
        done
    }

    fn abandon(&mut self) {
        self.queue.clear();
    }
}
