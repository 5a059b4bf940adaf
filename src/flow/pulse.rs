//! What a worker shows of itself to whoever watches over it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Signs of life of one worker.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pub(super) beats: AtomicU64,
    pub(super) at_work: AtomicBool,
}

impl Pulse {
    /// Something new begins: work, or waiting.
    pub(super) fn beat(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Release);
        self.beats.fetch_add(1, Ordering::Release);
    }
}
