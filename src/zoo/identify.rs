//! Which networks a file of weights fits, told from the names and shapes of its tensors.

use std::path::Path;

use super::registry;
use super::spec::{ARCHITECTURES, Architecture, Attention, Backbone, Choice, NetworkSpec, SpecTable, presets};
use crate::weights::layout::{Layout, Plane};
use crate::weights::{FileTensor, Mismatch, WeightsFile, compare};

/// Every network whose reference has just these names, with these shapes but for classes and bands, which the file tells.
///
/// Definitions that have the same weights are all returned: the file cannot tell them apart.
pub fn identify(tensors: &[FileTensor]) -> Vec<NetworkSpec> {
    let candidates = ARCHITECTURES.iter().filter(|a| a.is_known()).flat_map(candidates);
    // Of heads as wide as somebody wishes only those are tried that have a name.
    let named = presets().into_iter().map(|p| p.table).filter(|table| table.decoder_channels.is_some());
    candidates.chain(named).filter_map(|table| fit(&table, tensors)).collect()
}

/// What to say of a weights file that was refused: the networks that it does fit.
pub fn advice(path: &Path) -> Option<String> {
    let fits = identify(WeightsFile::open(path).ok()?.tensors());
    let named: Vec<String> =
        fits.iter().map(|s| format!("`{s}` with {} classes and {} bands", s.classes, s.bands)).collect();
    (!named.is_empty()).then(|| format!("the file fits {}", named.join(", or ")))
}

/// Everything that can be chosen and changes names or shapes.
fn candidates(a: &'static Architecture) -> Vec<SpecTable> {
    let backbones: Vec<Option<Backbone>> = match a.backbones {
        [] => vec![None],
        list => list.iter().copied().map(Some).collect(),
    };
    let offers = |choice| a.options.contains(&choice);
    let mut tables = Vec::new();
    for backbone in backbones {
        let plain = SpecTable { variant: Some(a.variant), backbone, ..SpecTable::new(a.network) };
        let depths = if a.depths.is_empty() { vec![None] } else { a.depths.iter().copied().map(Some).collect() };
        tables.extend(depths.into_iter().map(|depth| SpecTable { depth, ..plain.clone() }));
        if offers(Choice::Attention) {
            tables.push(SpecTable { attention: Some(Attention::Scse), ..plain.clone() });
        }
        if offers(Choice::DeepSupervision) {
            tables.push(SpecTable { deep_supervision: Some(true), ..plain.clone() });
        }
        if offers(Choice::Features) {
            tables.push(SpecTable { features: Some(true), ..plain });
        }
    }
    tables
}

fn fit(table: &SpecTable, tensors: &[FileTensor]) -> Option<NetworkSpec> {
    let first = table.resolve(3, None).ok()?;
    let is_named = |m: &Mismatch| matches!(m, Mismatch::Missing { .. } | Mismatch::Extra { .. });
    if compare(&registry::names_and_shapes(&first).ok()?.shapes(), tensors).iter().any(is_named) {
        return None;
    }
    let (bands, classes) = planes(&registry::outline(&first).ok()?, tensors, &first)?;
    let spec = table.resolve(bands, Some(classes)).ok()?;
    let layout = registry::names_and_shapes(&spec).ok()?;
    let fits = compare(&layout.shapes(), tensors).iter().all(|m| matches!(m, Mismatch::Dtype { .. }));
    fits.then_some(spec)
}

/// Bands and classes of the file, whose names are the network's.
fn planes(layout: &Layout, tensors: &[FileTensor], spec: &NetworkSpec) -> Option<(u32, u32)> {
    let (mut bands, mut classes) = (spec.bands, spec.classes);
    for tensor in tensors.iter().filter(|tensor| !tensor.is_shapeless()) {
        match layout.plane_of(&tensor.name, &tensor.shape) {
            Some((Plane::Classes, n)) => classes = u32::try_from(n).ok()?,
            Some((Plane::Bands, n)) => bands = u32::try_from(n).ok()?,
            None => {}
        }
    }
    Some((bands, classes))
}
