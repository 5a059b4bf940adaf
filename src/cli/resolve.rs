//! From arguments to requests.

use std::path::{Path, PathBuf};

use super::args::{
    ClassesArgs, ColorArg, EvalArgs, JobArgs, OutFile, PlanArgs, RunArgs, SynthArgs, TruthArgs, VizArgs, WhichTensors,
};
use super::talk::{limits, show};
use super::values::DeviceArg;
use crate::app::{
    self, DriftRequest, EvalRequest, JobRequest, Origin, Output, PlanOptions, Reuse, RunOptions, Saved, Selection,
    Shown, SynthRequest, Truth, VizRequest, What,
};
use crate::lifecycle::SupervisorLink;
use crate::plan::{Decode, DeviceId, ScanOptions, Shapes};
use crate::report::Show;

/// The job that `run` and `plan` are about.
///
/// # Errors
/// When no pipeline is named, or the run directory is a file.
pub(super) fn job(
    args: &JobArgs,
    devices: Option<Vec<DeviceId>>,
    out: Option<&Path>,
) -> Result<JobRequest, app::Error> {
    if let Some(file) = out.filter(|out| out.exists() && !out.is_dir()) {
        return Err(app::Error::Usage(format!("-o `{}` is a file; name a folder", file.display())));
    }
    let what = match &args.plan {
        Some(plan) => What::Plan(Saved { file: plan.clone(), root: args.input_root.clone() }),
        None => {
            let (file, inputs) = pipeline_and_inputs(args)?;
            let (include, exclude) = (args.include.clone(), args.exclude.clone());
            let (run_dir, area) = (out.map(Path::to_owned), area(args));
            let hash_inputs = args.hash_inputs;
            let root = args.input_root.clone();
            let scan =
                ScanOptions { inputs, include, exclude, run_dir, area, hash_inputs, root, ..ScanOptions::default() };
            What::Pipeline { file, settings: args.settings.clone(), scan }
        }
    };
    Ok(JobRequest {
        backend: args.backend,
        devices,
        assign: args.assign.clone(),
        readers: args.readers,
        memory: args.memory,
        retune: args.retune,
        decode: match args.decode {
            Decode::Isolated { .. } => Decode::Isolated { timeout: args.decode_timeout.0 },
            Decode::InProcess => Decode::InProcess,
        },
        show: Show::default(),
        ..JobRequest::of(what)
    })
}

/// Where on the ground work is done. What stands behind a colon is a layer, unless a file is called so.
fn area(args: &JobArgs) -> Option<Shapes> {
    if let Some(bounds) = args.bbox {
        return Some(Shapes::Bounds { bounds, crs: args.bbox_crs.clone() });
    }
    let named = args.aoi.clone()?;
    let parts = named.to_str().and_then(|text| text.rsplit_once(':')).filter(|_| !named.exists());
    Some(match parts {
        Some((file, layer)) => Shapes::File { path: file.into(), layer: Some(layer.to_owned()) },
        None => Shapes::File { path: named, layer: None },
    })
}

/// What `plan` looks at, and how.
///
/// # Errors
/// As [`job`], and when devices are here and elsewhere.
pub(super) fn plan(args: &PlanArgs) -> Result<(JobRequest, PlanOptions), app::Error> {
    let (overwrite, partial) = (args.job.overwrite, args.job.allow_partial.unwrap_or_default());
    let save = args.save.clone().map(|path| Output { path, overwrite });
    let (devices, hardware) = match args.devices.as_deref() {
        None => (None, None),
        Some([DeviceArg::Elsewhere(hardware)]) => (None, Some(hardware.clone())),
        Some(devices) => {
            let here = |device: &DeviceArg| match device {
                DeviceArg::Here(device) => Ok(*device),
                DeviceArg::Elsewhere(hardware) => Err(app::Error::Usage(format!(
                    "--devices: {hardware} must stand alone; other devices do not give the same bytes"
                ))),
            };
            (Some(devices.iter().map(here).collect::<Result<_, _>>()?), None)
        }
    };
    let options = PlanOptions {
        out: args.out.clone(),
        overwrite,
        save,
        partial,
        hardware,
        device_class: args.device_class.clone(),
        throughput: args.throughput.clone(),
        gpu_memory: args.gpu_memory.map(|size| size.0),
    };
    Ok((job(&args.job, devices, args.out.as_deref())?, options))
}

