//! What a file of weights says of itself before its values are read.

use std::collections::{BTreeMap, BTreeSet};

use super::fit::Mismatch;
use super::notes::Note;
use super::tensor::FileTensor;

/// What a file says of its weights: texts by key, as safetensors files have them under `__metadata__`.
pub type Metadata = BTreeMap<String, String>;

/// The key under which a file says that its tensors have another form than those of the network it was trained as.
pub const FORM_KEY: &str = "swath.form";

/// A table of contents, and what stands beside it.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) tensors: Vec<FileTensor>,
    pub(super) duplicates: Vec<Mismatch>,
    pub(super) notes: Vec<Note>,
    pub(super) metadata: Metadata,
}

impl Listing {
    /// The table of contents of a file without metadata.
    pub(super) fn new(tensors: Vec<FileTensor>, notes: Vec<Note>) -> Self {
        let duplicates = duplicates(tensors.iter().map(|tensor| tensor.name.as_str()));
        Self { tensors, duplicates, notes, metadata: Metadata::new() }
    }
}

/// The names that stand more than once.
pub(super) fn duplicates<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Mismatch> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> = names.filter(|name| !seen.insert(*name)).collect();
    twice.into_iter().map(|name| Mismatch::Duplicate { name: name.to_owned() }).collect()
}
