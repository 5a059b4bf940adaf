//! Why weights could not be read, set or written.

use std::io;
use std::path::{Path, PathBuf};

use super::fit::Unfit;
use super::format::Format;
use crate::atomic::WriteError;

/// Why weights could not be read, set or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The system refused.
    #[error("cannot {operation} the weights `{}`", path.display())]
    Io {
        /// What failed, as a verb: "open", "read".
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("`{}` is not a whole {format} file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it is otherwise.
        format: &'static str,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The file is of no format that is known here.
    #[error(
        "`{}` is neither a safetensors file nor a PyTorch checkpoint (torch.save) nor an swz file nor a Huffman directory: name one of these",
        path.display()
    )]
    UnknownFormat {
        /// The file or directory.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("`{}` is no sound {format}: {reason}; copy or download it again", path.display())]
    Broken {
        /// The file or directory.
        path: PathBuf,
        /// What it is otherwise.
        format: Format,
        /// What is wrong with it.
        reason: String,
    },
    /// The file may be sound, but no weights can be read from it.
    #[error("no weights can be read from `{}`: {reason}", path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// What is in the way, and what to do.
        reason: String,
    },
    /// The file belongs to another network.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A tensor cannot be compressed so.
    #[error("cannot compress the tensor `{name}`: {reason}")]
    Unsuitable {
        /// The tensor.
        name: String,
        /// Why not.
        reason: String,
    },
    /// No coding makes the files so small.
    #[error("the weights cannot be compressed to {budget} bytes: {least} is the least")]
    Budget {
        /// What was asked for.
        budget: u64,
        /// The smallest size that every choice together can reach.
        least: u64,
    },
    /// The file is not the one that the pipeline means.
    #[error(
        "`{}` has the SHA-256 {found}, the pipeline says {expected}: fetch the file again, or correct the pipeline if it was meant to change",
        path.display()
    )]
    OtherDigest {
        /// The file.
        path: PathBuf,
        /// The digest that was named.
        expected: String,
        /// That of the content.
        found: String,
    },
    /// The file is not the one that was planned with.
    #[error(
        "`{}` has the SHA-256 {found}, and {expected} is what {}; that is forgotten: run the same command again, which hashes it anew",
        path.display(),
        known_by()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The digest that was taken for its own.
        expected: String,
        /// That of the content.
        found: String,
    },
    /// libtorch refused to copy a tensor.
    #[error("cannot copy the tensor `{name}`: {message}")]
    Copy {
        /// The variable's name.
        name: String,
        /// First line of what libtorch said.
        message: String,
    },
    /// The file could not be written.
    #[error("cannot save the weights")]
    Write(#[from] WriteError),
}

impl WeightsError {
    /// The file at `path` has another digest than it should.
    pub(crate) fn other_digest(path: &Path, expected: &str, found: &str) -> Self {
        Self::OtherDigest { path: path.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
    }

    /// A closure that wraps an I/O error of `path`.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

/// Where a digest was taken from that was wrong.
fn known_by() -> String {
    super::digest::known().path().map_or_else(
        || "it was when the run was planned".to_owned(),
        |cache| format!("`{}` or the plan has for it", cache.display()),
    )
}
