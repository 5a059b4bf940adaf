//! Networks whose inputs and logits are in the machine's own memory.

use std::sync::Arc;

use super::loading::Loading;
use super::member::TorchMember;
use crate::config::Precision;
use crate::infer::DeviceError;
use crate::infer::engine::{Engine, Input};
use crate::infer::logits::Logits;
use crate::plan::{DeviceId, MemberPlan, Pass, Plan};

/// The networks of one device.
pub(super) struct Members {
    /// By index of the member: those that it holds.
    held: Vec<Option<Held>>,
    device: DeviceId,
    loading: Arc<Loading>,
}

/// A member that a device holds.
enum Held {
    /// Nobody has asked for it yet.
    Coming(Box<MemberPlan>),
    Open(TorchMember),
}

impl Members {
    /// These members. Those whose layers are known here may still be on their way.
    pub(super) fn open(
        plan: &Plan,
        device: DeviceId,
        held: &[usize],
        loading: &Arc<Loading>,
    ) -> Result<Self, DeviceError> {
        let open = |(idx, member): (usize, &MemberPlan)| match member.member.spec.script {
            _ if !held.contains(&idx) => Ok(None),
            Some(_) => TorchMember::program(member, plan, device).map(Held::Open).map(Some),
            None => Ok(Some(Held::Coming(Box::new(member.clone())))),
        };
        let held = plan.members.iter().enumerate().map(open).collect::<Result<_, _>>()?;
        Ok(Self { held, device, loading: Arc::clone(loading) })
    }

    /// One that the device must hold, once it is there.
    pub(super) fn get(&mut self, member: usize) -> Result<&mut TorchMember, DeviceError> {
        let held = self.held.get_mut(member).and_then(Option::as_mut);
        let held = held.ok_or_else(|| DeviceError::Forward {
            detail: "the device does not hold it; this is a bug in swath".into(),
        })?;
        if let Held::Coming(planned) = held {
            let variables = self.loading.wait(member, self.device)?;
            *held = Held::Open(TorchMember::around(planned, variables, self.device)?);
        }
        match held {
            Held::Open(member) => Ok(member),
            Held::Coming(_) => Err(DeviceError::Forward { detail: "it has not come; this is a bug in swath".into() }),
        }
    }

    /// Whether a pass of a member that returned what is no number may do better in f32.
    pub(super) fn can_widen(&self, member: usize, precision: Precision) -> bool {
        match self.held.get(member) {
            Some(Some(Held::Open(member))) => member.can_widen(precision),
            Some(Some(Held::Coming(_)) | None) | None => false,
        }
    }
}

/// The engine of a [`crate::infer::host::HostDevice`].
struct TorchEngine(Members);

/// An engine with these members.
pub(in crate::infer) fn open(
    plan: &Plan,
    device: DeviceId,
    held: &[usize],
    loading: &Arc<Loading>,
) -> Result<Box<dyn Engine>, DeviceError> {
    Ok(Box::new(TorchEngine(Members::open(plan, device, held, loading)?)))
}

impl Engine for TorchEngine {
    fn ready(&mut self, pass: Pass) -> Result<(), DeviceError> {
        self.0.get(pass.member).map(drop)
    }

    fn forward(&mut self, pass: Pass, input: Input<'_>, precision: Precision) -> Result<Logits, DeviceError> {
        let member = self.0.get(pass.member)?.in_precision(precision)?;
        member.forward(input.values, input.batch.len(), input.size)
    }

    fn can_widen(&self, pass: Pass, precision: Precision) -> bool {
        self.0.can_widen(pass.member, precision)
    }
}
