//! Publishes the records of this process while it works.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batcher::{Batcher, RecordFile};
use super::error::LedgerError;
use super::head::{AttemptCounts, AttemptHead};
use super::store::{Store, StoreError};
use crate::journal::Record;

/// How long nothing is looked at while nothing comes; whoever brings something says so.
const IDLE: Duration = Duration::from_secs(3600);

/// An attempt that publishes what it records. A thread of its own writes, so that a slow store stops nobody. Dropped without
/// [`Self::close`], it writes what has gathered, as far as the store lets it, and the attempt counts as one that died.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Arc<dyn Store>,
    folder: String,
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// `None` once it is closed.
    batcher: Option<Batcher>,
    /// All that has gathered is wanted in the store now.
    hurry: bool,
    /// Nothing more comes: what has gathered is the last file.
    ending: bool,
    /// A file is on its way.
    writing: bool,
    /// Why nothing can be written any more, until somebody was told.
    error: Option<StoreError>,
    /// Nothing can be written any more.
    failed: bool,
}

impl Publisher {
    /// Puts the first file of an attempt into the store, and begins to gather.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn begin(store: Arc<dyn Store>, head: AttemptHead) -> Result<Self, LedgerError> {
        Self::start(store, Batcher::new(head))
    }

    pub(super) fn start(store: Arc<dyn Store>, batcher: Batcher) -> Result<Self, LedgerError> {
        let (RecordFile { name, bytes }, folder) = (batcher.begin(), batcher.folder());
        store.put(&name, &bytes)?;
        let state =
            State { batcher: Some(batcher), hurry: false, ending: false, writing: false, error: None, failed: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { store, folder, begun: Instant::now(), state, changed });
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("records".into()).spawn(move || own.publish());
        Ok(Self { shared, thread: Some(thread.map_err(LedgerError::Thread)?) })
    }

    /// Publishes these, soon. The bytes that they name are on disk.
    ///
    /// # Errors
    /// When records that were given before could not be written.
    pub fn append(&self, records: &[Record]) -> Result<(), LedgerError> {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        self.shared.sound(&mut state)?;
        if let Some(batcher) = &mut state.batcher {
            batcher.add(now, records);
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until all that was given is in the store.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn flush(&self) -> Result<(), LedgerError> {
        let mut state = self.shared.lock();
        state.hurry = true;
        self.shared.changed.notify_all();
        while !state.failed && (state.writing || state.due().is_some()) {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.hurry = false;
        self.shared.sound(&mut state)
    }

    /// Publishes the rest, and that this was all.
    ///
    /// # Errors
    /// When it could not be written. Then the attempt counts as one that died.
    pub fn close(self, counts: AttemptCounts) -> Result<(), LedgerError> {
        self.flush()?;
        let batcher = self.shared.lock().batcher.take();
        let files = batcher.map(|batcher| batcher.close(self.shared.now(), counts)).unwrap_or_default();
        files.iter().try_for_each(|file| self.shared.store.put(&file.name, &file.bytes))?;
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics where the store does; what it was to write is not there then, as after a crash.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn sound(&self, state: &mut State) -> Result<(), LedgerError> {
        match state.error.take() {
            Some(error) => Err(error.into()),
            None if state.failed => Err(LedgerError::Stopped { folder: self.store.locate(&self.folder) }),
            None => Ok(()),
        }
    }

    /// Writes what is due until nothing more comes.
    fn publish(&self) {
        let _gone = Gone(self);
        while let Some(RecordFile { name, bytes }) = self.next() {
            let put = self.store.put(&name, &bytes);
            let mut state = self.lock();
            state.writing = false;
            state.error = put.err();
            state.failed = state.error.is_some();
            self.changed.notify_all();
        }
    }

    /// Waits for the next file that is due.
    fn next(&self) -> Option<RecordFile> {
        let mut state = self.lock();
        loop {
            if state.failed {
                return None;
            }
            let (now, due) = (self.now(), state.due());
            let wait = match due {
                Some(due) if due <= now || state.hurry || state.ending => {
                    state.writing = true;
                    return state.batcher.as_mut()?.take(now);
                }
                Some(due) => due - now,
                None if state.ending => return None,
                None => IDLE,
            };
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn due(&self) -> Option<Duration> {
        self.batcher.as_ref()?.due()
    }
}

/// Lets nobody wait for a thread that is gone.
struct Gone<'a>(&'a Shared);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.failed |= !state.ending;
        self.0.changed.notify_all();
    }
}
