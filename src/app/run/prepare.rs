//! From a request to a job: what will be done, how, and with how much memory. Touches nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Assign;
use crate::app::{Error, profiles};
use crate::config::{Band, ByteSize, Member, Pipeline, Precision, Weights};
use crate::infer::{self, DeviceError};
use crate::lifecycle::machine::{self, Memory};
use crate::outputs::OutputLayout;
use crate::plan::{
    BackendKind, Decode, DeviceId, MemberPlan, Plan, PlanFile, Planned, Planner, Profile, Promise, ScanOptions,
    Schedule, ShardCut, check_memory, doubts, scan,
};
use crate::raster::{Allowed, DecoderLimits, Gdal, Isolated, OpenSource, gdal_report};
use crate::report::{HashWatch, Show};
use crate::tensor::Gpu;
use crate::weights;
use crate::words::{absolute, count, format_bytes};
use crate::zoo::spec::Network;

/// What `swath run` and `swath plan` are asked.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// What is to be done.
    pub what: What,
    /// The implementation of the networks, where it is not planned yet.
    pub backend: BackendKind,
    /// Devices; `None` for all GPUs, or else one worker per core.
    pub devices: Option<Vec<DeviceId>>,
    /// Which of them holds which members.
    pub assign: Assign,
    /// Reader threads; `None` for a few.
    pub readers: Option<usize>,
    /// Bytes for pixels and labels in flight; `None` for a share of what is free.
    pub memory: Option<ByteSize>,
    /// Where scenes are decoded.
    pub decode: Decode,
    /// Whether the newest profile is taken instead of the one that the run directory began with.
    pub retune: bool,
    /// The machine that it is planned for; none for this one.
    pub machine: Option<OtherMachine>,
    /// What is shown while it is planned, where that takes long.
    pub show: Show,
}

impl JobRequest {
    /// This, as it is done where nobody says how.
    pub fn of(what: What) -> Self {
        Self {
            what,
            backend: BackendKind::Torch,
            devices: None,
            assign: Assign::default(),
            readers: None,
            memory: None,
            decode: Decode::Isolated { timeout: Decode::TIMEOUT },
            retune: false,
            machine: None,
            show: Show::NOTHING,
        }
    }
}

/// A machine that is not here.
#[derive(Clone, Debug)]
pub struct OtherMachine {
    /// The class of its devices.
    pub class: String,
    /// Cores of its processors.
    pub cores: usize,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum What {
    /// What a pipeline says, to some inputs.
    Pipeline {
        /// The pipeline file.
        file: PathBuf,
        /// `key=value` on top of it.
        settings: Vec<String>,
        /// The inputs.
        scan: ScanOptions,
    },
    /// The same of a pipeline that is no file.
    Checked {
        /// The pipeline.
        pipeline: Box<Pipeline>,
        /// The inputs.
        scan: ScanOptions,
    },
    /// What was planned before.
    Plan(Saved),
    /// A part of what was planned before.
    Part {
        /// The whole plan.
        plan: Saved,
        /// How it is cut.
        cut: ShardCut,
        /// Which of its parts.
        index: u32,
    },
    /// What was planned before and is done but for what needs no network.
    Done(Saved),
}

/// A plan in a file.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The file.
    pub file: PathBuf,
    /// The folder that holds the scenes here, where that is another than there.
    pub root: Option<PathBuf>,
}

impl Saved {
    /// Says where the scenes of the plan are here.
    fn place(&self, planned: &mut Planned) -> Result<(), Error> {
        if let Some(root) = &self.root {
            planned.plan.root = root_here(&planned.plan, &self.file, root)?;
        }
        Ok(())
    }
}

/// A plan with all that is needed to carry it out.
pub struct Job {
    /// The plan and what did not get into it.
    pub planned: Planned,
    /// How it is carried out.
    pub schedule: Schedule,
    /// The memory that takes.
    pub promise: Promise,
    /// Opens the scenes.
    pub source: Arc<dyn OpenSource>,
    /// What a person should know before it starts.
    pub warnings: Vec<String>,
    /// Whether its devices are elsewhere: it can be planned, and not run.
    pub is_elsewhere: bool,
}

