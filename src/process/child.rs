//! This program again, as a child.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::Frames;

/// Tells a child who its parent is, so that it notices if that is gone before it could ask to die with it.
const PARENT: &str = "SWATH_PARENT";

/// How a child is started.
#[derive(Debug, Default)]
pub struct Start<'a> {
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// Whether it is in a process group of its own: what a terminal sends to the others (Ctrl-C) does not reach it; and it prints nothing.
    pub apart: bool,
    /// Another program than this one (tests).
    pub program: Option<&'a Path>,
    /// Where its standard error goes, if not where it would.
    pub errors: Option<File>,
}

/// A child process and the frames that are exchanged with it. It is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    frames: Frames,
}

impl Child {
    /// Starts this program with other arguments, and with `apart` as [`Start::apart`] says. It dies with the thread that started it.
    ///
    /// # Errors
    /// When the system gives no process or no socket.
    pub fn start(arguments: &[OsString], apart: bool) -> io::Result<Self> {
        Self::start_as(Start { arguments, apart, ..Start::default() })
    }

    /// Starts a child. It dies with the thread that started it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_as(start: Start<'_>) -> io::Result<Self> {
        let (frames, socket) = Frames::pair()?;
        let program = start.program.map_or_else(this_program, |path| Ok(path.to_owned()))?;
        let mut command = Command::new(program);
        command.args(start.arguments).env(PARENT, std::process::id().to_string()).stdin(Stdio::from(socket));
        if start.apart {
            command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        }
        if let Some(errors) = start.errors {
            command.stderr(Stdio::from(errors));
        }
        Ok(Self { process: command.spawn()?, frames })
    }

    /// Runs this program with other arguments to its end, and gives back what it printed.
    ///
    /// # Errors
    /// When the system gives no process.
    pub fn output(arguments: &[OsString]) -> io::Result<Output> {
        Command::new(this_program()?).args(arguments).stdin(Stdio::null()).output()
    }

    /// What messages to and from it go through.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the system has lost it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait()
    }

    /// Its end, if it has come.
    ///
    /// # Errors
    /// When the system has lost it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Ends it now and says how it ended.
    ///
    /// # Errors
    /// When the system has lost it.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // One that is gone already ends as it did.
        drop(self.process.kill());
        self.process.wait()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// The file of this program. One that was replaced while it runs is still to be had from the system.
fn this_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { "/proc/self/exe".into() })
}

/// From now on this process is killed when its parent dies.
///
/// # Errors
/// When the system refuses, or the parent is gone already.
pub fn die_with_parent() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let planned: Option<i32> = std::env::var(PARENT).ok().and_then(|pid| pid.parse().ok());
    match (getppid(), planned) {
        (Some(parent), Some(planned)) if parent.as_raw_nonzero().get() != planned => {
            Err(io::Error::other("the process that started this one is gone"))
        }
        _ => Ok(()),
    }
}

/// The process that started this one.
pub fn own_parent() -> Option<u32> {
    getppid().and_then(|parent| u32::try_from(parent.as_raw_nonzero().get()).ok())
}

/// How a process ended, in words: "was killed by SIGSEGV", "ended with exit code 1".
pub fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by {}", signal_name(signal)),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".into(),
    }
}

/// Signals that end a process, by number (Linux, x86-64 and ARM alike).
const SIGNALS: [(i32, &str); 13] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
];

fn signal_name(number: i32) -> String {
    let known = SIGNALS.iter().find(|(n, _)| *n == number);
    known.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}
