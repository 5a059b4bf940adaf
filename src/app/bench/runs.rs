//! `swath bench pipeline` and `swath bench feed`: whole runs, by the machinery of `swath run`. That of `feed` has a device which does
//! nothing, so that what is left is the host's part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::scenes::{temporary_folder, write_scenes};
use super::{interruptible, report};
use crate::app::Error;
use crate::app::run::{Ended, JobRequest, RunOptions, TimeLimits, What, execute, prepare, schedule};
use crate::atomic;
use crate::config::{ByteSize, Pipeline};
use crate::geom::Size;
use crate::journal::Checkpoints;
use crate::lifecycle::machine;
use crate::plan::{BackendKind, Decode, DeviceId, Pass, Plan, ScanOptions, Schedule};
use crate::process::{age_of_process, cpu_of_children, cpu_of_process, raise_file_limit};
use crate::report::{BenchReport, PassFigures, RunFigures, RunReport, StageFigures, StageLine, StartUp, ThreadLimit};
use crate::stages::PassTotals;

/// Where scenes come from.
#[derive(Clone, Debug)]
pub enum Pixels {
    /// They are drawn.
    Drawn {
        /// How many.
        scenes: u32,
        /// How large.
        size: Size,
        /// Where they stay; none for a folder that is removed.
        keep: Option<PathBuf>,
    },
    /// They are there.
    Given(Vec<PathBuf>),
}

/// What `swath bench pipeline` and `swath bench feed` are asked.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The pipeline file; none for the two small networks of `two.toml`.
    pub pipeline: Option<PathBuf>,
    /// `key=value` on top of it.
    pub settings: Vec<String>,
    /// What runs the networks.
    pub backend: BackendKind,
    /// Scenes that are drawn, or files.
    pub pixels: Pixels,
    /// Devices; as for a run.
    pub devices: Option<Vec<DeviceId>>,
    /// Reader threads; as for a run.
    pub readers: Option<usize>,
    /// Encoder threads; as for a run.
    pub encoders: Option<usize>,
    /// Bytes for pixels and labels in flight; as for a run.
    pub memory: Option<ByteSize>,
    /// Where scenes are decoded.
    pub decode: Decode,
}

/// The pipeline where none is named: it needs no file of weights, wherever the program is.
const TWO: &str = include_str!("two.toml");

/// Stages that have as many threads as the schedule says.
const SCHEDULED: [&str; 5] = ["read", "infer", "keep", "post", "encode"];

/// A stage that took less processor time than this says nothing about its speed.
const LEAST_CPU: f64 = 0.01;

/// Runs.
///
/// # Errors
/// As a run, and when scenes cannot be drawn. Scenes that fail are counted.
pub fn run(request: &RunRequest) -> Result<BenchReport<RunFigures>, Error> {
    let name = if request.backend == BackendKind::Null { "feed" } else { "pipeline" };
    Ok(report(name, measure(request)?.figures))
}

/// A run that was measured.
pub(super) struct Measured {
    pub(super) plan: Plan,
    pub(super) schedule: Schedule,
    pub(super) figures: RunFigures,
}

