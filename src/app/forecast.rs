//! What a plan would take on a machine that is not here: its devices by name, its figures from files of `swath bench`, its GPUs' memory.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::run::{JobRequest, OtherMachine};
use super::{Error, profiles};
use crate::geom::Size;
use crate::lifecycle::machine;
use crate::plan::{DeviceId, HostRates, Plan, Profile, Rates, Schedule, Timing, forecast};
use crate::report::{BenchMachine, BenchReport, ForwardFigures, PassFigures, PlanForecast, RunFigures};

/// Devices by what they are sold as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Number of devices.
    pub n: usize,
    /// A part of the name, whatever the case of its letters.
    pub name: String,
}

impl std::fmt::Display for Hardware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.n, self.name)
    }
}

/// How fast a network is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rate {
    network: String,
    precision: String,
    /// What the network was prepared for, where that is known.
    kernels: Option<String>,
    /// Where it is that of one view.
    view: Option<String>,
    /// Pixels of a batch that it was measured with; none where it is a mean over many.
    pixels: Option<f64>,
    /// Of a device, per pixel.
    seconds: f64,
    /// What goes by beside, per pixel.
    beside: f64,
}

/// Figures of one device.
struct Measured {
    backend: String,
    /// "cpu", "cpu-tensors" or "cuda".
    kind: &'static str,
    /// What it is sold as, or else its class.
    name: String,
    class: String,
    memory: Option<u64>,
    cores: usize,
    rates: Vec<Rate>,
}

/// What files of `swath bench` tell.
#[derive(Default)]
pub(super) struct Throughput {
    files: Vec<PathBuf>,
    devices: Vec<Measured>,
    host: Option<HostRates>,
    /// Seconds that it took to open the devices.
    opened: f64,
    /// Seconds from the start of a process that has its plan to its first pass, or as a profile has it to what comes of that; none where
    /// nobody tells.
    start_up: Option<f64>,
}

impl Throughput {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or holds something else.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, Error> {
        let mut all = Self { files: files.to_vec(), ..Self::default() };
        for file in files {
            let wrong = |what: String| Error::Usage(format!("--throughput `{}`: {what}", file.display()));
            let text = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
            let value: Value = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
            match value["bench"].as_str() {
                Some("forward") => all.add_forward(of_file(value).map_err(wrong)?),
                Some("pipeline" | "feed") => {
                    let BenchReport { machine, result, .. } = of_file(value).map_err(wrong)?;
                    all.add_run(&machine, &result);
                }
                _ if value.get("swath_profile").is_some() => all.add_profile(&profiles::read(file)?),
                _ => {
                    return Err(wrong(
                        "it must be what `swath bench forward`, `pipeline` or `feed` writes with --json, or a profile of `swath tune`"
                            .into(),
                    ));
                }
            }
        }
        Ok(all)
    }

    fn add_forward(&mut self, BenchReport { machine, result, .. }: BenchReport<ForwardFigures>) {
        let area = f64::from(result.side) * f64::from(result.side);
        for row in &result.rows {
            let Some(ms) = row.ms else { continue };
            let rate = Rate {
                network: row.network.clone(),
                precision: row.precision.clone(),
                kernels: Some(row.kernels.clone()),
                view: None,
                pixels: Some(area * f64::from(row.batch)),
                seconds: ms / 1e3 / area,
                beside: (row.ms_wall.unwrap_or(ms) - ms).max(0.0) / 1e3 / area,
            };
            self.device(&result.backend, &row.device, &machine).rates.push(rate);
        }
    }

    fn add_profile(&mut self, profile: &Profile) {
        let class = profile.device_class.clone();
        let kinds = [DeviceId::Cuda(0), DeviceId::CpuTensors, DeviceId::Cpu].map(DeviceId::kind);
        let kind = kinds.into_iter().find(|kind| class.starts_with(kind)).unwrap_or_default();
        let rate = |timing: &Timing| {
            let area = timing.crop.area() as f64;
            Rate {
                network: timing.network.to_string(),
                precision: timing.precision.name().to_owned(),
                kernels: Some(timing.kernels.name().to_owned()),
                view: None,
                pixels: Some(area * f64::from(timing.batch)),
                seconds: timing.ms / 1e3 / area,
                beside: 0.0,
            }
        };
        let rates = profile.timings.iter().map(rate).collect();
        let (backend, name, cores) = (profile.backend.name().to_owned(), class.clone(), machine::cores());
        self.start_up = [self.start_up, profile.start_up].into_iter().flatten().reduce(f64::max);
        self.devices.push(Measured { backend, kind, name, class, memory: None, cores, rates });
    }

