//! One device with its members.

use std::time::{Duration, Instant};

use super::batch::{RawBatch, TileFault, TileLabels};
use super::combine::Combiner;
use super::fake::FakeBackend;
use super::faulty::FaultyBackend;
use super::logits::Logits;
use super::torch_backend;
use crate::faults::Faults;
use crate::plan::{BackendKind, DeviceId, Plan, Schedule};

/// How the input is turned before the network sees it. Forward passes are keyed by it from the first day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// As it is.
    Identity,
}

/// Names a forward pass: plans, sums and checkpoints go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForwardKey {
    /// Index of the member.
    pub member: usize,
    /// The view.
    pub view: View,
}

/// The forward passes of these members in the plan's order.
pub fn keys_of(members: &[usize]) -> Vec<ForwardKey> {
    members.iter().map(|&member| ForwardKey { member, view: View::Identity }).collect()
}

/// Why a forward pass failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The members' weights do not fit their networks.
    #[error("cannot load the weights of member `{member}`: {detail}")]
    Weights {
        /// The member.
        member: String,
        /// The differences.
        detail: String,
    },
    /// There is no such device, or the build has no such backend.
    #[error("cannot use the device {device}: {detail}")]
    Device {
        /// The device.
        device: DeviceId,
        /// Why.
        detail: String,
    },
    /// The forward pass itself: this batch fails, and the device lives.
    #[error("{detail}")]
    Forward {
        /// What the library said.
        detail: String,
    },
    /// The device has not the memory for this batch. What it held for it is free again.
    #[error("out of memory: {detail}")]
    OutOfMemory {
        /// What the library said.
        detail: String,
    },
    /// The device is of no use to this process any more: every later pass would fail, or worse, would not.
    #[error("the device {device} is lost: {detail}")]
    Lost {
        /// The device.
        device: DeviceId,
        /// What the library said.
        detail: String,
    },
    /// The run is about to end, and the pass has not begun.
    #[error("the forward pass was not begun: the run is ending")]
    Halted,
}

impl BackendError {
    /// What the failure of a member's pass costs its batch, or the error where it costs more.
    ///
    /// # Errors
    /// The error itself, unless it is one of the pass alone.
    fn into_fault(self, member: &str) -> Result<TileFault, Self> {
        match self {
            Self::Forward { detail } => Ok(TileFault::Forward { member: member.to_owned(), detail }),
            Self::Weights { .. }
            | Self::Device { .. }
            | Self::OutOfMemory { .. }
            | Self::Lost { .. }
            | Self::Halted => Err(self),
        }
    }
}

/// What the forward passes of a batch took, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassTally {
    /// Time of each.
    pub times: Vec<Duration>,
    /// Tiles of each that ran again in f32, because their logits were not finite.
    pub reruns: Vec<u64>,
}

impl PassTally {
    /// Of so many passes that have not run.
    pub fn of(passes: usize) -> Self {
        Self { times: vec![Duration::ZERO; passes], reruns: vec![0; passes] }
    }

    /// Forgets what was counted.
    pub fn clear(&mut self) {
        self.times.fill(Duration::ZERO);
        self.reruns.fill(0);
    }
}

/// A device. It belongs to one thread at a time.
pub trait Backend: Send {
    /// Runs one member over a batch.
    ///
    /// # Errors
    /// When the device or the library fails; unless the device is lost, the batch can be tried again.
    fn forward(&mut self, batch: &RawBatch, key: ForwardKey) -> Result<Logits, BackendError>;

    /// The same in f32 whatever the plan's precision, for a tile whose logits were not finite; `None` where it already was f32.
    fn forward_f32(&mut self, batch: &RawBatch, key: ForwardKey) -> Option<Result<Logits, BackendError>>;

