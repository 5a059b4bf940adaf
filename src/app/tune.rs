//! `swath tune`: measures which kernels and batches are fastest on devices of one class, and keeps the times as that class's profile, by
//! which later plans go. Runs never time anything to choose: equal plans give equal bytes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::bench::{Bench, agreement, default_device, temporary_folder, used};
use super::replace::Output;
use super::run::{JobRequest, device_class, members, prepare};
use super::{Error, profiles};
use crate::config::{Pipeline, Precision};
use crate::geom::Size;
use crate::infer;
use crate::plan::{BackendKind, DeviceId, MemberPlan, Profile, Timing};
use crate::process::{Child, ending};
use crate::report::{
    self, BenchReport, Event, ForwardRow, ProfileFigures, ProfileList, ProfileRow, RunFigures, StartUp, TuneFigures,
    TuneRow,
};
use crate::zoo::spec::KernelSet;

/// What `swath tune` is asked.
#[derive(Clone, Debug)]
pub struct TuneRequest {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// `key=value` on top of it.
    pub settings: Vec<String>,
    /// The scenes whose crops are measured, where there are any.
    pub job: Option<JobRequest>,
    /// The crops, if they are named.
    pub crops: Vec<Size>,
    /// What runs the networks.
    pub backend: BackendKind,
    /// The device; none for the first GPU, or else a core.
    pub device: Option<DeviceId>,
    /// Crops per pass; none for few on a core, more on a GPU.
    pub batches: Option<Vec<u32>>,
    /// Passes that count; none for a few on a core, more on a GPU.
    pub repeats: Option<usize>,
}

/// Of crops of so many sizes, those with most pixels are measured.
const MOST_CROPS: usize = 3;

/// A scene that is larger than any tile.
const LARGE: Size = Size::new(100_000, 100_000);

/// Kernels that lose so many more labels against f32 than the usual ones are not taken.
const LOST_LABELS: f64 = 0.001;

/// Measures every member of a pipeline, and adds the times to the profile of the device's class.
///
/// # Errors
/// When the pipeline, the inputs, the device or weights cannot be used, or the profile cannot be written.
pub fn tune(request: &TuneRequest) -> Result<TuneFigures, Error> {
    let pipeline = Pipeline::load(&request.pipeline, &request.settings)?;
    let device = request.device.unwrap_or_else(|| default_device(request.backend));
    let class = device_class(&[device], request.backend)?;
    let file = profiles::file_of(request.backend, &class)?;
    let libtorch = infer::libtorch_version();
    let (stored, _) = profiles::stored(request.backend, &class)?;
    let mut profile = stored.unwrap_or_else(|| Profile::new(request.backend, class.clone(), libtorch));
    let crops = crops(request, &pipeline)?;
    let mut planned: Vec<MemberPlan> = Vec::new();
    for member in members(&pipeline, request.backend, &class, None)? {
        let is_alike = |other: &MemberPlan| {
            let of = |m: &MemberPlan| (m.member.spec.clone(), m.resolved_precision, m.member.kernels);
            of(other) == of(&member)
        };
        if !planned.iter().any(is_alike) {
            planned.push(member);
        }
    }
    let tuner = Tuner { request, pipeline: &pipeline, device, class: &class, crops: &crops };
    let mut rows = Vec::new();
    for member in &planned {
        let (timings, measured) = tuner.member(member)?;
        rows.extend(measured);
        // Member by member: what was measured before a later one fails, or somebody stops it, is kept.
        profile.learn(timings);
        profiles::write(&file, &profile)?;
    }
    match start_up(request, device, &crops) {
        Ok(seconds) => {
            profile.start_up = Some(seconds);
            profiles::write(&file, &profile)?;
        }
        Err(why) => {
            let text = format!("how long a process takes to start could not be measured: {why}");
            report::tell(&Event::Warning { text: &text });
        }
    }
    figures(&profile, &planned, file, rows)
}

/// Seconds from the start of a process to its first labels: libraries, weights of all members, and what a device does once.
fn start_up(request: &TuneRequest, device: DeviceId, crops: &[Size]) -> Result<f64, String> {
    let folder = temporary_folder().map_err(|e| e.to_string())?;
    let document = folder.path().join("run.json");
    let Size { width, height } = crops.first().copied().unwrap_or(Size::new(256, 256));
    let mut arguments: Vec<OsString> = vec!["bench".into(), "pipeline".into(), request.pipeline.clone().into()];
    arguments.extend(request.settings.iter().flat_map(|setting| [OsString::from("--set"), setting.into()]));
    for (option, value) in [
        ("--backend", request.backend.name().to_owned()),
        ("--devices", device.to_string()),
        ("--scenes", "1".to_owned()),
        ("--size", format!("{width}x{height}")),
        ("--json", document.display().to_string()),
    ] {
        arguments.extend([option.into(), value.into()]);
    }
    let ran = Child::output(&arguments).map_err(|e| e.to_string())?;
    if !ran.status.success() {
        let told = String::from_utf8_lossy(&ran.stderr);
        let last = told.lines().rfind(|line| !line.is_empty()).unwrap_or("it printed nothing");
        return Err(format!("swath bench pipeline {}: {last}", ending(ran.status)));
    }
    let text = std::fs::read(&document).map_err(|e| e.to_string())?;
    let report: BenchReport<RunFigures> = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    let StartUp { loaded, planned, first_labels, .. } = report.result.start_up;
    let first = first_labels.ok_or("it made no labels")?;
    Ok(loaded + first - planned)
}

