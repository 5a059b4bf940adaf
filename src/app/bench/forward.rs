//! `swath bench forward`: what a network takes for a crop, through the devices that runs use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{random, report, spread};
use crate::app::Error;
use crate::app::models::sized;
use crate::app::profiles;
use crate::app::run::{device_class, members};
use crate::config::classes::{ClassId, ClassTable};
use crate::config::{Band, Batch, InputSpec, Member, Package, Pipeline, Precision, Reading, Weights};
use crate::faults::Faults;
use crate::geom::{PixelRect, Size, View};
use crate::infer::{self, Device, DeviceError, Done, Known, PassWork, RawBatch, TileFault, Wanted, Work, open_devices};
use crate::lifecycle::machine;
use crate::plan::{
    Assignment, BackendKind, Decode, DeviceId, MemberPlan, Plan, Planner, Scanned, ScannedScene, Schedule,
};
use crate::raster::{MemoryRaster, MemorySource, PixelBuf, PixelType};
use crate::report::{self as told, BenchReport, Event, ForwardFigures, ForwardRow, MatmulRate};
use crate::synth::class_table;
use crate::tiler::{Blend, Border, Dilation, Strategy, Tiling};
use crate::zoo::spec::{KernelSet, Network, NetworkSpec, SpecTable};

/// What `swath bench forward` is asked.
#[derive(Clone, Debug)]
pub struct ForwardRequest {
    /// A pipeline file, or the name of a network.
    pub what: PathBuf,
    /// The engine that runs them.
    pub backend: BackendKind,
    /// One after the other; none for the first GPU, or else a core.
    pub devices: Option<Vec<DeviceId>>,
    /// Crops per pass, one row each.
    pub batches: Vec<u32>,
    /// Arithmetic; none for f32 on a core, f16 and f32 on a GPU.
    pub precisions: Option<Vec<Precision>>,
    /// Side of the crops in pixels.
    pub side: u32,
    /// Passes that count; none for a few on a core, more on a GPU.
    pub repeats: Option<usize>,
}

/// Inputs that take turns: the same one again and again would be in the caches, and zeros are cheap for the multipliers.
const INPUTS: usize = 3;

/// Times each network.
///
/// # Errors
/// When there is no such network or pipeline, or a device or weights cannot be used. What a device has no memory for is in the rows.
pub fn forward(request: &ForwardRequest) -> Result<BenchReport<ForwardFigures>, Error> {
    let pipeline = subject(&request.what)?;
    let devices = request.devices.clone().unwrap_or_else(|| vec![default_device(request.backend)]);
    let mut batches = request.batches.clone();
    batches.sort_unstable();
    batches.dedup();
    let on_gpu = devices.iter().any(|device| device.gpu().is_some());
    let crop = Size::new(request.side, request.side);
    let bench = Bench::new(pipeline, request.backend, crop, batches, request.repeats, on_gpu);
    let mut figures = ForwardFigures {
        backend: request.backend.name().to_owned(),
        side: request.side,
        warm_ups: bench.warm_ups,
        repeats: bench.repeats,
        matmul: Vec::new(),
        rows: Vec::new(),
    };
    let mut seen = Vec::new();
    for device in devices {
        if !seen.contains(&device) {
            bench.device(device, request.precisions.as_deref(), &mut figures)?;
            seen.push(device);
        }
    }
    Ok(report("forward", figures))
}

