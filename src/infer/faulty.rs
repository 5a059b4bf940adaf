//! An engine with faults on purpose: another one's faulty twin.

use super::DeviceError;
use super::batch::RawBatch;
use super::engine::{Engine, Input};
use super::failure::failure;
use super::logits::Logits;
use crate::config::Precision;
use crate::faults::{Fault, Faults};
use crate::plan::{DeviceId, Pass, Plan};

/// What CUDA says through libtorch.
const OUT_OF_MEMORY: &str = "CUDA out of memory. Tried to allocate 2.50 GiB (planted fault)";
const LOST: &str = "CUDA error: an illegal memory access was encountered (planted fault)";

/// The faults planned for the place `device`, as its forward passes meet them.
///
/// A forward pass is called `DEVICE MEMBER nTILES WHAT`, with the name of its batch at the end: `cuda:0 member1 n2 s1 y24 x0`.
pub(super) struct Strikes {
    device: DeviceId,
    names: Vec<String>,
    faults: Faults,
    lost: bool,
}

impl Strikes {
    /// Those of one device; `None` where none is planned.
    pub(super) fn new(plan: &Plan, device: DeviceId, faults: &Faults) -> Option<Self> {
        let names = plan.members.iter().map(|m| m.member.name.clone()).collect();
        (!faults.is_empty()).then(|| Self { device, names, faults: faults.clone(), lost: false })
    }

    /// The fault that a pass meets: the error that it returns, or that its logits are to be no numbers.
    pub(super) fn strike(&mut self, batch: &RawBatch, pass: Pass) -> Option<Strike> {
        let name = format!("{} {} n{} {}", self.device, self.names[pass.member], batch.len(), batch.name);
        match if self.lost { Some(Fault::Lost) } else { self.faults.pass(&name) } {
            None => None,
            Some(Fault::NonFinite) => Some(Strike::NonFinite),
            Some(Fault::OutOfMemory) => Some(Strike::Error(failure(self.device, OUT_OF_MEMORY))),
            Some(Fault::Lost) => {
                self.lost = true;
                Some(Strike::Error(failure(self.device, LOST)))
            }
            Some(_) => Some(Strike::Error(DeviceError::Forward { detail: "planted fault".into() })),
        }
    }
}

/// What a pass meets.
pub(super) enum Strike {
    /// It fails.
    Error(DeviceError),
    /// Its logits are to be no numbers.
    NonFinite,
}

/// Passes an engine's results on, and planned faults.
pub(super) struct FaultyEngine {
    inner: Box<dyn Engine>,
    strikes: Strikes,
    /// Whether the last pass was made to return what is no number: then another one in f32 is to be had, which may again.
    spoilt: bool,
}

impl FaultyEngine {
    /// The twin of an engine.
    pub(super) fn new(inner: Box<dyn Engine>, strikes: Strikes) -> Self {
        Self { inner, strikes, spoilt: false }
    }
}

impl Engine for FaultyEngine {
    fn ready(&mut self, pass: Pass) -> Result<(), DeviceError> {
        self.inner.ready(pass)
    }

    fn forward(&mut self, pass: Pass, input: Input<'_>, precision: Precision) -> Result<Logits, DeviceError> {
        self.spoilt = false;
        match self.strikes.strike(input.batch, pass) {
            Some(Strike::Error(error)) => Err(error),
            Some(Strike::NonFinite) => {
                self.spoilt = true;
                self.inner.forward(pass, input, precision).map(|logits| spoil(input.batch, logits))
            }
            None => self.inner.forward(pass, input, precision),
        }
    }

    fn can_widen(&self, pass: Pass, precision: Precision) -> bool {
        self.spoilt || self.inner.can_widen(pass, precision)
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
