//! The worker's end of the line to the process that watches over it: what is under way goes out, what earlier attempts died of and the
//! signals that the other one gets come in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::error::{Error, refused};
use super::signal::{Signal, leave};
use crate::exit::ExitCode;
use crate::flow::Stall;
use crate::process::{FrameError, Frames, own_parent, own_peak};
use crate::report;

/// What an attempt is told at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptInfo {
    /// How the attempts before it ended.
    pub deaths: Vec<String>,
    /// Whether one of them had begun, so that what it was to forget or discard is gone already.
    pub begun: bool,
    /// Milliseconds since the command began.
    pub elapsed_ms: u64,
    /// Items that were under way at a death: each is to run alone.
    pub suspects: BTreeSet<String>,
    /// Items that an attempt died of although they ran alone, and how: they are not tried again.
    pub quarantined: BTreeMap<String, String>,
}

/// A signal that the supervisor got and passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forwarded {
    /// Which one.
    pub(super) signal: Signal,
}

/// What an attempt tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WorkerEvent {
    /// The journal knows that it has begun.
    Begun,
    /// Work has entered.
    Entered {
        /// Its number.
        turn: u64,
        /// The items it is about.
        items: Vec<String>,
        /// Whether nothing else is under way.
        alone: bool,
    },
    /// That work has left.
    Left {
        /// Its number.
        turn: u64,
    },
    /// The journal knows something new: an item is done, or a part of it is kept.
    Recorded,
}

/// The line; without a process that watches over this one it leads nowhere.
#[derive(Clone, Debug, Default)]
pub struct SupervisorLink {
    attempt: Arc<AttemptInfo>,
    line: Option<Arc<Line>>,
}

#[derive(Debug)]
struct Line {
    frames: Mutex<Frames>,
    turns: AtomicU64,
    /// Who hears of signals; as long as nobody does, the first one is the end.
    listener: Arc<Mutex<Option<mpsc::Sender<Signal>>>>,
}

/// Hears of signals until the other process is gone.
fn hear(frames: &Frames, listener: &Mutex<Option<mpsc::Sender<Signal>>>) {
    loop {
        match frames.recv(None) {
            Ok(Forwarded { signal }) => match &*listener.lock().unwrap_or_else(PoisonError::into_inner) {
                // One that has ended needs to know no more.
                Some(listener) => listener.blocking_send(signal).unwrap_or_default(),
                None => leave(signal.exit_code()),
            },
            Err(FrameError::Late) => {}
            Err(FrameError::Closed | FrameError::System(_) | FrameError::Nonsense(_)) => return,
        }
    }
}

impl Line {
    /// Nobody at the other end is nobody to tell: this process is about to be ended then.
    fn tell(&self, event: &WorkerEvent) {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        drop(frames.send(event));
    }
}

/// What an attempt is told comes at once or not at all.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Signals that may wait to be heard: more than anybody sends.
const SIGNALS: usize = 16;

impl SupervisorLink {
    /// The line that the parent left.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_parent() -> Result<Self, Error> {
        let failed = refused("talk to the process that started this one");
        let frames = Frames::of_parent().map_err(failed)?;
        let attempt = frames.recv(Some(TOLD_WITHIN)).map_err(|e| failed(std::io::Error::other(e)))?;
        let (passed_on, listener) = (frames.try_clone().map_err(failed)?, Arc::default());
        let shared = Arc::clone(&listener);
        // It is not joined: it waits for the other process as long as this one lives, and touches nothing but the listener.
        std::thread::Builder::new()
            .name("passed on".into())
            .spawn(move || hear(&passed_on, &shared))
            .map_err(failed)?;
        let line = Line { frames: Mutex::new(frames), turns: AtomicU64::new(0), listener };
        Ok(Self { attempt: Arc::new(attempt), line: Some(Arc::new(line)) })
    }

    /// What earlier attempts left.
    pub fn attempt(&self) -> &AttemptInfo {
        &self.attempt
    }

    /// Whether somebody starts this process again when it dies.
    pub fn is_watched(&self) -> bool {
        self.line.is_some()
    }

    /// The signals that the other process passes on, from here on; none without one.
    pub(super) fn signals(&self) -> Option<mpsc::Receiver<Signal>> {
        let line = self.line.as_ref()?;
        let (sender, receiver) = mpsc::channel(SIGNALS);
        *line.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Some(receiver)
    }

    /// From here on an attempt after this one goes on where it ended.
    pub(crate) fn begun(&self) {
        if let Some(line) = &self.line {
            line.tell(&WorkerEvent::Begun);
        }
    }

    /// The journal knows something new: if this process dies now, it has not been in vain.
    pub(crate) fn recorded(&self) {
        if let Some(line) = &self.line {
            line.tell(&WorkerEvent::Recorded);
        }
    }

    /// Work on these items enters; it is under way until what is returned is dropped.
    pub(crate) fn enter(&self, items: impl FnOnce() -> Vec<String>, alone: bool) -> Option<Arc<InFlight>> {
        let line = self.line.as_ref()?;
        let turn = line.turns.fetch_add(1, Ordering::Relaxed);
        line.tell(&WorkerEvent::Entered { turn, items: items(), alone });
        Some(Arc::new(InFlight { line: Arc::clone(line), turn }))
    }

    /// Tells what does not move and ends the process: a thread that does not come back cannot be left behind.
    pub(crate) fn give_up(&self, stall: &Stall) -> ! {
        report::tell_error(&Error::from(stall));
        leave(if self.is_watched() { ExitCode::Restart } else { ExitCode::Internal })
    }

    /// The most that the supervisor ever had resident and shared with no other process, in bytes; 0 where there is none or the system does
    /// not tell.
    pub(crate) fn peak_of_supervisor(&self) -> u64 {
        if self.is_watched() { own_parent().and_then(own_peak).unwrap_or(0) } else { 0 }
    }
}

/// Work that has entered; when this is dropped it has left.
#[derive(Debug)]
pub struct InFlight {
    line: Arc<Line>,
    turn: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.line.tell(&WorkerEvent::Left { turn: self.turn });
    }
}
