//! What a pipeline file means: the part of a plan that a person wrote. Tables that mean what they say are read as they are here; the
//! others are in `file.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::band::Band;
use super::batch::Batch;
use super::classes::{ClassId, ClassTable};
use super::data::Data;
use super::post::Post;
use super::train::Train;
use crate::geom::View;
use crate::raster::{Drivers, PixelType};
use crate::tiler::Tiling;
use crate::zoo::spec::{KernelSet, NetworkSpec};

/// How members are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Weighted mean of logits.
    #[default]
    Logits,
    /// Weighted mean of softmax probabilities, taken at full resolution.
    Probabilities,
}

/// Arithmetic of a member's forward pass. Sums and the argmax are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 on a CPU, f16 on a GPU.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// f32 whose products have operands of 19 bits: a GPU's tensor cores.
    Tf32,
    /// IEEE half.
    F16,
    /// Brain float.
    BF16,
}

impl Precision {
    /// Whether it has 16 bits.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::BF16)
    }

    /// Its name in pipeline files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
        }
    }
}

/// Bits per pixel of the mask PNG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum MaskDepth {
    /// Values to 255.
    #[default]
    Eight,
    /// Values to 65535.
    Sixteen,
}

impl TryFrom<u8> for MaskDepth {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            8 => Ok(Self::Eight),
            16 => Ok(Self::Sixteen),
            other => Err(format!("masks have 8 or 16 bits, not {other}")),
        }
    }
}

impl From<MaskDepth> for u8 {
    fn from(depth: MaskDepth) -> Self {
        match depth {
            MaskDepth::Eight => 8,
            MaskDepth::Sixteen => 16,
        }
    }
}

/// When a pixel of several bands has no data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodataRule {
    /// When all bands that are read hold their nodata value.
    #[default]
    All,
    /// When one of them does.
    Any,
}

/// How scenes are read, whichever network sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// When a pixel has no data.
    pub nodata: NodataRule,
    /// The nodata value of bands whose file gives none.
    pub nodata_value: Option<f64>,
    /// Whether values are what the file's scale and offset make of those that it stores.
    pub apply_scale: bool,
    /// Metres that a pixel of the networks' input is long; scenes with others are resampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<f64>,
    /// Metres that a pixel of a scene is long whose file does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assume_resolution: Option<f64>,
    /// Formats that may be opened.
    #[serde(skip_serializing_if = "is_usual")]
    pub drivers: Drivers,
}

/// How pixels become a network's input: `(pixel / divide - mean) / std` for each band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Bands in the network's order.
    pub bands: Vec<Band>,
    /// Divisor by pixel type; types that are not listed are refused.
    pub divide: BTreeMap<PixelType, f64>,
    /// By band, of pixels that were divided.
    pub mean: Vec<f64>,
    /// By band, likewise.
    pub std: Vec<f64>,
}

/// Where a member's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// A weights file.
    File(PathBuf),
    /// Random numbers that follow from the seed: for demonstrations and tests.
    Seed(u64),
}

/// One network of the ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Name in messages and reports; unique.
    pub name: String,
    /// The network, all choices made.
    pub spec: NetworkSpec,
    /// Its weights; of a TorchScript or ONNX network the program.
    pub weights: Weights,
    /// Which of an ONNX model's outputs the logits are, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What the SHA-256 of that file must be, in lower case. A plan has the digest that was found.
    pub sha256: Option<String>,
    /// Its share in the mean, before normalisation to a sum of 1.
    pub weight: f64,
    /// Arithmetic of its forward pass.
    pub precision: Precision,
    /// Which kernels its network is prepared for.
    #[serde(default, skip_serializing_if = "is_auto")]
    pub kernels: KernelSet,
    /// How pixels become its input.
    pub input: InputSpec,
}

