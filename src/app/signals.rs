//! Ctrl-C and its relatives end a run in order; a second one ends it at once. The parent of a run only passes them on.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::flow::Stop;
use crate::process;
use crate::report::eprint_line;

/// A signal that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Its number.
    const fn number(self) -> i32 {
        self.exit_code() as i32 - 128
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

/// What comes within this time of a signal is the same one again: a terminal or a batch system has sent it to every process, and the
/// parent has passed it on as well.
const SAME: Duration = Duration::from_millis(500);

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
    /// On the first signal lets nothing more in, and trips `stop` if what is under way has not ended after `grace`; if that does not help
    /// either, or on a second signal, ends the process. From the return on no signal is missed.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub(super) fn watch(stop: Stop, grace: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let caught = Arc::new(AtomicI32::new(NONE));
        let (end, ended) = oneshot::channel();
        let seen = Arc::clone(&caught);
        let streams = Streams::open(&runtime)?;
        let body = move || runtime.block_on(listen(streams, stop, grace, &seen, ended));
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
    child: Option<u32>,
    caught: Option<Signal>,
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
                line.caught = Some(signal);
                if let Some(pid) = line.child {
                    process::pass_on(signal.number(), pid);
                }
            }
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(forward))?;
        Ok(Self { line, end: Some(end), thread: Some(thread) })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes goes to this process, and what came while there was none.
    pub(super) fn to(&self, pid: u32) {
        let mut line = self.line();
        line.child = Some(pid);
        if let Some(signal) = line.caught {
            process::pass_on(signal.number(), pid);
        }
    }

    /// That process is gone, and its number may be another's. Says which signal came last, if one did.
    pub(super) fn to_nobody(&self) -> Option<Signal> {
        let mut line = self.line();
        line.child = None;
        line.caught
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

async fn listen(
    mut streams: Streams,
    stop: Stop,
    grace: Duration,
    caught: &AtomicI32,
    mut ended: oneshot::Receiver<()>,
) {
    let (mut first, mut tripped): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let left = |since: Option<Instant>, of: Duration| since.map_or(of, |since| of.saturating_sub(since.elapsed()));
        let patience = if tripped.is_some() { left(tripped, LEAVE_WITHIN) } else { left(first, grace) };
        let came = tokio::select! {
            came = streams.next() => came,
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
        match first {
            Some(first) if first.elapsed() < SAME => continue,
            Some(_) => leave(came.exit_code()),
            None => first = Some(Instant::now()),
        }
        caught.store(i32::from(came.exit_code()), Ordering::Release);
        stop.drain();
        eprint_line(&format!(
            "{came}: finishing what is under way, {} s at most; once more ends it at once",
            grace.as_secs()
        ));
    }
}

/// Ends the process now, whatever its threads are doing. What is recorded holds; the rest is made again.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a second signal means now, and a worker that does not come back cannot be joined"
)]
pub(super) fn leave(code: u8) -> ! {
    let at_last = || {
        std::thread::sleep(LEAVE_WITHIN);
        process::end_itself();
    };
    // Libraries tidy up on the way out, and one whose thread is stuck may wait for it for ever.
    drop(std::thread::Builder::new().name("leave".into()).spawn(at_last));
    std::process::exit(i32::from(code))
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
