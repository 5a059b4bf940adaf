//! `swath report`: report.json anew, from what a run directory remembers, and report.html.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::page::{Limit, write_page};
use super::run::record::{ReportBuilder, action, digest, package_report, planned_outputs};
use super::standing::look;
use super::{Error, PartialArchive};
use crate::geom::Size;
use crate::journal::{ArchiveRecord, FailureRecord, JOURNAL_FILE, JournalError, State};
use crate::lifecycle::Lock;
use crate::outputs::OutputLayout;
use crate::plan::{Concessions, Decode, Planned};
use crate::raster::Isolated;
use crate::report::{RunReport, RunState, Totals};

/// What is known of the last run into a directory.
#[derive(Debug)]
pub struct Reported {
    /// What its last run did.
    pub report: RunReport,
    /// Where its page is, or why there is none.
    pub page: Result<PathBuf, Error>,
}

/// Decoders that a page's pictures are taken with.
const READERS: usize = 2;

/// The report of the last run into a directory, equal to the one that it wrote when it ended. Of a run that was killed, or is at work, the
/// journal has what became of scenes, and of all else only what was known when it began.
///
/// # Errors
/// When the folder is no run directory, its journal or its plan cannot be read, or no run has begun with that plan.
pub fn report(dir: &Path) -> Result<Reported, Error> {
    let (planned, report) = remembered(dir)?;
    let files = Isolated::allowing(planned.plan.decoder_limits(READERS, Decode::TIMEOUT), planned.plan.allowed());
    let limit = Limit { until: None, is_stopped: &|| false };
    let page = write_page(dir, &planned.plan, &report, &files, READERS, &limit);
    Ok(Reported { report, page })
}

fn remembered(dir: &Path) -> Result<(Planned, RunReport), Error> {
    let (_, state) = look(dir)?;
    let layout = OutputLayout { dir: dir.to_owned() };
    let planned = Planned::load(&layout.plan())?;
    let plan = &planned.plan;
    let digest = digest(plan)?;
    let run = state.run.as_ref().filter(|run| run.plan == digest);
    let run = run.ok_or_else(|| {
        Error::Usage(format!("no run has begun with the plan that `{}` holds: run its command again", dir.display()))
    })?;
    let own: RunReport = serde_json::from_value(run.report.clone()).map_err(|e| unreadable(dir, &e))?;
    let has_ended = own.state != RunState::Running;
    let left: BTreeSet<String> = own.missing.iter().cloned().collect();
    let mut builder = ReportBuilder::of(RunReport {
        totals: Totals { done: 0, reused: 0, failed: 0, pixels: 0, ..own.totals },
        missing: Vec::new(),
        outputs: planned_outputs(plan),
        package: state.archive.clone().map(|archive| package_report(&layout, archive)),
        ..own
    });
    for (idx, scene) in plan.scenes.iter().enumerate() {
        let record = state.scenes.get(&scene.name).filter(|record| record.complete);
        match (record, state.failures.get(&scene.name)) {
            (Some(record), _) => builder.done(plan, idx, record.clone(), record.attempt < run.attempt),
            (None, Some(failure)) => fail(&mut builder, &planned, &state, failure, Some(scene.header.size)),
            (None, None) if !has_ended || left.contains(&plan.label_of(idx)) => builder.leave(plan, idx),
            (None, None) => {}
        }
    }
    for refusal in &planned.refused {
        let failures = state.failures.get(&refusal.failure.name).into_iter();
        failures.for_each(|failure| fail(&mut builder, &planned, &state, failure, refusal.size));
    }
    if !has_ended {
        let limit = builder.report.deadline.as_ref().map(|deadline| deadline.seconds);
        builder.steps(limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok()), plan, &state.concessions);
        builder.report.state = if Lock::holder(dir).is_some() { RunState::Running } else { RunState::Stopped };
    }
    builder.close(plan, &Concessions::of(&state.concessions, &digest));
    Ok((planned, builder.report))
}

fn unreadable(dir: &Path, error: &serde_json::Error) -> JournalError {
    JournalError::Format { path: dir.join(JOURNAL_FILE), reason: format!("a report cannot be read: {error}") }
}

fn fail(builder: &mut ReportBuilder, planned: &Planned, state: &State, failure: &FailureRecord, size: Option<Size>) {
    let of = |archive: &ArchiveRecord| archive.blank.map_or(PartialArchive::Omit, PartialArchive::Blank);
    let partial = state.archive.as_ref().map_or(PartialArchive::Withhold, of);
    builder.failed(&planned.plan.pipeline, failure.clone(), action(partial, size));
}
