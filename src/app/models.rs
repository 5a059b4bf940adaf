//! `swath models list`: which networks there are.

use super::Error;
use crate::report::{ModelList, ModelRow, PresetRow};
use crate::zoo::spec::{ARCHITECTURES, Architecture, Network, NetworkSpec, SpecTable, presets};

/// Bands and classes that sizes are told for.
const BANDS: u32 = 3;
const CLASSES: u32 = 15;

/// Every network on every backbone.
pub fn list_models() -> ModelList {
    let real = ARCHITECTURES.iter().filter(|a| a.is_known());
    let networks = real.flat_map(specs).map(|spec| row(&spec)).collect();
    let describe = |p: crate::zoo::spec::Preset| {
        let network = row(&sized(&p.table).ok()?);
        Some(PresetRow {
            name: p.name.to_owned(),
            network: network.name,
            parameters: network.parameters,
            macs_512: network.macs_512,
            about: p.about.to_owned(),
        })
    };
    ModelList { networks, presets: presets().into_iter().filter_map(describe).collect() }
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

pub(super) fn sized(table: &SpecTable) -> Result<NetworkSpec, Error> {
    let classes = (table.network != Network::Backbone).then_some(CLASSES);
    table.resolve(BANDS, classes).map_err(|e| Error::Usage(e.to_string()))
}

pub(super) fn row(spec: &NetworkSpec) -> ModelRow {
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
