//! Why a command could not begin, or not go on, whatever it works on.

use std::path::PathBuf;

use crate::atomic::WriteError;
use crate::flow::Stall;

/// What is wrong with the life of a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another command is at work in the directory.
    #[error(
        "`{}` is in use by {holder}; wait for it, or, if that host is gone, add --break-lock",
        dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who.
        holder: String,
    },
    /// The system refused something at the start.
    #[error("cannot {operation}")]
    System {
        /// The operation.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The worker died too often.
    #[error(
        "the run {how}, {times} times in a row without finishing anything; what is done is kept. Memory and devices are the likely \
         causes: try a smaller --memory, fewer --devices, or --no-supervise to see it happen"
    )]
    Died {
        /// How often.
        times: usize,
        /// How it ended the last time.
        how: String,
    },
    /// Nothing moved any more.
    #[error("{what} for {seconds} s (--stall-timeout); the same command goes on from here")]
    Stalled {
        /// Who did not move.
        what: String,
        /// For how long.
        seconds: u64,
    },
}

impl From<&Stall> for Error {
    fn from(stall: &Stall) -> Self {
        let what = match &stall.stage {
            Some(stage) => format!("the stage `{stage}` has not come back from one item"),
            None => "every stage waits for another one".to_owned(),
        };
        Self::Stalled { what, seconds: stall.quiet.as_secs() }
    }
}

/// The system refuses to do this.
pub(super) fn refused(operation: &'static str) -> impl Fn(std::io::Error) -> Error + Copy {
    move |source| Error::System { operation, source }
}