/// Without `--memory`: a quarter of what is free, within these bounds.
const MEMORY_DEFAULT: std::ops::RangeInclusive<u64> = 256 << 20..=4 << 30;

/// Without `--readers`: so many, where there are cores for them. One decodes 79 Mpx/s of DEFLATE tiles on a core of its own (`swath bench
/// decode`, 2026-11), which is more than a CPU classifies, but each pixel of a ring is read for two rows of tiles, and small files take
/// longer.
const READERS_DEFAULT: usize = 4;

/// And so many more for each further GPU, which at the 45 Mpx/s that one is to reach would else wait for them, up to half of the cores:
/// the others tile, stitch and encode.
const READERS_PER_GPU: usize = 2;

/// Bytes for pixels in flight, where nobody says how many.
pub(in crate::app) fn usual_memory(memory: Option<Memory>) -> u64 {
    let free = memory.map_or(u64::MAX, |memory| memory.available);
    (free / 4).clamp(*MEMORY_DEFAULT.start(), *MEMORY_DEFAULT.end())
}

/// Makes the plan and the schedule of a request.
///
/// # Errors
/// When the pipeline, the inputs, the weights or the devices cannot be used, or the memory does not suffice. A scene that cannot
/// be planned is no error.
pub fn prepare(request: &JobRequest) -> Result<Job, Error> {
    let (planned, mut schedule, of_scan) = match &request.what {
        What::Pipeline { file, settings, scan } => plan(request, Pipeline::load(file, settings)?, scan)?,
        What::Checked { pipeline, scan } => plan(request, (**pipeline).clone(), scan)?,
        What::Plan(saved) => saved_plan(request, Planned::load(&saved.file)?, saved)?,
        What::Part { plan, cut, index } => saved_plan(request, part(&plan.file, cut, *index)?, plan)?,
        What::Done(saved) => return done(request, saved),
    };
    if request.devices.is_none() && !matches!(request.assign, Assign::File(_)) {
        fit_workers(&mut schedule, &planned, &request.assign)?;
    }
    infer::check_onnx(&planned.plan)?;
    let source = reading_source(&planned.plan, &schedule)?;
    let promise = Promise::new(&planned.plan, &schedule);
    let is_elsewhere = request.machine.is_some();
    let of_machine = if is_elsewhere { None } else { memory_warning(&promise) };
    let warnings = [of_scan, warnings(&planned), Vec::from_iter(of_machine), doubts(&planned.plan)].concat();
    Ok(Job { planned, schedule, promise, source, warnings, is_elsewhere })
}

fn plan(
    request: &JobRequest,
    pipeline: Pipeline,
    options: &ScanOptions,
) -> Result<(Planned, Schedule, Vec<String>), Error> {
    let schedule = schedule(request, request.backend, &pipeline)?;
    let device_class = class_of(request, &schedule, request.backend)?;
    let began = began(options.run_dir.as_deref());
    let (profile, of_profile) =
        profiles::of_plan(request.backend, &device_class, began.as_ref().filter(|_| !request.retune))?;
    let members = members(&pipeline, request.backend, &device_class, profile.as_ref())?;
    let of_file = |band: Band| match band {
        Band::File(pattern) => Some(pattern),
        Band::Number(_) | Band::Name(_) => None,
    };
    let bands = pipeline.bands().into_iter().filter_map(of_file).collect();
    let drivers = pipeline.reading.drivers;
    let (hash_inputs, of_hashes) = hash_inputs(options, began.as_ref());
    let scanned = scan(&ScanOptions { bands, drivers, hash_inputs, ..options.clone() })?;
    let mut warnings: Vec<String> = scanned.warnings.iter().cloned().chain(of_profile).chain(of_hashes).collect();
    let versions = versions(&pipeline, request.backend)?;
    let allowed = Allowed::below(drivers, &scanned.root, scanned.scenes.iter().map(|scene| scene.file.as_path()));
    let allowed = allowed.and_below(&scanned.homes);
    let source = planning_source(request.decode, allowed)?;
    let backend = request.backend;
    let watch = HashWatch::new(request.show);
    let (source, hashing) = (source.as_ref(), &|bytes, of_bytes| watch.show(bytes, of_bytes));
    let planner = Planner { pipeline, members, backend, device_class, profile, versions, source, hashing };
    let planned = planner.plan(scanned, &schedule);
    watch.finish();
    let planned = planned?;
    if planned.parts > 0 {
        let n = count(planned.parts, "file");
        warnings.push(format!("{n} of the inputs are parts of mosaics among them (*.vrt) and no scenes of their own; name files to have them as well"));
    }
    Ok((planned, schedule, warnings))
}