/// The pipeline, or one of a single network with random weights.
fn subject(what: &Path) -> Result<Pipeline, Error> {
    let is_file = what.exists() || what.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"));
    if is_file {
        return Ok(Pipeline::load(what, &[])?);
    }
    let name = what.display().to_string();
    let table = SpecTable::named(&name).map_err(|e| Error::Usage(e.to_string()))?;
    if table.network == Network::Backbone {
        return Err(Error::Usage(format!(
            "`{name}` is a feature extractor without a decoder, which no run uses; name a network on it, such as deeplabv3plus/resnet34"
        )));
    }
    let spec = sized(&table)?;
    let bands: Vec<Band> = (1..=spec.bands).map(Band::Number).collect();
    let input = InputSpec {
        divide: [(PixelType::U8, 255.0)].into(),
        mean: vec![0.5; bands.len()],
        std: vec![0.25; bands.len()],
        bands,
    };
    let member = Member {
        name,
        spec,
        weights: Weights::Seed(1),
        output: None,
        sha256: None,
        weight: 1.0,
        precision: Precision::Auto,
        kernels: KernelSet::Auto,
        input,
    };
    Ok(Pipeline {
        tiling: Tiling {
            whole_max: 0,
            strategy: Strategy::Whole,
            dilation: Dilation::all(0),
            border: Border::Reflect,
            blend: Blend::None,
        },
        reading: Reading::default(),
        members: vec![member],
        views: vec![View::Identity],
        combine: Default::default(),
        batch: Batch::Tiles(1),
        unit_max: u64::MAX,
        classes: ClassTable::new(class_table(), None).map_err(|e| Error::Internal(e.to_string()))?,
        post: Default::default(),
        outputs: Default::default(),
        package: Package::default(),
        checkpoints: Vec::new(),
        data: Default::default(),
        train: None,
    })
}

/// The first GPU, or else a core.
pub(in crate::app) fn default_device(backend: BackendKind) -> DeviceId {
    let has_gpu = backend == BackendKind::Torch && infer::cuda_devices() > 0;
    if has_gpu { DeviceId::Cuda(0) } else { DeviceId::Cpu }
}

/// Random bytes for a batch of crops with some bands, which the pipeline says.
type Noise = Vec<u64>;

/// One per turn.
fn inputs(crop: Size, batch: u32) -> Vec<Noise> {
    // The bands beyond the first three are the first ones again.
    let words = (crop.area() * 3 * u64::from(batch)).div_ceil(8);
    (0..INPUTS as u64).map(|seed| random(seed).take(usize::try_from(words).unwrap_or(0)).collect()).collect()
}

/// A pipeline's members, each alone, on crops of one size.
pub(in crate::app) struct Bench {
    pipeline: Pipeline,
    backend: BackendKind,
    crop: Size,
    /// Ascending.
    batches: Vec<u32>,
    warm_ups: usize,
    repeats: usize,
    inputs: Vec<Noise>,
}

/// By input: the labels of its first crops, as many as the smallest batch has. None where it was not run.
pub(in crate::app) type Labels = [Option<Vec<ClassId>>; INPUTS];

/// What some passes gave.
#[derive(Default)]
struct Passes {
    times: Vec<Duration>,
    /// Of all of them, by the clock.
    wall: Duration,
    reruns: u64,
    labels: Labels,
    fault: Option<TileFault>,
}

impl Bench {
    /// For these batches, ascending. Without a number of repeats, a few on a core, more on a GPU.
    pub(in crate::app) fn new(
        pipeline: Pipeline,
        backend: BackendKind,
        crop: Size,
        batches: Vec<u32>,
        repeats: Option<usize>,
        on_gpu: bool,
    ) -> Self {
        let (warm_ups, usual) = if on_gpu { (INPUTS, 20) } else { (1, INPUTS) };
        let inputs = inputs(crop, batches.last().copied().unwrap_or(1));
        Self { pipeline, backend, crop, batches, warm_ups, repeats: repeats.unwrap_or(usual), inputs }
    }

