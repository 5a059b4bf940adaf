//! `swath plan`: what `swath run` would do. Touches nothing.

use std::path::Path;

use super::outputs::Outputs;
use super::{Error, Job, JobRequest, disk, prepare, record, throughput};
use crate::infer;
use crate::plan::{DeviceId, Plan, PlanTotals, Scene, Schedule};
use crate::report::{PlanDocument, PlannedMember, PlannedScene, RefusedScene};

/// Plans, checks the weights against their networks, and sums up.
///
/// # Errors
/// As [`prepare`], and when weights do not fit.
pub fn plan(request: &JobRequest, out: &Path) -> Result<PlanDocument, Error> {
    let job = prepare(request)?;
    infer::check_weights(&job.planned.plan)?;
    document(&job, out)
}

fn document(job: &Job, out: &Path) -> Result<PlanDocument, Error> {
    let (plan, schedule) = (&job.planned.plan, &job.schedule);
    let totals = plan.totals();
    let outputs = Outputs::open(out, false)?;
    let foreign = outputs.foreign(plan.scenes.iter().map(|s| s.name.as_str()), &plan.pipeline);
    let refused = job.planned.refused.iter();
    let speed = throughput::recall(plan, schedule);
    Ok(PlanDocument {
        plan: plan.digest().map_err(|e| Error::Internal(e.to_string()))?,
        versions: plan.versions.clone(),
        scenes: plan.scenes.iter().map(|s| scene(s, &plan.root.join(&s.file))).collect(),
        refused: refused.map(|r| RefusedScene { file: r.file.display().to_string(), cause: r.cause.clone() }).collect(),
        ignored: job.planned.ignored,
        units: plan.units.len() as u64,
        tiles: totals.tiles,
        pixels: totals.pixels,
        network_pixels: totals.network_pixels,
        waste_percent: totals.waste_percent(),
        members: members(plan),
        devices: schedule.devices.iter().map(ToString::to_string).collect(),
        readers: schedule.readers,
        memory: record::memory(&job.promise),
        gpu_memory: gpu_memory(job),
        disk: disk::need(plan, |_| disk::Done::Nothing),
        disk_free: disk::free(out),
        seconds: speed.map(|mpx| totals.network_pixels as f64 / 1e6 / mpx),
        foreign: foreign.iter().map(|p| p.display().to_string()).collect(),
        warnings: job.warnings.clone(),
    })
}

fn scene(scene: &Scene, path: &Path) -> PlannedScene {
    let grid = scene.grid;
    let totals =
        PlanTotals { tiles: grid.n_tiles(), pixels: scene.header.size.area(), network_pixels: grid.network_pixels() };
    PlannedScene {
        file: path.display().to_string(),
        page: scene.page,
        name: scene.name.clone(),
        size: [scene.header.size.width, scene.header.size.height],
        tiles: totals.tiles,
        centre: [grid.x.centre, grid.y.centre],
        dilation: grid.x.dilation,
        waste_percent: totals.waste_percent(),
    }
}

fn members(plan: &Plan) -> Vec<PlannedMember> {
    let member = |(m, share): (&crate::plan::MemberPlan, f32)| PlannedMember {
        name: m.member.name.clone(),
        network: m.member.spec.to_string(),
        precision: format!("{:?}", m.resolved_precision).to_lowercase(),
        share,
        parameters: m.member.spec.parameters(),
        digest: m.digest.clone(),
    };
    plan.members.iter().zip(plan.pipeline.shares()).map(member).collect()
}

/// Weights and activations of one device, where devices have memory of their own.
fn gpu_memory(job: &Job) -> Option<u64> {
    let on_gpus = job.schedule.devices.iter().any(|d| matches!(d, DeviceId::Cuda(_)));
    on_gpus.then(|| (job.promise.weights + job.promise.activations) / job.schedule.devices.len() as u64)
}

/// Devices for people: "cpu x 2".
pub(super) fn devices(schedule: &Schedule) -> String {
    let mut names: Vec<(String, usize)> = Vec::new();
    for device in schedule.devices.iter().map(ToString::to_string) {
        match names.last_mut() {
            Some((name, n)) if *name == device => *n += 1,
            _ => names.push((device, 1)),
        }
    }
    let text = |(name, n): &(String, usize)| if *n == 1 { name.clone() } else { format!("{name} x {n}") };
    names.iter().map(text).collect::<Vec<_>>().join(", ")
}
