//! `swath status`, `verify`, `resume` and `gc`: what a run directory holds, and what of it can go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::run::record::{digest, failed_scene};
use super::{Error, JobRequest, prepare};
use crate::atomic::WriteError;
use crate::config::name_fault;
use crate::journal::ledger::{self, AttemptCounts, FolderStore, Heard, RECORDS_FOLDER};
use crate::journal::{Checkpoints, FileRecord, Journal, JournalError, SceneRecord, State, TRAINING_FILE};
use crate::lifecycle::{Lock, machine};
use crate::outputs::OutputLayout;
use crate::plan::{Concessions, Keys, Plan};
use crate::report::{AttemptEnd, AttemptStanding, RunReport, SharedStanding, TrainingStanding};
pub use crate::report::{Standing, Verified};
use crate::words::{count, format_bytes};

/// Looks at a run directory: nothing is written, so that it may be a folder without the right to write.
pub(super) fn look(dir: &Path) -> Result<(Journal, State), Error> {
    let journal = Journal::open_read_only(dir)?;
    let is_training = dir.join(TRAINING_FILE).exists();
    let journal = journal.ok_or_else(|| {
        let dir = dir.display();
        Error::Usage(match is_training {
            true => format!(
                "`{dir}` is the directory of a training: `swath status {dir}` tells how it stands, the same `swath train` goes on with it, \
                 and `{dir}/validation/run` is a run directory"
            ),
            false => format!("`{dir}` is no run directory: it has no run.db"),
        })
    })?;
    let state = journal.state()?;
    Ok((journal, state))
}

/// What a run directory holds.
///
/// # Errors
/// When it is none, or its journal cannot be read.
pub fn status(dir: &Path) -> Result<Standing, Error> {
    let (_, state) = look(dir)?;
    let scenes = state.run.as_ref().map_or(0, |r| r.scenes);
    let done = state.scenes.values().filter(|scene| scene.complete).count() as u64;
    let failed = state.failures.len() as u64;
    let outstanding = scenes.saturating_sub(done + failed);
    let running = Lock::holder(dir).map(|h| h.to_string());
    let started = state.run.as_ref().map_or(0, |r| r.started);
    let elapsed = machine::seconds_since_1970().saturating_sub(started);
    let done_now = done.saturating_sub(state.run.as_ref().map_or(0, |r| r.done_before));
    let pace = (running.is_some() && done_now > 0).then(|| elapsed as f64 / done_now as f64);
    Ok(Standing {
        scenes,
        done,
        failed: state.failures.into_values().map(|failure| failed_scene(failure, String::new())).collect(),
        outstanding,
        checkpoints: state.entries.len() as u64,
        checkpoint_bytes: state.artefacts.values().map(|file| file.content.bytes).sum(),
        archive: state.archive.is_some(),
        running,
        seconds_left: pace.map(|pace| pace * outstanding as f64),
        command: state.run.map(|r| r.arguments.join(" ")).unwrap_or_default(),
    })
}

/// How a training stands; `None` where the directory is not that of one.
///
/// # Errors
/// When its records cannot be read.
pub fn training_status(dir: &Path) -> Result<Option<TrainingStanding>, Error> {
    if !dir.join(TRAINING_FILE).exists() {
        return Ok(None);
    }
    let running = Lock::holder(dir).map(|holder| holder.to_string());
    Ok(Some(TrainingStanding::of(dir, running)?))
}