    /// What a profile tells of its class of devices.
    pub(super) fn of_profile(profile: &Profile) -> Self {
        let mut all = Self::default();
        all.add_profile(profile);
        all
    }

    /// How long a process takes to start, where that was measured.
    pub(super) fn start_up(&self) -> Option<f64> {
        self.start_up
    }

    /// Of what a tile costs, what one device of the plan's class does in a second, where that is known of every pass.
    pub(super) fn cost_per_second(&self, plan: &Plan, crop: Size) -> Option<f64> {
        let fits = |known: &&Measured| known.backend == plan.backend.name() && known.class == plan.device_class;
        let devices: Vec<&Measured> = self.devices.iter().filter(fits).take(1).collect();
        let pixels = crop.area() * u64::from(plan.batch(crop));
        let of_pass = |pass: usize| nearest(&of_pass(&devices, plan, pass), pixels).map(|rate| rate.seconds);
        let per_pixel: f64 = (0..plan.passes.len()).map(of_pass).sum::<Option<f64>>()?;
        (per_pixel > 0.0).then(|| plan.tile_cost(crop) as f64 / (per_pixel * crop.area() as f64))
    }

    /// What a run tells of those that are like it.
    pub(super) fn of_run(machine: &BenchMachine, run: &RunFigures) -> Self {
        let mut all = Self::default();
        all.add_run(machine, run);
        all
    }

    /// As if the host took no time.
    pub(super) fn without_host(self) -> Self {
        Self { host: None, ..self }
    }

    fn add_run(&mut self, machine: &BenchMachine, result: &RunFigures) {
        let rates = rates_of_run(result);
        // A run with networks knows more of a host than one without.
        if !rates.is_empty() || self.host.is_none() {
            self.host = Some(host_rates(result));
        }
        let start = result.start_up;
        let opened = start.opened.map(|opened| opened - start.planned);
        self.opened = self.opened.max(opened.unwrap_or(0.0));
        if let Some(opened) = opened {
            self.start_up = Some(self.start_up.unwrap_or(0.0).max(start.loaded + opened));
        }
        if let Some(device) = result.devices.first().filter(|_| !rates.is_empty()) {
            self.device(&result.backend, device, machine).rates.extend(rates);
        }
    }

    fn device(&mut self, backend: &str, device: &str, machine: &BenchMachine) -> &mut Measured {
        let id: DeviceId = device.parse().unwrap_or(DeviceId::Cpu);
        let of_gpu = |gpu: usize| machine.gpus.get(gpu).cloned();
        // The stand-in runs on GPUs that are not there.
        let name = id.gpu().map_or_else(|| Some(machine.cpu.clone()), of_gpu).unwrap_or_else(|| device.to_owned());
        let is_this = |known: &Measured| known.backend == backend && known.kind == id.kind() && known.name == name;
        let at = self.devices.iter().position(is_this).unwrap_or_else(|| {
            let memory = id.gpu().and_then(|gpu| machine.gpu_memory.get(gpu).copied()).filter(|bytes| *bytes > 0);
            // "NVIDIA H100 PCIe (cuda sm_90, 114 SMs, cuDNN 91002)"
            let class = name.rsplit_once(" (").and_then(|(_, class)| class.strip_suffix(')'));
            let class = class.filter(|_| id.gpu().is_some()).unwrap_or(id.kind()).to_owned();
            let (backend, kind, cores) = (backend.to_owned(), id.kind(), machine.cores);
            self.devices.push(Measured { backend, kind, name, class, memory, cores, rates: Vec::new() });
            self.devices.len() - 1
        });
        &mut self.devices[at]
    }
}

