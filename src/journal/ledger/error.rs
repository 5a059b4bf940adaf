//! Why records cannot be published or read.

use super::store::StoreError;

/// Why records cannot be published or read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory belongs to another plan.
    #[error(
        "`{folder}` holds records of plan {found}, and this is plan {expected}; give each plan a run directory of its own, or, if the \
         other plan is done with, move its records away"
    )]
    OtherPlan {
        /// The attempt's folder.
        folder: String,
        /// SHA-256 of its plan, or its first digits where no more is legible.
        found: String,
        /// SHA-256 of the plan at hand.
        expected: String,
    },
    /// It is whole, and of a form that this version does not know.
    #[error("`{file}` is unreadable: {reason}; run all hosts and the merge with one version of swath")]
    Format {
        /// The file.
        file: String,
        /// What was found.
        reason: String,
    },
    /// It was told before why.
    #[error("no records can be published in `{folder}` any more: an earlier one could not be written")]
    Stopped {
        /// The attempt's folder.
        folder: String,
    },
    /// The system starts no thread.
    #[error("cannot start the thread that publishes records")]
    Thread(#[source] std::io::Error),
}
