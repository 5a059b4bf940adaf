//! `swath launch`: job files for engines that start processes on several hosts. The engine places, retries and counts; each job is a
//! shard of one plan, and another job merges what they leave. One file per engine; how to go on is in `README.md` here.

mod batch;
mod kubernetes;
mod list;
mod request;
mod shell;
mod slurm;

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Error, Output, ShardAmount, ShardRequest, shard};
use crate::atomic::{self, WriteError};
use crate::exit::ExitCode;
use crate::report::{self, Event, ShardDocument};
use crate::words::shell_word;
pub use batch::AwsBatch;
pub use kubernetes::Kubernetes;
pub use request::{EachJob, Pace, Shards, Volume};
use request::{much_startup, text_of};
pub use slurm::Slurm;

/// How a shard ends that no further attempt would end otherwise: arguments or plan, weights, the class of the device, the run directory.
/// Whatever else is not 0 is worth another attempt, elsewhere or later.
const FINAL: [u8; 4] =
    [ExitCode::Usage as u8, ExitCode::Weights as u8, ExitCode::WrongClass as u8, ExitCode::Unreadable as u8];

/// How a merge ends, beside these, that has said what is missing.
const MISSING: [u8; 2] = [ExitCode::ScenesFailed as u8, ExitCode::OutOfTime as u8];

/// The file that submits the others.
const SUBMIT: &str = "submit.sh";

/// What `swath launch` is asked.
#[derive(Clone, Debug)]
pub struct LaunchRequest {
    /// What runs.
    pub shards: Shards,
    /// By what.
    pub engine: Engine,
    /// What is known of the time it takes.
    pub pace: Pace,
    /// A folder for the files; none to print them.
    pub write: Option<Output>,
    /// Whether the engine is given them at once.
    pub submit: Submit,
}

/// What becomes of job files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submit {
    /// A person looks at them first.
    Later,
    /// The engine gets them.
    Now,
}

/// Who starts processes on hosts, and what each job gets.
#[derive(Clone, Debug)]
pub enum Engine {
    /// An array of Slurm.
    Slurm(EachJob, Slurm),
    /// An Indexed Job of Kubernetes.
    Kubernetes(EachJob, Kubernetes),
    /// An array job of AWS Batch.
    AwsBatch(EachJob, AwsBatch),
    /// Anything that takes a command a line.
    List,
}