/// The plan that a run directory was last used with, without scenes. What cannot be read keeps nothing: a run says itself what is wrong with
/// its directory.
fn began(run_dir: Option<&Path>) -> Option<Plan> {
    let layout = OutputLayout { dir: run_dir?.to_owned() };
    Plan::head_of(&layout.plan()).ok()
}

/// Whether scenes are known by all bytes of their files, and what a person should know of that: a run directory that was begun so goes on
/// so, since all that it holds is found by them.
fn hash_inputs(options: &ScanOptions, began: Option<&Plan>) -> (bool, Option<String>) {
    let anew = options.hash_inputs && began.is_some_and(|began| !began.hash_inputs);
    let text = "the run directory was begun without --hash-inputs: its scenes are known by other marks, and all are done again";
    (options.hash_inputs || began.is_some_and(|began| began.hash_inputs), anew.then(|| text.to_owned()))
}

/// A part of a saved plan.
fn part(file: &Path, cut: &ShardCut, index: u32) -> Result<Planned, Error> {
    let mut saved = PlanFile::open(file)?;
    let units = saved.shard(cut, index)?;
    Ok(saved.part(units)?)
}

/// The job of finishing a plan whose networks have run elsewhere: no device, and no weights, need be here.
fn done(request: &JobRequest, saved: &Saved) -> Result<Job, Error> {
    let mut planned = Planned::load(&saved.file)?;
    saved.place(&mut planned)?;
    let devices = Some(vec![DeviceId::Cpu]);
    let schedule = schedule(&JobRequest { devices, ..request.clone() }, planned.plan.backend, &planned.plan.pipeline)?;
    check_memory(&planned.plan, &schedule)?;
    let source = reading_source(&planned.plan, &schedule)?;
    let promise = Promise::new(&planned.plan, &schedule);
    let warnings = Vec::from_iter(memory_warning(&promise));
    Ok(Job { planned, schedule, promise, source, warnings, is_elsewhere: true })
}

/// A plan that was saved, if this machine can carry it out to the byte.
fn saved_plan(
    request: &JobRequest,
    mut planned: Planned,
    saved: &Saved,
) -> Result<(Planned, Schedule, Vec<String>), Error> {
    saved.place(&mut planned)?;
    let file = saved.file.as_path();
    let made = &planned.plan;
    let schedule = schedule(request, made.backend, &made.pipeline)?;
    let class = class_here(request, &schedule, made, file)?;
    let here = versions(&made.pipeline, made.backend)?;
    if here != made.versions {
        let text = |versions: &[(String, String)]| {
            let all: Vec<String> = versions.iter().map(|(what, version)| format!("{what} {version}")).collect();
            all.join(", ")
        };
        let (made, here) = (text(&made.versions), text(&here));
        let text = format!("the plan `{}` was made with {made}, and here is {here}: plan again", file.display());
        return Err(Error::Usage(text));
    }
    let found = members(&made.pipeline, made.backend, &class, made.profile.as_ref())?;
    if let Some((member, _)) = found.iter().zip(&made.members).find(|(found, made)| found.digest != made.digest) {
        return Err(Error::Usage(format!(
            "the weights of member `{}` are not those that the plan `{}` was made with: plan again",
            member.member.name,
            file.display()
        )));
    }
    check_memory(made, &schedule)?;
    match planned.plan.area.as_mut().map(|area| (area.is_found_again(), area.label())) {
        Some((false, area)) => Err(Error::Usage(format!(
            "the file of the area `{area}` is not that of the plan `{}`: plan again",
            file.display()
        ))),
        Some((true, _)) | None => Ok((planned, schedule, Vec::new())),
    }
}