impl Throughput {
    /// The figures of devices by a part of their name.
    fn of(&self, hardware: &Hardware) -> Result<&Measured, Error> {
        let wanted = hardware.name.to_lowercase();
        let is_it = |known: &&Measured| known.kind == wanted || known.name.to_lowercase().contains(&wanted);
        let found = self.devices.iter().find(is_it);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.devices.iter().map(|known| known.name.as_str()).collect();
            let has = if names.is_empty() { "has no devices".into() } else { format!("has {}", names.join("; ")) };
            Error::Usage(format!("--devices {hardware}: --throughput has no device of that name; it {has}; {MEASURE}"))
        })
    }

    /// What the plan takes under the schedule, as far as its scenes are open.
    ///
    /// # Errors
    /// When there are no figures of a pass.
    pub(super) fn forecast(
        &self,
        plan: &Plan,
        schedule: &Schedule,
        hardware: Option<&Hardware>,
        is_open: &dyn Fn(usize) -> bool,
    ) -> Result<PlanForecast, Error> {
        let kind = schedule.devices.first().map_or("cpu", |device| device.kind());
        let name = hardware.map(|hardware| self.of(hardware)).transpose()?.map(|known| known.name.as_str());
        let fits = |known: &&Measured| {
            known.backend == plan.backend.name() && known.kind == kind && name.is_none_or(|name| known.name == name)
        };
        let devices: Vec<&Measured> = self.devices.iter().filter(fits).take(1).collect();
        let known: Vec<Vec<&Rate>> = (0..plan.passes.len()).map(|pass| of_pass(&devices, plan, pass)).collect();
        if let Some(pass) = known.iter().position(Vec::is_empty) {
            let member = &plan.members[plan.passes[pass].member];
            let (network, precision) = (&member.member.spec, member.resolved_precision.name());
            let on = name.map_or_else(|| kind.to_owned(), str::to_owned);
            return Err(Error::Usage(format!(
                "--throughput has no figures of `{}` ({network}, {precision}, backend {}) on {on}; {MEASURE}",
                member.member.name,
                plan.backend.name()
            )));
        }
        let nearest =
            |pass: usize, pixels: u64| nearest(&known[pass], pixels).map_or((0.0, 0.0), |r| (r.seconds, r.beside));
        let seconds = |pass: usize, pixels: u64| nearest(pass, pixels).0 * pixels as f64;
        let mut host = self.host.unwrap_or_default();
        if host.infer == 0.0 {
            let pixels = plan.scenes.first().map_or(0, |scene| scene.grid.crop().area());
            host.infer = (0..plan.passes.len()).map(|pass| nearest(pass, pixels).1).sum();
        }
        let played = forecast(plan, schedule, &Rates { pass: &seconds, host }, is_open);
        Ok(PlanForecast {
            hardware: match (hardware, name) {
                (Some(hardware), Some(name)) => format!("{} x {name}", hardware.n),
                _ => devices.first().map_or_else(String::new, |known| known.name.clone()),
            },
            files: self.files.iter().map(|file| file.display().to_string()).collect(),
            seconds: self.opened + played.makespan.as_secs_f64(),
            opening: self.opened,
            idle: played.idle(),
            knows_host: self.host.is_some(),
        })
    }
}

/// What makes the figures.
const MEASURE: &str = "on such a machine, `swath bench forward PIPELINE --json FILE` makes a file of them";

/// A mean over the batches of a run is worth as much as a figure of a batch that is so many times larger or smaller, as a logarithm.
const MEAN_IS_AS_FAR_AS: f64 = std::f64::consts::LN_2;

/// The figure of the batch that is most like one with so many pixels.
fn nearest<'a>(rates: &[&'a Rate], pixels: u64) -> Option<&'a Rate> {
    let far = |rate: &&Rate| rate.pixels.map_or(MEAN_IS_AS_FAR_AS, |of| (pixels as f64 / of).ln().abs());
    rates.iter().copied().min_by(|a, b| far(a).total_cmp(&far(b)))
}

fn of_pass<'a>(devices: &[&'a Measured], plan: &Plan, pass: usize) -> Vec<&'a Rate> {
    let (member, view) = (&plan.members[plan.passes[pass].member], plan.passes[pass].view.name());
    let (network, precision) = (member.member.spec.to_string(), member.resolved_precision.name());
    let fits = |rate: &&Rate| {
        rate.network == network && rate.precision == precision && rate.view.as_ref().is_none_or(|of| of == view)
    };
    let mut all: Vec<&Rate> = devices.iter().flat_map(|known| &known.rates).filter(fits).collect();
    // Figures of other kernels are better than none.
    let is_prepared = |rate: &&Rate| rate.kernels.as_deref() == Some(member.resolved_kernels.name());
    if all.iter().any(is_prepared) {
        all.retain(is_prepared);
    }
    all
}

fn of_file<R: DeserializeOwned>(value: Value) -> Result<BenchReport<R>, String> {
    serde_json::from_value(value).map_err(|e| format!("it is of another version: {e}"))
}

/// What the passes of a run took.
fn rates_of_run(run: &RunFigures) -> Vec<Rate> {
    let ran = run.passes.iter().filter(|pass| pass.network_pixels > 0 && pass.seconds > 0.0);
    let rate = |pass: &PassFigures| Rate {
        network: pass.network.clone(),
        precision: pass.precision.clone(),
        kernels: None,
        view: Some(pass.view.clone()),
        pixels: None,
        seconds: pass.seconds / pass.network_pixels as f64,
        beside: 0.0,
    };
    ran.map(rate).collect()
}