/// How runs of parts of a plan stand in a directory that they share; `None` where nobody shares it, or all is put together.
///
/// # Errors
/// When their records cannot be read.
pub fn shared_status(dir: &Path) -> Result<Option<SharedStanding>, Error> {
    if !dir.join(RECORDS_FOLDER).is_dir() || Journal::knows_a_run(dir)? {
        return Ok(None);
    }
    let heard = ledger::heard(&FolderStore::of(dir), Duration::ZERO).map_err(JournalError::from)?;
    let last = ledger::last_shard(heard.iter().map(|heard| &heard.head));
    let cut = last.map(|shard| (shard.count, shard.slots));
    let of_cut = |heard: &&Heard| heard.head.shard.map(|shard| (shard.count, shard.slots)) == cut;
    let complete: BTreeSet<u32> = heard
        .iter()
        .filter(of_cut)
        .filter(|heard| heard.closed.is_some_and(|counts| counts.complete))
        .filter_map(|heard| Some(heard.head.shard?.index))
        .collect();
    let (shards, slots) = cut.unwrap_or_default();
    let now = machine::seconds_since_1970();
    let attempt = |heard: &Heard| AttemptStanding {
        shard: heard.head.shard.map_or(0, |shard| shard.index),
        host: heard.head.host.clone(),
        pid: heard.head.pid,
        seconds: heard.last_seen.saturating_sub(heard.head.started),
        silent: now.saturating_sub(heard.last_seen),
        state: match heard.closed {
            Some(AttemptCounts { complete: true, .. }) => AttemptEnd::Complete,
            Some(AttemptCounts { complete: false, .. }) => AttemptEnd::Stopped,
            None => AttemptEnd::Open,
        },
    };
    // An attempt counts what those before it have done as well: of each shard the last word is the one.
    let mut counts: BTreeMap<u32, AttemptCounts> = BTreeMap::new();
    for (heard, closed) in heard.iter().filter(of_cut).filter_map(|heard| Some((heard, heard.closed?))) {
        let of_shard = counts.entry(heard.head.shard.map_or(0, |shard| shard.index)).or_default();
        if closed.done + closed.failed >= of_shard.done + of_shard.failed {
            *of_shard = closed;
        }
    }
    Ok(Some(SharedStanding {
        dir: dir.display().to_string(),
        shards,
        slots,
        complete: u32::try_from(complete.len()).unwrap_or(u32::MAX),
        missing: (0..shards).filter(|index| !complete.contains(index)).collect(),
        done: counts.values().map(|counts| counts.done).sum(),
        failed: counts.values().map(|counts| counts.failed).sum(),
        attempts: heard.iter().map(attempt).collect(),
    }))
}

/// Reads every recorded file again.
///
/// # Errors
/// When the folder is no run directory, or its journal cannot be read or is damaged itself.
pub fn verify(dir: &Path) -> Result<Verified, Error> {
    let (journal, state) = look(dir)?;
    if !journal.is_sound()? {
        let reason = "SQLite finds it damaged".to_owned();
        return Err(JournalError::Format { path: dir.join(crate::journal::JOURNAL_FILE), reason }.into());
    }
    let outputs = state.scenes.values().flat_map(SceneRecord::files);
    let archive = state.archive.iter().map(|archive| &archive.file);
    let mut verified = Verified::default();
    for file in outputs.chain(state.artefacts.values()).chain(archive) {
        if file.is_whole(dir) {
            verified.whole += 1;
        } else {
            verified.damaged.push(dir.join(&file.path).display().to_string());
        }
    }
    Ok(verified)
}

/// The arguments of the last run; from here on relative paths are those of the folder that it ran in.
///
/// # Errors
/// When the folder is no run directory, was not made by a command, or that command's folder is gone.
pub fn recorded_command(dir: &Path) -> Result<Vec<String>, Error> {
    let (_, state) = look(dir)?;
    let run = state.run.filter(|run| !run.arguments.is_empty());
    let run = run.ok_or_else(|| Error::Usage(format!("`{}` does not say which command made it", dir.display())))?;
    let folder = PathBuf::from(&run.folder);
    std::env::set_current_dir(&folder).map_err(|source| WriteError {
        operation: "go to the folder",
        path: folder,
        source,
    })?;
    Ok(run.arguments)
}

