//! `swath run`, and the machinery of a run below it.
//!
//! [`prepare()`] turns a request into a [`Job`], [`execute()`] carries it out: what earlier runs left is looked up (`resume`), the stages
//! are joined ([`wire()`]) and followed, and what becomes of scenes goes into the report (`record`).

mod assign;
mod deadline;
pub(super) mod devices;
pub(super) mod disk;
mod execute;
mod intake;
mod options;
mod outlook;
pub(super) mod outputs;
pub(super) mod preconditions;
mod prepare;
pub(super) mod record;
pub(super) mod resume;
mod share;
pub(super) mod throughput;
mod wire;

pub use assign::Assign;
pub use execute::{Ended, execute};
pub use options::{Merge, Origin, PATIENCE, Part, PartialArchive, RunOptions, Sharing, TimeLimits};
#[cfg(feature = "torch")]
pub(super) use prepare::usual_memory;
pub use prepare::{Job, JobRequest, OtherMachine, Saved, What, prepare, schedule};
pub(super) use prepare::{default_devices, device_class, is_bare, members};
pub use resume::{Reuse, StageName};
pub use wire::{Goal, Parts, Running, wire, wire_tiles};

use super::Error;
use crate::lifecycle::Clock;
use crate::plan::BackendKind;
use crate::process::raise_file_limit;
use crate::report::{self, Detail, Event};

/// Plans and carries out.
///
/// # Errors
/// As [`prepare`] and [`execute`].
pub fn run(request: &JobRequest, options: &RunOptions) -> Result<Ended, Error> {
    let clock = Clock::start(options.limits.begun, options.limits.deadline);
    let limits = TimeLimits { clock: clock.clone(), ..options.limits };
    let ended = prepared(request, &RunOptions { limits, ..options.clone() });
    clock.stop();
    ended
}

fn prepared(request: &JobRequest, options: &RunOptions) -> Result<Ended, Error> {
    let Sharing::Part(Part { own, .. }) = &options.sharing else { return carried_out(request, options) };
    if !options.origin.restarted {
        // Left by a process of the same number that was killed with the one that watched it.
        std::fs::remove_dir_all(own).unwrap_or_default();
    }
    let ended = carried_out(request, options);
    // Who is started again because of a device goes on with it.
    if !matches!(ended, Err(Error::DeviceLost { .. })) {
        std::fs::remove_dir_all(own).unwrap_or_default();
    }
    ended
}

fn carried_out(request: &JobRequest, options: &RunOptions) -> Result<Ended, Error> {
    // Some hundred are enough, and what cannot be raised may be; a run that lacks them says so.
    raise_file_limit().unwrap_or_default();
    let job = prepare(request)?;
    // Once: who is started again goes on where that was said.
    if !options.origin.restarted && options.show.detail > Detail::Quiet {
        introduce(&job);
    }
    execute(job, options)
}

/// Says what will be done and what a person should know before it is.
fn introduce(job: &Job) {
    let plan = &job.planned.plan;
    let fake = (plan.backend == BackendKind::Fake).then_some(report::FAKE);
    for text in fake.into_iter().chain(job.warnings.iter().map(String::as_str)) {
        report::tell(&Event::Warning { text });
    }
    let totals = plan.totals();
    report::tell(&Event::Started {
        scenes: plan.scenes.len() as u64,
        tiles: totals.tiles,
        pixels: totals.pixels,
        members: &plan.members.iter().map(|m| m.member.name.as_str()).collect::<Vec<_>>(),
        backend: plan.backend.name(),
        devices: &super::plan::devices(&job.schedule),
        memory: job.promise.total(),
    });
}
