//! From arguments to requests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::args::{
    BackendName, DECODE_TIMEOUT, DecodeName, DtypeName, EvalArgs, JobArgs, OutFile, PlanArgs, ProgressName, RunArgs,
    Stage, SynthArgs, TalkArgs, WhichTensors,
};
use crate::app::{
    self, DamageRequest, EvalRequest, JobRequest, Output, PlanOptions, RunOptions, Selection, StageName, SynthRequest,
    Target,
};
use crate::lifecycle::SupervisorLink;
use crate::plan::{BackendKind, Decode, DeviceId, ScanOptions};
use crate::report::{Detail, ProgressForm, Show};

/// The job that `run` and `plan` are about.
///
/// # Errors
/// When no pipeline is named, or the run directory is a file.
pub(super) fn job(args: &JobArgs, out: Option<&Path>) -> Result<JobRequest, app::Error> {
    if let Some(file) = out.filter(|out| out.exists() && !out.is_dir()) {
        return Err(app::Error::Usage(format!("-o `{}` is a file; name a folder", file.display())));
    }
    let (pipeline, inputs) = pipeline_and_inputs(args)?;
    Ok(JobRequest {
        pipeline,
        settings: args.settings.clone(),
        scan: ScanOptions {
            inputs,
            include: args.include.clone(),
            exclude: args.exclude.clone(),
            run_dir: out.map(Path::to_owned),
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

/// The pipeline file and the inputs. `-i` takes all that follows it, the pipeline too: one TOML file among the inputs is meant as that.
fn pipeline_and_inputs(args: &JobArgs) -> Result<(PathBuf, Vec<PathBuf>), app::Error> {
    if let Some(pipeline) = &args.pipeline {
        return Ok((pipeline.clone(), args.input.clone()));
    }
    let is_toml = |path: &&PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
    let (found, inputs): (Vec<&PathBuf>, Vec<&PathBuf>) = args.input.iter().partition(is_toml);
    let usage =
        |what: &str| Err(app::Error::Usage(format!("{what}; name it first: swath run PIPELINE.toml -i INPUT -o DIR")));
    match (found.as_slice(), inputs.is_empty()) {
        ([pipeline], false) => Ok(((*pipeline).clone(), inputs.into_iter().cloned().collect())),
        ([_], true) => usage("there is a pipeline file and no input"),
        ([], _) => usage("no pipeline file is named"),
        (_, _) => usage("more than one TOML file is among the inputs, and none is named as the pipeline"),
    }
}

/// How `plan` looks at it.
pub(super) fn plan(args: &PlanArgs) -> PlanOptions {
    let (overwrite, partial) = (args.job.overwrite, args.job.allow_partial.unwrap_or_default());
    PlanOptions { out: args.out.clone(), overwrite, partial }
}

/// How `run` carries it out. `arguments` are the command's own.
pub(super) fn run(args: &RunArgs, arguments: Vec<String>, supervisor: SupervisorLink) -> RunOptions {
    let attempt = supervisor.attempt();
    let (restarted, elapsed) = (attempt.begun, Duration::from_millis(attempt.elapsed_ms));
    RunOptions {
        restarted,
        begun: Instant::now().checked_sub(elapsed).unwrap_or_else(Instant::now),
        overwrite: args.job.overwrite,
        partial: args.job.allow_partial.unwrap_or_default(),
        show: show(args.talk),
        pack_fake: args.pack_fake,
        fresh: args.fresh,
        break_lock: args.break_lock,
        strict: args.strict,
        stall_timeout: (args.stall_timeout > 0).then(|| Duration::from_secs(args.stall_timeout)),
        supervisor,
        from: args.from.map(stage),
        until: args.until.map(stage),
        grace: Duration::from_secs(args.grace),
        arguments,
        deadline: args.deadline,
        ..RunOptions::into(&args.out)
    }
}

/// What is shown of a run.
pub(super) fn show(talk: TalkArgs) -> Show {
    let progress = match talk.progress {
        ProgressName::Auto => ProgressForm::Auto,
        ProgressName::Bars => ProgressForm::Bars,
        ProgressName::Plain => ProgressForm::Plain,
        ProgressName::Json => ProgressForm::Json,
        ProgressName::None => ProgressForm::Nothing,
    };
    let detail = match talk {
        TalkArgs { quiet: true, .. } => Detail::Quiet,
        TalkArgs { verbose: true, .. } => Detail::Verbose,
        TalkArgs { .. } => Detail::Normal,
    };
    Show { progress, detail }
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