    /// Runs all these forward passes and combines them: the complete result of a batch. A device with memory of its own does this
    /// without moving logits; the others inherit it. `tally` takes what each pass took.
    ///
    /// # Errors
    /// When the device is out of memory or lost. A pass that fails is in the result.
    fn classify(
        &mut self,
        batch: &RawBatch,
        keys: &[ForwardKey],
        combiner: &Combiner,
        names: &[String],
        tally: &mut PassTally,
    ) -> Result<Vec<TileLabels>, BackendError> {
        let mut faults: Vec<Option<TileFault>> = vec![None; batch.len()];
        let mut forwards = Vec::new();
        for ((key, time), reruns) in keys.iter().zip(&mut tally.times).zip(&mut tally.reruns) {
            let began = Instant::now();
            let ran = self.forward_checked(batch, *key, &names[key.member], &mut faults, reruns)?;
            *time = began.elapsed();
            match ran {
                Ok(logits) => forwards.push(logits),
                Err(fault) => return Ok(vec![Err(fault); batch.len()]),
            }
        }
        let forwards: Vec<&Logits> = forwards.iter().collect();
        Ok(combine(batch, &forwards, combiner, faults))
    }

    /// Runs one forward pass and notes the tiles whose logits are not finite, after another try in f32, which `reruns` counts. The fault
    /// is that of a pass that fails as a whole.
    ///
    /// # Errors
    /// When the device is out of memory or lost.
    fn forward_checked(
        &mut self,
        batch: &RawBatch,
        key: ForwardKey,
        name: &str,
        faults: &mut [Option<TileFault>],
        reruns: &mut u64,
    ) -> Result<Result<Logits, TileFault>, BackendError> {
        let mut logits = match self.forward(batch, key) {
            Ok(logits) => logits,
            Err(error) => return error.into_fault(name).map(Err),
        };
        let broken: Vec<usize> = (0..batch.len()).filter(|&t| !batch.blank[t] && !logits.is_finite(t)).collect();
        if !broken.is_empty()
            && let Some(again) = self.forward_f32(batch, key)
        {
            // The others keep what they have: a tile's result does not depend on which tiles share its batch.
            let again = match again {
                Ok(again) => again,
                Err(error) => return error.into_fault(name).map(Err),
            };
            *reruns += broken.len() as u64;
            broken.into_iter().for_each(|tile| logits.copy_tile(tile, &again, tile));
        }
        for (tile, fault) in faults.iter_mut().enumerate() {
            if !batch.blank[tile] && !logits.is_finite(tile) && fault.is_none() {
                *fault = Some(TileFault::NonFinite { member: name.to_owned() });
            }
        }
        Ok(Ok(logits))
    }
}

/// Labels of every tile that has no fault.
pub fn combine(
    batch: &RawBatch,
    forwards: &[&Logits],
    combiner: &Combiner,
    faults: Vec<Option<TileFault>>,
) -> Vec<TileLabels> {
    let labels = |(tile, fault): (usize, Option<TileFault>)| match fault {
        Some(fault) => Err(fault),
        None if batch.blank[tile] => Ok(vec![crate::config::classes::NODATA_LABEL; batch.kept[tile].size.len()]),
        None => Ok(combiner.labels(forwards, tile, batch.kept[tile])),
    };
    faults.into_iter().enumerate().map(labels).collect()
}

/// Makes the backend of every device of the schedule, weights loaded, with the faults that are planned for devices.
///
/// # Errors
/// When a device is missing or the weights do not fit.
pub fn open_backends(plan: &Plan, schedule: &Schedule, faults: &Faults) -> Result<Vec<Box<dyn Backend>>, BackendError> {
    let mut backends: Vec<Box<dyn Backend>> = Vec::new();
    if plan.backend == BackendKind::Fake {
        // The stand-in has no use for weights; a trial of everything else shall find the ones that a real run would refuse.
        torch_backend::check_weights(plan)?;
    }
    for device in &schedule.devices {
        let backend: Box<dyn Backend> = match plan.backend {
            BackendKind::Fake => Box::new(FakeBackend::new(plan)),
            BackendKind::Torch => torch_backend::open(plan, *device)?,
        };
        backends.push(match faults.is_empty() {
            true => backend,
            false => Box::new(FaultyBackend::new(backend, plan, *device, faults.clone())),
        });
    }
    Ok(backends)
}