/// The pipeline file and the inputs. `-i` takes all that follows it, the pipeline too: one TOML file, or weights file that may hold one, among
/// the inputs is meant as that.
fn pipeline_and_inputs(args: &JobArgs) -> Result<(PathBuf, Vec<PathBuf>), app::Error> {
    if let Some(pipeline) = &args.pipeline {
        return Ok((pipeline.clone(), args.input.clone()));
    }
    let kinds = ["toml", "safetensors", "swz"];
    let is_pipeline =
        |path: &&PathBuf| path.extension().is_some_and(|e| kinds.iter().any(|kind| e.eq_ignore_ascii_case(kind)));
    let (found, inputs): (Vec<&PathBuf>, Vec<&PathBuf>) = args.input.iter().partition(is_pipeline);
    let usage =
        |what: &str| Err(app::Error::Usage(format!("{what}; name it first: swath run PIPELINE.toml -i INPUT -o DIR")));
    match (found.as_slice(), inputs.is_empty()) {
        ([pipeline], false) => Ok(((*pipeline).clone(), inputs.into_iter().cloned().collect())),
        ([_], true) => usage("there is a pipeline file and no input"),
        ([], _) => usage("no pipeline file is named"),
        (_, _) => {
            usage("more than one TOML file or weights file is among the inputs, and none is named as the pipeline")
        }
    }
}

/// How `run` carries it out. `arguments` are the command's own.
pub(super) fn run(args: &RunArgs, arguments: Vec<String>, supervisor: SupervisorLink) -> RunOptions {
    let limits = limits(&supervisor, args.deadline, args.grace, args.stall_timeout);
    let restarted = supervisor.attempt().begun;
    RunOptions {
        overwrite: args.job.overwrite,
        break_lock: args.break_lock,
        reuse: if args.fresh { Reuse::Nothing } else { args.from.map_or(Reuse::Everything, Reuse::Before) },
        until: args.until,
        strict: args.strict,
        partial: args.job.allow_partial.unwrap_or_default(),
        pack_fake: args.pack_fake,
        page: !args.no_page,
        show: show(args.talk),
        limits,
        origin: Origin { arguments, supervisor, restarted, ..Origin::default() },
        ..RunOptions::into(&args.out)
    }
}

pub(super) fn synth(args: SynthArgs) -> SynthRequest {
    SynthRequest { seed: args.seed, out: Output { path: args.out, overwrite: args.overwrite } }
}

/// A file that is written.
pub(super) fn output(file: OutFile) -> Output {
    Output { path: file.out, overwrite: file.overwrite }
}

pub(super) fn eval(args: EvalArgs) -> EvalRequest {
    let EvalArgs {
        masks,
        truth,
        truth_args,
        classes: ClassesArgs { pipeline, settings },
        boundary,
        no_boundary,
        html,
        overwrite,
        ..
    } = args;
    let html = html.map(|path| Output { path, overwrite });
    let boundary = (!no_boundary).then_some(boundary);
    EvalRequest { masks, truth: self::truth(truth, truth_args), pipeline, settings, boundary, html }
}

/// What masks are held against.
pub(super) fn truth(path: PathBuf, TruthArgs { part, ignore }: TruthArgs) -> Truth {
    Truth { path, part, without: None, ignore }
}

pub(super) fn viz(args: VizArgs) -> VizRequest {
    let VizArgs { masks, out: path, overwrite, classes: ClassesArgs { pipeline, settings }, alpha, images, .. } = args;
    VizRequest {
        masks,
        pipeline,
        settings,
        out: Output { path, overwrite },
        overlay: args.overlay.then_some(Shown { alpha, images }),
        truth: args.truth.map(|path| truth(path, args.truth_args)),
        wrong: args.wrong.map(|ColorArg(color)| color),
    }
}

/// Where it is measured how far compression moves the outputs.
pub(super) fn drift(
    pipeline: PathBuf,
    inputs: Vec<PathBuf>,
    truth: Option<Truth>,
    tiles: u32,
    device: Option<DeviceId>,
) -> DriftRequest {
    let scan = ScanOptions { inputs, ..ScanOptions::default() };
    // Tile by tile: what a tile is measured with must not depend on which others are chosen.
    let settings = vec!["inference.batch=1".to_owned()];
    let job = JobRequest {
        devices: device.map(|device| vec![device]),
        readers: Some(1),
        ..JobRequest::of(What::Pipeline { file: pipeline, settings, scan })
    };
    DriftRequest { job, tiles: tiles as usize, truth }
}

/// Which tensors of a checkpoint are meant.
pub(super) fn selection(which: WhichTensors) -> Selection {
    match which {
        WhichTensors { everything: true, .. } => Selection::Everything,
        WhichTensors { average: true, .. } => Selection::Average,
        WhichTensors { .. } => Selection::Network,
    }
}