    /// All rows of a device.
    fn device(
        &self,
        device: DeviceId,
        precisions: Option<&[Precision]>,
        figures: &mut ForwardFigures,
    ) -> Result<(), Error> {
        let on_gpu = device.gpu().is_some();
        let default = if on_gpu { vec![Precision::F16, Precision::F32] } else { vec![Precision::F32] };
        let mut precisions = precisions.map_or(default, <[Precision]>::to_vec);
        precisions.dedup();
        let class = device_class(&[device], self.backend)?;
        let (profile, _) = profiles::stored(self.backend, &class)?;
        let (taken, first) = (used(device), figures.rows.len());
        for member in members(&self.pipeline, self.backend, &class, profile.as_ref())? {
            let mut rows = Vec::new();
            for precision in &precisions {
                let member = member.clone().in_precision(*precision, on_gpu).with(profile.as_ref());
                rows.extend(self.rows(&class, member, device, taken)?);
            }
            // Behind the rows: what f32 takes, libtorch keeps.
            let f32_rows = Precision::F32.name();
            let reference = match rows.iter().find(|(row, _)| row.precision == f32_rows) {
                Some((_, labels)) => labels.clone(),
                None => self.reference(device, &class, member)?,
            };
            figures.rows.extend(rows.into_iter().map(|(mut row, labels)| {
                row.agreement = agreement(&labels, &reference);
                row
            }));
        }
        for precision in precisions.into_iter().filter(|_| self.backend == BackendKind::Torch) {
            if let Some(rate) = infer::matmul_rate(device, precision) {
                let (device, precision, tflops) = (device.to_string(), precision.name().to_owned(), rate / 1e12);
                for row in figures.rows[first..].iter_mut().filter(|row| row.precision == precision) {
                    row.r = row.tflops.map(|row| row / tflops);
                }
                figures.matmul.push(MatmulRate { device, precision, tflops });
            }
        }
        Ok(())
    }

    /// One row for each batch, and the labels that came of it.
    pub(in crate::app) fn rows(
        &self,
        class: &str,
        member: MemberPlan,
        device: DeviceId,
        taken: Option<u64>,
    ) -> Result<Vec<(ForwardRow, Labels)>, Error> {
        let plan = &self.plan(class, member)?;
        let mut opened = self.open(plan, device)?;
        let row = |batch: &u32| {
            machine::forget_peak_rss();
            let passes = self.passes(opened.as_mut(), plan, *batch, self.warm_ups, self.repeats);
            let (mut row, labels) = self.row(plan, device, *batch, passes)?;
            let beyond = |now: u64| now.saturating_sub(taken.unwrap_or(0));
            row.peak_bytes = used(device).map_or_else(machine::peak_rss, beyond);
            tell(&row, self.crop);
            Ok((row, labels))
        };
        self.batches.iter().map(row).collect()
    }

    /// The labels that f32 gives.
    pub(in crate::app) fn reference(&self, device: DeviceId, class: &str, member: MemberPlan) -> Result<Labels, Error> {
        let plan = self.plan(class, member.in_precision(Precision::F32, device.gpu().is_some()))?;
        let smallest = self.batches.first().copied().unwrap_or(1);
        match self.passes(self.open(&plan, device)?.as_mut(), &plan, smallest, 0, INPUTS) {
            Err(DeviceError::OutOfMemory { .. }) => Ok(Labels::default()),
            passes => Ok(passes?.labels),
        }
    }

