//! What ends a training from outside.

use super::TrainRequest;
use crate::app::Error;
use crate::flow::Stop;
use crate::lifecycle::{Ending, SignalWatcher};

/// The signals that come while networks are trained, one after the other.
pub(super) struct Interrupts {
    /// What they trip.
    pub(super) stop: Stop,
    signals: SignalWatcher<Ending>,
}

impl Interrupts {
    /// Listens from here on.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub(super) fn begin(request: &TrainRequest) -> Result<Self, Error> {
        let stop = Stop::new();
        let signals = SignalWatcher::of_worker(stop.clone(), request.limits.grace, &request.origin.supervisor)?;
        Ok(Self { stop, signals })
    }

    /// What a command ends with that was stopped.
    pub(super) fn error(&self) -> Error {
        self.signals.caught().map_or_else(|| Error::Internal("it was stopped by nobody".into()), Error::Stopped)
    }
}