/// As [`run`].
pub(super) fn measure(request: &RunRequest) -> Result<Measured, Error> {
    let loaded = age_of_process();
    // As for a run: what cannot be raised may be enough.
    raise_file_limit().unwrap_or_default();
    let folder = temporary_folder()?;
    let wanted = wanted(request, folder.path())?;
    check(&wanted)?;
    if let Pixels::Drawn { scenes, size, keep } = &request.pixels {
        let into = scenes_folder(keep.as_ref(), folder.path());
        interruptible(|stop| write_scenes(&into, *scenes, *size, stop))?;
    }
    machine::forget_peak_rss();
    let (begun, used, used_by_children) = (Instant::now(), cpu_of_process(), cpu_of_children());
    let mut job = prepare(&wanted)?;
    job.schedule.encoders = request.encoders.unwrap_or(job.schedule.encoders);
    let planned = begun.elapsed();
    let (plan, schedule) = (job.planned.plan.clone(), job.schedule.clone());
    let limits = TimeLimits { begun, ..TimeLimits::default() };
    let options = RunOptions { pack_fake: true, limits, ..RunOptions::into(folder.path().join("out")) };
    let ended = execute(job, &options).map_err(|error| {
        // No later command goes on from here.
        if let Error::Stopped(signal) = error { Error::Interrupted(signal) } else { error }
    })?;
    let since = |at: Option<Instant>| at.map(|at| at.duration_since(begun).as_secs_f64());
    let figures = RunFigures {
        start_up: StartUp {
            loaded: loaded.as_secs_f64(),
            planned: planned.as_secs_f64(),
            opened: since(ended.devices_open),
            first_labels: since(ended.first_tiles),
        },
        decoder_cpu_seconds: cpu_of_children().saturating_sub(used_by_children).as_secs_f64(),
        cpu_seconds: (cpu_of_process().saturating_sub(used)).as_secs_f64(),
        ..figures(&plan, &schedule, &ended)
    };
    Ok(Measured { plan, schedule, figures })
}

fn scenes_folder(keep: Option<&PathBuf>, folder: &Path) -> PathBuf {
    keep.cloned().unwrap_or_else(|| folder.join("scenes"))
}

/// The run that is measured. Its scenes may not be drawn yet.
fn wanted(request: &RunRequest, folder: &Path) -> Result<JobRequest, Error> {
    let is_feed = request.backend == BackendKind::Null;
    let mut settings = request.settings.clone();
    let file = match &request.pipeline {
        Some(file) => file.clone(),
        None => {
            let file = folder.join("two.toml");
            atomic::write(&file, TWO.as_bytes())?;
            if is_feed {
                // Masks alone: what colours cost is not the question.
                settings.insert(0, "outputs.color=false".to_owned());
            }
            file
        }
    };
    let inputs = match &request.pixels {
        Pixels::Given(inputs) => inputs.clone(),
        Pixels::Drawn { keep, .. } => vec![scenes_folder(keep.as_ref(), folder)],
    };
    let scan = ScanOptions { inputs, ..ScanOptions::default() };
    Ok(JobRequest {
        backend: request.backend,
        devices: request.devices.clone().or_else(|| is_feed.then(|| vec![DeviceId::Cpu])),
        readers: request.readers,
        memory: request.memory,
        decode: request.decode,
        ..JobRequest::of(What::Pipeline { file, settings, scan })
    })
}

/// Refuses what can be refused before scenes are drawn, which may take long.
fn check(wanted: &JobRequest) -> Result<(), Error> {
    if let What::Pipeline { file, settings, .. } = &wanted.what {
        let pipeline = Pipeline::load(file, settings)?;
        schedule(wanted, wanted.backend, &pipeline)?;
    }
    Ok(())
}

fn figures(plan: &Plan, schedule: &Schedule, ended: &Ended) -> RunFigures {
    let report = &ended.report;
    let totals = &report.totals;
    let per_second = |pixels: u64| if totals.seconds > 0.0 { pixels as f64 / 1e6 / totals.seconds } else { 0.0 };
    let stages: Vec<StageFigures> = report.stages.iter().map(|line| stage(line, totals.pixels)).collect();
    let alone = stages.iter().filter(|stage| stage.line.workers == 1 && !SCHEDULED.contains(&stage.line.name.as_str()));
    let limits = alone.filter_map(|stage| {
        Some(ThreadLimit { stage: stage.line.name.clone(), mpx_per_second: stage.mpx_per_thread? })
    });
    // A device without a batch has counted nothing.
    let busy = (0..schedule.devices.len()).map(|device| ended.devices.busy.get(device).copied().unwrap_or_default());
    let busy: Vec<f64> = busy.map(|busy| busy.as_secs_f64() / totals.seconds.max(1e-9)).collect();
    RunFigures {
        backend: plan.backend.name().to_owned(),
        device_busy: busy.iter().sum::<f64>() / busy.len().max(1) as f64,
        device_idle: busy.iter().map(|busy| 1.0 - busy).collect(),
        idle_before: ended.devices.first.as_secs_f64(),
        idle_behind: (totals.seconds - ended.devices.last.as_secs_f64()).max(0.0),
        passes: ended.passes.iter().map(|(pass, totals)| pass_figures(plan, *pass, totals)).collect(),
        outputs: digest(report),
        devices: schedule.devices.iter().map(ToString::to_string).collect(),
        scenes: totals.done,
        failed: totals.failed,
        pixels: totals.pixels,
        network_pixels: totals.network_pixels,
        seconds: totals.seconds,
        mpx_per_second: per_second(totals.pixels),
        network_mpx_per_second: per_second(totals.network_pixels),
        bytes_per_pixel: bytes_per_pixel(plan, ended),
        peak_bytes: report.memory.peak_rss,
        reserved_bytes: report.memory.reserved,
        thread_limit: limits.min_by(|a, b| a.mpx_per_second.total_cmp(&b.mpx_per_second)),
        stages,
        bottleneck: report.bottleneck.clone(),
        ..RunFigures::default()
    }
}

