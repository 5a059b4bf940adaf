//! The pipeline file as written, where that is another thing than what it means; `check.rs` makes the one of the other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::band::Band;
use super::batch::Batch;
use super::bytes::ByteSize;
use super::classes::{Class, Nodata};
use super::data::Data;
use super::fault::Fault;
use super::pipeline::{Checkpoint, Combine, NodataRule, Outputs, Package, Precision};
use super::post::PostTable;
use super::train::TrainTable;
use crate::geom::View;
use crate::raster::{Driver, PixelType};
use crate::tiler::{Blend, Border, Dilation, Rule};
use crate::zoo::spec::{Attention, Backbone, Channels, KernelSet, Network, SpecTable, Variant};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PipelineFile {
    pub(super) input: Option<InputTable>,
    pub(super) tiler: Option<TilerTable>,
    #[serde(default)]
    pub(super) inference: InferenceTable,
    pub(super) members: Vec<MemberTable>,
    #[serde(default = "labels")]
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) classes: Option<Vec<Class>>,
    pub(super) nodata: Option<Nodata>,
    #[serde(default)]
    pub(super) post: PostTable,
    #[serde(default)]
    pub(super) outputs: Outputs,
    #[serde(default)]
    pub(super) package: Package,
    #[serde(default)]
    pub(super) data: Data,
    pub(super) train: Option<TrainTable>,
}

fn labels() -> Vec<Checkpoint> {
    vec![Checkpoint::Labels]
}

/// `[input]`: how pixels become every network's input, and how scenes are read. What is left out, members' weights may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputTable {
    pub(super) bands: Option<Vec<Band>>,
    pub(super) divide: Option<BTreeMap<PixelType, f64>>,
    pub(super) mean: Option<Vec<f64>>,
    pub(super) std: Option<Vec<f64>>,
    pub(super) nodata: Option<NodataRule>,
    pub(super) nodata_value: Option<f64>,
    pub(super) apply_scale: Option<bool>,
    pub(super) resolution: Option<f64>,
    pub(super) assume_resolution: Option<f64>,
    pub(super) drivers: Option<Vec<Driver>>,
}

/// A member's own `input` table: what it leaves out is as in `[input]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberInputTable {
    pub(super) bands: Option<Vec<Band>>,
    pub(super) divide: Option<BTreeMap<PixelType, f64>>,
    pub(super) mean: Option<Vec<f64>>,
    pub(super) std: Option<Vec<f64>>,
}

/// How large scenes are cut.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StrategyName {
    Whole,
    Adaptive,
    Fixed,
}

/// `[tiler]`. What is left out is as in `pipelines/single.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TilerTable {
    pub(super) strategy: StrategyName,
    pub(super) whole_max: u32,
    pub(super) centres: Vec<u32>,
    pub(super) rule: Rule,
    /// Of `fixed`, which has no default: one size does not fit all.
    pub(super) centre: Option<u32>,
    /// The overlap. Its default does not follow the centre: how much of its surroundings a network needs is its own affair.
    pub(super) dilation: Dilation,
    pub(super) border: Border,
    pub(super) blend: Blend,
}

impl Default for TilerTable {
    fn default() -> Self {
        Self {
            strategy: StrategyName::Adaptive,
            whole_max: 1280,
            centres: (8..=16).rev().map(|n| 64 * n).collect(),
            rule: Rule::default(),
            centre: None,
            dilation: Dilation::all(128),
            border: Border::Reflect,
            blend: Blend::None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InferenceTable {
    pub(super) combine: Combine,
    pub(super) views: Vec<View>,
    pub(super) batch: Batch,
    pub(super) unit_max: ByteSize,
}

impl Default for InferenceTable {
    fn default() -> Self {
        Self {
            combine: Combine::Logits,
            views: vec![View::Identity],
            batch: Batch::Auto,
            unit_max: ByteSize(256 << 20),
        }
    }
}

/// `[[members]]`. The network's keys are those of [`SpecTable`]; flattened in, serde could neither refuse unknown ones nor say where a
/// wrong one is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberTable {
    pub(super) name: Option<String>,
    /// The network by the name that `swath models list` shows, instead of the keys that follow.
    pub(super) preset: Option<String>,
    pub(super) network: Option<Network>,
    pub(super) variant: Option<Variant>,
    pub(super) backbone: Option<Backbone>,
    pub(super) output_stride: Option<u32>,
    pub(super) rates: Option<[u32; 3]>,
    pub(super) depth: Option<u32>,
    pub(super) decoder_channels: Option<Channels>,
    pub(super) upsampling: Option<u32>,
    pub(super) attention: Option<Attention>,
    pub(super) deep_supervision: Option<bool>,
    pub(super) multiple: Option<u32>,
    pub(super) min_size: Option<u32>,
    pub(super) align_corners: Option<bool>,
    pub(super) bytes_per_pixel: Option<u32>,
    /// Which of an ONNX model's outputs the logits are.
    pub(super) output: Option<String>,
    /// A weights file of any format that [`crate::weights`] reads; of `torchscript` and `onnx` the program.
    pub(super) weights: Option<PathBuf>,
    /// What the file's SHA-256 must be.
    pub(super) sha256: Option<String>,
    /// Whether the program may run.
    #[serde(default)]
    pub(super) trust: bool,
    /// Instead of a file: random weights that follow from this number.
    pub(super) seed: Option<u64>,
    #[serde(default = "one")]
    pub(super) weight: f64,
    #[serde(default)]
    pub(super) precision: Precision,
    #[serde(default)]
    pub(super) kernels: KernelSet,
    #[serde(default)]
    pub(super) input: MemberInputTable,
}

impl MemberTable {
    /// Whether it does so, rightly or not.
    pub(super) fn names_network(&self) -> bool {
        self.network.is_some() || self.preset.is_some()
    }

    /// The network that the table names, which stands at `key`.
    pub(super) fn spec(&self, key: &str) -> Result<SpecTable, Fault> {
        let about = |text: &str| Fault::about(key, text);
        let network = match (&self.preset, self.network) {
            (None, Some(network)) => network,
            (None, None) => {
                return Err(about(
                    "it has neither `network` nor `preset`, nor weights that say which network they are for",
                ));
            }
            (Some(_), Some(_)) => return Err(about("it has both `network` and `preset`; keep one")),
            (Some(name), None) => {
                let preset = SpecTable::named(name).map_err(|e| Fault::about(format!("{key}.preset"), e))?;
                return match self.keys(preset.network) == SpecTable::new(preset.network) {
                    true => Ok(preset),
                    false => {
                        Err(about("a `preset` says all about the network; name the `network` to change something"))
                    }
                };
            }
        };
        Ok(self.keys(network))
    }

    fn keys(&self, network: Network) -> SpecTable {
        SpecTable {
            variant: self.variant,
            backbone: self.backbone,
            output_stride: self.output_stride,
            rates: self.rates,
            depth: self.depth,
            decoder_channels: self.decoder_channels.clone(),
            upsampling: self.upsampling,
            attention: self.attention,
            deep_supervision: self.deep_supervision,
            multiple: self.multiple,
            min_size: self.min_size,
            align_corners: self.align_corners,
            bytes_per_pixel: self.bytes_per_pixel,
            ..SpecTable::new(network)
        }
    }
}

fn one() -> f64 {
    1.0
}
