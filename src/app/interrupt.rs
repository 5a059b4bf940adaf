//! Short commands that a signal ends.

use super::{Error, TimeLimits};
use crate::flow::Stop;
use crate::lifecycle::{Ending, SignalWatcher, SupervisorLink};

/// Does something that can be interrupted: temporary folders are removed then. `work` asks the stop whether to go on.
pub(super) fn interruptible<T>(work: impl FnOnce(&Stop) -> Result<T, Error>) -> Result<T, Error> {
    let stop = Stop::new();
    let signals = SignalWatcher::<Ending>::of_worker(stop.clone(), TimeLimits::GRACE, &SupervisorLink::default())?;
    let done = work(&stop);
    signals.caught().map_or(done, |signal| Err(Error::Interrupted(signal)))
}
