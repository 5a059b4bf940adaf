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

    /// Rows and columns of the logits of a crop.
    pub fn logit_size(&self, crop: Size) -> Size {
        let (full, stride) = (self.size_rule().padded(crop), self.logit_stride());
        Size::new(full.width.div_ceil(stride), full.height.div_ceil(stride))
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

    /// Rough peak, in bytes, of what an f32 forward pass on the CPU holds beside weights and input.
    ///
    /// `batch` images of `size` network pixels. For planning: it errs on the high side, most for batches of small images.
    pub fn activation_bytes(&self, batch: u32, size: Size) -> u64 {
        let classes = u64::from(self.classes);
        let (fixed_mib, per_pixel) = match (self.network, self.backbone) {
            (Network::Identity, _) | (Network::DeepLabV3Plus, None) => (0, classes * 4),
            (Network::DeepLabV3Plus, Some(backbone)) => {
                let (fixed_mib, body) = deeplab_activations(backbone, self.output_stride);
                // One logit per class in 4 x 4 pixels.
                (fixed_mib, body + classes.div_ceil(4))
            }
        };
        (fixed_mib << 20) + u64::from(batch) * size.area() * per_pixel
    }
}

/// MiB once and bytes per input pixel of a DeepLabv3+ forward pass.
///
/// The growth of the resident set's high-water mark over the first forward pass, in bytes per input pixel, 15 classes, 3 bands,
/// libtorch 2.11.0, glibc, 2 cores, 2026-11-24 (`tests/it/zoo_memory.rs`), one square image of 512, 1024, 1536, 2048 pixels:
///
/// | backbone | stride 16 | stride 8 |
/// |---|---|---|
/// | resnet18 | 603 401 375 344 | 602 557 347 298 |
/// | resnet34 | 490 414 395 344 | 674 501 347 296 |
/// | resnet50 | 843 435 347 298 | 1305 707 684 647 |
///
/// Four images of 1024 take as much per pixel as one of 2048 (352 at most where that has 344). What does not grow with the
/// image is libtorch's code becoming resident, scratch memory, and freed blocks that the allocator keeps. The constants lie
/// 20 % or more above every measurement.
fn deeplab_activations(backbone: Backbone, output_stride: u32) -> (u64, u64) {
    match (backbone, output_stride) {
        (Backbone::ResNet18, 16..) => (96, 430),
        (Backbone::ResNet34, 16..) => (96, 450),
        (Backbone::ResNet50, 16..) => (192, 375),
        (Backbone::ResNet18 | Backbone::ResNet34, _) => (320, 375),
        (Backbone::ResNet50, _) => (208, 810),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// MiB that a forward pass of one image of `side` pixels was seen to take: see [`deeplab_activations`].
    fn measured_mib(side: u64, bytes_per_pixel: u64) -> u64 {
        (side * side * bytes_per_pixel) >> 20
    }

    #[test]
    fn the_memory_estimate_lies_above_every_measurement_but_not_far() {
        let measurements = [
            (Backbone::ResNet18, 16, [603, 401, 375, 344]),
            (Backbone::ResNet34, 16, [490, 414, 395, 344]),
            (Backbone::ResNet50, 16, [843, 435, 347, 298]),
            (Backbone::ResNet18, 8, [602, 557, 347, 298]),
            (Backbone::ResNet34, 8, [674, 501, 347, 296]),
            (Backbone::ResNet50, 8, [1305, 707, 684, 647]),
        ];
        for (backbone, output_stride, bytes_per_pixel) in measurements {
            let network = Network::DeepLabV3Plus;
            let spec = NetworkSpec {
                network,
                backbone: Some(backbone),
                output_stride,
                rates: [12, 24, 36],
                bands: 3,
                classes: 15,
            };
            for (side, bytes) in [512, 1024, 1536, 2048].into_iter().zip(bytes_per_pixel) {
                let measured = measured_mib(u64::from(side), bytes);
                let estimate = spec.activation_bytes(1, Size::new(side, side)) >> 20;
                assert!(estimate * 10 >= measured * 12, "{spec} {side}: {estimate} MiB for {measured}");
                assert!(estimate <= measured * 2 + 200, "{spec} {side}: {estimate} MiB for {measured}");
            }
        }
    }

    #[test]
    fn memory_grows_with_the_batch_and_parameters_with_the_classes() {
        let spec = |classes| NetworkSpec {
            network: Network::DeepLabV3Plus,
            backbone: Some(Backbone::ResNet34),
            output_stride: 16,
            rates: [12, 24, 36],
            bands: 3,
            classes,
        };
        let size = Size::new(640, 512);
        let of = |batch| spec(15).activation_bytes(batch, size);
        assert_eq!(of(3) - of(2), of(2) - of(1));
        // The reference's own count.
        assert_eq!(spec(15).parameters(), 22_441_055);
        assert_eq!(spec(16).parameters() - spec(15).parameters(), 257);
    }
}