/// Removes checkpoints that the job cannot use, or all without a job. Returns what was done, in words.
///
/// # Errors
/// When the run directory is in use, the job cannot be planned, or a file cannot be removed.
pub fn collect_garbage(dir: &Path, job: Option<&JobRequest>) -> Result<String, Error> {
    // Looked at once before the lock, so that a folder that is no run directory is left alone; what counts is what is there after.
    drop(look(dir)?);
    let _lock = Lock::take(dir, false)?;
    let mut journal = Journal::open(dir)?;
    let state = journal.state()?;
    let usable = match job {
        Some(job) => usable_paths(&state, &prepare(job)?.planned.plan)?,
        None => BTreeSet::new(),
    };
    let useless: Vec<&FileRecord> =
        state.artefacts.values().filter(|file| !usable.contains(file.path.as_str())).collect();
    let paths: Vec<String> = useless.iter().map(|file| file.path.clone()).collect();
    // Forgotten first: a record without its file would be looked for.
    journal.forget_artefacts(&paths)?;
    for file in &paths {
        let path = dir.join(file);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(WriteError { operation: "remove", path, source: e }.into());
            }
            _ => {}
        }
    }
    let stray = remove_stray(dir, &state)?;
    let bytes = useless.iter().map(|file| file.content.bytes).sum::<u64>();
    let removed = count(paths.len() as u64, "checkpoint file");
    Ok(format!("{removed} removed ({}), {stray} unrecorded\n", format_bytes(bytes)))
}

/// Removes the outputs of earlier commands that the last one did not make: its report lists them. Returns what was done, in words.
///
/// # Errors
/// When the run directory is in use or has no report, or a file cannot be removed.
pub fn collect_old_outputs(dir: &Path) -> Result<String, Error> {
    drop(look(dir)?);
    let _lock = Lock::take(dir, false)?;
    let path = OutputLayout { dir: dir.to_owned() }.report();
    let no_report = || Error::Usage(format!("`{}` cannot be read: it tells which outputs are old", path.display()));
    let mut report = RunReport::read(&path).ok_or_else(no_report)?;
    let mut removed: u64 = 0;
    // A report that somebody else has written may name anything; what no run writes is not for us to remove.
    let is_output = |name: &String| name_fault(name).is_none();
    for name in std::mem::take(&mut report.earlier).into_iter().filter(is_output) {
        let path = dir.join(&name);
        match std::fs::remove_file(&path) {
            Ok(()) => removed += 1,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(WriteError { operation: "remove", path, source }.into()),
        }
        remove_empty_folders(dir, &path);
    }
    report.write(&path)?;
    Ok(format!("{} removed\n", count(removed, "old output")))
}

/// Removes the folders above a path, up to the run directory, that hold nothing any more.
fn remove_empty_folders(dir: &Path, path: &Path) {
    let above = path.ancestors().skip(1).take_while(|folder| folder.starts_with(dir) && *folder != dir);
    // The first that is not empty ends it.
    for folder in above {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// Artefact files that hold something which the plan asks for, with or without what was given up against it.
fn usable_paths<'a>(state: &'a State, plan: &Plan) -> Result<BTreeSet<&'a str>, Error> {
    let keys = Keys::new(plan);
    let mut usable = BTreeSet::new();
    let digest = digest(plan)?;
    let concessions = Concessions::of(&state.concessions, &digest);
    let planned = plan.units.iter().map(|unit| unit.geometry(plan));
    let conceded = concessions.units().into_iter().filter(|unit| *unit < plan.units.len());
    for geometry in planned.chain(conceded.map(|unit| concessions.geometry(plan, unit))) {
        let found = keys.of_unit(&geometry).filter_map(|key| state.entries.get(&key));
        usable.extend(found.map(|location| location.path.as_str()));
    }
    Ok(usable)
}

/// Removes checkpoint files that no record knows: a run was killed between their rename and their record.
fn remove_stray(dir: &Path, state: &State) -> Result<u64, Error> {
    let root = dir.join(Checkpoints::FOLDER);
    let mut removed = 0;
    for entry in walkdir::WalkDir::new(&root).into_iter().filter_map(Result::ok).filter(|e| e.file_type().is_file()) {
        let inside = entry.path().strip_prefix(dir).unwrap_or(entry.path());
        if !state.artefacts.contains_key(&inside.to_string_lossy().into_owned()) {
            let path = entry.path().to_owned();
            std::fs::remove_file(&path).map_err(|source| WriteError { operation: "remove", path, source })?;
            removed += 1;
        }
    }
    Ok(removed)
}
