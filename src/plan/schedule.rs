//! How a plan is carried out here and now. Free to change between runs: nothing in this file changes a byte of output.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::{BackendKind, Plan};
use crate::outputs::kinds_of;

/// A device that runs networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceId {
    /// One core of this machine.
    Cpu,
    /// A GPU by number.
    Cuda(usize),
    /// One core of this machine, on a GPU's way from pixels to planes: slower than [`Self::Cpu`], and there to try that way without a GPU.
    CpuTensors,
}

impl DeviceId {
    /// Which kind it is: devices of two kinds do not round alike.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuTensors => CPU_TENSORS,
            Self::Cuda(_) => "cuda",
        }
    }

    /// Its number, where it is a GPU.
    pub const fn gpu(self) -> Option<usize> {
        match self {
            Self::Cpu | Self::CpuTensors => None,
            Self::Cuda(number) => Some(number),
        }
    }

    /// Batches that it has at a time: a GPU never waits for the next one, a core has no use for a second.
    pub const fn in_flight(self) -> usize {
        match self {
            Self::Cpu => 1,
            Self::Cuda(_) | Self::CpuTensors => 2,
        }
    }
}

/// What a core on a GPU's way is called.
const CPU_TENSORS: &str = "cpu-tensors";

impl std::str::FromStr for DeviceId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == CPU_TENSORS => Ok(Self::CpuTensors),
            Some(("cuda", n)) => n.parse().map(Self::Cuda).map_err(|_| format!("`{n}` is not the number of a GPU")),
            _ => Err(format!("`{text}` is not a device; write cpu or cuda:0")),
        }
    }
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::CpuTensors => f.write_str(CPU_TENSORS),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// Which device holds which members: one row per device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assignment {
    holds: Vec<Vec<bool>>,
}

/// Devices that hold the same members: they share one link of batches and each batch goes to one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceGroup {
    /// Indices of the devices.
    pub devices: Vec<usize>,
    /// Indices of the members, ascending.
    pub members: Vec<usize>,
}

impl Assignment {
    /// Every device holds every member.
    pub fn replicate(n_devices: usize, n_members: usize) -> Self {
        Self { holds: vec![vec![true; n_members]; n_devices] }
    }

    /// Members spread so that each device holds as few as possible: as many groups as there are devices, or members if these are fewer,
    /// about equally costly. Devices that are left help where a device has most to do. `costs` are the members'.
    pub fn partition(n_devices: usize, costs: &[u64]) -> Self {
        let n_groups = n_devices.min(costs.len()).max(1);
        let mut by_cost: Vec<usize> = (0..costs.len()).collect();
        by_cost.sort_by_key(|member| std::cmp::Reverse(costs[*member]));
        // Each member, the costliest first, goes to the group with the least to do.
        let mut groups = vec![(0, Vec::new(), 1); n_groups];
        for member in by_cost {
            if let Some((cost, members, _)) = groups.iter_mut().min_by_key(|(cost, ..)| *cost) {
                *cost += costs[member];
                members.push(member);
            }
        }
        for _ in n_groups..n_devices {
            if let Some((.., n)) = groups.iter_mut().max_by_key(|(cost, _, n)| *cost / *n) {
                *n += 1;
            }
        }
        let row = |members: &Vec<usize>| (0..costs.len()).map(|member| members.contains(&member)).collect();
        let rows = groups.iter().flat_map(|(_, members, n)| (0..*n).map(move |_| row(members)));
        Self { holds: rows.collect() }
    }

    /// Any matrix in which the sets of two devices are equal or have no member in common, and every member is held.
    ///
    /// Returns `None` for another matrix: a batch would be run twice or not at all.
    pub fn from_matrix(holds: Vec<Vec<bool>>) -> Option<Self> {
        let assignment = Self { holds };
        let groups = assignment.groups();
        let n_members = assignment.holds.first().map_or(0, Vec::len);
        let held: usize = groups.iter().map(|g| g.members.len()).sum();
        let all: std::collections::BTreeSet<_> = groups.iter().flat_map(|g| g.members.iter()).collect();
        (held == n_members && all.len() == n_members).then_some(assignment)
    }

    /// The members that a device holds, ascending.
    pub fn held_by(&self, device: usize) -> Vec<usize> {
        let holds = &self.holds[device];
        (0..holds.len()).filter(|member| holds[*member]).collect()
    }

    /// The devices grouped by what they hold. A batch goes once to every group.
    pub fn groups(&self) -> Vec<DeviceGroup> {
        let mut groups: Vec<DeviceGroup> = Vec::new();
        for device in 0..self.holds.len() {
            let members = self.held_by(device);
            match groups.iter_mut().find(|g| g.members == members) {
                Some(group) => group.devices.push(device),
                None => groups.push(DeviceGroup { devices: vec![device], members }),
            }
        }
        groups
    }
}

/// Where scenes are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decode {
    /// Each reader has a process for it: a file that crashes, loops or swallows memory costs itself.
    Isolated {
        /// How long such a process may take for an answer.
        timeout: Duration,
    },
    /// In this process: for files that are trusted.
    InProcess,
}

