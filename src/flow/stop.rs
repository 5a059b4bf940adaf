//! How a graph is told to end: nothing new comes in, what is queued is dropped as well, or every blocked worker returns at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

/// Never sent; the channel closing is the signal.
#[derive(Debug)]
pub(super) enum Never {}

/// A stop signal shared by all workers of a graph. Draining, cutting and tripping are final.
#[derive(Clone, Debug)]
pub struct Stop {
    draining: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    armed: Arc<Mutex<Option<Sender<Never>>>>,
    signal: Receiver<Never>,
}

impl Stop {
    /// A signal that has not been tripped.
    pub fn new() -> Self {
        let (sender, signal) = bounded(1);
        Self { draining: Arc::default(), cut: Arc::default(), armed: Arc::new(Mutex::new(Some(sender))), signal }
    }

    /// Lets nothing more in; what is under way goes on to its end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether nothing more may come in.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.is_tripped()
    }

    /// Lets nothing more in and drops what is queued: only what a worker is in the middle of goes on to its end. Items still travel, so
    /// that every count stays exact; it is up to the stages to do no more work on them.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.drain();
    }

    /// Whether what is queued is dropped.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire) || self.is_tripped()
    }

    /// Trips it: every send and receive that waits returns.
    pub fn trip(&self) {
        let mut armed = self.armed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(armed.take());
    }

    /// Whether it was tripped.
    pub fn is_tripped(&self) -> bool {
        matches!(self.signal.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Becomes ready when tripped, for `select!`.
    pub(super) fn signal(&self) -> &Receiver<Never> {
        &self.signal
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}
