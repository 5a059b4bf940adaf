//! `swath plan`: what `swath run` would do. Touches nothing, but for the plan where it is to be saved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::forecast::{self, Hardware, Throughput};
use super::replace::Output;
use super::run::disk::{self, Done};
use super::run::outputs::Outputs;
use super::run::resume::{Found, Reuse, holds, is_done, look_back};
use super::run::{OtherMachine, is_bare, preconditions, record, throughput};
use super::{Error, Job, JobRequest, PartialArchive, RunOptions, prepare};
use crate::geom::Size;
use crate::infer;
use crate::journal::State;
use crate::lifecycle::Lock;
use crate::plan::{Concessions, Plan, PlanTotals, Profile, Refusal, Roomier, Scene, Schedule};
use crate::report::{
    EarlierWork, GpuFit, PlanDocument, PlannedArea, PlannedBatch, PlannedMember, PlannedMosaics, PlannedRule,
    PlannedScene,
};
use crate::tiler::Rule;

/// How the job would be carried out.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// The run directory; without one nothing is told about outputs.
    pub out: Option<PathBuf>,
    /// Whether files that no earlier run wrote may be replaced.
    pub overwrite: bool,
    /// Where the plan is written, if anywhere.
    pub save: Option<Output>,
    /// What becomes of the archive when scenes failed.
    pub partial: PartialArchive,
    /// Devices that are not here.
    pub hardware: Option<Hardware>,
    /// The class of devices that it is for, where these are not here.
    pub device_class: Option<String>,
    /// Files of `swath bench` that say how fast the devices are.
    pub throughput: Vec<PathBuf>,
    /// Memory of each GPU in bytes; none for what the files say.
    pub gpu_memory: Option<u64>,
}

/// Plans, checks what `swath run` would check before any work, the weights against their networks too, and sums up.
///
/// # Errors
/// As [`prepare`], when a precondition of a run does not hold, and when weights do not fit.
pub fn plan(request: &JobRequest, options: &PlanOptions) -> Result<PlanDocument, Error> {
    let figures = Some(Throughput::read(&options.throughput)?).filter(|_| !options.throughput.is_empty());
    let class = options.device_class.as_deref();
    let (request, memory) = match (&options.hardware, class) {
        (Some(hardware), _) => forecast::on(hardware, figures.as_ref(), options.gpu_memory, class, request)?,
        (None, Some(class)) => (forecast::on_class(class, request)?, options.gpu_memory),
        (None, None) => (request.clone(), options.gpu_memory),
    };
    check_class(&request, options)?;
    let job = prepare(&request)?;
    let PlanOptions { overwrite, partial, .. } = *options;
    let as_run = RunOptions { overwrite, partial, ..RunOptions::into(options.out.clone().unwrap_or_default()) };
    preconditions::of_job(&job, &as_run)?;
    let there = match &options.out {
        Some(dir) => {
            preconditions::of_folder(&job, &as_run)?;
            let (outputs, state) = preconditions::of_outputs(&job, &as_run)?;
            There::look(dir, &job, &outputs, state)?
        }
        None => There::unknown(&job),
    };
    infer::check_weights(&job.planned.plan)?;
    if let Some(file) = &options.save {
        file.check(&[&file.path], &[])?;
        job.planned.save(&file.path)?;
    }
    let is_open = |scene: usize| there.done[scene] == Done::Nothing;
    let (plan, schedule) = (&job.planned.plan, &job.schedule);
    let play = |figures: &Throughput| figures.forecast(plan, schedule, options.hardware.as_ref(), &is_open);
    let forecast = figures.as_ref().map(play).transpose()?;
    Ok(PlanDocument {
        forecast,
        gpu_fit: memory.and_then(|memory| fit(plan, schedule, memory)),
        ..document(&job, there, partial)?
    })
}

/// A plan that is saved for devices that are not here says which they are: those of other classes do not take it.
fn check_class(request: &JobRequest, options: &PlanOptions) -> Result<(), Error> {
    let is_bare = |machine: &OtherMachine| is_bare(&machine.class, request.backend);
    if options.save.is_none() || !request.machine.as_ref().is_some_and(is_bare) {
        return Ok(());
    }
    let text = "--save: of those devices only the kind is known, and a plan is made for a class; add --device-class, as `swath doctor` \
                names it where they are, or --throughput with figures of them";
    Err(Error::Usage(text.into()))
}