/// What the host took of a run.
fn host_rates(run: &RunFigures) -> HostRates {
    let busy = |stage: &str| {
        let lines = run.stages.iter().map(|stage| &stage.line).filter(|line| line.name == stage);
        lines.map(|line| line.busy_percent / 100.0 * line.workers as f64 * run.seconds).sum::<f64>()
    };
    let moved = |what: &str| run.bytes_per_pixel.get(what).copied().unwrap_or(0.0) * run.pixels as f64;
    let per = |seconds: f64, amount: f64| if amount > 0.0 { seconds.max(0.0) / amount } else { 0.0 };
    let (pixels, passes) = (run.pixels as f64, run.passes.iter().map(|pass| pass.seconds).sum::<f64>());
    // A device that does nothing has no passes, and what its worker does beside them is not a real one's.
    let beside = if passes > 0.0 { busy("infer") - passes } else { 0.0 };
    // Without passes a device is never at work.
    let fixed = |seconds: f64| if passes > 0.0 { seconds } else { 0.0 };
    HostRates {
        before: fixed(run.idle_before),
        behind: fixed(run.idle_behind),
        read: per(busy("read"), moved("decoded")),
        tile: per(busy("tile"), moved("crops")),
        infer: per(beside, run.network_pixels as f64),
        average: per(busy("average"), pixels),
        stitch: per(busy("stitch"), pixels),
        encode: per(busy("post") + busy("encode"), pixels),
    }
}

/// Plans for devices that are not here.
///
/// # Errors
/// When nothing is known of them.
pub(super) fn on(
    hardware: &Hardware,
    throughput: Option<&Throughput>,
    memory: Option<u64>,
    class: Option<&str>,
    request: &JobRequest,
) -> Result<(JobRequest, Option<u64>), Error> {
    let (known_class, cores, device, known_memory): (String, _, fn(usize) -> DeviceId, _) = match throughput {
        None if class.is_some() => {
            let device: fn(usize) -> DeviceId = match class.map(device_of).transpose()? {
                Some(DeviceId::Cuda(_)) => DeviceId::Cuda,
                Some(DeviceId::CpuTensors) => |_| DeviceId::CpuTensors,
                Some(DeviceId::Cpu) | None => |_| DeviceId::Cpu,
            };
            (String::new(), machine::cores(), device, None)
        }
        Some(throughput) => {
            let known = throughput.of(hardware)?;
            let on_gpu = known.kind == DeviceId::Cuda(0).kind();
            let device: fn(usize) -> DeviceId = if on_gpu { DeviceId::Cuda } else { |_| DeviceId::Cpu };
            (known.class.clone(), known.cores, device, known.memory)
        }
        None if memory.is_some() => (DeviceId::Cuda(0).kind().to_owned(), machine::cores(), DeviceId::Cuda, None),
        None => {
            let text = format!(
                "--devices {hardware}: nothing is known of such devices here; {MEASURE}, to be named with --throughput; with --gpu-memory \
                 SIZE the plan says at least whether it fits"
            );
            return Err(Error::Usage(text));
        }
    };
    let devices = Some((0..hardware.n).map(device).collect());
    let class = class.map_or(known_class, str::to_owned);
    let request = JobRequest { devices, machine: Some(OtherMachine { class, cores }), ..request.clone() };
    Ok((request, memory.or(known_memory)))
}

/// Plans for a device of a class that is not here.
///
/// # Errors
/// When there are no such classes.
pub(super) fn on_class(class: &str, request: &JobRequest) -> Result<JobRequest, Error> {
    let devices = request.devices.clone().map_or_else(|| device_of(class).map(|device| vec![device]), Ok)?;
    let machine = Some(OtherMachine { class: class.to_owned(), cores: machine::cores() });
    Ok(JobRequest { devices: Some(devices), machine, ..request.clone() })
}

/// A device of a class.
fn device_of(class: &str) -> Result<DeviceId, Error> {
    let kinds = [DeviceId::Cuda(0), DeviceId::CpuTensors, DeviceId::Cpu];
    let is_of = |device: &DeviceId| match device {
        DeviceId::Cuda(_) => class.split_whitespace().next() == Some(device.kind()),
        DeviceId::Cpu | DeviceId::CpuTensors => class == device.kind(),
    };
    kinds.into_iter().find(is_of).ok_or_else(|| {
        let text = "there is no such class; `swath doctor` names that of each GPU, as `cuda sm_90, 132 SMs, cuDNN 91002`, and processors are cpu";
        Error::Usage(format!("--device-class `{class}`: {text}"))
    })
}
