//! The shape of a stage, and the loop that every worker runs.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::meter::StageMeter;
use super::pulse::Pulse;
use super::{Closed, Emit, Inlet, Stop};
use crate::faults::{Fault, Faults};
use crate::process::cpu_of_thread;

/// Turns items into items. One value per worker; it neither spawns nor wires anything.
///
/// What costs one item (a broken scene) is part of the output type. An `Err` is for what ends the whole run.
pub trait Stage: Send {
    /// What it takes.
    type In: Send;
    /// What it gives.
    type Out: Send;
    /// What ends the run.
    type Error;

    /// Handles one item, giving none, one or many to the outbox. When the outbox says that nobody listens it returns without error.
    ///
    /// # Errors
    /// Only for what makes the whole run pointless.
    fn process(&mut self, item: Self::In, out: &Outbox<'_, Self::Out>) -> Result<(), Self::Error>;

    /// How long a worker waits for input before it calls [`Self::idle`]; `None` for as long as it takes.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Does what should not wait for the next item.
    ///
    /// # Errors
    /// As [`Self::process`].
    fn idle(&mut self, _out: &Outbox<'_, Self::Out>) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Gives what is left when the input is closed.
    ///
    /// # Errors
    /// As [`Self::process`].
    fn finish(&mut self, _out: &Outbox<'_, Self::Out>) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Where items come from.
pub trait Source<T>: Send {
    /// The next item, waiting for it; `None` when there are no more or the graph was stopped.
    fn next(&self) -> Option<T>;

    /// As [`Self::next`], but gives up after `patience`: `Ok(None)` means that nothing came.
    ///
    /// # Errors
    /// [`Closed`] when nothing will come any more.
    fn next_within(&self, patience: Duration) -> Result<Option<T>, Closed>;
}

impl<T: Send> Source<T> for Inlet<T> {
    fn next(&self) -> Option<T> {
        self.recv()
    }

    fn next_within(&self, patience: Duration) -> Result<Option<T>, Closed> {
        self.recv_timeout(patience)
    }
}

/// Where a stage puts its output; knows how long it had to wait.
pub struct Outbox<'a, T> {
    emit: &'a dyn Emit<T>,
    pulse: Option<&'a Pulse>,
    waited: Cell<Duration>,
    closed: Cell<bool>,
}

impl<'a, T> Outbox<'a, T> {
    /// An outbox in front of a link.
    pub fn new(emit: &'a dyn Emit<T>) -> Self {
        Self { emit, pulse: None, waited: Cell::default(), closed: Cell::default() }
    }

    fn beat(&self, at_work: bool) {
        if let Some(pulse) = self.pulse {
            pulse.beat(at_work);
        }
    }

    /// Hands an item over, waiting while the link is full. False when the graph is ending: more work on this item is in vain.
    pub fn put(&self, item: T) -> bool {
        let start = Instant::now();
        self.beat(false);
        let sent = self.emit.emit(item);
        self.beat(true);
        self.waited.set(self.waited.get() + start.elapsed());
        self.closed.set(self.closed.get() || sent.is_err());
        sent.is_ok()
    }
}

/// Through what a worker is watched.
pub(super) struct Watched {
    pub(super) meter: Arc<StageMeter>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) faults: Faults,
    pub(super) stop: Stop,
}

/// Why a worker's life ended early.
pub(super) enum Failed<E> {
    /// Its stage cannot go on.
    Stage(E),
    /// It was told to fail.
    Planted,
}

impl<E> From<E> for Failed<E> {
    fn from(error: E) -> Self {
        Self::Stage(error)
    }
}

/// A worker's life: take, process, until the input ends or nobody listens.
pub(super) fn run<S: Stage, E: From<S::Error>>(
    stage: S,
    input: &dyn Source<S::In>,
    output: &dyn Emit<S::Out>,
    watched: &Watched,
) -> Result<(), Failed<E>> {
    let outbox = Outbox { pulse: Some(&watched.pulse), ..Outbox::new(output) };
    let ended = live(stage, input, &outbox, watched);
    outbox.beat(false);
    watched.meter.record_cpu(cpu_of_thread());
    ended
}

fn live<S: Stage, E: From<S::Error>>(
    mut stage: S,
    input: &dyn Source<S::In>,
    outbox: &Outbox<'_, S::Out>,
    watched: &Watched,
) -> Result<(), Failed<E>> {
    let Watched { meter, faults, stop, .. } = watched;
    loop {
        outbox.beat(false);
        let asked = Instant::now();
        let came = match stage.patience() {
            Some(patience) => input.next_within(patience),
            None => input.next().map(Some).ok_or(Closed),
        };
        let taken = Instant::now();
        outbox.waited.set(Duration::ZERO);
        outbox.beat(true);
        let n_items = match came {
            Ok(Some(item)) => {
                match faults.pass("") {
                    None => {}
                    Some(Fault::Drain) => stop.drain(),
                    Some(Fault::Cut) => stop.cut(),
                    Some(Fault::Trip) => stop.trip(),
                    Some(_) => return Err(Failed::Planted),
                }
                stage.process(item, outbox).map(|()| 1).map_err(E::from)?
            }
            Ok(None) => stage.idle(outbox).map(|()| 0).map_err(E::from)?,
            Err(Closed) => break,
        };
        let waited = outbox.waited.get();
        meter.record(n_items, taken.elapsed().saturating_sub(waited), taken - asked, waited);
        if outbox.closed.get() {
            return Ok(());
        }
    }
    let start = Instant::now();
    outbox.waited.set(Duration::ZERO);
    outbox.beat(true);
    stage.finish(outbox).map_err(E::from)?;
    let waited = outbox.waited.get();
    meter.record(0, start.elapsed().saturating_sub(waited), Duration::ZERO, waited);
    Ok(())
}