/// Whether the plan fits into GPUs of so much memory, and else what would.
fn fit(plan: &Plan, schedule: &Schedule, memory: u64) -> Option<GpuFit> {
    let fits = plan.gpu_bytes(schedule)? <= memory;
    let change = plan.roomier(schedule, memory).filter(|_| !fits);
    let words = |Roomier { batch, partition, .. }: &Roomier| {
        let batch = batch.map(|batch| format!("--set inference.batch={batch}"));
        let partition = partition.then(|| "--assign partition".to_owned());
        batch.into_iter().chain(partition).collect::<Vec<_>>().join(" ")
    };
    Some(GpuFit { memory, fits, change: change.as_ref().map(words), change_bytes: change.map(|change| change.bytes) })
}

/// What is in the run directory already.
struct There {
    earlier: Option<EarlierWork>,
    /// By index of the scene.
    done: Vec<Done>,
    foreign: Vec<PathBuf>,
    free: Option<u64>,
    warnings: Vec<String>,
}

impl There {
    /// Without a run directory.
    fn unknown(job: &Job) -> Self {
        let done = vec![Done::Nothing; job.planned.plan.scenes.len()];
        Self { earlier: None, done, foreign: Vec::new(), free: None, warnings: Vec::new() }
    }

    /// Reads every recorded file again, as a run does.
    fn look(dir: &Path, job: &Job, outputs: &Outputs, mut state: State) -> Result<Self, Error> {
        let plan = &job.planned.plan;
        let foreign = outputs.foreign(job.planned.names(), &plan.pipeline);
        let mut there = Self { foreign, free: disk::free(dir), ..Self::unknown(job) };
        if state.run.is_some() {
            let digest = record::digest(plan)?;
            state.concessions.retain(|conceded| holds(conceded, &digest, false));
            let concessions = Concessions::of(&std::mem::take(&mut state.concessions), &digest);
            let Found { scenes, usable, archive, damaged, .. } =
                look_back(plan, &concessions, state, &outputs.layout, Reuse::Everything)?;
            let done: Vec<bool> = scenes.iter().map(is_done).collect();
            let n_done = done.iter().filter(|done| **done).count();
            // An archive of fewer scenes is made anew.
            let whole = if archive.is_some() && n_done == done.len() { Done::All } else { Done::Files };
            there.earlier = Some(EarlierWork {
                done: n_done as u64,
                outstanding: (done.len() - n_done) as u64,
                damaged,
                checkpoints: usable.checkpoints,
            });
            there.done = done.into_iter().map(|done| if done { whole } else { Done::Nothing }).collect();
        }
        there.warnings.extend(disk::warning(there.need(plan), there.free));
        let in_use =
            |holder| format!("`{}` is in use by {holder}: `swath run` has to wait until that ends", dir.display());
        there.warnings.extend(Lock::in_the_way(dir).map(in_use));
        Ok(there)
    }

    /// The most that what is left to do takes on disk.
    fn need(&self, plan: &Plan) -> u64 {
        disk::need(plan, |scene| self.done[scene])
    }

    /// Pixels that the networks are still to see.
    fn network_pixels(&self, plan: &Plan) -> u64 {
        let open = plan.scenes.iter().zip(&self.done).filter(|(_, done)| **done == Done::Nothing);
        open.map(|(scene, _)| scene.network_pixels()).sum()
    }
}

fn document(job: &Job, there: There, partial: PartialArchive) -> Result<PlanDocument, Error> {
    let (plan, schedule) = (&job.planned.plan, &job.schedule);
    let totals = plan.totals();
    let refused = |own: &Refusal| record::failed_scene(own.failure.clone(), record::action(partial, own.size));
    let speed = throughput::recall(plan, schedule);
    Ok(PlanDocument {
        plan: record::digest(plan)?,
        versions: plan.versions.clone(),
        backend: plan.backend.name(),
        scenes: plan.scenes.iter().map(|s| scene(plan, s)).collect(),
        refused: job.planned.refused.iter().map(refused).collect(),
        ignored: job.planned.ignored,
        mosaics: mosaics(plan),
        area: plan.area.as_ref().map(|area| PlannedArea {
            area: area.label(),
            outside: job.planned.outside,
            of_tiles: plan.scenes.iter().map(|scene| scene.grid.n_tiles()).sum(),
        }),
        units: plan.units.len() as u64,
        tiles: totals.tiles,
        pixels: totals.pixels,
        network_pixels: totals.network_pixels,
        waste_percent: totals.waste_percent(),
        views: plan.pipeline.views.iter().map(|view| view.name()).collect(),
        post: plan.pipeline.post.words(&plan.pipeline.classes),
        rules: rules(plan),
        members: members(plan),
        profile: plan.profile.as_ref().map(Profile::digest).transpose().map_err(|e| Error::Internal(e.to_string()))?,
        batches: batches(plan),
        devices: schedule.devices.iter().map(ToString::to_string).collect(),
        readers: schedule.readers,
        memory: record::memory(&job.promise),
        gpu_memory: job.promise.gpu,
        gpu_fit: None,
        forecast: None,
        disk: there.need(plan),
        disk_free: there.free,
        seconds: speed.map(|mpx| there.network_pixels(plan) as f64 / 1e6 / mpx),
        foreign: there.foreign.iter().map(|p| p.display().to_string()).collect(),
        earlier: there.earlier,
        warnings: job.warnings.iter().cloned().chain(there.warnings).collect(),
    })
}

