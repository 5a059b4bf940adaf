//! What was done to a file's tensors before they were listed, in words for its owner.

use std::fmt;

/// Names that one note spells out.
const NAMES_SHOWN: usize = 8;

/// Something about a file that its owner should know: what was unwrapped, renamed or left out. Shown by [`Display`](fmt::Display).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The tensors were found below this key of the checkpoint.
    Unwrapped {
        /// The key, or several joined by `/`.
        key: String,
    },
    /// The tensors are an average over the training's steps.
    AverageTaken {
        /// The average's key.
        key: String,
    },
    /// An average over the training's steps is there too, and was not taken.
    AverageLeft {
        /// The average's key.
        key: String,
    },
    /// This prefix was cut from all names.
    Stripped {
        /// The prefix with its dot.
        prefix: String,
    },
    /// These entries are no weights of a network and were left out.
    Ignored {
        /// Each entry's name and what it is.
        entries: Vec<String>,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwrapped { key } => write!(f, "the tensors were found under `{key}`"),
            Self::AverageTaken { key } => write!(f, "`{key}` was taken: averaged weights"),
            Self::AverageLeft { key } => write!(f, "`{key}` holds averaged weights, which were not asked for"),
            Self::Stripped { prefix } => write!(f, "`{prefix}` was cut from the names"),
            Self::Ignored { entries } => {
                write!(f, "ignored: {}", entries[..entries.len().min(NAMES_SHOWN)].join(", "))?;
                match entries.len().saturating_sub(NAMES_SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        let note = |n: usize| Note::Ignored { entries: (0..n).map(|i| i.to_string()).collect() }.to_string();
        assert_eq!(note(2), "ignored: 0, 1");
        assert_eq!(note(10), "ignored: 0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
