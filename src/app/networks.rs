//! The networks themselves, through libtorch: what one is made of, whether they compute what their references do, their weights written.

use std::collections::BTreeMap;
use std::path::Path;

use super::models::{row, sized};
use super::replace::Output;
use super::{Error, ExportForm};
use crate::report::{CheckRow, LayerRow, ModelSheet, StartedModel};
use crate::train;
use crate::weights::layout::Role;
use crate::zoo::census::{Census, census};
use crate::zoo::check::{self, Folder, Verdict};
use crate::zoo::export::{self, ExportError};
use crate::zoo::spec::{NetworkSpec, SpecTable};
use crate::zoo::start;

/// What the network called `name` is made of, with the shapes that belong to an image of `side` x `side` pixels.
///
/// # Errors
/// When there is no such network.
pub fn show_model(name: &str, side: u32) -> Result<ModelSheet, Error> {
    let spec = sized(&named(name)?)?;
    let taken = census(&spec).map_err(|e| Error::Usage(e.to_string()))?;
    Ok(ModelSheet { row: row(&spec), side, layers: layers(&taken, side) })
}

/// Loads the weights file `from` into the network called `name` and writes them to the safetensors file `to`. Returns the network.
///
/// # Errors
/// When there is no such network, the file does not fit it, or `to` may not or cannot be written.
pub fn export_model(name: &str, from: &Path, form: ExportForm, to: &Output) -> Result<NetworkSpec, Error> {
    named(name)?;
    let to = to.safetensors(&[from])?;
    let exported = match form {
        ExportForm::Plain => export::plain(name, from, to),
        ExportForm::Folded => export::folded(name, from, to),
    };
    exported.map_err(failed)
}

/// Writes to the safetensors file `to` what training the network called `name` for `classes` classes starts from: the weights file `from`,
/// of other classes or of the backbone alone, and seeded values for what that does not give.
///
/// # Errors
/// When there is no such network, the file is neither, or `to` may not or cannot be written.
pub fn start_model(name: &str, classes: u32, from: &Path, seed: u64, to: &Output) -> Result<StartedModel, Error> {
    named(name)?;
    let started = start::without_classifier(name, classes, from, seed, to.safetensors(&[from])?).map_err(failed)?;
    Ok(StartedModel {
        path: to.path.display().to_string(),
        network: started.spec.to_string(),
        classes,
        bands: started.spec.bands,
        taken: started.taken,
        fresh: started.fresh,
    })
}

fn named(name: &str) -> Result<SpecTable, Error> {
    SpecTable::named(name).map_err(|e| Error::Usage(e.to_string()))
}

fn failed(error: ExportError) -> Error {
    match error {
        ExportError::Weights(e) => e.into(),
        ExportError::Spec(_) | ExportError::Unknown(_) => Error::Usage(error.to_string()),
    }
}

/// The layers in the order in which they run, then those that do not.
fn layers(taken: &Census, side: u32) -> Vec<LayerRow> {
    let mut tensors: BTreeMap<&str, Vec<(String, Vec<usize>)>> = BTreeMap::new();
    let mut unused: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, declared) in &taken.layout.tensors {
        let (prefix, last) = name.rsplit_once('.').unwrap_or(("", name));
        tensors.entry(prefix).or_default().push((last.to_owned(), declared.shape.clone()));
        unused.insert(prefix, declared.role == Role::Unused);
    }
    let mut rows: Vec<LayerRow> = Vec::new();
    for operation in taken.operations() {
        let (name, macs) = (operation.name.clone(), operation.macs(side));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, rounded")]
        let macs = macs.round() as u64;
        let tensors = tensors.remove(name.as_str()).unwrap_or_default();
        rows.push(LayerRow { name, tensors, output: Some(operation.shape(side)), macs, unused: false });
    }
    rows.extend(tensors.into_iter().map(|(name, tensors)| LayerRow {
        unused: unused.get(name).copied().unwrap_or_default(),
        name: name.to_owned(),
        tensors,
        output: None,
        macs: 0,
    }));
    rows
}

/// Compares the networks of a folder of fixtures, and what trains them, with their references; `each` takes each outcome as it comes. With `trace`, a network
/// that differs is compared layer by layer. `names`: which fixtures; none for all. Returns whether all passed.
///
/// # Errors
/// When the folder or a named fixture is not there.
pub fn check_models(dir: &Path, names: &[String], trace: bool, mut each: impl FnMut(&CheckRow)) -> Result<bool, Error> {
    let folder = check::open(dir).map_err(|e| Error::Usage(e.to_string()))?;
    let known = folder.names();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(Error::Usage(format!("`{}` has no fixture `{name}`", dir.display())));
    }
    let chosen = if names.is_empty() { &known } else { names };
    let mut all = true;
    for name in chosen {
        let verdict = match check::check(&folder, name) {
            Verdict::Skipped(kind) => train::check::check(&folder, name, kind),
            verdict @ (Verdict::Compared { .. } | Verdict::Exact(_) | Verdict::Failed(_)) => verdict,
        };
        all &= verdict.passes();
        each(&outcome(&folder, name, verdict, trace));
    }
    Ok(all)
}

fn outcome(folder: &Folder, name: &str, verdict: Verdict, trace: bool) -> CheckRow {
    let mut row = CheckRow {
        name: name.to_owned(),
        error: None,
        folded_error: None,
        outcome: if verdict.passes() { "pass" } else { "fail" },
        note: String::new(),
    };
    match verdict {
        Verdict::Compared { plain, inference } => {
            (row.error, row.folded_error) = (Some(plain.error), inference.as_ref().map(|worst| worst.error));
            row.note = inference.filter(|worst| worst.error > plain.error).unwrap_or(plain).at;
        }
        Verdict::Failed(reason) => row.note = reason,
        Verdict::Exact(n) => row.note = format!("{n} weights files, bit for bit"),
        Verdict::Skipped(kind) => (row.note, row.outcome) = (format!("unknown kind: {kind}"), "skipped"),
    }
    if trace && row.outcome == "fail" {
        row.note += &match check::first_divergence(folder, name) {
            Ok(Some(d)) => {
                format!("\n  first at {} ({})\n    expected {}\n    found    {}", d.layer, d.kind, d.expected, d.found)
            }
            Ok(None) => "\n  no layer with weights differs".to_owned(),
            Err(reason) => format!("\n  no layer by layer comparison: {reason}"),
        };
    }
    row
}
