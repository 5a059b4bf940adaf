//! `swath run`, and the machinery of a run below it.
//!
//! [`prepare()`] turns a request into a [`Job`], [`execute()`] carries it out: what earlier runs left is looked up (`resume`), the stages
//! are joined ([`wire()`]) and followed, and what becomes of scenes goes into the report (`record`).

mod assign;
mod deadline;
pub(super) mod devices;
pub(super) mod disk;
mod execute;
mod outlook;
pub(super) mod outputs;
pub(super) mod preconditions;
mod prepare;
pub(super) mod record;
pub(super) mod resume;
pub(super) mod throughput;
mod wire;

pub use assign::Assign;
pub use execute::{Ended, PartialArchive, RunOptions, execute};
pub use prepare::{Job, JobRequest, prepare, schedule};
pub use resume::StageName;
pub use wire::{Goal, Parts, Running, wire, wire_tiles};

use super::Error;
use crate::lifecycle::Clock;
use crate::plan::BackendKind;
use crate::process::raise_file_limit;
use crate::report::{self, Detail, Event};
use crate::words::{count, format_bytes};

/// Plans and carries out.
///
/// # Errors
/// As [`prepare`] and [`execute`].
pub fn run(request: &JobRequest, options: &RunOptions) -> Result<Ended, Error> {
    let clock = Clock::start(options.begun, options.deadline);
    let ended = prepared(request, &RunOptions { clock: clock.clone(), ..options.clone() });
    clock.stop();
    ended
}

fn prepared(request: &JobRequest, options: &RunOptions) -> Result<Ended, Error> {
    // Some hundred are enough, and what cannot be raised may be; a run that lacks them says so.
    raise_file_limit().unwrap_or_default();
    let job = prepare(request)?;
    // Once: who is started again goes on where that was said.
    if !options.restarted && options.show.detail > Detail::Quiet {
        introduce(&job);
    }
    execute(job, options)
}

/// Says what will be done and what a person should know before it is.
fn introduce(job: &Job) {
    if job.planned.plan.backend == BackendKind::Fake {
        report::eprint_warning(report::FAKE);
    }
    for warning in &job.warnings {
        report::eprint_warning(warning);
    }
    let plan = &job.planned.plan;
    let (totals, devices, memory) = (plan.totals(), super::plan::devices(&job.schedule), job.promise.total());
    let n_scenes = plan.scenes.len() as u64;
    let members = plan.members.iter().map(|m| m.member.name.as_str()).collect::<Vec<_>>().join(" + ");
    let (what, tiles) = (count(n_scenes, "scene"), count(totals.tiles, "tile"));
    let size = format!("{what}, {:.1} Mpx, {tiles}", totals.pixels as f64 / 1e6);
    let text = format!("{size}; {members} on {devices}; up to {} of memory reserved", format_bytes(memory));
    let started = Event::Started {
        scenes: n_scenes,
        tiles: totals.tiles,
        pixels: totals.pixels,
        backend: plan.backend.name(),
        devices: &devices,
        memory,
    };
    report::say(&text, &started);
}
