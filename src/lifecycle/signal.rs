//! The signals that end a command, and its end.

use serde::{Deserialize, Serialize};

use crate::exit::ExitCode;
use crate::process::exit_now;

/// A signal that ends a command.
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
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::HangUp => ExitCode::HangUp,
            Self::Interrupt => ExitCode::Interrupt,
            Self::Terminate => ExitCode::Terminate,
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

/// Ends the process now, whatever its threads are doing. What is recorded holds; the rest is made again.
pub(super) fn leave(code: ExitCode) -> ! {
    exit_now(code.into())
}
