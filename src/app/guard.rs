//! The run's end of the line to the process that watches over it: what is under way goes out, what earlier attempts died of and the
//! signals that the other one gets come in.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Error;
use super::signals::{Signal, leave};
use crate::process::{FrameError, Frames};

/// What an attempt is told at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// How the attempts before it ended.
    pub deaths: Vec<String>,
    /// Whether one of them had begun, so that what it was to forget or discard is gone already.
    pub begun: bool,
    /// Milliseconds since the command began.
    pub elapsed_ms: u64,
    /// Scenes that were under way at a death: each is to run alone.
    pub suspects: BTreeSet<String>,
    /// Scenes that an attempt died of although they ran alone, and how: they are not tried again.
    pub quarantined: BTreeMap<String, String>,
}

/// What an attempt is told later: a signal that the other process got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    /// Which one.
    pub(super) signal: Signal,
}

/// What an attempt tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// The journal knows that it has begun.
    Begun,
    /// Work has entered.
    Entered {
        /// Its number.
        turn: u64,
        /// The scenes it is about.
        scenes: Vec<String>,
        /// Whether nothing else is under way.
        alone: bool,
    },
    /// That work has left.
    Left {
        /// Its number.
        turn: u64,
    },
    /// The journal knows something new: a scene is done, or a stage's results are kept.
    Recorded,
}

/// The line; without a process that watches over this one it leads nowhere.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    orders: Arc<Orders>,
    line: Option<Arc<Line>>,
}

#[derive(Debug)]
struct Line {
    frames: Mutex<Frames>,
    turns: AtomicU64,
    /// Who hears calls; as long as nobody does, the first one is the end.
    listener: Arc<Mutex<Option<mpsc::Sender<Signal>>>>,
}

/// Hears calls until the other process is gone.
fn hear(frames: &Frames, listener: &Mutex<Option<mpsc::Sender<Signal>>>) {
    loop {
        match frames.recv(None) {
            Ok(Call { signal }) => match &*listener.lock().unwrap_or_else(PoisonError::into_inner) {
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
    fn tell(&self, word: &Word) {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        drop(frames.send(word));
    }
}

/// The orders come at once or not at all.
const ORDERS_WITHIN: Duration = Duration::from_secs(30);

/// Signals that may wait to be heard: more than anybody sends.
const CALLS: usize = 16;

impl Guard {
    /// The line that the parent left.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_parent() -> Result<Self, Error> {
        let failed = |source| Error::System { operation: "talk to the process that started this one", source };
        let frames = Frames::of_parent().map_err(failed)?;
        let orders = frames.recv(Some(ORDERS_WITHIN)).map_err(|e| failed(std::io::Error::other(e)))?;
        let (calls, listener) = (frames.try_clone().map_err(failed)?, Arc::default());
        let shared = Arc::clone(&listener);
        // It is not joined: it waits for the other process as long as this one lives, and touches nothing but the listener.
        std::thread::Builder::new().name("calls".into()).spawn(move || hear(&calls, &shared)).map_err(failed)?;
        let line = Line { frames: Mutex::new(frames), turns: AtomicU64::new(0), listener };
        Ok(Self { orders: Arc::new(orders), line: Some(Arc::new(line)) })
    }

    /// What earlier attempts left.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Whether somebody starts this process again when it dies.
    pub fn is_watched(&self) -> bool {
        self.line.is_some()
    }

    /// The signals that the other process passes on, from here on; none without one.
    pub(super) fn calls(&self) -> Option<mpsc::Receiver<Signal>> {
        let line = self.line.as_ref()?;
        let (sender, receiver) = mpsc::channel(CALLS);
        *line.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Some(receiver)
    }

    /// From here on an attempt after this one goes on where it ended.
    pub(super) fn begun(&self) {
        if let Some(line) = &self.line {
            line.tell(&Word::Begun);
        }
    }

    /// The journal knows something new: if this process dies now, it has not been in vain.
    pub(super) fn recorded(&self) {
        if let Some(line) = &self.line {
            line.tell(&Word::Recorded);
        }
    }

    /// Work enters; it is under way until what is returned is dropped.
    pub(super) fn enter(
        &self,
        scenes: impl FnOnce() -> Vec<String>,
        alone: bool,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        let line = self.line.as_ref()?;
        let turn = line.turns.fetch_add(1, Ordering::Relaxed);
        line.tell(&Word::Entered { turn, scenes: scenes(), alone });
        Some(Arc::new(Presence { line: Arc::clone(line), turn }))
    }
}

struct Presence {
    line: Arc<Line>,
    turn: u64,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.line.tell(&Word::Left { turn: self.turn });
    }
}
