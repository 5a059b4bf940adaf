//! Why there are no scores.

use std::path::PathBuf;

use super::confusion::MAX_VALUES;

/// Why masks cannot be compared with their truth.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Rows of two extents.
    #[error("{mask} mask values cannot be compared with {truth} of the truth")]
    Length {
        /// Values of the truth.
        truth: usize,
        /// Values of the mask.
        mask: usize,
    },
    /// Photographs, by the look of it.
    #[error("the files hold more than {MAX_VALUES} different values: they are not class masks")]
    TooManyValues,
    /// A folder cannot be listed.
    #[error("cannot list `{}`", path.display())]
    List {
        /// The folder, or what lies in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: walkdir::Error,
    },
    /// No name occurs on both sides.
    #[error(
        "no file of `{}` ({}) has the name of one of `{}` ({}); masks and truth (.png, .tif or .tiff) pair by relative path, extensions \
         aside",
        masks.display(),
        files(*n_masks),
        truth.display(),
        files(*n_truth)
    )]
    NoPair {
        /// The masks.
        masks: PathBuf,
        /// How many there are.
        n_masks: usize,
        /// The truth.
        truth: PathBuf,
        /// How many there are.
        n_truth: usize,
    },
    /// There are pairs, but none can be compared.
    #[error("{}: `{name}`: {cause}", none_of(*n))]
    NoComparison {
        /// How many pairs there are.
        n: usize,
        /// The first one's name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
}

fn files(n: usize) -> String {
    if n == 1 { "1 file".to_owned() } else { format!("{n} files") }
}

fn none_of(n: usize) -> String {
    match n {
        1 => "the only pair cannot be compared".to_owned(),
        n => format!("none of the {n} pairs can be compared; the first"),
    }
}