fn pass_figures(plan: &Plan, pass: usize, totals: &PassTotals) -> PassFigures {
    let Pass { member, view } = plan.passes[pass];
    let member = &plan.members[member];
    PassFigures {
        member: member.member.name.clone(),
        network: member.member.spec.to_string(),
        view: view.name().to_owned(),
        precision: member.resolved_precision.name().to_owned(),
        network_pixels: totals.ran,
        seconds: totals.time.as_secs_f64(),
    }
}

fn digest(report: &RunReport) -> String {
    let mut sha256 = Sha256::new();
    for (name, file) in &report.outputs {
        sha256.update(format!("{name} {}\n", file.as_ref().map_or("-", |file| &file.sha256)));
    }
    crate::hex(&sha256.finalize())
}

fn stage(line: &StageLine, pixels: u64) -> StageFigures {
    let is_known = line.cpu_seconds >= LEAST_CPU && pixels > 0;
    let mpx_per_thread = is_known.then(|| pixels as f64 / 1e6 / line.cpu_seconds);
    StageFigures { line: line.clone(), mpx_per_thread }
}

/// What was moved for each pixel of a scene that has its mask: exact, for the plan says what is read and cut, and the report what was
/// written.
fn bytes_per_pixel(plan: &Plan, ended: &Ended) -> BTreeMap<String, f64> {
    let report = &ended.report;
    let mut moved: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |what: &str, bytes: u64| *moved.entry(what.to_owned()).or_default() += bytes;
    for scene in plan.scenes.iter().filter(|scene| report.scenes.contains_key(&scene.name)) {
        add("file", scene.identity.bytes);
    }
    let n_bands = plan.bands.len() as u64;
    let is_done = |scene: u32| report.scenes.contains_key(&plan.scenes[scene as usize].name);
    for geometry in plan.units.iter().map(|unit| unit.geometry(plan)) {
        let per_pixel = |scene: u32| n_bands * plan.scenes[scene as usize].header.dtype.bytes() as u64;
        for part in geometry.parts.iter().filter(|part| is_done(part.scene)) {
            add("decoded", part.window.size.area() * per_pixel(part.scene));
        }
        for tile in &geometry.tiles {
            let scene = geometry.parts[tile.part as usize].scene;
            if is_done(scene) {
                add("crops", geometry.crop.area() * per_pixel(scene));
                add("planes", tile.kept.size.area() * plan.planes.len() as u64);
            }
        }
    }
    let kept = walkdir::WalkDir::new(ended.out.join(Checkpoints::FOLDER)).into_iter().filter_map(Result::ok);
    let kept = kept.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file);
    add("checkpoints", kept.map(|file| file.len()).sum());
    add("png", report.outputs.values().flatten().map(|file| file.bytes).sum());
    add("zip", report.package.as_ref().map_or(0, |package| package.content.bytes));
    let pixels = report.totals.pixels.max(1) as f64;
    moved.into_iter().map(|(what, bytes)| (what, bytes as f64 / pixels)).collect()
}