/// The crops to measure, largest first.
fn crops(request: &TuneRequest, pipeline: &Pipeline) -> Result<Vec<Size>, Error> {
    let mut crops = request.crops.clone();
    if let Some(job) = request.job.as_ref().filter(|_| crops.is_empty()) {
        let mut pixels = std::collections::BTreeMap::new();
        for scene in &prepare(job)?.planned.plan.scenes {
            *pixels.entry(scene.grid.crop()).or_insert(0) += scene.network_pixels();
        }
        let mut by_pixels: Vec<(u64, Size)> = pixels.into_iter().map(|(crop, n)| (n, crop)).collect();
        by_pixels.sort_unstable_by(|a, b| b.cmp(a));
        crops = by_pixels.into_iter().take(MOST_CROPS).map(|(_, crop)| crop).collect();
        if crops.is_empty() {
            return Err(Error::Usage("none of the scenes can be segmented: swath plan says why".into()));
        }
    }
    if crops.is_empty() {
        let grid = pipeline.tiling.grid(LARGE).map_err(|e| Error::Usage(e.to_string()))?;
        crops.push(grid.crop());
    }
    crops.sort_unstable_by_key(|crop| std::cmp::Reverse((crop.area(), *crop)));
    crops.dedup();
    Ok(crops)
}

struct Tuner<'a> {
    request: &'a TuneRequest,
    pipeline: &'a Pipeline,
    device: DeviceId,
    class: &'a str,
    crops: &'a [Size],
}

impl Tuner<'_> {
    /// Every set of kernels with one crop at a time, and the best set with the other batches.
    fn member(&self, member: &MemberPlan) -> Result<(Vec<Timing>, Vec<TuneRow>), Error> {
        let mut found = Profile::new(self.request.backend, self.class.to_owned(), None);
        let mut batches = self.request.batches.clone().unwrap_or_else(|| match self.device.gpu() {
            Some(_) => vec![1, 2, 4, 8],
            None => vec![1, 2],
        });
        batches.sort_unstable();
        batches.dedup();
        let (first, others) = batches.split_at(1);
        let (mut timings, mut rows) = (Vec::new(), Vec::new());
        for crop in self.crops {
            let (times, measured) = self.kernels(member, *crop, first)?;
            timings.extend(times);
            rows.extend(measured);
        }
        found.learn(timings.clone());
        let (spec, precision) = (&member.member.spec, member.resolved_precision);
        let best = found.kernels(spec, precision, member.resolved_kernels);
        for crop in self.crops.iter().filter(|_| !others.is_empty()) {
            let bench = self.bench(*crop, others);
            let chosen = MemberPlan { resolved_kernels: best.unwrap_or(member.resolved_kernels), ..member.clone() };
            let kernels = chosen.resolved_kernels;
            let measured = bench.rows(self.class, chosen, self.device, used(self.device))?;
            for (row, _) in &measured {
                timings.extend(self.timing(member, kernels, *crop, row));
            }
            rows.extend(measured.into_iter().map(|(row, _)| told(row, *crop, true)));
        }
        Ok((timings, rows))
    }

    /// Every set of kernels on one crop.
    fn kernels(&self, member: &MemberPlan, crop: Size, batch: &[u32]) -> Result<(Vec<Timing>, Vec<TuneRow>), Error> {
        let bench = self.bench(crop, batch);
        let reference = bench.reference(self.device, self.class, member.clone())?;
        let (mut timings, mut rows, mut allowed) = (Vec::new(), Vec::new(), None);
        for kernels in self.choices(member) {
            let tried = MemberPlan { resolved_kernels: kernels, ..member.clone() };
            for (mut row, labels) in bench.rows(self.class, tried, self.device, used(self.device))? {
                row.agreement = agreement(&labels, &reference);
                // The usual kernels come first, and say what the precision alone costs.
                let lost = row.agreement.map_or(0.0, |share| 1.0 - share);
                let is_taken = lost <= *allowed.get_or_insert(2.0 * lost + LOST_LABELS);
                if is_taken {
                    timings.extend(self.timing(member, kernels, crop, &row));
                }
                rows.push(told(row, crop, is_taken));
            }
        }
        Ok((timings, rows))
    }

    /// The sets to choose from, the usual one first; the one alone that a pipeline names.
    fn choices(&self, member: &MemberPlan) -> Vec<KernelSet> {
        let usual = member.resolved_kernels;
        if member.member.kernels != KernelSet::Auto || self.request.backend != BackendKind::Torch {
            return vec![usual];
        }
        let is_f32 = matches!(member.resolved_precision, Precision::F32 | Precision::Tf32);
        let all = KernelSet::choices(&member.member.spec, self.device.gpu().is_some(), is_f32);
        std::iter::once(usual).chain(all.into_iter().filter(|set| *set != usual)).collect()
    }

    fn bench(&self, crop: Size, batches: &[u32]) -> Bench {
        let on_gpu = self.device.gpu().is_some();
        let TuneRequest { backend, repeats, .. } = *self.request;
        Bench::new(self.pipeline.clone(), backend, crop, batches.to_vec(), repeats, on_gpu)
    }

    /// A time of it: the least, for what disturbs a measurement only ever adds.
    fn timing(&self, member: &MemberPlan, kernels: KernelSet, crop: Size, row: &ForwardRow) -> Option<Timing> {
        Some(Timing {
            network: member.member.spec.clone(),
            precision: member.resolved_precision,
            kernels,
            crop,
            batch: row.batch,
            ms: row.ms_min.filter(|_| row.failure.is_none() && row.reruns == 0)?,
        })
    }
}

