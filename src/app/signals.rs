//! Ctrl-C and its relatives end a run in order; a second one ends it at once. The parent of a run only passes them on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
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

/// Watches for signals until dropped.
#[derive(Debug)]
pub(super) struct Signals {
    caught: Arc<AtomicI32>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Signals {
    /// On the first signal lets nothing more in, and trips `stop` if what is under way has not ended after `grace`; a second signal ends
    /// the process. From the return on no signal is missed.
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

/// Passes signals on to a child until dropped.
#[derive(Debug)]
pub(super) struct Forwarding {
    came: Arc<AtomicBool>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarding {
    /// From the return on every signal goes to the process `pid`.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub(super) fn to(pid: u32) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let came = Arc::new(AtomicBool::new(false));
        let (end, mut ended) = oneshot::channel();
        let mut streams = Streams::open(&runtime)?;
        let seen = Arc::clone(&came);
        let forward = async move {
            loop {
                let signal = tokio::select! {
                    signal = streams.next() => signal,
                    _ = &mut ended => return,
                };
                seen.store(true, Ordering::Release);
                process::pass_on(signal.number(), pid);
            }
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(forward))?;
        Ok(Self { came, end: Some(end), thread: Some(thread) })
    }

    /// Stops; says whether a signal has come.
    pub(super) fn end(self) -> bool {
        self.came.load(Ordering::Acquire)
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
    let mut first: Option<Instant> = None;
    let mut tripped = false;
    loop {
        let patience = first.map_or(grace, |first| grace.saturating_sub(first.elapsed()));
        let came = tokio::select! {
            came = streams.next() => came,
            _ = &mut ended => return,
            () = tokio::time::sleep(patience), if first.is_some() && !tripped => {
                stop.trip();
                tripped = true;
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
