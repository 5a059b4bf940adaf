//! What a network is, as data: names, and the facts that planning needs. Always compiled; knows no tensor.
//!
//! The names are those of the reference implementations (segmentation_models_pytorch, torchvision), so that a spec can be
//! compared with a checkpoint's origin.

use serde::{Deserialize, Serialize};

use crate::geom::Size;

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// DeepLabv3+ (Chen et al. 2018, arXiv:1802.02611) as segmentation_models_pytorch 0.6 builds it.
    DeepLabV3Plus,
    /// Hands the first band through as a one-hot map of class ids; only the fake backend runs it. For tests of the dataflow.
    Identity,
}

/// A feature extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// ResNet-18 (He et al. 2016, arXiv:1512.03385), basic blocks.
    ResNet18,
    /// ResNet-34, basic blocks.
    ResNet34,
    /// ResNet-50, bottleneck blocks with the stride on the 3 x 3 convolution.
    ResNet50,
}

/// Everything that decides a network's graph and the names and shapes of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The architecture.
    pub network: Network,
    /// The feature extractor; `None` for networks without one.
    pub backbone: Option<Backbone>,
    /// Stride of the deepest feature map.
    pub output_stride: u32,
    /// Dilation rates of the atrous pyramid.
    pub rates: [u32; 3],
    /// Input channels.
    pub bands: u32,
    /// Output channels.
    pub classes: u32,
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
    /// The sizes this network takes.
    pub fn size_rule(&self) -> SizeRule {
        match self.network {
            Network::DeepLabV3Plus => SizeRule { multiple: self.output_stride, min_size: self.output_stride },
            Network::Identity => SizeRule { multiple: 1, min_size: 1 },
        }
    }

    /// Network pixels per logit, per side: 1 where the network returns a full-resolution map.
    pub fn logit_stride(&self) -> u32 {
        match self.network {
            Network::DeepLabV3Plus => 4,
            Network::Identity => 1,
        }
    }
}

impl std::fmt::Display for NetworkSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.network, self.backbone) {
            (Network::DeepLabV3Plus, Some(backbone)) => write!(f, "deeplabv3plus/{backbone}"),
            (Network::DeepLabV3Plus, None) => write!(f, "deeplabv3plus"),
            (Network::Identity, _) => write!(f, "identity"),
        }
    }
}

impl std::fmt::Display for Backbone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ResNet18 => "resnet18",
            Self::ResNet34 => "resnet34",
            Self::ResNet50 => "resnet50",
        })
    }
}
