//! Runs a command and stops at its n-th call that changes the file system, counted over all its threads and processes: to kill it
//! there, to make the call fail, or to let it do only a part.
#![cfg(all(feature = "gdal", target_os = "linux", target_arch = "x86_64"))]
#![expect(clippy::wildcard_enum_match_arm, reason = "of all that can happen to a process a few things matter here")]

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What happens at the n-th call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Nothing: calls are counted.
    Count,
    /// The process that is about to make the call is killed before it does; with `all`, the first process as well.
    Kill { at: usize, all: bool },
    /// The call fails, and with `for_ever` every later one too.
    Fail { at: usize, error: Errno, for_ever: bool },
    /// The call takes half of the bytes that it is given, if it writes, and with `for_ever` every later one too.
    Short { at: usize, for_ever: bool },
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Traced {
    /// Calls seen.
    pub(crate) calls: usize,
    /// The exit code, if it exited.
    pub(crate) code: Option<i32>,
    /// What it said on standard error.
    pub(crate) stderr: String,
}

/// Calls that create, write, sync, rename or remove, by number (x86-64).
const WRITING: [u64; 22] = [
    1,   // write
    18,  // pwrite64
    20,  // writev
    74,  // fsync
    75,  // fdatasync
    76,  // truncate
    77,  // ftruncate
    82,  // rename
    83,  // mkdir
    84,  // rmdir
    85,  // creat
    86,  // link
    87,  // unlink
    88,  // symlink
    258, // mkdirat
    263, // unlinkat
    264, // renameat
    265, // linkat
    277, // sync_file_range
    285, // fallocate
    296, // pwritev
    316, // renameat2
];
const WRITE: u64 = 1;
const PWRITE: u64 = 18;
const OPEN: u64 = 2;
const OPENAT: u64 = 257;
/// O_WRONLY, O_RDWR, O_CREAT.
const OPEN_TO_WRITE: u64 = 0o1 | 0o2 | 0o100;

/// Runs `program` with these arguments in a folder, under the eyes of `action`.
pub(crate) fn trace(command: &mut Command, action: Action) -> Traced {
    let arguments: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect();
    // A shell stops itself, is seized, and becomes the program: so nothing of it is missed and no unsafe fork is needed.
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).args(arguments);
    let mut said = tempfile::tempfile().unwrap();
    shell.stdout(std::process::Stdio::null()).stderr(said.try_clone().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    let child = Pid::from_raw(i32::try_from(shell.spawn().unwrap().id()).unwrap());
    waitpid(child, Some(WaitPidFlag::WUNTRACED)).unwrap();
    let follow = Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(child, follow).unwrap();
    kill(child, Signal::SIGCONT).unwrap();
    let (calls, code) = Tracer { action, calls: 0, entered: HashMap::new(), root: child, killed: false }.run();
    let mut stderr = String::new();
    said.rewind().unwrap();
    said.read_to_string(&mut stderr).unwrap();
    Traced { calls, code, stderr }
}

/// What a call that was tampered with is to look like.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// As it went.
    AsIs,
    /// Like this error.
    Error(Errno),
    /// As if it had been asked for so many bytes: a caller relies on its registers.
    Asked(u64),
}

struct Tracer {
    action: Action,
    calls: usize,
    /// Threads inside a call, and what is to be done on the way out.
    entered: HashMap<Pid, Outcome>,
    root: Pid,
    killed: bool,
}

impl Tracer {
    fn run(mut self) -> (usize, Option<i32>) {
        let mut code = None;
        loop {
            // Only what this thread traces: other tests have children of their own.
            let status = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return (self.calls, code),
                Err(e) => panic!("{e}"),
            };
            match status {
                WaitStatus::Exited(pid, exit) if pid == self.root => code = Some(exit),
                WaitStatus::PtraceSyscall(pid) => {
                    self.call(pid);
                    resume(pid, None);
                }
                WaitStatus::Stopped(pid, signal) => {
                    // New threads start with a stop of their own, and the first continue is ours.
                    let own = matches!(signal, Signal::SIGSTOP | Signal::SIGCONT | Signal::SIGTRAP);
                    resume(pid, (!own).then_some(signal));
                }
                WaitStatus::PtraceEvent(pid, _, _) => resume(pid, None),
                _ => {}
            }
        }
    }

    fn call(&mut self, pid: Pid) {
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        if let Some(outcome) = self.entered.remove(&pid) {
            match outcome {
                Outcome::AsIs => return,
                Outcome::Error(error) => registers.rax = (-i64::from(error as i32)).cast_unsigned(),
                Outcome::Asked(bytes) => registers.rdx = bytes,
            }
            ptrace::setregs(pid, registers).unwrap_or_default();
            return;
        }
        let opens = match registers.orig_rax {
            OPEN => registers.rsi & OPEN_TO_WRITE != 0,
            OPENAT => registers.rdx & OPEN_TO_WRITE != 0,
            _ => false,
        };
        // What goes to the terminal changes no file.
        let to_terminal = matches!(registers.orig_rax, 1 | 20) && registers.rdi <= 2;
        let counts = (opens || WRITING.contains(&registers.orig_rax)) && !to_terminal && !is_elsewhere(pid, &registers);
        self.calls += usize::from(counts && !self.killed);
        let is_meant = |at: usize, for_ever: bool| counts && (self.calls == at || (for_ever && self.calls > at));
        let outcome = match self.action {
            Action::Kill { at, all } if counts && self.calls == at && !self.killed => {
                self.killed = true;
                kill(process_of(pid), Signal::SIGKILL).unwrap();
                if all {
                    kill(self.root, Signal::SIGKILL).unwrap_or_default();
                }
                Outcome::AsIs
            }
            Action::Fail { at, error, for_ever } if is_meant(at, for_ever) => {
                // No such call: the kernel does nothing, and on the way out the answer is replaced.
                registers.orig_rax = u64::MAX;
                Outcome::Error(error)
            }
            Action::Short { at, for_ever }
                if is_meant(at, for_ever) && matches!(registers.orig_rax, WRITE | PWRITE) =>
            {
                let asked = registers.rdx;
                registers.rdx = asked.div_ceil(2);
                Outcome::Asked(asked)
            }
            Action::Count | Action::Kill { .. } | Action::Fail { .. } | Action::Short { .. } => Outcome::AsIs,
        };
        if !matches!(outcome, Outcome::AsIs) {
            ptrace::setregs(pid, registers).unwrap_or_default();
        }
        self.entered.insert(pid, outcome);
    }
}

/// Whether a call is about what is in no file system: a file in memory, a socket, what wakes another thread.
fn is_elsewhere(pid: Pid, registers: &nix::libc::user_regs_struct) -> bool {
    let by_descriptor = [1, 18, 20, 74, 75, 77, 285, 296].contains(&registers.orig_rax);
    let link = format!("/proc/{pid}/fd/{}", registers.rdi);
    let is_file = |path: &str| path.starts_with('/') && !path.starts_with("/memfd:");
    by_descriptor && std::fs::read_link(link).is_ok_and(|path| !is_file(&path.to_string_lossy()))
}

/// The process that a thread belongs to.
fn process_of(thread: Pid) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let tgid = status.lines().find_map(|line| line.strip_prefix("Tgid:")).unwrap();
    Pid::from_raw(tgid.trim().parse().unwrap())
}

/// Lets a thread go on to its next call. One that is gone needs no more.
fn resume(pid: Pid, signal: Option<Signal>) {
    ptrace::syscall(pid, signal).unwrap_or_default();
}
