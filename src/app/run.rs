//! `swath run`.

use super::{Clock, Ended, Error, JobRequest, RunOptions, disk, execute, prepare};
use crate::process::raise_file_limit;
use crate::report;

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
    let room = disk::warning(disk::need(&job.planned.plan, |_| disk::Done::Nothing), disk::free(&options.out));
    for warning in job.warnings.iter().chain(&room) {
        report::eprint_line(&format!("warning: {warning}"));
    }
    let plan = &job.planned.plan;
    let totals = plan.totals();
    report::eprint_line(&format!(
        "{} scenes, {:.1} Mpx, {} tiles, {} on {}; up to {} of memory",
        plan.scenes.len(),
        totals.pixels as f64 / 1e6,
        totals.tiles,
        plan.members.iter().map(|m| m.member.name.as_str()).collect::<Vec<_>>().join(" + "),
        super::plan::devices(&job.schedule),
        crate::config::format_bytes(job.promise.total())
    ));
    execute(job, options)
}
