//! Networks in ONNX files, which ONNX Runtime runs.
//!
//! [`Models`] reads each file once for all devices and opens the first session of each, so that what it takes and returns is known before
//! work starts. The engine has a session of its own for each worker, made when that first asks for it: sessions do not share threads, and a
//! worker on a core runs its passes itself, as those of libtorch do. Sums, tiles and batches are the host's: see [`super::host`].

mod library;
mod model;

use std::sync::Arc;

use super::engine::{Engine, Input};
use super::logits::Logits;
use super::{DeviceError, failure::failure};
use crate::config::Precision;
use crate::plan::{DeviceId, Pass, Plan};

pub use library::onnxruntime;
pub(super) use library::problem;
pub(super) use model::Models;
use model::{Model, Running};

/// The engine of a [`super::host::HostDevice`], beside that of the members that libtorch runs, where there are some.
struct OnnxEngine {
    device: DeviceId,
    /// By index of the member.
    members: Vec<Option<Member>>,
    others: Option<Box<dyn Engine>>,
}

struct Member {
    model: Arc<Model>,
    running: Option<Running>,
}

/// An engine with those of these members that are ONNX models; `others` runs the rest.
///
/// # Errors
/// Never: sessions are made when they are asked for.
pub(super) fn open(
    plan: &Plan,
    device: DeviceId,
    held: &[usize],
    models: &Models,
    others: Option<Box<dyn Engine>>,
) -> Result<Box<dyn Engine>, DeviceError> {
    let member = |idx: usize| {
        let model = models.of(idx).filter(|_| held.contains(&idx))?;
        Some(Member { model, running: None })
    };
    Ok(Box::new(OnnxEngine { device, members: (0..plan.members.len()).map(member).collect(), others }))
}

/// Asked for something that the schedule gave to nobody here.
fn not_held() -> DeviceError {
    DeviceError::Forward { detail: "the device does not hold it; this is a bug in swath".into() }
}

impl Engine for OnnxEngine {
    fn ready(&mut self, pass: Pass) -> Result<(), DeviceError> {
        match (&mut self.members[pass.member], &mut self.others) {
            (Some(member), _) if member.running.is_none() => {
                member.running = Some(member.model.running(self.device)?);
                Ok(())
            }
            (Some(_), _) => Ok(()),
            (None, Some(others)) => others.ready(pass),
            (None, None) => Err(not_held()),
        }
    }

    fn forward(&mut self, pass: Pass, input: Input<'_>, precision: Precision) -> Result<Logits, DeviceError> {
        match (&mut self.members[pass.member], &mut self.others) {
            (Some(Member { model, running: Some(running) }), _) => {
                let logits = running.run(model, input.values, input.batch.len(), input.size);
                logits.map_err(|text| failure(self.device, &text))
            }
            (None, Some(others)) => others.forward(pass, input, precision),
            (Some(Member { running: None, .. }) | None, _) => Err(not_held()),
        }
    }

    fn can_widen(&self, pass: Pass, precision: Precision) -> bool {
        // A model's arithmetic is in its file.
        let others = self.others.as_ref().filter(|_| self.members[pass.member].is_none());
        others.is_some_and(|others| others.can_widen(pass, precision))
    }
}
