//! Networks whose inputs and logits are in the machine's own memory.

use super::member::TorchMember;
use super::torch_problem;
use crate::config::Precision;
use crate::infer::DeviceError;
use crate::infer::engine::{Engine, Input};
use crate::infer::logits::Logits;
use crate::plan::{DeviceId, Pass, Plan};
use crate::tensor::allow_tf32;

/// The networks of one device, by index of the member: those that it holds.
pub(super) struct Members(Vec<Option<TorchMember>>);

impl Members {
    /// Builds these members and loads their weights.
    pub(super) fn open(plan: &Plan, device: DeviceId, held: &[usize]) -> Result<Self, DeviceError> {
        if let Some(detail) = torch_problem(device) {
            return Err(DeviceError::Missing { device, detail });
        }
        let threads = i32::try_from(plan.intra_op_threads).unwrap_or(1);
        // Before the first operation: a thread inside an operation and the workers beside it would fight for the cores.
        tch::set_num_threads(threads);
        if device.gpu().is_some() {
            // The whole process's: members of a plan agree on it.
            let allowed = plan.members.iter().any(|member| member.resolved_precision == Precision::Tf32);
            allow_tf32(allowed).map_err(|detail| DeviceError::Missing { device, detail })?;
        }
        let open = |(idx, member)| held.contains(&idx).then(|| TorchMember::open(member, plan, device)).transpose();
        plan.members.iter().enumerate().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// One that the device must hold.
    pub(super) fn get(&mut self, member: usize) -> Result<&mut TorchMember, DeviceError> {
        let held = self.0.get_mut(member).and_then(Option::as_mut);
        held.ok_or_else(|| DeviceError::Forward {
            detail: "the device does not hold it; this is a bug in swath".into(),
        })
    }

    /// Whether a pass of a member that returned what is no number may do better in f32.
    pub(super) fn can_widen(&self, member: usize, precision: Precision) -> bool {
        self.0[member].as_ref().is_some_and(|member| member.can_widen(precision))
    }
}

/// The engine of a [`crate::infer::host::HostDevice`].
struct TorchEngine(Members);

/// An engine with these members.
pub(in crate::infer) fn open(plan: &Plan, device: DeviceId, held: &[usize]) -> Result<Box<dyn Engine>, DeviceError> {
    Ok(Box::new(TorchEngine(Members::open(plan, device, held)?)))
}

impl Engine for TorchEngine {
    fn forward(&mut self, pass: Pass, input: Input<'_>, precision: Precision) -> Result<Logits, DeviceError> {
        let run = |member: &TorchMember| member.forward(input.values, input.batch.len(), input.size);
        self.0.get(pass.member)?.with_precision(precision, run)
    }

    fn can_widen(&self, pass: Pass, precision: Precision) -> bool {
        self.0.can_widen(pass.member, precision)
    }
}