fn told(row: ForwardRow, crop: Size, is_taken: bool) -> TuneRow {
    let refused = (!is_taken).then(|| "too many labels differ from those of f32".to_owned());
    TuneRow {
        member: row.member,
        precision: row.precision,
        kernels: row.kernels,
        crop: [crop.width, crop.height],
        batch: row.batch,
        ms: row.ms_min,
        agreement: row.agreement,
        refused: row.failure.or(refused),
    }
}

/// What follows from a profile for these members, beside what would be done without it.
fn figures(
    profile: &Profile,
    planned: &[MemberPlan],
    file: PathBuf,
    measured: Vec<TuneRow>,
) -> Result<TuneFigures, Error> {
    let tuned: Vec<MemberPlan> = planned.iter().map(|member| member.clone().with(Some(profile))).collect();
    let prepared: Vec<_> = tuned.iter().map(MemberPlan::prepared).collect();
    let mut chosen = Vec::new();
    for at in profile.batches(&prepared) {
        for (usual, tuned) in planned.iter().zip(&tuned) {
            chosen.push(ProfileRow {
                member: usual.member.name.clone(),
                crop: [at.crop.width, at.crop.height],
                kernels: tuned.resolved_kernels.name(),
                batch: at.batch,
                ms: profile.ms(tuned.prepared(), at.crop, at.batch),
                usual_kernels: usual.resolved_kernels.name(),
                usual_ms: profile.ms(usual.prepared(), at.crop, 1),
            });
        }
    }
    let digest = profile.digest().map_err(|e| Error::Internal(e.to_string()))?;
    let device_class = profile.device_class.clone();
    let (file, start_up) = (file.display().to_string(), profile.start_up);
    Ok(TuneFigures { device_class, profile: digest, file, measured, start_up, chosen })
}

/// The profiles on this machine.
///
/// # Errors
/// When one of them is damaged.
pub fn list_profiles() -> Result<ProfileList, Error> {
    let figures = |(file, profile): (PathBuf, Profile)| {
        Ok(ProfileFigures {
            device_class: profile.device_class.clone(),
            backend: profile.backend.name(),
            libtorch: profile.libtorch.clone(),
            timings: profile.timings.len(),
            digest: profile.digest().map_err(|e| Error::Internal(e.to_string()))?,
            file: file.display().to_string(),
        })
    };
    Ok(ProfileList { profiles: profiles::all()?.into_iter().map(figures).collect::<Result<_, Error>>()? })
}

/// Copies the profile of a class to a file, for another machine.
///
/// # Errors
/// When there is none, or the file is there or cannot be written.
pub fn save_profile(device_class: &str, out: &Output) -> Result<(), Error> {
    let known = profiles::all()?;
    let Some((_, profile)) = known.iter().find(|(_, profile)| profile.device_class == device_class) else {
        let classes: Vec<&str> = known.iter().map(|(_, profile)| profile.device_class.as_str()).collect();
        let classes = if classes.is_empty() { "there is none yet".to_owned() } else { classes.join(", ") };
        return Err(Error::Usage(format!("no profile is of the class `{device_class}`: {classes}")));
    };
    out.check(&[&out.path], &[])?;
    profiles::write(&out.path, profile)
}

/// Takes the profile of another machine in place of this one's of that class. Returns the class.
///
/// # Errors
/// When the file is no profile.
pub fn add_profile(file: &Path) -> Result<String, Error> {
    let profile = profiles::read(file)?;
    profiles::write(&profiles::file_of(profile.backend, &profile.device_class)?, &profile)?;
    Ok(profile.device_class)
}
