//! From arguments to requests.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::args::{
    BackendName, DECODE_TIMEOUT, DecodeName, DtypeName, EvalArgs, JobArgs, OutFile, RunArgs, Stage, SynthArgs,
    WhichTensors,
};
use crate::app::{
    self, DamageRequest, EvalRequest, Guard, JobRequest, Output, RunOptions, Selection, StageName, SynthRequest, Target,
};
use crate::plan::{BackendKind, Decode, DeviceId, ScanOptions};

/// The job that `run` and `plan` are about.
///
/// # Errors
/// When the run directory is a file.
pub(super) fn job(args: &JobArgs) -> Result<JobRequest, app::Error> {
    if args.out.exists() && !args.out.is_dir() {
        return Err(app::Error::Usage(format!("-o `{}` is a file; name a folder", args.out.display())));
    }
    Ok(JobRequest {
        pipeline: args.pipeline.clone(),
        settings: args.settings.clone(),
        scan: ScanOptions {
            inputs: args.input.clone(),
            include: args.include.clone(),
            exclude: args.exclude.clone(),
            run_dir: Some(args.out.clone()),
        },
        backend: match args.backend {
            BackendName::Torch => BackendKind::Torch,
            BackendName::Fake => BackendKind::Fake,
        },
        devices: args.devices.clone(),
        readers: args.readers,
        memory: args.memory,
        decode: match args.decode {
            DecodeName::Isolated => Decode::Isolated { timeout: Duration::from_secs(args.decode_timeout) },
            DecodeName::InProcess => Decode::InProcess,
        },
    })
}

/// How `run` carries it out. `arguments` are the command's own.
pub(super) fn run(args: &RunArgs, arguments: Vec<String>, guard: Guard) -> RunOptions {
    let orders = guard.orders();
    let (restarted, elapsed) = (orders.begun, Duration::from_millis(orders.elapsed_ms));
    RunOptions {
        restarted,
        begun: Instant::now().checked_sub(elapsed).unwrap_or_else(Instant::now),
        overwrite: args.job.overwrite,
        partial: args.job.allow_partial.unwrap_or_default(),
        show: true,
        fresh: args.fresh,
        break_lock: args.break_lock,
        stall_timeout: (args.stall_timeout > 0).then(|| Duration::from_secs(args.stall_timeout)),
        guard,
        from: args.from.map(stage),
        until: args.until.map(stage),
        grace: Duration::from_secs(args.grace),
        arguments,
        deadline: args.deadline,
        ..RunOptions::into(&args.job.out)
    }
}

fn stage(name: Stage) -> StageName {
    match name {
        Stage::Infer => StageName::Infer,
        Stage::Average => StageName::Average,
        Stage::Stitch => StageName::Stitch,
        Stage::Post => StageName::Post,
        Stage::Encode => StageName::Encode,
        Stage::Pack => StageName::Pack,
    }
}

/// What `synth` draws.
pub(super) fn synth(args: SynthArgs) -> SynthRequest {
    SynthRequest { seed: args.seed, out: Output { path: args.out, overwrite: args.overwrite } }
}

/// A file that is written.
pub(super) fn output(file: OutFile) -> Output {
    Output { path: file.out, overwrite: file.overwrite }
}

/// What `eval` scores.
pub(super) fn eval(args: EvalArgs) -> EvalRequest {
    EvalRequest { masks: args.masks, truth: args.truth, ignore: args.ignore, pipeline: args.pipeline }
}

/// Where the damage of compression is measured.
pub(super) fn damage(pipeline: PathBuf, inputs: Vec<PathBuf>, tiles: u32, device: Option<DeviceId>) -> DamageRequest {
    let job = JobRequest {
        pipeline,
        settings: Vec::new(),
        scan: ScanOptions { inputs, include: Vec::new(), exclude: Vec::new(), run_dir: None },
        backend: BackendKind::Torch,
        devices: device.map(|device| vec![device]),
        readers: Some(1),
        memory: None,
        decode: Decode::Isolated { timeout: Duration::from_secs(DECODE_TIMEOUT) },
    };
    DamageRequest { job, tiles: tiles as usize }
}

/// Which tensors of a checkpoint are meant.
pub(super) fn selection(which: WhichTensors) -> Selection {
    match which {
        WhichTensors { everything: true, .. } => Selection::Everything,
        WhichTensors { average: true, .. } => Selection::Average,
        WhichTensors { .. } => Selection::Network,
    }
}

/// The type of converted values.
pub(super) fn target(dtype: DtypeName) -> Target {
    match dtype {
        DtypeName::Same => Target::Same,
        DtypeName::F32 => Target::F32,
        DtypeName::F16 => Target::F16,
        DtypeName::Bf16 => Target::BF16,
    }
}
