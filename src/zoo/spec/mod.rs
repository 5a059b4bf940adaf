//! What a network is, as data: names, and the facts that planning needs. Always compiled; knows no tensor.
//!
//! A network is named by [`SpecTable`], in pipelines and parity fixtures alike; [`SpecTable::resolve`] looks it up among the
//! [`ARCHITECTURES`] and makes a [`NetworkSpec`] of it, which says everything that decides the graph and the weights.

mod catalogue;
mod kernels;
mod measured;
mod names;
mod nearest;
mod presets;
mod table;

use serde::{Deserialize, Serialize};

pub use catalogue::{ARCHITECTURES, Architecture, Choice, Pixels};
pub use kernels::KernelSet;
pub use names::{Attention, Backbone, Network, Upsample, Variant};
pub(crate) use nearest::alike;
pub use presets::{Preset, presets};
pub use table::{Channels, SpecError, SpecTable};

use crate::geom::Size;

/// Everything that decides a network's graph and the names and shapes of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The architecture.
    pub network: Network,
    /// Whose definition of it.
    pub variant: Variant,
    /// The feature extractor; `None` for networks without a choice.
    pub backbone: Option<Backbone>,
    /// Stride of the deepest feature map.
    pub output_stride: u32,
    /// Stages of the backbone that are used, stem included.
    pub depth: u32,
    /// Dilation rates of the atrous pyramid; of no account to networks without one.
    pub rates: [u32; 3],
    /// Channels of the decoder's stages, coarse to fine, or of the head; empty where the architecture fixes them, or has its own.
    pub decoder_channels: Vec<u32>,
    /// Attention in the decoder.
    pub attention: Option<Attention>,
    /// Whether there is a classifier at every depth.
    pub deep_supervision: bool,
    /// Of a backbone: the feature pyramid instead of the classifier.
    pub features: bool,
    /// Input channels.
    pub bands: u32,
    /// Output channels.
    pub classes: u32,
    /// Of a network that comes as a program: what planning needs and the file does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

/// What a person says of a network that comes as a program: TorchScript's or ONNX's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Script {
    /// Height and width of its input must be multiples of this.
    pub multiple: u32,
    /// And at least this, where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u32>,
    /// Input pixels per logit, per side.
    pub logit_stride: u32,
    /// Whether its logits are up-sampled with their corners on the corner pixels.
    pub align_corners: bool,
    /// Bytes of activations per input pixel, for the memory that is promised. It changes no result, so it is no part of a plan's digest.
    #[serde(skip, default = "Script::bytes_per_pixel")]
    pub bytes_per_pixel: u32,
}

impl Script {
    /// What is assumed where nobody says: more than most networks take.
    pub fn bytes_per_pixel() -> u32 {
        2048
    }
}

/// The sizes a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRule {
    /// Height and width must be multiples of this.
    pub multiple: u32,
    /// Height and width must be at least this.
    pub min_size: u32,
}

impl SizeRule {
    /// The size that a crop is padded to.
    pub fn padded(self, crop: Size) -> Size {
        crop.padded(self.multiple, self.min_size)
    }
}

impl NetworkSpec {
    /// What the catalogue says of this network, which is always there: a spec is made from it.
    pub fn architecture(&self) -> &'static Architecture {
        let is_this = |a: &&Architecture| a.network == self.network && a.variant == self.variant;
        ARCHITECTURES.iter().find(is_this).unwrap_or(&ARCHITECTURES[0])
    }

    /// Whether ONNX Runtime runs it.
    pub fn is_onnx(&self) -> bool {
        self.network == Network::Onnx
    }

    /// The sizes this network takes.
    pub fn size_rule(&self) -> SizeRule {
        let multiple = self.script.map_or_else(|| self.pixels(self.architecture().multiple), |script| script.multiple);
        let min_size = self.script.and_then(|script| script.min_size).unwrap_or(multiple);
        SizeRule { multiple, min_size }
    }

    /// Network pixels per logit, per side: 1 where the network returns a full-resolution map.
    pub fn logit_stride(&self) -> u32 {
        self.script.map_or_else(|| self.pixels(self.architecture().logit_stride), |script| script.logit_stride)
    }

    /// Rows and columns of the logits of a crop.
    pub fn logit_size(&self, crop: Size) -> Size {
        let (full, stride) = (self.size_rule().padded(crop), self.logit_stride());
        Size::new(full.width.div_ceil(stride), full.height.div_ceil(stride))
    }

    /// How native logits become one per pixel; `None` where they are that already.
    pub fn upsample(&self) -> Option<Upsample> {
        match self.script {
            Some(script) if script.logit_stride > 1 => Some(Upsample::Bilinear { align_corners: script.align_corners }),
            Some(_) => None,
            None => self.architecture().upsample,
        }
    }

    fn pixels(&self, pixels: Pixels) -> u32 {
        match pixels {
            Pixels::Fixed(n) => n,
            Pixels::OutputStride => self.output_stride,
            Pixels::Depth => 1 << self.depth,
        }
    }
}

impl std::fmt::Display for NetworkSpec {
    /// `variant/network/backbone`, the name that `swath models show` takes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.architecture().is_known() {
            return write!(f, "{}", self.network);
        }
        write!(f, "{}/{}", self.variant, self.network)?;
        match self.backbone {
            Some(backbone) => write!(f, "/{backbone}"),
            None => Ok(()),
        }
    }
}
