//! What is wrong with a file, as long as its name is not at hand.

use std::io;
use std::path::Path;

use super::{Format, WeightsError};

/// Longest piece of a file's own text that a message repeats, in characters.
const MAX_QUOTED: usize = 120;

/// Why a file or a part of it cannot be read.
#[derive(Debug)]
pub(super) enum Flaw {
    /// The system refused.
    Read(io::Error),
    /// The file is damaged.
    Broken(String),
    /// The file may be sound, but there are no weights to be had from it; says what to do.
    Unusable(String),
}

impl Flaw {
    /// The file is damaged in this way.
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self::Broken(reason.into())
    }

    /// Nothing can be done with the file for this reason.
    pub(super) fn unusable(reason: impl Into<String>) -> Self {
        Self::Unusable(reason.into())
    }

    /// A PyTorch checkpoint of another byte order.
    pub(super) fn big_endian() -> Self {
        Self::unusable(
            "it was written on a big-endian machine: load it there in PyTorch and save it as safetensors (safetensors.torch.save_file)",
        )
    }

    /// Says which part of the file it is.
    pub(super) fn within(self, part: &str) -> Self {
        match self {
            Self::Read(error) if error.kind() != io::ErrorKind::UnexpectedEof => Self::Read(error),
            Self::Read(_) => Self::Broken(format!("{part} ends too early")),
            Self::Broken(reason) => Self::Broken(format!("{part}: {reason}")),
            Self::Unusable(reason) => Self::Unusable(format!("{part}: {reason}")),
        }
    }

    /// The error of `path`.
    pub(super) fn of(self, path: &Path, format: Format) -> WeightsError {
        let path = path.to_owned();
        match self {
            Self::Read(source) => WeightsError::Io { operation: "read", path, source },
            Self::Broken(reason) => WeightsError::Broken { path, format, reason },
            Self::Unusable(reason) => WeightsError::Unusable { path, reason },
        }
    }
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::UnexpectedEof {
            return Self::broken("it ends too early");
        }
        // What the decoders of zip entries say of damaged ones.
        let is_damage = [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput].contains(&kind);
        if is_damage { Self::broken(error.to_string()) } else { Self::Read(error) }
    }
}

/// A name or key from a file as messages show it: between backquotes, not too long, without control characters.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(MAX_QUOTED).map(|c| if c.is_control() { '?' } else { c }).collect();
    let cut = if text.chars().nth(MAX_QUOTED).is_some() { "..." } else { "" };
    format!("`{shown}{cut}`")
}
