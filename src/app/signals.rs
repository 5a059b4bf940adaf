//! Ctrl-C and its relatives end a run in order; a second one ends it at once. The parent of a run only passes them on.
//!
//! A terminal sends a signal to the parent and to the run, a batch system to every process that it knows, a person to whichever of the two
//! she finds. So the run counts what comes to itself and what its parent passes on apart, and the larger count is how often it was told.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::guard::{Call, Guard};
use crate::flow::Stop;
use crate::process::{Frames, exit_now};
use crate::report::eprint_line;

/// A signal that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What batch systems send first.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

impl Signal {
    /// The exit code that shells give to a process that a signal ended.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::HangUp => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        })
    }
}

const NONE: i32 = 0;

/// When the grace is over nobody waits any more, and everybody leaves who can. After this long the process ends with those who cannot.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Watches for signals until dropped.
#[derive(Debug)]
pub(super) struct Signals {
    caught: Arc<AtomicI32>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Signals {
    /// On the first signal lets nothing more in and drops what is queued, and trips `stop` if what is under way has not ended after
    /// `grace`; if that does not help either, or on a second signal, ends the process. From the return on no signal is missed.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub(super) fn watch(stop: Stop, grace: Duration, guard: &Guard) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let caught = Arc::new(AtomicI32::new(NONE));
        let (end, ended) = oneshot::channel();
        let seen = Arc::clone(&caught);
        let heard = Heard { streams: Streams::open(&runtime)?, calls: guard.calls(), own: 0, passed_on: 0 };
        let body = move || runtime.block_on(listen(heard, stop, grace, &seen, ended));
        let thread = std::thread::Builder::new().name("signals".into()).spawn(body)?;
        Ok(Self { caught, end: Some(end), thread: Some(thread) })
    }

    /// The signal that came, if one did.
    pub(super) fn caught(&self) -> Option<Signal> {
        let number = self.caught.load(Ordering::Acquire);
        [Signal::Interrupt, Signal::Terminate, Signal::HangUp].into_iter().find(|s| i32::from(s.exit_code()) == number)
    }
}

/// Passes signals on to one child after the other until dropped.
#[derive(Debug)]
pub(super) struct Forwarding {
    line: Arc<Mutex<Line>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Who is told, and what has come.
#[derive(Debug, Default)]
struct Line {
    child: Option<Frames>,
    caught: Vec<Signal>,
}

impl Line {
    /// A child that is gone needs to be told nothing.
    fn pass_on(&self, signal: Signal) {
        if let Some(child) = &self.child {
            drop(child.send(&Call { signal }));
        }
    }
}

impl Forwarding {
    /// From the return on no signal ends this process.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub(super) fn begin() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let line: Arc<Mutex<Line>> = Arc::default();
        let (end, mut ended) = oneshot::channel();
        let mut streams = Streams::open(&runtime)?;
        let shared = Arc::clone(&line);
        let forward = async move {
            loop {
                let signal = tokio::select! {
                    signal = streams.next() => signal,
                    _ = &mut ended => return,
                };
                let mut line = shared.lock().unwrap_or_else(PoisonError::into_inner);
                line.caught.push(signal);
                line.pass_on(signal);
            }
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(forward))?;
        Ok(Self { line, end: Some(end), thread: Some(thread) })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes goes to the process at the other end, and what came while there was none. It has its orders already.
    pub(super) fn to(&self, child: Frames) {
        let mut line = self.line();
        line.child = Some(child);
        line.caught.iter().for_each(|signal| line.pass_on(*signal));
    }

    /// That process is gone. Says which signal came last, if one did.
    pub(super) fn to_nobody(&self) -> Option<Signal> {
        let mut line = self.line();
        line.child = None;
        line.caught.last().copied()
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        end(&mut self.end, &mut self.thread);
    }
}

/// The signals that are listened to.
struct Streams {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
}

impl Streams {
    fn open(runtime: &tokio::runtime::Runtime) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(Self {
            interrupt: listener(SignalKind::interrupt())?,
            terminate: listener(SignalKind::terminate())?,
            hang_up: listener(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            () = next(&mut self.interrupt) => Signal::Interrupt,
            () = next(&mut self.terminate) => Signal::Terminate,
            () = next(&mut self.hang_up) => Signal::HangUp,
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

/// Where a run hears of signals, and how often it has.
struct Heard {
    streams: Streams,
    calls: Option<mpsc::Receiver<Signal>>,
    own: u32,
    passed_on: u32,
}

impl Heard {
    /// The next signal, and how often the run has been told to end by then.
    async fn next(&mut self) -> (Signal, u32) {
        let signal = tokio::select! {
            signal = self.streams.next() => {
                self.own += 1;
                signal
            }
            signal = next_call(&mut self.calls) => {
                self.passed_on += 1;
                signal
            }
        };
        (signal, self.own.max(self.passed_on))
    }
}

/// The next signal that the parent passes on; never, where there is no parent.
async fn next_call(calls: &mut Option<mpsc::Receiver<Signal>>) -> Signal {
    let call = match calls {
        Some(calls) => calls.recv().await,
        None => None,
    };
    match call {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}

async fn listen(mut heard: Heard, stop: Stop, grace: Duration, caught: &AtomicI32, mut ended: oneshot::Receiver<()>) {
    let (mut first, mut tripped): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let left = |since: Option<Instant>, of: Duration| since.map_or(of, |since| of.saturating_sub(since.elapsed()));
        let patience = if tripped.is_some() { left(tripped, LEAVE_WITHIN) } else { left(first, grace) };
        let (came, times) = tokio::select! {
            came = heard.next() => came,
            _ = &mut ended => return,
            () = tokio::time::sleep(patience), if first.is_some() => {
                if tripped.is_some() {
                    eprint_line("what is under way does not come to an end; the same command does it again");
                    leave(u8::try_from(caught.load(Ordering::Acquire)).unwrap_or_default());
                }
                stop.trip();
                tripped = Some(Instant::now());
                continue;
            }
        };
        match (first, times) {
            (_, 2..) => leave(came.exit_code()),
            (Some(_), _) => continue,
            (None, _) => first = Some(Instant::now()),
        }
        caught.store(i32::from(came.exit_code()), Ordering::Release);
        stop.cut();
        eprint_line(&format!(
            "{came}: finishing what is under way, {} s at most; send it again to stop now",
            grace.as_secs()
        ));
    }
}

/// Ends the process now, whatever its threads are doing. What is recorded holds; the rest is made again.
pub(super) fn leave(code: u8) -> ! {
    exit_now(code)
}

impl Drop for Signals {
    fn drop(&mut self) {
        end(&mut self.end, &mut self.thread);
    }
}

fn end(sender: &mut Option<oneshot::Sender<()>>, thread: &mut Option<JoinHandle<()>>) {
    if let Some(end) = sender.take() {
        // The thread may have given up already.
        end.send(()).unwrap_or_default();
    }
    if let Some(thread) = thread.take() {
        drop(thread.join());
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