/// How many scenes are mosaics, and of how many files.
fn mosaics(plan: &Plan) -> Option<PlannedMosaics> {
    let all = || plan.scenes.iter().filter(|scene| scene.header.mosaic.is_some());
    let files = all().map(|scene| scene.parts.len() as u64).sum();
    (all().count() > 0).then(|| PlannedMosaics { scenes: all().count() as u64, files })
}

fn scene(plan: &Plan, scene: &Scene) -> PlannedScene {
    let grid = scene.grid;
    let (tiles, pixels, owned) = (scene.n_tiles(), scene.own_pixels(), scene.planned_pixels());
    let totals = PlanTotals { tiles, pixels, owned, network_pixels: scene.network_pixels() };
    PlannedScene {
        file: plan.root.join(&scene.file).display().to_string(),
        page: scene.page,
        name: scene.name.clone(),
        size: [scene.header.size.width, scene.header.size.height],
        resolution: record::resolution(plan, scene),
        tiles: totals.tiles,
        centre: [grid.x.centre, grid.y.centre],
        dilation: [grid.x.dilation, grid.y.dilation],
        is_blended: grid.is_blended(),
        waste_percent: totals.waste_percent(),
    }
}

fn members(plan: &Plan) -> Vec<PlannedMember> {
    let member = |(m, share): (&crate::plan::MemberPlan, f32)| PlannedMember {
        name: m.member.name.clone(),
        network: m.member.spec.to_string(),
        precision: m.resolved_precision.name(),
        kernels: m.resolved_kernels.name(),
        share,
        parameters: m.member.spec.parameters(),
        digest: m.digest.clone(),
    };
    plan.members.iter().zip(plan.pipeline.shares()).map(member).collect()
}

/// What each rule of the tiler would make of the scenes, where some are cut.
fn rules(plan: &Plan) -> Vec<PlannedRule> {
    let tiling = &plan.pipeline.tiling;
    let sizes = plan.scenes.iter().map(Scene::network_size);
    let cut: Vec<Size> = sizes.filter(|size| size.width.max(size.height) > tiling.whole_max).collect();
    let of_rule = |rule: Rule| {
        let by_rule = tiling.by(rule).filter(|_| !cut.is_empty())?;
        let mut totals = PlanTotals::default();
        for size in &cut {
            let grid = by_rule.grid(*size).ok()?;
            totals.tiles += grid.n_tiles();
            totals.owned += size.area();
            totals.network_pixels += grid.network_pixels();
        }
        let is_taken = by_rule == *tiling;
        Some(PlannedRule { rule: rule.name(), is_taken, tiles: totals.tiles, waste_percent: totals.waste_percent() })
    };
    Rule::ALL.into_iter().filter_map(of_rule).collect()
}

/// Tiles per pass by crop, those with most pixels first.
fn batches(plan: &Plan) -> Vec<PlannedBatch> {
    let mut pixels = BTreeMap::new();
    for scene in &plan.scenes {
        *pixels.entry(scene.grid.crop()).or_insert(0) += scene.network_pixels();
    }
    let mut crops: Vec<(u64, Size)> = pixels.into_iter().map(|(crop, n)| (n, crop)).collect();
    crops.sort_unstable_by(|a, b| b.cmp(a));
    let of = |(_, crop): (u64, Size)| PlannedBatch { crop: [crop.width, crop.height], tiles: plan.batch(crop) };
    crops.into_iter().map(of).collect()
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
