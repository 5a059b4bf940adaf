//! Ctrl-C and its relatives end a worker in order; a second one ends it at once. Its supervisor only passes them on.
//!
//! A terminal sends a signal to the supervisor and to the worker, a batch system to every process that it knows, a person to whichever of
//! the two she finds. So the worker counts what comes to itself and what is passed on to it apart, and the larger count is how often it
//! was told.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::SupervisorLink;
use super::error::{Error, refused};
use super::signal::{Signal, leave};
use crate::flow::Stop;
use crate::report::{self, Event};

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was sent to this process.
    System,
    /// The supervisor passed it on.
    Supervisor,
}

/// What becomes of signals.
pub(crate) trait SignalSink: Send + Sync + 'static {
    /// One has come.
    fn signal(&self, signal: Signal, origin: Origin);

    /// After how long [`Self::late`] is to be called, if no signal comes before; `None` for never.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// That time has passed.
    fn late(&self) {}
}

/// Watches for signals until dropped.
#[derive(Debug)]
pub(crate) struct SignalWatcher<S> {
    sink: Arc<S>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: SignalSink> SignalWatcher<S> {
    /// Gives every signal to the sink. From the return on none is missed, and none ends this process by itself.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub(super) fn begin(sink: S, passed_on: Option<mpsc::Receiver<Signal>>) -> Result<Self, Error> {
        let failed = refused("watch for signals");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let streams = Streams::open(&runtime, passed_on).map_err(failed)?;
        let (sink, (end, ended)) = (Arc::new(sink), oneshot::channel());
        let shared = Arc::clone(&sink);
        let body = move || runtime.block_on(listen(streams, shared.as_ref(), ended));
        let thread = std::thread::Builder::new().name("signals".into()).spawn(body).map_err(failed)?;
        Ok(Self { sink, end: Some(end), thread: Some(thread) })
    }

    /// What the signals go to.
    pub(super) fn sink(&self) -> &S {
        &self.sink
    }
}

async fn listen(mut streams: Streams, sink: &impl SignalSink, mut ended: oneshot::Receiver<()>) {
    loop {
        let patience = sink.patience();
        tokio::select! {
            (signal, origin) = streams.next() => sink.signal(signal, origin),
            _ = &mut ended => return,
            () = tokio::time::sleep(patience.unwrap_or_default()), if patience.is_some() => sink.late(),
        }
    }
}

impl<S> Drop for SignalWatcher<S> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // The thread may have given up already.
            end.send(()).unwrap_or_default();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// When the grace is over nobody waits any more, and everybody leaves who can. After this long the process ends with those who cannot.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Ends a dataflow: the first signal lets nothing more in and drops what is queued, and trips `stop` if what is under way has not ended
/// after `grace`; if that does not help either, or on a second signal, the process ends.
#[derive(Debug)]
pub(crate) struct Ending {
    stop: Stop,
    grace: Duration,
    state: Mutex<EndingState>,
}

#[derive(Debug, Default)]
struct EndingState {
    first: Option<(Signal, Instant)>,
    tripped: Option<Instant>,
    /// How often a signal has come to this process, and through its supervisor.
    own: u32,
    passed_on: u32,
}

impl SignalWatcher<Ending> {
    /// Watches over the dataflow of this worker.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub(crate) fn of_worker(stop: Stop, grace: Duration, supervisor: &SupervisorLink) -> Result<Self, Error> {
        Self::begin(Ending { stop, grace, state: Mutex::default() }, supervisor.signals())
    }

    /// The signal that came, if one did.
    pub(crate) fn caught(&self) -> Option<Signal> {
        self.sink().state().first.map(|(signal, _)| signal)
    }
}

impl Ending {
    fn state(&self) -> MutexGuard<'_, EndingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignalSink for Ending {
    fn signal(&self, signal: Signal, origin: Origin) {
        let mut state = self.state();
        match origin {
            Origin::System => state.own += 1,
            Origin::Supervisor => state.passed_on += 1,
        }
        if state.own.max(state.passed_on) > 1 {
            leave(signal.exit_code());
        }
        if state.first.is_some() {
            return;
        }
        state.first = Some((signal, Instant::now()));
        self.stop.cut();
        report::tell(&Event::Stopping { signal: &signal.to_string(), grace_seconds: self.grace.as_secs() });
    }

    fn patience(&self) -> Option<Duration> {
        let state = self.state();
        let left = |since: Instant, of: Duration| of.saturating_sub(since.elapsed());
        match (state.tripped, state.first) {
            (Some(tripped), _) => Some(left(tripped, LEAVE_WITHIN)),
            (None, Some((_, first))) => Some(left(first, self.grace)),
            (None, None) => None,
        }
    }

    fn late(&self) {
        let mut state = self.state();
        if let (Some((signal, _)), true) = (state.first, state.tripped.is_some()) {
            report::tell(&Event::Abandoned);
            leave(signal.exit_code());
        }
        self.stop.trip();
        state.tripped = Some(Instant::now());
    }
}

/// The signals that are listened to.
struct Streams {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
    /// Through the supervisor, where there is one.
    passed_on: Option<mpsc::Receiver<Signal>>,
}

impl Streams {
    fn open(runtime: &tokio::runtime::Runtime, passed_on: Option<mpsc::Receiver<Signal>>) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(Self {
            interrupt: listener(SignalKind::interrupt())?,
            terminate: listener(SignalKind::terminate())?,
            hang_up: listener(SignalKind::hangup())?,
            passed_on,
        })
    }

    async fn next(&mut self) -> (Signal, Origin) {
        tokio::select! {
            () = next(&mut self.interrupt) => (Signal::Interrupt, Origin::System),
            () = next(&mut self.terminate) => (Signal::Terminate, Origin::System),
            () = next(&mut self.hang_up) => (Signal::HangUp, Origin::System),
            signal = next_passed_on(&mut self.passed_on) => (signal, Origin::Supervisor),
        }
    }
}

/// A stream of a signal; none where whoever started this process had it ignored, as `nohup` does.
fn listener(kind: SignalKind) -> io::Result<Option<tokio::signal::unix::Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if is_ignored(&status, kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
}

/// Whether the text of /proc/self/status says that a signal is ignored.
fn is_ignored(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

/// The next signal of a stream; never, where there is none.
async fn next(stream: &mut Option<tokio::signal::unix::Signal>) {
    match stream {
        Some(stream) => drop(stream.recv().await),
        None => std::future::pending().await,
    }
}

/// The next signal that the supervisor passes on; never, where there is none.
async fn next_passed_on(passed_on: &mut Option<mpsc::Receiver<Signal>>) -> Signal {
    let signal = match passed_on {
        Some(passed_on) => passed_on.recv().await,
        None => None,
    };
    match signal {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_counts_from_one() {
        let status = "Name:\tswath\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(status, 1) && is_ignored(status, 13));
        assert!(!is_ignored(status, 2) && !is_ignored(status, 15) && !is_ignored("", 1));
    }
}