/// The class of the devices, if it is that of a saved plan.
fn class_here(request: &JobRequest, schedule: &Schedule, made: &Plan, file: &Path) -> Result<String, Error> {
    let class = match class_of(request, schedule, made.backend)? {
        // Which of a kind it is, nobody says who has no figures of it.
        class if request.machine.is_some() && made.device_class.starts_with(&class) => made.device_class.clone(),
        class => class,
    };
    let Some(device) = schedule.devices.first().filter(|_| class != made.device_class) else { return Ok(class) };
    // What does not answer has no class that one could go by.
    if let Some(number) = device.gpu().filter(|_| is_bare(&class, made.backend))
        && let Err(detail) = infer::gpu(number)
    {
        return Err(DeviceError::Missing { device: *device, detail }.into());
    }
    let (file, made) = (file.to_owned(), made.device_class.clone());
    Err(Error::WrongClass { device: device.to_string(), class, file, made })
}

/// The class of the devices, here or elsewhere. Which of its kind one is matters to networks alone.
fn class_of(request: &JobRequest, schedule: &Schedule, backend: BackendKind) -> Result<String, Error> {
    match request.machine.as_ref().filter(|_| backend == BackendKind::Torch) {
        Some(machine) => Ok(machine.class.clone()),
        None => device_class(&schedule.devices, backend),
    }
}

/// Where the scenes of a saved plan are here.
fn root_here(plan: &Plan, file: &Path, root: &Path) -> Result<PathBuf, Error> {
    let usage = |what: String| Err(Error::Usage(format!("--input-root `{}`: {what}", root.display())));
    let is_named = plan.scenes.iter().any(|scene| scene.file.is_absolute());
    if plan.root.as_os_str().is_empty() || is_named {
        let file = file.display();
        return usage(format!("the plan `{file}` has files as they were named; save it with --input-root as well"));
    }
    if !root.is_dir() {
        return usage("there is no such folder".to_owned());
    }
    Ok(absolute(root))
}

/// Whether a class says no more than that it is a GPU, where there is more to say.
pub(in crate::app) fn is_bare(class: &str, backend: BackendKind) -> bool {
    backend == BackendKind::Torch && class == DeviceId::Cuda(0).kind()
}

/// What looks at headers.
fn planning_source(decode: Decode, allowed: Allowed) -> Result<Box<dyn OpenSource>, Error> {
    Ok(match decode {
        Decode::InProcess => Box::new(Gdal::set_up()?.allowing(allowed.drivers)),
        Decode::Isolated { timeout } => Box::new(Isolated::allowing(DecoderLimits::planning(timeout), allowed)),
    })
}

/// What reads the scenes of a plan.
fn reading_source(plan: &Plan, schedule: &Schedule) -> Result<Arc<dyn OpenSource>, Error> {
    let written = plan.output_cache(schedule).unwrap_or(0);
    Ok(match schedule.decode {
        Decode::InProcess => {
            let gdal = Gdal::set_up()?.allowing(plan.pipeline.reading.drivers);
            gdal.limit_cache(plan.decoder_cache(schedule.decoders(plan)) + written)?;
            Arc::new(gdal)
        }
        Decode::Isolated { timeout } => {
            if plan.output_cache(schedule).is_some() {
                Gdal::set_up()?.limit_cache(written)?;
            }
            Arc::new(Isolated::allowing(plan.decoder_limits(schedule.decoders(plan), timeout), plan.allowed()))
        }
    })
}