impl Decode {
    /// What a decoder may take where nobody says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(60);

    /// All of them, as the command line calls them.
    pub const NAMED: [(&'static str, Self); 2] =
        [("isolated", Self::Isolated { timeout: Self::TIMEOUT }), ("in-process", Self::InProcess)];
}

/// Devices, workers and memory of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Schedule {
    /// The devices; `cpu` may occur several times, once per worker.
    pub devices: Vec<DeviceId>,
    /// Which device holds which members.
    pub assignment: Assignment,
    /// Reader threads.
    pub readers: usize,
    /// Encoder threads.
    pub encoders: usize,
    /// Bytes for pixels and labels in flight.
    pub memory: u64,
    /// Where scenes are decoded.
    pub decode: Decode,
}

/// Batches that may wait between two stages. Small: a stage that waits is seen, a deep queue only hides it.
pub const LINK_CAPACITY: usize = 2;

impl Schedule {
    /// Batches of raw crops that can exist at once: one being cut, those in the links to and from the devices, those in the hands of
    /// each device, and one in the averager's.
    pub fn batches_in_flight(&self) -> u64 {
        let devices: usize = self.devices.iter().map(|device| device.in_flight()).sum();
        (1 + self.assignment.groups().len() * LINK_CAPACITY + devices + LINK_CAPACITY + 1) as u64
    }

    /// The same without these devices; `None` when none is left. Members that only those held, all others hold.
    pub fn without(&self, gone: &[DeviceId]) -> Option<Self> {
        let stays: Vec<bool> = self.devices.iter().map(|device| !gone.contains(device)).collect();
        let keep = |idx: &usize| stays[*idx];
        let devices: Vec<DeviceId> = (0..stays.len()).filter(keep).map(|idx| self.devices[idx]).collect();
        let holds: Vec<Vec<bool>> =
            (0..stays.len()).filter(keep).map(|idx| self.assignment.holds[idx].clone()).collect();
        let n_members = holds.first()?.len();
        let assignment =
            Assignment::from_matrix(holds).unwrap_or_else(|| Assignment::replicate(devices.len(), n_members));
        Some(Self { devices, assignment, ..self.clone() })
    }

    /// The members that workers on some devices hold, ascending.
    fn held_on(&self, is_one: impl Fn(DeviceId) -> bool) -> Vec<usize> {
        let devices = (0..self.devices.len()).filter(|idx| is_one(self.devices[*idx]));
        let members: BTreeSet<usize> = devices.flat_map(|idx| self.assignment.held_by(idx)).collect();
        members.into_iter().collect()
    }

    /// Bytes of weights in the machine's own memory. Workers share them; a program each has for itself.
    fn weights(&self, plan: &Plan) -> u64 {
        let is_program = |member: &usize| plan.members[*member].member.spec.script.is_some();
        let each = (0..self.devices.len()).flat_map(|device| self.assignment.held_by(device)).filter(is_program);
        let once = self.held_on(|_| true).into_iter().filter(|member| !is_program(member));
        let on_gpu = self.devices.iter().any(|device| device.gpu().is_some());
        each.chain(once).map(|member| plan.members[member].weights_bytes(on_gpu)).sum()
    }

    /// Who decodes: readers, and encoders where an output shows the scene.
    pub fn decoders(&self, plan: &Plan) -> usize {
        let shows = kinds_of(&plan.pipeline).any(|kind| kind.shows_scene());
        self.readers + if shows { self.encoders } else { 0 }
    }

    /// What is left of the memory for units when the batches have theirs.
    pub fn unit_budget(&self, plan: &Plan) -> u64 {
        self.memory.saturating_sub(self.batches_in_flight() * plan.maxima.batch)
    }
}

/// Results of batches that hold nothing which their file stores: a worker keeps so many, for others of their kind.
pub const REMEMBERED: usize = 4;

/// The memory a run keeps to, by cause, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// `--memory`: pixels, batches, labels.
    pub budget: u64,
    /// GDAL's block cache, all decoders.
    pub decoder_cache: u64,
    /// Processes that decode, without their cache, and the corners of an area.
    pub decoders: u64,
    /// Weights in the machine's own memory: one copy, which all workers share, and for a GPU one on their way there.
    pub weights: u64,
    /// Activations of the forward passes in the machine's own memory, and what is remembered of empty batches, all devices.
    pub activations: u64,
    /// Batches on their way to and from devices that work beside the host, page-locked where that is a GPU.
    pub staging: u64,
    /// Rows that the post stage holds back.
    pub post: u64,
    /// Rows of blocks of TIFFs, and GDAL's block cache while it copies them.
    pub outputs: u64,
    /// The program itself with its libraries, the parent that watches over it, and what grows with the number of scenes and of
    /// checkpoints.
    pub base: u64,
    /// Memory of the GPU that needs most of its own, where there are GPUs; no part of the sum.
    pub gpu: Option<u64>,
}