    /// A plan for one member over crops that are a scene each: what a device needs to know.
    fn plan(&self, class: &str, member: MemberPlan) -> Result<Plan, Error> {
        let most = self.batches.last().copied().unwrap_or(1);
        let mut pipeline = self.pipeline.clone();
        let longer = self.crop.width.max(self.crop.height);
        pipeline.tiling = Tiling { whole_max: longer, strategy: Strategy::Whole, ..pipeline.tiling };
        pipeline.batch = Batch::Tiles(most);
        let mut member = member;
        // A network takes as long for crops of another type, which a pipeline may ask for.
        member.member.input.divide.entry(PixelType::U8).or_insert(255.0);
        // And for other bands.
        let n_bands = u32::try_from(member.member.input.bands.len()).unwrap_or(u32::MAX);
        member.member.input.bands = (1..=n_bands).map(Band::Number).collect();
        pipeline.members = vec![member.member.clone()];
        pipeline.views = vec![View::Identity];
        // These crops are on the networks' grid already.
        pipeline.reading.resolution = None;
        let (size, name) = (self.crop, |n| format!("{n}"));
        let blank = MemoryRaster::u8(size, n_bands, &vec![0; size.len() * n_bands as usize]);
        let source = MemorySource::new((0..most).map(|n| (PathBuf::from(name(n)), blank.clone())));
        let scene = |n| ScannedScene { name: name(n), file: name(n).into(), files: Vec::new(), page: None };
        let scanned = Scanned { scenes: (0..most).map(scene).collect(), ..Scanned::default() };
        let planner = Planner {
            pipeline,
            members: vec![member],
            backend: self.backend,
            device_class: class.to_owned(),
            profile: None,
            versions: Vec::new(),
            source: &source,
            hashing: &|_, _| {},
        };
        let planned = planner.plan(scanned, &schedule(DeviceId::Cpu))?;
        match planned.refused.into_iter().next() {
            Some(refusal) => Err(Error::Usage(refusal.failure.cause)),
            None => Ok(planned.plan),
        }
    }

    fn open(&self, plan: &Plan, device: DeviceId) -> Result<Box<dyn Device>, Error> {
        let opened = open_devices(plan, &schedule(device), &Faults::default())?;
        opened.into_iter().next().ok_or_else(|| Error::Internal("no device was opened".into()))
    }

    /// Runs passes with as many batches in flight as a run has.
    fn passes(
        &self,
        device: &mut dyn Device,
        plan: &Plan,
        batch: u32,
        warm_ups: usize,
        repeats: usize,
    ) -> Result<Passes, DeviceError> {
        let batches: Vec<Arc<RawBatch>> = self.inputs.iter().map(|noise| self.batch(plan, noise, batch)).collect();
        let compared = self.batches.first().copied().unwrap_or(1) as usize;
        let mut passes = Passes::default();
        for turn in 0..warm_ups {
            device.submit(work(&batches[turn % INPUTS]))?;
            drop(device.collect()?);
        }
        let began = Instant::now();
        let (mut submitted, mut collected) = (0, 0);
        while collected < repeats {
            while submitted < repeats && submitted - collected < device.depth() {
                device.submit(work(&batches[submitted % INPUTS]))?;
                submitted += 1;
            }
            let Some(done) = device.collect()? else { break };
            passes.take(done, collected % INPUTS, compared);
            collected += 1;
        }
        passes.wall = began.elapsed();
        Ok(passes)
    }

    /// The first crops of an input.
    fn batch(&self, plan: &Plan, noise: &Noise, batch: u32) -> Arc<RawBatch> {
        let crop = self.crop;
        let (n_bands, n_tiles) = (plan.bands.len(), batch as usize);
        let bytes: Vec<u8> = noise.iter().flat_map(|word| word.to_le_bytes()).collect();
        let values: Vec<u8> = bytes.iter().copied().cycle().take(crop.len() * n_bands * n_tiles).collect();
        Arc::new(RawBatch {
            name: "noise".to_owned(),
            crop,
            n_bands,
            pixels: PixelBuf::from_slice(PixelType::U8, &values),
            valid: None,
            kept: vec![PixelRect::whole(crop); n_tiles],
            blank: vec![false; n_tiles],
        })
    }

