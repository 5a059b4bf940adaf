//! `swath merge`: what runs of parts of a plan have left in one directory is put together, checked and packed, as one run would have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::run::{Ended, JobRequest, Merge, Reuse, RunOptions, Saved, Sharing, What, run};
use crate::atomic;
use crate::journal::ledger::{self, AttemptHead, FolderStore};
use crate::journal::{JOURNAL_FILE, Journal, JournalError};
use crate::outputs::OutputLayout;
use crate::plan::PlanFile;
use crate::report::{self, Event};
use crate::words::time;

/// What is asked.
#[derive(Clone, Debug)]
pub struct MergeRequest {
    /// The whole plan's file; none for that of the runs.
    pub plan: Option<PathBuf>,
    /// The folder that holds the scenes here, where that is another than there.
    pub root: Option<PathBuf>,
    /// A folder in which the journal is made.
    pub scratch: Option<PathBuf>,
    /// How long what is recorded may take to be seen.
    pub patience: Duration,
    /// How what is left is done, whatever the plan.
    pub job: JobRequest,
    /// How it is carried out, whoever shares the directory.
    pub options: RunOptions,
}

/// Puts together what runs of parts of a plan have left.
///
/// # Errors
/// When the directory holds no records of such runs or of several plans, they contradict each other, something is missing, and as a run.
pub fn merge(request: &MergeRequest) -> Result<Ended, Error> {
    let dir = &request.options.out;
    let plan = match &request.plan {
        Some(plan) => plan.clone(),
        None => plan_of(dir, request.patience)?,
    };
    let scratch = request.scratch.as_ref().map(|scratch| scratch.join(format!("swath-merge-{}", std::process::id())));
    let sharing = Merge { plan: plan.clone(), scratch: scratch.clone(), patience: request.patience };
    let options = RunOptions { sharing: Sharing::Merge(sharing), reuse: Reuse::Verdicts, ..request.options.clone() };
    let saved = Saved { file: plan, root: request.root.clone() };
    let ended = run(&JobRequest { what: What::Done(saved), ..request.job.clone() }, &options);
    if let Some(scratch) = scratch {
        let copied = copy_journal(&scratch, dir);
        std::fs::remove_dir_all(&scratch).unwrap_or_default();
        return ended.and_then(|ended| copied.map(|()| ended));
    }
    ended
}

/// The plan that the runs in a directory went by, where it can be read from here.
fn plan_of(dir: &Path, patience: Duration) -> Result<PathBuf, Error> {
    // Where a run of its own was made nobody's records are on their way.
    let patience = if dir.join(JOURNAL_FILE).exists() { Duration::ZERO } else { patience };
    let store = FolderStore::of(dir);
    let hear = |patience| ledger::heard(&store, patience).map_err(JournalError::from);
    let mut heard = hear(Duration::ZERO)?;
    if heard.is_empty() && !patience.is_zero() {
        let (dir, patience) = (dir.display(), time(patience.as_secs_f64()));
        let text =
            format!("`{dir}` holds no records that can be seen from here yet; waiting up to {patience} (--patience)");
        report::tell(&Event::Note { text: &text });
    }
    if heard.is_empty() {
        heard = hear(patience)?;
    }
    let heads: Vec<AttemptHead> = heard.into_iter().map(|heard| heard.head).collect();
    if heads.is_empty() {
        let text = format!("`{}` holds no records of runs of parts of a plan (swath run --shard)", dir.display());
        return Err(Error::Usage(text));
    }
    let own = OutputLayout { dir: dir.to_owned() }.plan();
    let files: BTreeSet<PathBuf> = heads.iter().map(|head| PathBuf::from(&head.plan_file)).chain([own]).collect();
    // Where there are records of several plans, that is told when they are read.
    let is_of =
        |file: &PathBuf| PlanFile::open(file).is_ok_and(|plan| heads.iter().any(|head| head.plan == plan.digest()));
    if let Some(found) = files.iter().find(|file| is_of(file)) {
        return Ok(found.clone());
    }
    let files: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
    Err(Error::Usage(format!(
        "the plan that the runs in `{}` went by is not where they had it ({}): name it with --plan",
        dir.display(),
        files.join(", ")
    )))
}

/// Copies a journal of one folder to another.
fn copy_journal(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.join(JOURNAL_FILE).exists() {
        return Ok(());
    }
    let copy = from.join("copy.db");
    Journal::open(from)?.copy_to(&copy)?;
    Journal::remove(to)?;
    let mut source = std::fs::File::open(&copy).map_err(|source| atomic::WriteError {
        operation: "read back the journal",
        path: copy.clone(),
        source,
    })?;
    Ok(atomic::write_with(&to.join(JOURNAL_FILE), |file| std::io::copy(&mut source, file).map(drop))?)
}
