//! What a build without libtorch says to commands that need networks. Names that no network has are refused as everywhere.

use std::path::{Path, PathBuf};

use crate::app::{Amount, DriftRequest, Error, ExportForm, FoldsTrained, Output, TrainRequest, Trained};
use crate::report::{CheckRow, CompressedFiles, ModelSheet, StartedModel};
use crate::zoo::spec::{NetworkSpec, SpecTable};

fn refused<T>(name: Option<&str>) -> Result<T, Error> {
    let unknown = name.and_then(|name| SpecTable::named(name).err());
    let missing = "this build of swath has no libtorch, which this command needs; build it with the feature `torch`";
    Err(Error::Usage(unknown.map_or_else(|| missing.to_owned(), |unknown| unknown.to_string())))
}

pub(super) fn show_model(name: &str, _: u32) -> Result<ModelSheet, Error> {
    refused(Some(name))
}

pub(super) fn export_model(name: &str, _: &Path, _: ExportForm, _: &Output) -> Result<NetworkSpec, Error> {
    refused(Some(name))
}

pub(super) fn start_model(name: &str, _: u32, _: &Path, _: u64, _: &Output) -> Result<StartedModel, Error> {
    refused(Some(name))
}

pub(super) fn check_models(_: &Path, _: &[String], _: bool, _: impl FnMut(&CheckRow)) -> Result<bool, Error> {
    refused(None)
}

pub(super) fn compress_measured(
    _: &[PathBuf],
    _: Amount,
    _: &Output,
    _: &DriftRequest,
) -> Result<CompressedFiles, Error> {
    refused(None)
}

pub(super) fn train(_: &TrainRequest) -> Result<Trained, Error> {
    refused(None)
}

pub(super) fn train_folds(_: &TrainRequest, _: u32) -> Result<FoldsTrained, Error> {
    refused(None)
}