/// Devices, workers and memory for a pipeline's members.
///
/// # Errors
/// When there are no devices or no readers, or the members cannot be assigned as asked.
pub fn schedule(request: &JobRequest, backend: BackendKind, pipeline: &Pipeline) -> Result<Schedule, Error> {
    let cores = request.machine.as_ref().map_or_else(machine::cores, |machine| machine.cores);
    let devices = match (&request.devices, request.assign.devices()?) {
        (Some(_), Some(_)) => {
            return Err(Error::Usage("the file of --assign names the devices: leave --devices out".into()));
        }
        (Some(devices), None) if devices.is_empty() => {
            return Err(Error::Usage("--devices names no device; write cpu or cuda:0".into()));
        }
        (Some(devices), None) => devices.clone(),
        (None, Some(devices)) => devices,
        (None, None) => default_devices(backend, cores),
    };
    let readers = request.readers.unwrap_or_else(|| default_readers(cores, &devices));
    if readers == 0 {
        return Err(Error::Usage("--readers is 0; at least one is needed".into()));
    }
    // Whoever has several GPUs has memory for the most that is taken without being asked.
    let share = usual_memory(machine::memory().filter(|_| request.machine.is_none()));
    Ok(Schedule {
        assignment: request.assign.assignment(devices.len(), pipeline)?,
        devices,
        readers,
        encoders: cores.div_ceil(2).clamp(1, 8),
        memory: request.memory.map_or(share, |m| m.0),
        decode: request.decode,
    })
}

/// Every GPU, or else one worker per core with one thread each: two threads beside a busy process took 3.9 s for what one did in
/// 0.66 s (2 cores, 2026-11).
pub(in crate::app) fn default_devices(backend: BackendKind, cores: usize) -> Vec<DeviceId> {
    let n_gpus = if backend == BackendKind::Torch { infer::cuda_devices() } else { 0 };
    if n_gpus > 0 { (0..n_gpus).map(DeviceId::Cuda).collect() } else { vec![DeviceId::Cpu; cores] }
}

fn default_readers(cores: usize, devices: &[DeviceId]) -> usize {
    let gpus: BTreeSet<usize> = devices.iter().filter_map(|device| device.gpu()).collect();
    let for_gpus = READERS_DEFAULT + READERS_PER_GPU * gpus.len().saturating_sub(1);
    for_gpus.min(cores / 2).max(cores.min(READERS_DEFAULT)).max(1)
}

/// What decides the bytes: neither CPUs and GPUs nor GPUs of different kinds round alike, so a run keeps to one kind. A GPU that does not
/// answer says nothing: whether it is to be had is looked at later.
pub(in crate::app) fn device_class(devices: &[DeviceId], backend: BackendKind) -> Result<String, Error> {
    let kinds: BTreeSet<&str> = devices.iter().map(|device| device.kind()).collect();
    if kinds.len() > 1 {
        let kinds = kinds.into_iter().collect::<Vec<_>>().join(" and ");
        let text = format!("--devices mixes {kinds}, which do not give the same bytes; name one kind");
        return Err(Error::Usage(text));
    }
    let gpus: Vec<usize> = devices.iter().filter_map(|device| device.gpu()).collect();
    if gpus.is_empty() {
        return Ok(devices.first().unwrap_or(&DeviceId::Cpu).kind().to_owned());
    }
    if backend != BackendKind::Torch {
        return Ok("cuda".into());
    }
    let answers = gpus.into_iter().filter_map(|number| Some((number, infer::gpu(number).ok()?)));
    one_class(&answers.collect::<Vec<_>>())
}

fn is_gpu(device_class: &str) -> bool {
    device_class.starts_with(DeviceId::Cuda(0).kind())
}

/// The class that these GPUs have in common.
fn one_class(gpus: &[(usize, Gpu)]) -> Result<String, Error> {
    let Some((first, gpu)) = gpus.first() else { return Ok("cuda".into()) };
    match gpus.iter().find(|(_, other)| other.class() != gpu.class()) {
        None => Ok(gpu.class()),
        Some((number, other)) => Err(DeviceError::Missing {
            device: DeviceId::Cuda(*number),
            detail: format!(
                "it is an {other}, and cuda:{first} is an {gpu}: they would not give the same bytes; name --devices of one kind"
            ),
        }
        .into()),
    }
}

