//! Ends a command whose time is up before its work begins.
//!
//! Until then nothing that lasts has been done, and what takes long (a folder of many scenes, large weights) is in the hands of others
//! and cannot be asked to stop: the process ends. From then on whoever follows the dataflow looks at the time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::signal::leave;
use crate::exit::ExitCode;
use crate::report::{self, Event};

/// Watches the time until work begins; without a deadline, nothing.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    begun: Arc<(Mutex<bool>, Condvar)>,
}

impl Clock {
    /// Watches a command that began then and is to be done within `limit`.
    pub(crate) fn start(command: Instant, limit: Option<Duration>) -> Self {
        let clock = Self::default();
        if let Some(limit) = limit {
            let watched = clock.clone();
            // Not joined, for it ends with the process or says nothing any more. Without a thread the time is looked at later.
            drop(std::thread::Builder::new().name("clock".into()).spawn(move || watched.watch(command, limit)));
        }
        clock
    }

    fn watch(&self, command: Instant, limit: Duration) {
        let mut begun = self.begun.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*begun {
            let left = limit.saturating_sub(command.elapsed());
            if left.is_zero() {
                report::tell(&Event::OutOfTime { limit });
                leave(ExitCode::OutOfTime);
            }
            let wait = self.begun.1.wait_timeout(begun, left);
            begun = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Work begins, or there is none.
    pub(crate) fn stop(&self) {
        *self.begun.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.begun.1.notify_all();
    }
}
