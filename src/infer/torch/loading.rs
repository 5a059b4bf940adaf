//! The members' weights, read once for all devices of a process: members side by side, each there for the devices as soon as it can be.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tch::{Cuda, Device};

use super::{kind, refused, target, torch_problem};
use crate::config::{Precision, Weights};
use crate::infer::DeviceError;
use crate::infer::failure::names_device;
use crate::plan::{DeviceId, MemberPlan, Plan, Schedule};
use crate::tensor::allow_tf32;
use crate::weights::WeightsFile;
use crate::weights::layout::Layout;
use crate::zoo::layers::kernels::Kernels;
use crate::zoo::registry::Variables;
use crate::zoo::seed;
use crate::zoo::segmenter::caught;
use crate::zoo::store::{self, Candidate};

/// The members of a plan on their way into memory. Dropped, it waits for what is being read and leaves the rest.
pub(in crate::infer) struct Loading {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What is asked for and what has come of it.
struct Shared {
    jobs: Vec<Job>,
    /// The first job that nobody has begun.
    next: AtomicUsize,
    /// By index of the job.
    outcomes: Mutex<Vec<Option<Outcome>>>,
    arrived: Condvar,
}

/// A member that is to be loaded.
struct Job {
    idx: usize,
    planned: MemberPlan,
    /// Where it is to be.
    devices: Vec<DeviceId>,
    layout: Layout,
    /// Its file, which fits; taken by whoever reads it.
    file: Mutex<Option<Candidate>>,
}

/// A member's variables on each device that it is for, or why they are not.
type Outcome = Result<Vec<(Device, Variables)>, DeviceError>;

impl Loading {
    /// Begins to load the members that a schedule's devices hold, in the order of the plan's passes. All files have been opened and compared
    /// with their networks then.
    ///
    /// # Errors
    /// When a device is missing, or a file cannot be read or does not fit.
    pub(in crate::infer) fn start(plan: &Plan, schedule: &Schedule) -> Result<Self, DeviceError> {
        for &device in &schedule.devices {
            if let Some(detail) = torch_problem(device) {
                return Err(DeviceError::Missing { device, detail });
            }
        }
        let threads = i32::try_from(plan.intra_op_threads).unwrap_or(1);
        // Before the first operation: a thread inside an operation and the workers beside it would fight for the cores.
        tch::set_num_threads(threads);
        if let Some(&device) = schedule.devices.iter().find(|device| device.gpu().is_some()) {
            // The whole process's: members of a plan agree on it.
            let allowed = plan.members.iter().any(|member| member.resolved_precision == Precision::Tf32);
            allow_tf32(allowed).map_err(|detail| DeviceError::Missing { device, detail })?;
        }
        let wanted = wanted(plan, schedule);
        let prepare = |(idx, devices): (usize, Vec<DeviceId>)| Job::prepare(idx, &plan.members[idx], devices);
        let jobs: Vec<Result<Job, DeviceError>> = std::thread::scope(|scope| {
            let crew: Vec<_> = wanted.into_iter().map(|job| scope.spawn(move || prepare(job))).collect();
            crew.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let jobs = jobs.into_iter().collect::<Result<Vec<_>, _>>()?;
        let outcomes = Mutex::new(jobs.iter().map(|_| None).collect());
        let shared = Arc::new(Shared { jobs, next: AtomicUsize::new(0), outcomes, arrived: Condvar::new() });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut loading = Self { shared, threads: Vec::new() };
        for _ in 0..cores.min(loading.shared.jobs.len()) {
            let shared = Arc::clone(&loading.shared);
            let thread = std::thread::Builder::new().name("weights".into()).spawn(move || shared.work());
            loading.threads.push(thread.map_err(|e| DeviceError::OutOfMemory { detail: e.to_string() })?);
        }
        Ok(loading)
    }

    /// Nothing: for a device that holds no member.
    pub(in crate::infer) fn nothing() -> Self {
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::default());
        let shared = Shared { jobs: Vec::new(), next, outcomes, arrived: Condvar::new() };
        Self { shared: Arc::new(shared), threads: Vec::new() }
    }

    /// Waits until the first member is there: then work can begin.
    ///
    /// # Errors
    /// Why it will not be.
    pub(in crate::infer) fn wait_for_first(&self) -> Result<(), DeviceError> {
        let first = self.shared.jobs.first();
        let first = first.and_then(|job| Some((job.idx, *job.devices.first()?)));
        first.map_or(Ok(()), |(member, device)| self.wait(member, device).map(drop))
    }

    /// The variables of a member on a device, once they are there.
    ///
    /// # Errors
    /// Why they will not be.
    pub(super) fn wait(&self, member: usize, device: DeviceId) -> Result<Variables, DeviceError> {
        let Some(job) = self.shared.jobs.iter().position(|job| job.idx == member) else { return Err(not_held()) };
        let mut outcomes = self.shared.outcomes();
        loop {
            match &outcomes[job] {
                None => outcomes = self.shared.arrived.wait(outcomes).unwrap_or_else(PoisonError::into_inner),
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok(placed)) => {
                    let there = placed.iter().find(|(there, _)| *there == target(device));
                    return there.map(|(_, variables)| variables.shared()).ok_or_else(not_held);
                }
            }
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.shared.next.store(self.shared.jobs.len(), Ordering::Relaxed);
        // A thread that panicked has said so.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Shared {
    fn outcomes(&self) -> MutexGuard<'_, Vec<Option<Outcome>>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads one member after the other as long as there is one that nobody has begun.
    fn work(&self) {
        loop {
            let idx = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(idx) else { return };
            // Whoever waits for it shall hear of it, whatever happens.
            let outcome = caught(|| job.load()).unwrap_or_else(|detail| Err(job.failed(detail)));
            self.outcomes()[idx] = Some(outcome);
            self.arrived.notify_all();
        }
    }
}

/// The members whose layers are known here that some device holds, in the order in which passes ask for them, each with its devices.
fn wanted(plan: &Plan, schedule: &Schedule) -> Vec<(usize, Vec<DeviceId>)> {
    let mut order: Vec<usize> = Vec::new();
    for pass in &plan.passes {
        if !order.contains(&pass.member) {
            order.push(pass.member);
        }
    }
    let devices = |member: usize| {
        let mut devices: Vec<DeviceId> = Vec::new();
        for (idx, &device) in schedule.devices.iter().enumerate() {
            let is_new = || devices.iter().all(|other| target(*other) != target(device));
            if schedule.assignment.held_by(idx).contains(&member) && is_new() {
                devices.push(device);
            }
        }
        devices
    };
    let known = order.into_iter().filter(|member| plan.members[*member].member.spec.script.is_none());
    known.map(|member| (member, devices(member))).filter(|(_, devices)| !devices.is_empty()).collect()
}

fn not_held() -> DeviceError {
    DeviceError::Forward { detail: "the device does not hold it; this is a bug in swath".into() }
}

impl Job {
    /// Opens the member's file, and compares it with the network.
    fn prepare(idx: usize, planned: &MemberPlan, devices: Vec<DeviceId>) -> Result<Self, DeviceError> {
        let spec = &planned.member.spec;
        let failed = |detail: String| DeviceError::Weights { member: planned.member.name.clone(), detail };
        let layout = Variables::layout(spec).map_err(|e| failed(e.to_string()))?;
        let open = |path: &PathBuf| {
            let file = Candidate::open(&layout, WeightsFile::open_as(path, &planned.digest)?)?;
            if file.fits() {
                return Ok(Some(file));
            }
            // Told with what is wrong with its values.
            file.values(&layout).map(|_| None)
        };
        let file = match &planned.member.weights {
            Weights::File(path) => open(path).map_err(|e| failed(refused(e, spec)))?,
            Weights::Seed(_) => None,
        };
        Ok(Self { idx, planned: planned.clone(), devices, layout, file: Mutex::new(file) })
    }

    /// Reads the values, and brings them to every device.
    fn load(&self) -> Outcome {
        let MemberPlan { member, .. } = &self.planned;
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tensors = match (file, &member.weights) {
            (Some(file), _) => file.values(&self.layout).and_then(|mut values| {
                // Every tensor that is asked for has been read: none is missing.
                store::variables(&self.layout, |name, _| values.remove(name).unwrap_or_default())
            }),
            (None, Weights::Seed(seed)) => {
                store::variables(&self.layout, |name, shape| seed::fill(*seed, name, shape, 0))
            }
            (None, Weights::File(_)) => return Err(not_held()),
        };
        let tensors = tensors.map_err(|e| self.failed(refused(e, &member.spec)))?;
        let place = |device: &DeviceId| {
            let (target, kind) = (target(*device), kind(self.planned.resolved_precision));
            let kernels = Kernels::named(self.planned.resolved_kernels, target);
            let variables = Variables::new(&member.spec, &tensors, (target, kind), kernels);
            let variables = variables.map_err(|detail| match names_device(&detail) {
                // Weights that a device cannot take are not to blame.
                true => DeviceError::Missing { device: *device, detail },
                false => self.failed(detail),
            })?;
            if let Some(number) = device.gpu() {
                // Whoever takes them works in an order of its own.
                Cuda::synchronize(i64::try_from(number).unwrap_or(-1));
            }
            Ok((target, variables))
        };
        self.devices.iter().map(place).collect()
    }

    fn failed(&self, detail: String) -> DeviceError {
        DeviceError::Weights { member: self.planned.member.name.clone(), detail }
    }
}