/// What is written per scene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outputs {
    /// Depth of the mask.
    #[serde(rename = "mask_bits")]
    pub mask_depth: MaskDepth,
    /// Whether a colour PNG is written beside it.
    pub color: bool,
    /// Whether a GeoTIFF is written.
    pub geotiff: bool,
    /// Whether a cloud-optimised GeoTIFF is written.
    pub cog: bool,
    /// Whether place, names and style lie beside masks of scenes that lie somewhere.
    pub sidecars: bool,
    /// Whether polygons are written.
    pub vectors: bool,
    /// Whether each polygon has the mean of its pixels' probabilities.
    #[serde(skip_serializing_if = "is_off")]
    pub vectors_score: bool,
    /// How far borders of polygons may lie from those of the pixels, in units of the reference system; 0: not at all.
    #[serde(skip_serializing_if = "is_none")]
    pub vectors_simplify: f64,
    /// Whether the probability of each pixel's class is written.
    #[serde(skip_serializing_if = "is_off")]
    pub scores: bool,
    /// Whether the probabilities of all classes are written.
    #[serde(skip_serializing_if = "is_off")]
    pub probabilities: bool,
    /// Whether the share of members that are for another class is written.
    #[serde(skip_serializing_if = "is_off")]
    pub disagreement: bool,
    /// Whether the scene is written in its classes' colours.
    #[serde(skip_serializing_if = "is_off")]
    pub overlay: bool,
    /// Whether a picture tells which colour is which class.
    #[serde(skip_serializing_if = "is_off")]
    pub legend: bool,
}

fn is_off(key: &bool) -> bool {
    !*key
}

fn is_none(distance: &f64) -> bool {
    *distance == 0.0
}

/// A kind of stage result that a run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checkpoint {
    /// Class labels of every tile, before they become files.
    Labels,
    /// What each member's forward pass returned.
    MemberLogits,
}

/// What submit.zip holds beside masks, and under which names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Package {
    /// Folder inside the archive, empty for none.
    pub prefix: String,
    /// Whether `manifest.json` (names, sizes, digests) is added.
    pub manifest: bool,
}

/// A pipeline whose values are known to fit together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// How scenes are cut.
    pub tiling: Tiling,
    /// How scenes are read.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub reading: Reading,
    /// The ensemble, in the order of summation.
    pub members: Vec<Member>,
    /// How they are combined.
    pub combine: Combine,
    /// The views of a tile that each member sees; its answers to all of them are averaged.
    #[serde(default = "plain", skip_serializing_if = "is_plain")]
    pub views: Vec<View>,
    /// Tiles per forward pass.
    pub batch: Batch,
    /// A band of a tiled scene that needs more bytes than this is cut into spans of columns.
    pub unit_max: u64,
    /// The classes that it tells apart, and what masks hold for them.
    pub classes: ClassTable,
    /// What is done to label maps.
    pub post: Post,
    /// Which files are written of each scene.
    pub outputs: Outputs,
    /// What submit.zip holds.
    pub package: Package,
    /// What is kept beside the outputs. It changes no byte of them, so it is no part of a plan's digest.
    pub checkpoints: Vec<Checkpoint>,
    /// What is known of labelled scenes, for who scores a run later. Nothing that is planned depends on it, so it is no part of a plan's
    /// digest.
    #[serde(default, skip_serializing_if = "Data::is_usual")]
    pub data: Data,
    /// How its network is trained, which no plan knows of either.
    #[serde(skip)]
    pub train: Option<Train>,
}

fn is_auto(kernels: &KernelSet) -> bool {
    *kernels == KernelSet::Auto
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn plain() -> Vec<View> {
    vec![View::Identity]
}

fn is_plain(views: &[View]) -> bool {
    views == [View::Identity]
}

impl Pipeline {
    /// Every band that some member needs, in order: what is read from a scene.
    pub fn bands(&self) -> Vec<Band> {
        let all: BTreeSet<Band> = self.members.iter().flat_map(|m| m.input.bands.iter().cloned()).collect();
        all.into_iter().collect()
    }

    /// Weight of each member in the mean, summing to 1.
    pub fn shares(&self) -> Vec<f32> {
        let total: f64 = self.members.iter().map(|m| m.weight).sum();
        #[expect(clippy::cast_possible_truncation, reason = "a share of 1 rounded to f32 is what the sums use")]
        self.members.iter().map(|m| (m.weight / total) as f32).collect()
    }

    /// The values of classes that are given up, each with the one that masks hold instead.
    pub fn remapped_values(&self) -> BTreeMap<u16, u16> {
        let value = |class: &ClassId| self.classes.classes().get(usize::from(*class)).map(|class| class.value);
        self.post.remap.iter().filter_map(|(from, to)| Some((value(from)?, value(to)?))).collect()
    }

    /// The same where masks are all that is looked at, and all that is to cost.
    pub fn masks_alone(self) -> Self {
        let outputs = Outputs { mask_depth: self.outputs.mask_depth, ..Outputs::default() };
        Self { outputs, checkpoints: Vec::new(), ..self }
    }

    /// Number of classes, which is every member's number of output channels.
    pub fn n_classes(&self) -> usize {
        self.classes.classes().len()
    }
}
