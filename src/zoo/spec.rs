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

/// How the reference implementation brings native logits to one per input pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsample {
    /// Linear interpolation along both axes.
    Bilinear {
        /// Whether the corner logits lie on the corner pixels (PyTorch's `align_corners`) or half a stride inside.
        align_corners: bool,
    },
}

/// Names of the weights whose first dimension is the number of classes.
pub const CLASSIFIER_WEIGHTS: [&str; 2] = ["segmentation_head.0.weight", "fc.weight"];

/// Names of the weights whose second dimension is the number of bands.
pub const STEM_WEIGHTS: [&str; 2] = ["encoder.conv1.weight", "conv1.weight"];

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

    /// How native logits become one per pixel; `None` where they are that already.
    pub fn upsample(&self) -> Option<Upsample> {
        match self.network {
            Network::DeepLabV3Plus => Some(Upsample::Bilinear { align_corners: true }),
            Network::Identity => None,
        }
    }

    /// Number of trained values; running statistics are not among them.
    pub fn parameters(&self) -> u64 {
        // Counted with 3 bands and without the head, whose share depends on the classes.
        let body = match (self.network, self.backbone) {
            (Network::Identity, _) | (Network::DeepLabV3Plus, None) => return 0,
            (Network::DeepLabV3Plus, Some(Backbone::ResNet18)) => 12_329_040,
            (Network::DeepLabV3Plus, Some(Backbone::ResNet34)) => 22_437_200,
            (Network::DeepLabV3Plus, Some(Backbone::ResNet50)) => 26_677_328,
        };
        let per_band = 64 * 7 * 7;
        body - 3 * per_band + u64::from(self.bands) * per_band + u64::from(self.classes) * 257
    }

    /// Rough peak, in bytes, of what an f32 forward pass on the CPU allocates beside weights and input.
    ///
    /// `batch` images of `size` network pixels. For planning: it errs on the high side.
    pub fn activation_bytes(&self, batch: u32, size: Size) -> u64 {
        let n_pixels = u64::from(batch) * size.area();
        let per_pixel = match (self.network, self.backbone) {
            (Network::Identity, _) | (Network::DeepLabV3Plus, None) => u64::from(self.classes) * 4,
            (Network::DeepLabV3Plus, Some(backbone)) => {
                // MEASURED
                let body = match (backbone, self.output_stride) {
                    _ => 400,
                };
                // The logits, one in 4 x 4 pixels.
                body + u64::from(self.classes).div_ceil(4)
            }
        };
        n_pixels * per_pixel
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