pub(in crate::app) fn members(
    pipeline: &Pipeline,
    backend: BackendKind,
    device_class: &str,
    profile: Option<&Profile>,
) -> Result<Vec<MemberPlan>, Error> {
    let plan = |(member, digest): (&Member, String)| {
        let resolved_precision = match member.precision {
            _ if backend != BackendKind::Torch => Precision::F32,
            // Half precision would convert a program's integers as well.
            Precision::Auto if !is_gpu(device_class) || member.spec.script.is_some() => Precision::F32,
            Precision::Auto => Precision::F16,
            named @ (Precision::F32 | Precision::Tf32 | Precision::F16 | Precision::BF16) => named,
        };
        let on_gpu = is_gpu(device_class);
        if resolved_precision == Precision::Tf32 && !on_gpu {
            let text = format!("member `{}`: precision = \"tf32\" is for GPUs; a CPU has f32", member.name);
            return Err(Error::Usage(text));
        }
        if member.spec.is_onnx() && resolved_precision.is_half() {
            return Err(Error::Usage(format!(
                "member `{}`: precision = \"{}\" is for networks of libtorch; an ONNX model's arithmetic is in its file: export it so",
                member.name,
                resolved_precision.name()
            )));
        }
        if !on_gpu && let Some(lacks) = lacks_half(resolved_precision) {
            return Err(Error::Usage(format!(
                "member `{}`: precision = \"{}\" is for CPUs with {lacks}, and this one has neither: a pass would take 100 times as long as \
                 in f32; use precision = \"auto\" (for a trial of what is no matter of time, {SLOW_HALF}=1 lets it run)",
                member.name,
                resolved_precision.name()
            )));
        }
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let program_bytes = match &member.weights {
            Weights::File(path) if member.spec.is_onnx() => {
                weights::onnx::files(path).map_or(0, |files| files.iter().map(|file| bytes(file)).sum())
            }
            Weights::File(path) if member.spec.script.is_some() => bytes(path),
            Weights::File(_) | Weights::Seed(_) => 0,
        };
        let resolved_kernels = member.kernels;
        let planned =
            MemberPlan { member: member.clone(), digest, resolved_precision, resolved_kernels, program_bytes };
        Ok(planned.in_precision(resolved_precision, on_gpu).with(profile))
    };
    let planned: Vec<MemberPlan> =
        pipeline.members.iter().zip(digests(pipeline)?).map(plan).collect::<Result<_, Error>>()?;
    let has = |precision| planned.iter().any(|m| m.resolved_precision == precision);
    if has(Precision::F32) && has(Precision::Tf32) {
        let text = "some members have precision = \"f32\" and some \"tf32\": libtorch has one switch for all; name one of them";
        return Err(Error::Usage(text.into()));
    }
    Ok(planned)
}

/// Lets half precision run on a CPU that is not made for it.
const SLOW_HALF: &str = "SWATH_SLOW_HALF";

/// The instructions that this machine's CPU would need for passes of this precision, where it has none of them.
fn lacks_half(precision: Precision) -> Option<String> {
    let needed = match precision {
        Precision::F16 => ["avx512_fp16", "amx_fp16"],
        Precision::BF16 => ["avx512_bf16", "amx_bf16"],
        Precision::Auto | Precision::F32 | Precision::Tf32 => return None,
    };
    let has = machine::processor_flags();
    let lacks = !needed.iter().any(|flag| has.iter().any(|has| has == flag));
    (lacks && std::env::var_os(SLOW_HALF).is_none()).then(|| needed.join(" or "))
}

/// What the weights of each member are known by.
fn digests(pipeline: &Pipeline) -> Result<Vec<String>, Error> {
    let file = |member: &Member| match &member.weights {
        Weights::File(path) => Some((path.clone(), member.sha256.clone())),
        Weights::Seed(_) => None,
    };
    let files: Vec<(PathBuf, Option<String>)> = pipeline.members.iter().filter_map(file).collect();
    let files: Vec<(&Path, Option<&str>)> =
        files.iter().map(|(path, sha256)| (path.as_path(), sha256.as_deref())).collect();
    let mut of_files = weights::digests(&files).into_iter();
    let digest = |member: &Member| match &member.weights {
        Weights::File(path) => {
            let found = of_files.next().unwrap_or_else(|| weights::digest(path));
            found.map_err(|source| Error::Weights { member: member.name.clone(), source })
        }
        Weights::Seed(seed) => Ok(format!("seed {seed}")),
    };
    pipeline.members.iter().map(digest).collect()
}

