//! One device with its members.

use super::batch::{RawBatch, TileFault, TileLabels};
use super::combine::Combiner;
use super::fake::FakeBackend;
use super::logits::Logits;
use super::torch_backend;
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
    /// The forward pass itself.
    #[error("{detail}")]
    Forward {
        /// What the library said.
        detail: String,
    },
}

/// A device. It belongs to one thread at a time.
pub trait Backend: Send {
    /// Runs one member over a batch.
    ///
    /// # Errors
    /// When the device or the library fails; the batch can be tried again.
    fn forward(&mut self, batch: &RawBatch, key: ForwardKey) -> Result<Logits, BackendError>;

    /// The same in f32 whatever the plan's precision, for a tile whose logits were not finite; `None` where it already was f32.
    fn forward_f32(&mut self, batch: &RawBatch, key: ForwardKey) -> Option<Result<Logits, BackendError>>;

    /// Runs all these forward passes and combines them: the complete result of a batch. A device with memory of its own does this
    /// without moving logits; the others inherit it.
    fn classify(
        &mut self,
        batch: &RawBatch,
        keys: &[ForwardKey],
        combiner: &Combiner,
        names: &[String],
    ) -> Vec<TileLabels> {
        let mut faults: Vec<Option<TileFault>> = vec![None; batch.len()];
        let mut forwards = Vec::new();
        for key in keys {
            match self.forward_checked(batch, *key, &names[key.member], &mut faults) {
                Ok(logits) => forwards.push(logits),
                Err(fault) => return vec![Err(fault); batch.len()],
            }
        }
        let forwards: Vec<&Logits> = forwards.iter().collect();
        combine(batch, &forwards, combiner, faults)
    }

    /// Runs one forward pass and notes the tiles whose logits are not finite, after another try in f32.
    ///
    /// # Errors
    /// When the pass fails as a whole.
    fn forward_checked(
        &mut self,
        batch: &RawBatch,
        key: ForwardKey,
        name: &str,
        faults: &mut [Option<TileFault>],
    ) -> Result<Logits, TileFault> {
        let failed = |e: BackendError| TileFault::Forward { member: name.to_owned(), detail: e.to_string() };
        let mut logits = self.forward(batch, key).map_err(failed)?;
        let broken: Vec<usize> = (0..batch.len()).filter(|&t| !batch.blank[t] && !logits.is_finite(t)).collect();
        if !broken.is_empty()
            && let Some(again) = self.forward_f32(batch, key)
        {
            // The others keep what they have: a tile's result does not depend on which tiles share its batch.
            let again = again.map_err(failed)?;
            broken.into_iter().for_each(|tile| logits.copy_tile(tile, &again, tile));
        }
        for (tile, fault) in faults.iter_mut().enumerate() {
            if !batch.blank[tile] && !logits.is_finite(tile) && fault.is_none() {
                *fault = Some(TileFault::NonFinite { member: name.to_owned() });
            }
        }
        Ok(logits)
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

/// Makes the backend of every device of the schedule, weights loaded.
///
/// # Errors
/// When a device is missing or the weights do not fit.
pub fn open_backends(plan: &Plan, schedule: &Schedule) -> Result<Vec<Box<dyn Backend>>, BackendError> {
    let mut backends: Vec<Box<dyn Backend>> = Vec::new();
    for device in &schedule.devices {
        backends.push(match plan.backend {
            BackendKind::Fake => Box::new(FakeBackend::new(plan)),
            BackendKind::Torch => torch_backend::open(plan, *device)?,
        });
    }
    Ok(backends)
}
