//! The thin parent of a worker: starts it again when it dies, and nothing else.
//!
//! It holds no raster, no tensor and no file of the run directory.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::error::{Error, refused};
use super::link::{Forwarded, WorkerEvent};
use super::policy::RestartPolicy;
use super::signal::Signal;
use super::signals::{Origin, SignalSink, SignalWatcher};
use crate::exit::ExitCode;
use crate::process::{Child, FrameError, Frames, ending};
use crate::report::{self, Event};

/// Exit codes of a worker that asks to be started again.
const RESTART: u8 = ExitCode::Restart as u8;
const RESTART_FOR_DEVICE: u8 = ExitCode::RestartForDevice as u8;

/// Signals by which people and batch systems end a command: not a death.
const ORDINARY: [i32; 4] = [1, 2, 3, 15];

/// Runs this program with these arguments as a worker until that ends by itself, and returns its exit code. `item` is what one of the items
/// that are under way is called.
///
/// # Errors
/// When no worker can be started, or it dies again and again and no item is to blame.
pub fn supervise(arguments: &[OsString], item: &str) -> Result<u8, Error> {
    let mut policy = RestartPolicy::default();
    let began = Instant::now();
    let signals = SignalWatcher::begin(Forwarding::default(), None)?;
    loop {
        policy.attempt.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or_default();
        let mut worker = Child::start(arguments, false).map_err(refused("start the run's own process"))?;
        // A worker that is gone already tells so by its end.
        drop(worker.frames().send(&policy.attempt));
        let frames = worker.frames().try_clone().map_err(refused("talk to the run's own process"))?;
        signals.sink().to(frames);
        while let Some(event) = listen(&mut worker) {
            policy.hear(event);
        }
        let status = worker.wait().map_err(refused("wait for the run's own process"))?;
        let told_to_end = signals.sink().to_nobody();
        let restart = match (code(status), told_to_end) {
            // Whatever it died of on the way to its end, it is not started again.
            (None | Some(RESTART | RESTART_FOR_DEVICE), Some(signal)) => return Ok(signal.exit_code().into()),
            (Some(RESTART_FOR_DEVICE), None) => policy.lost_a_device(),
            (Some(RESTART), None) => policy.died("stopped itself")?,
            (None, None) => policy.died(&ending(status))?,
            (Some(code), _) => return Ok(code),
        };
        report::tell(&Event::Restarted { restart: &restart, item });
    }
}

/// Passes signals on to one worker after the other.
#[derive(Debug, Default)]
struct Forwarding {
    state: Mutex<ForwardingState>,
}

/// Who is told, and what has come.
#[derive(Debug, Default)]
struct ForwardingState {
    worker: Option<Frames>,
    caught: Vec<Signal>,
}

impl ForwardingState {
    /// A worker that is gone needs to be told nothing.
    fn pass_on(&self, signal: Signal) {
        if let Some(worker) = &self.worker {
            drop(worker.send(&Forwarded { signal }));
        }
    }
}

impl Forwarding {
    fn state(&self) -> MutexGuard<'_, ForwardingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes goes to the process at the other end, and what came while there was none. It knows of its attempt already.
    fn to(&self, worker: Frames) {
        let mut state = self.state();
        state.worker = Some(worker);
        state.caught.iter().for_each(|signal| state.pass_on(*signal));
    }

    /// That process is gone. Says which signal came last, if one did.
    fn to_nobody(&self) -> Option<Signal> {
        let mut state = self.state();
        state.worker = None;
        state.caught.last().copied()
    }
}

impl SignalSink for Forwarding {
    fn signal(&self, signal: Signal, _origin: Origin) {
        let mut state = self.state();
        state.caught.push(signal);
        state.pass_on(signal);
    }
}

/// The worker's next event; `None` when it is gone.
fn listen(worker: &mut Child) -> Option<WorkerEvent> {
    loop {
        match worker.frames().recv(None) {
            Ok(event) => return Some(event),
            Err(FrameError::Late) => {}
            Err(FrameError::Closed) => return None,
            Err(FrameError::System(_) | FrameError::Nonsense(_)) => {
                // Its memory is in disorder; left alone it would wait for ever for somebody who listens.
                drop(worker.kill());
                return None;
            }
        }
    }
}

/// The exit code of a process that ended by itself, or that somebody ended on purpose.
fn code(status: ExitStatus) -> Option<u8> {
    // What shells make of a signal.
    let ordinary = status.signal().filter(|s| ORDINARY.contains(s)).map(|s| 128 + s);
    status.code().or(ordinary).and_then(|code| u8::try_from(code).ok())
}