/// Versions of what can change a byte.
fn versions(pipeline: &Pipeline, backend: BackendKind) -> Result<Vec<(String, String)>, Error> {
    let own = ("swath", Some(env!("CARGO_PKG_VERSION").to_owned()));
    let needs_onnx = backend == BackendKind::Torch && pipeline.members.iter().any(|member| member.spec.is_onnx());
    let onnxruntime = needs_onnx.then(infer::onnxruntime).transpose();
    let onnxruntime = onnxruntime.map_err(|detail| DeviceError::Missing { device: DeviceId::Cpu, detail })?;
    let gdal = Some(gdal_report()?.version);
    let all = [
        own,
        ("gdal", gdal),
        ("libtorch", infer::libtorch_version()),
        ("onnxruntime", onnxruntime.map(|(version, _)| version)),
    ];
    Ok(all.into_iter().filter_map(|(what, version)| Some((what.to_owned(), version?))).collect())
}

/// One worker less, and again, until the promise fits into what is free: a worker per core is only the default.
fn fit_workers(schedule: &mut Schedule, planned: &Planned, assign: &Assign) -> Result<(), Error> {
    let Some(memory) = machine::memory() else { return Ok(()) };
    while schedule.devices.len() > 1 && Promise::new(&planned.plan, schedule).total() > memory.available {
        schedule.devices.pop();
        schedule.assignment = assign.assignment(schedule.devices.len(), &planned.plan.pipeline)?;
    }
    Ok(())
}

fn warnings(planned: &Planned) -> Vec<String> {
    let mut warnings = Vec::new();
    for member in planned.plan.members.iter().filter(|m| matches!(m.member.weights, Weights::Seed(_))) {
        if planned.plan.backend == BackendKind::Torch {
            warnings.push(format!("member `{}` has random weights (seed): its masks mean nothing", member.member.name));
        }
    }
    for member in planned.plan.members.iter().filter(|m| m.member.spec.network == Network::TorchScript) {
        let name = &member.member.name;
        if member.resolved_precision != Precision::F32 {
            warnings.push(format!(
                "member `{name}` runs in half precision, which converts all that its program holds, integers too; if it does not run, \
                 use precision = \"auto\""
            ));
        }
        warnings.push(format!(
            "member `{name}` is a TorchScript program; PyTorch has deprecated the format, and a later libtorch may not run it: where the \
             network is one of `swath models list`, give it its state_dict as weights"
        ));
    }
    warnings
}

fn memory_warning(promise: &Promise) -> Option<String> {
    let memory = machine::memory().filter(|m| promise.total() > m.available)?;
    Some(format!(
        "this run may need {} and {} are free; lower --memory or name fewer --devices",
        format_bytes(promise.total()),
        format_bytes(memory.available)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_grow_with_gpus_as_far_as_there_are_cores() {
        let gpus = |n: usize| (0..n).map(DeviceId::Cuda).collect::<Vec<_>>();
        let of = |cores, n| default_readers(cores, &gpus(n));
        assert_eq!([of(16, 1), of(16, 4), of(32, 4), of(128, 8)], [4, 8, 10, 18]);
        assert_eq!([of(1, 4), of(2, 4), of(6, 4)], [1, 2, 4]);
        // Cores classify more slowly than they decode, and workers that share a GPU are no faster than it.
        assert_eq!(default_readers(64, &[DeviceId::Cpu; 64]), 4);
        assert_eq!(default_readers(64, &[DeviceId::Cuda(1); 3]), 4);
    }

    #[test]
    fn two_classes_of_gpus_are_refused_with_both() {
        let gpu =
            |name: &str, multiprocessors| Gpu { name: name.into(), capability: (9, 0), multiprocessors, cudnn: 91_002 };
        let (one, other) = (gpu("NVIDIA H100 80GB HBM3", 132), gpu("NVIDIA H100 PCIe", 114));
        assert_eq!(one_class(&[(0, one.clone()), (2, one.clone())]).unwrap(), "cuda sm_90, 132 SMs, cuDNN 91002");
        let error = one_class(&[(0, one.clone()), (1, one), (3, other)]).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Device(DeviceError::Missing { device: DeviceId::Cuda(3), .. })), "{text}");
        assert!(text.contains("114 SMs") && text.contains("132 SMs") && text.contains("--devices"), "{text}");
    }
}
