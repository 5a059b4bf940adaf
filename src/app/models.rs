//! `swath models`: which networks there are, what one is made of, and whether they compute what their references do.

use super::Error;
use crate::report::{ModelList, ModelRow, ModelSheet, PresetRow};
use crate::zoo::spec::{ARCHITECTURES, Architecture, Network, NetworkSpec, SpecTable, presets};

#[cfg(feature = "torch")]
pub use with_torch::check_models;
#[cfg(feature = "torch")]
use with_torch::sheet;
#[cfg(not(feature = "torch"))]
pub use without_torch::check_models;
#[cfg(not(feature = "torch"))]
use without_torch::sheet;

/// Bands and classes that sizes are told for.
const BANDS: u32 = 3;
const CLASSES: u32 = 15;

/// Every network on every backbone.
pub fn list_models() -> ModelList {
    let real = ARCHITECTURES.iter().filter(|a| a.is_known());
    let networks = real.flat_map(specs).map(|spec| row(&spec)).collect();
    let describe = |p: crate::zoo::spec::Preset| PresetRow {
        name: p.name.to_owned(),
        network: sized(&p.table).map(|s| s.to_string()).unwrap_or_default(),
        about: p.about.to_owned(),
    };
    ModelList { networks, presets: presets().into_iter().map(describe).collect() }
}

/// What the network called `name` is made of, with the shapes that belong to an image of `side` x `side` pixels.
///
/// # Errors
/// When there is no such network, or this build has none.
pub fn show_model(name: &str, side: u32) -> Result<ModelSheet, Error> {
    let table = SpecTable::named(name).map_err(|e| Error::Usage(e.to_string()))?;
    sheet(&sized(&table)?, side)
}

/// The networks of an architecture at its default stride.
fn specs(a: &'static Architecture) -> Vec<NetworkSpec> {
    let of = |backbone| {
        let table = SpecTable { variant: Some(a.variant), backbone, ..SpecTable::new(a.network) };
        sized(&table).ok()
    };
    match a.backbones {
        [] => of(None).into_iter().collect(),
        list => list.iter().filter_map(|&b| of(Some(b))).collect(),
    }
}

fn sized(table: &SpecTable) -> Result<NetworkSpec, Error> {
    let classes = (table.network != Network::Backbone).then_some(CLASSES);
    table.resolve(BANDS, classes).map_err(|e| Error::Usage(e.to_string()))
}

fn row(spec: &NetworkSpec) -> ModelRow {
    let [macs_512, macs_1024] = spec.macs();
    ModelRow {
        name: spec.to_string(),
        parameters: spec.parameters(),
        macs_512,
        macs_1024,
        output_stride: spec.output_stride,
        logit_stride: spec.logit_stride(),
        multiple: spec.size_rule().multiple,
        source: spec.architecture().source.to_owned(),
    }
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::{Error, NetworkSpec, row};
    use crate::report::{CheckRow, LayerRow, ModelSheet};
    use crate::weights::layout::Role;
    use crate::zoo::census::{Census, census};
    use crate::zoo::check::{self, Folder, Verdict};

    pub(super) fn sheet(spec: &NetworkSpec, side: u32) -> Result<ModelSheet, Error> {
        let taken = census(spec).map_err(|e| Error::Usage(e.to_string()))?;
        Ok(ModelSheet { row: row(spec), side, layers: layers(&taken, side) })
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

    /// Compares the networks of a folder of fixtures with their references; `each` takes each outcome as it comes. With `trace`, a network
    /// that differs is compared layer by layer. `names`: which fixtures; none for all. Returns whether all passed.
    ///
    /// # Errors
    /// When the folder or a named fixture is not there.
    pub fn check_models(
        dir: &Path,
        names: &[String],
        trace: bool,
        mut each: impl FnMut(&CheckRow),
    ) -> Result<bool, Error> {
        let folder = check::open(dir).map_err(|e| Error::Usage(e.to_string()))?;
        let known = folder.names();
        if let Some(name) = names.iter().find(|name| !known.contains(name)) {
            return Err(Error::Usage(format!("`{}` has no fixture `{name}`", dir.display())));
        }
        let chosen = if names.is_empty() { &known } else { names };
        let mut all = true;
        for name in chosen {
            let verdict = check::check(&folder, name);
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
                (row.error, row.folded_error) = (Some(plain.error), Some(inference.error));
                row.note = if inference.error > plain.error { inference.at } else { plain.at };
            }
            Verdict::Failed(reason) => row.note = reason,
            Verdict::Exact(n) => row.note = format!("{n} weights files, bit for bit"),
            Verdict::Skipped(kind) => (row.note, row.outcome) = (format!("no network: {kind}"), "skipped"),
        }
        if trace && row.outcome == "fail" {
            row.note += &match check::first_divergence(folder, name) {
                Ok(Some(d)) => {
                    format!(
                        "\n  first at {} ({})\n    expected {}\n    found    {}",
                        d.layer, d.kind, d.expected, d.found
                    )
                }
                Ok(None) => "\n  no layer with weights differs".to_owned(),
                Err(reason) => format!("\n  no layer by layer comparison: {reason}"),
            };
        }
        row
    }
}

#[cfg(not(feature = "torch"))]
mod without_torch {
    use std::path::Path;

    use super::{Error, NetworkSpec};
    use crate::report::{CheckRow, ModelSheet};

    fn refusal() -> Error {
        Error::Usage("this build has no networks: build with the feature `torch`".to_owned())
    }

    pub(super) fn sheet(_: &NetworkSpec, _: u32) -> Result<ModelSheet, Error> {
        Err(refusal())
    }

    /// Compares the networks of a folder of fixtures with their references.
    ///
    /// # Errors
    /// Always: this build has no networks.
    pub fn check_models(
        _dir: &Path,
        _names: &[String],
        _trace: bool,
        _each: impl FnMut(&CheckRow),
    ) -> Result<bool, Error> {
        Err(refusal())
    }
}
