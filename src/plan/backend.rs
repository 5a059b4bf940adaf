//! What runs the networks.

use serde::{Deserialize, Serialize};

/// Which implementation of the networks runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// libtorch.
    Torch,
    /// A deterministic stand-in without libtorch, for tests and for measuring everything but the networks.
    Fake,
    /// Nothing at all: planes of patches, to measure what feeds a device. No command but `bench` takes it.
    Null,
}

impl BackendKind {
    /// Those that a person can name.
    pub const NAMED: [(&'static str, Self); 2] = [("torch", Self::Torch), ("fake", Self::Fake)];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::Fake => "fake",
            Self::Null => "null",
        }
    }
}