    fn row(
        &self,
        plan: &Plan,
        device: DeviceId,
        batch: u32,
        passes: Result<Passes, DeviceError>,
    ) -> Result<(ForwardRow, Labels), Error> {
        let member = &plan.members[0];
        let mut row = ForwardRow {
            device: device.to_string(),
            member: member.member.name.clone(),
            network: member.member.spec.to_string(),
            precision: member.resolved_precision.name().to_owned(),
            kernels: member.resolved_kernels.name().to_owned(),
            batch,
            ms: None,
            ms_min: None,
            ms_wall: None,
            tflops: None,
            r: None,
            peak_bytes: 0,
            agreement: None,
            reruns: 0,
            failure: None,
        };
        let mut passes = match passes {
            Ok(passes) => passes,
            Err(error @ DeviceError::OutOfMemory { .. }) => {
                row.failure = Some(error.to_string());
                return Ok((row, Labels::default()));
            }
            Err(error) => return Err(error.into()),
        };
        row.failure = passes.fault.take().map(|fault| fault.to_string());
        row.reruns = passes.reruns;
        let per_crop = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(batch);
        let n_passes = u32::try_from(passes.times.len().max(1)).unwrap_or(1);
        row.ms_wall = Some(per_crop(passes.wall / n_passes));
        if let Some((median, least)) = spread(&mut passes.times).filter(|_| row.failure.is_none()) {
            (row.ms, row.ms_min) = (Some(per_crop(median)), Some(per_crop(least)));
            // A stand-in does not compute what the network would.
            let macs = (plan.backend == BackendKind::Torch).then(|| macs(&member.member.spec, self.crop));
            let flops = macs.flatten().map(|macs| 2.0 * macs * f64::from(batch) / median.as_secs_f64());
            row.tflops = flops.map(|flops| flops / 1e12);
        }
        Ok((row, passes.labels))
    }
}

impl Passes {
    fn take(&mut self, done: Done, input: usize, compared: usize) {
        self.times.push(done.ran.iter().map(|ran| ran.time).sum());
        self.reruns += done.ran.iter().map(|ran| ran.reruns).sum::<u64>();
        let mut labels = Vec::new();
        for tile in done.tiles.into_iter().take(compared) {
            match tile {
                Ok(planes) => labels.extend(planes.0.into_iter().next().unwrap_or_default()),
                Err(fault) => self.fault = self.fault.take().or(Some(fault)),
            }
        }
        self.labels[input].get_or_insert(labels);
    }
}

/// Bytes of a device's own memory that are in use, whoever uses them.
pub(in crate::app) fn used(device: DeviceId) -> Option<u64> {
    infer::device_memory(device).map(|(free, total)| total.saturating_sub(free))
}

fn macs(spec: &NetworkSpec, crop: Size) -> Option<f64> {
    spec.macs_at(spec.size_rule().padded(crop))
}

/// Share of equal labels; none where nothing can be compared.
pub(in crate::app) fn agreement(labels: &[Option<Vec<ClassId>>], reference: &[Option<Vec<ClassId>>]) -> Option<f64> {
    let pairs = labels.iter().flatten().zip(reference.iter().flatten());
    let all = pairs.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| u64::from(a == b));
    let (n, equal) = all.fold((0_u64, 0), |(n, equal), is_equal| (n + 1, equal + is_equal));
    (n > 0).then(|| equal as f64 / n as f64)
}

fn work(batch: &Arc<RawBatch>) -> Work {
    Work {
        batch: Arc::clone(batch),
        passes: vec![PassWork { pass: 0, known: Known::Nothing }],
        faults: vec![None; batch.len()],
        wanted: Wanted::Planes,
        may_begin: Arc::new(|| true),
    }
}

/// One device, and memory for everything.
fn schedule(device: DeviceId) -> Schedule {
    Schedule {
        devices: vec![device],
        assignment: Assignment::replicate(1, 1),
        readers: 1,
        encoders: 1,
        memory: u64::MAX >> 8,
        decode: Decode::InProcess,
    }
}

/// Each row as soon as it is there: a measurement may be cut off.
fn tell(row: &ForwardRow, Size { width, height }: Size) {
    let ForwardRow { device, member, precision, kernels, batch, .. } = row;
    let figure = match (&row.failure, row.ms) {
        (None, Some(ms)) => format!("{ms:.3} ms per crop"),
        (why, _) => why.clone().unwrap_or_default(),
    };
    told::tell(&Event::Note {
        text: &format!("{member} on {device}, {precision}, {kernels}, {batch} of {width}x{height}: {figure}"),
    });
}