/// The program and its libraries before they hold anything: the resident size of a run over nothing, rounded up (measured 2026-11-24:
/// 36 MiB in a build without libtorch, 154 MiB with it linked, 231 MiB once it has run).
const BASE_FAKE: u64 = if cfg!(feature = "torch") { 192 << 20 } else { 64 << 20 };
const BASE_TORCH: u64 = 320 << 20;

/// A process that decodes, without its cache and its strips: what it shares with no other process, rounded up. With libtorch linked
/// most of it is that library's relocated tables, which every process has of its own. Measured 2026-11-25 as RssAnon, sampled every
/// 4 ms from /proc/PID/status during `swath run pipelines/demo.toml --backend fake` over four scenes: 64 MiB before the first file
/// with libtorch and 69 MiB at most, 5 and 11 MiB without.
const BASE_DECODER: u64 = if cfg!(feature = "torch") { 72 << 20 } else { 12 << 20 };

/// The parent that watches over a run: 63 MiB and 5 MiB, measured likewise.
const BASE_PARENT: u64 = if cfg!(feature = "torch") { 64 << 20 } else { 8 << 20 };

/// Plan, names, verdict of a scene, and what the report says of it: with fifteen classes some 2 KiB of this.
const PER_SCENE: u64 = 6 << 10;

/// Name of a file that a mosaic is made of, and the same with its folder while it is looked at.
const PER_PART: u64 = 512;

/// Key and place of a checkpoint, twice while a run looks for what still holds: two texts of 64 and some 40 bytes, and their slots.
const PER_CHECKPOINT: u64 = 512;

impl Promise {
    /// Adds up what a plan needs under a schedule.
    pub fn new(plan: &Plan, schedule: &Schedule) -> Self {
        let torch = plan.backend == BackendKind::Torch;
        let decoders = schedule.decoders(plan);
        let (decoder_cache, decoders) = match schedule.decode {
            Decode::InProcess => (plan.decoder_cache(decoders), plan.area_bytes() * decoders as u64),
            Decode::Isolated { timeout } => {
                let limits = plan.decoder_limits(decoders, timeout);
                let passed = if plan.mosaic_bytes() == 0 { 0 } else { limits.strip * 12 };
                let each = BASE_DECODER + limits.strips() + plan.area_bytes() + plan.mosaic_bytes() + passed;
                let n = decoders as u64 * plan.decoders_each();
                (limits.cache * n, each * n)
            }
        };
        let activations = |device: &DeviceId| match device {
            DeviceId::Cpu => plan.activation_bytes(),
            DeviceId::CpuTensors => plan.activation_bytes() + plan.up_sampled_bytes(),
            DeviceId::Cuda(_) => 0,
        };
        let staging = |device: &DeviceId| match device {
            DeviceId::Cpu => 0,
            // libtorch gives page-locked memory in powers of two.
            DeviceId::Cuda(_) | DeviceId::CpuTensors => {
                let ways = [plan.maxima.batch, plan.returned_bytes()].map(u64::next_power_of_two);
                device.in_flight() as u64 * ways.iter().sum::<u64>()
            }
        };
        Self {
            budget: schedule.memory,
            decoder_cache,
            decoders,
            weights: if torch { schedule.weights(plan) } else { 0 },
            activations: schedule.devices.iter().map(activations).sum::<u64>()
                + plan.remembered_bytes() * schedule.devices.len() as u64,
            staging: if torch { schedule.devices.iter().map(staging).sum() } else { 0 },
            post: plan.post_bytes(schedule),
            outputs: plan.output_bytes(schedule) + plan.output_cache(schedule).unwrap_or(0),
            base: if torch { BASE_TORCH } else { BASE_FAKE }
                + BASE_PARENT
                + PER_SCENE * plan.scenes.len() as u64
                + PER_PART * plan.scenes.iter().map(|scene| scene.parts.len() as u64).sum::<u64>()
                + PER_CHECKPOINT * plan.n_checkpoints(),
            gpu: plan.gpu_bytes(schedule),
        }
    }

    /// Bytes of the host's memory in all; those of GPUs are told beside.
    pub fn total(&self) -> u64 {
        let all = [
            self.decoder_cache,
            self.decoders,
            self.weights,
            self.activations,
            self.staging,
            self.post,
            self.outputs,
            self.base,
        ];
        all.iter().fold(self.budget, |sum, part| sum.saturating_add(*part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_spreads_costs_and_gives_every_member_a_device() {
        let held = |n_devices: usize, costs: &[u64]| {
            let assignment = Assignment::partition(n_devices, costs);
            assert_eq!(Assignment::from_matrix(assignment.holds.clone()).as_ref(), Some(&assignment));
            (0..n_devices).map(|device| assignment.held_by(device)).collect::<Vec<_>>()
        };
        assert_eq!(held(1, &[5, 7]), [[0, 1]]);
        assert_eq!(held(2, &[9, 2, 3, 4]), [vec![0], vec![1, 2, 3]]);
        assert_eq!(held(4, &[9, 2, 3, 4]), [[0], [3], [2], [1]]);
        // Two more for the member that takes longest.
        assert_eq!(held(4, &[2, 9]), [[1], [1], [1], [0]]);
    }
}