/// Files for an engine.
#[derive(Debug)]
struct JobFiles {
    /// By name, in the order in which they are read.
    files: Vec<(&'static str, String)>,
    /// What submits them.
    how: How,
}

#[derive(Debug)]
enum How {
    /// A program, and lines of a shell script that call it; `$folder` has the files.
    Script { tool: &'static str, lines: String },
    /// Whatever a person has: what is to be said of it.
    ByHand(String),
}

/// Makes the job files, and writes or submits them; returns what is to be printed, which is the files themselves unless they are written.
///
/// # Errors
/// When the engine cannot do what is asked, a file cannot be written, or the engine's program is not there or fails.
pub fn launch(request: &LaunchRequest) -> Result<String, Error> {
    let LaunchRequest { shards, engine, write: folder, submit: when, .. } = request;
    shards.check()?;
    let mut warnings = told_of_shards(request)?;
    let JobFiles { mut files, how } = match engine {
        Engine::Slurm(job, slurm) => slurm.files(shards, job)?,
        Engine::Kubernetes(job, kubernetes) => kubernetes.files(shards, job, &mut warnings)?,
        Engine::AwsBatch(job, batch) => batch.files(shards, job, &mut warnings)?,
        Engine::List => list::files(shards)?,
    };
    warnings.iter().for_each(|text| report::tell(&Event::Warning { text }));
    match (how, when, folder) {
        (How::ByHand(_), Submit::Now, _) => {
            Err(Error::Usage("a list has no engine that --submit could give it to: leave it out".into()))
        }
        (How::ByHand(note), Submit::Later, folder) => {
            report::tell(&Event::Note { text: &note });
            match folder {
                Some(folder) => write(&files, folder),
                None => Ok(files.into_iter().take(1).map(|(_, content)| content).collect()),
            }
        }
        (How::Script { lines, .. }, Submit::Later, None) => Ok(shell::printed(&files, &lines)),
        (How::Script { lines, .. }, Submit::Later, Some(folder)) => {
            files.push((SUBMIT, shell::submission(&lines)));
            let listed = write(&files, folder)?;
            Ok(format!("{listed}to submit them: sh {}\n", shell_word(&text_of(&folder.path.join(SUBMIT))?)))
        }
        (How::Script { tool, lines }, Submit::Now, folder) => {
            files.push((SUBMIT, shell::submission(&lines)));
            need(tool)?;
            let Some(folder) = folder else {
                let create =
                    |source| WriteError { operation: "create a folder in", path: std::env::temp_dir(), source };
                let own = tempfile::tempdir().map_err(create)?;
                write(&files, &Output { path: own.path().to_owned(), overwrite: true })?;
                return submit(&own.path().join(SUBMIT), tool).map(|()| String::new());
            };
            let listed = write(&files, folder)?;
            submit(&folder.path.join(SUBMIT), tool).map(|()| listed)
        }
    }
}

/// What is to be said of the size of the shards: by what a person knows of the time, or else by the plan, if it can be read here.
fn told_of_shards(LaunchRequest { shards, engine, pace, .. }: &LaunchRequest) -> Result<Vec<String>, Error> {
    let gpus = match engine {
        Engine::Slurm(job, _) | Engine::Kubernetes(job, _) | Engine::AwsBatch(job, _) => job.gpus,
        Engine::List => 1,
    };
    if let (Some(startup), Some(work)) = (pace.startup, pace.work) {
        return Ok(much_startup(startup, work, shards.len()).into_iter().collect());
    }
    if shards.list.is_some() || !shards.plan.is_file() {
        return Ok(Vec::new());
    }
    let amount = if shards.slots.is_some() { ShardAmount::Falling } else { ShardAmount::Uniform };
    let document = shard(&ShardRequest {
        file: shards.plan.clone(),
        slots: shards.slots.unwrap_or(shards.count),
        per_slot: gpus.max(1),
        amount: amount(shards.count),
        start_up: pace.startup,
        throughput: Vec::new(),
        only: None,
    })?;
    let ShardDocument { warnings, start_up, rate, .. } = document;
    Ok(warnings.iter().map(|text| format!("{text} (start-up: {}; speed: {})", start_up.from, rate.from)).collect())
}

/// Writes the files into a folder, and says which.
fn write(files: &[(&'static str, String)], folder: &Output) -> Result<String, Error> {
    let path = |name: &str| folder.path.join(name);
    let there = files.iter().map(|(name, _)| path(name)).find(|path| path.symlink_metadata().is_ok());
    if let Some(file) = there.filter(|_| !folder.overwrite) {
        let text = format!("`{}` exists: add --overwrite, or choose another --write", file.display());
        return Err(Error::Usage(text));
    }
    for (name, content) in files {
        atomic::write(&path(name), content.as_bytes())?;
    }
    atomic::sync_dir(&folder.path)?;
    Ok(files.iter().map(|(name, _)| format!("{}\n", path(name).display())).collect())
}

/// Refuses to submit where the engine's own program is not.
fn need(tool: &str) -> Result<(), Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "--submit calls `{tool}`, which is not on the PATH: call it where that is, or write the files with --write FOLDER"
    )))
}

/// Gives the files to the engine.
fn submit(script: &Path, tool: &str) -> Result<(), Error> {
    let status = Command::new("sh").arg(script).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Usage(format!("`{tool}` did not take the jobs ({status}); it says above why"))),
        Err(e) => Err(Error::Usage(format!("cannot start sh, which submits the jobs: {e}"))),
    }
}
