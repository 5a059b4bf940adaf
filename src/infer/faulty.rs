//! A backend with faults on purpose: another one's faulty twin.

use super::backend::{Backend, BackendError, ForwardKey};
use super::batch::RawBatch;
use super::failure::failure;
use super::logits::Logits;
use crate::faults::{Fault, Faults};
use crate::plan::{DeviceId, Plan};

/// What CUDA says through libtorch.
const OUT_OF_MEMORY: &str = "CUDA out of memory. Tried to allocate 2.50 GiB (planted fault)";
const LOST: &str = "CUDA error: an illegal memory access was encountered (planted fault)";

/// Passes a backend's results on, and the faults planned for the place `device`.
///
/// A forward pass is called `DEVICE MEMBER nTILES WHAT`, with the name of its batch at the end: `cuda:0 member1 n2 s1 y24 x0`.
pub(super) struct FaultyBackend {
    inner: Box<dyn Backend>,
    device: DeviceId,
    names: Vec<String>,
    faults: Faults,
    lost: bool,
    /// Whether the last pass was made to return what is no number: then another one in f32 is to be had, which may again.
    spoilt: bool,
}

impl FaultyBackend {
    /// The twin of a device that holds every member of the plan.
    pub(super) fn new(inner: Box<dyn Backend>, plan: &Plan, device: DeviceId, faults: Faults) -> Self {
        let names = plan.members.iter().map(|m| m.member.name.clone()).collect();
        Self { inner, device, names, faults, lost: false, spoilt: false }
    }

    fn strike(&mut self, batch: &RawBatch, key: ForwardKey) -> Option<Fault> {
        if self.lost {
            return Some(Fault::Lost);
        }
        self.faults.pass(&format!("{} {} n{} {}", self.device, self.names[key.member], batch.len(), batch.name))
    }
}

impl Backend for FaultyBackend {
    fn forward(&mut self, batch: &RawBatch, key: ForwardKey) -> Result<Logits, BackendError> {
        self.spoilt = false;
        match self.strike(batch, key) {
            Some(Fault::OutOfMemory) => Err(failure(self.device, OUT_OF_MEMORY)),
            Some(Fault::Lost) => {
                self.lost = true;
                Err(failure(self.device, LOST))
            }
            Some(Fault::NonFinite) => {
                self.spoilt = true;
                self.inner.forward(batch, key).map(|logits| spoil(batch, logits))
            }
            Some(_) => Err(BackendError::Forward { detail: "planted fault".into() }),
            None => self.inner.forward(batch, key),
        }
    }

    fn forward_f32(&mut self, batch: &RawBatch, key: ForwardKey) -> Option<Result<Logits, BackendError>> {
        if self.spoilt { Some(self.forward(batch, key)) } else { self.inner.forward_f32(batch, key) }
    }
}

/// Makes one logit of the first tile that counts no number.
fn spoil(batch: &RawBatch, mut logits: Logits) -> Logits {
    let tile = batch.blank.iter().position(|blank| !blank).unwrap_or(0);
    let len = logits.n_classes * logits.size.len();
    if let Some(value) = logits.values.get_mut(tile * len) {
        *value = f32::NAN;
    }
    logits
}
