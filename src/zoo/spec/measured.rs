//! How large the networks are: counted and measured, for planning.

use super::names::{Backbone, Network};
use super::NetworkSpec;
use crate::geom::Size;

impl NetworkSpec {
    /// Number of trained values; running statistics are not among them.
    pub fn parameters(&self) -> u64 {
        // Counted with 3 bands and without the head, whose share depends on the classes.
        let body = match (self.network, self.backbone) {
            (Network::DeepLabV3Plus, Some(Backbone::ResNet18)) => 12_329_040,
            (Network::DeepLabV3Plus, Some(Backbone::ResNet34)) => 22_437_200,
            (Network::DeepLabV3Plus, Some(Backbone::ResNet50)) => 26_677_328,
            _ => return 0,
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
            (Network::DeepLabV3Plus, Some(backbone)) => {
                let (fixed_mib, body) = deeplab_activations(backbone, self.output_stride);
                // One logit per class in 4 x 4 pixels.
                (fixed_mib, body + classes.div_ceil(4))
            }
            _ => (0, classes * 4),
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
        (_, 16..) => (192, 375),
        (Backbone::ResNet18 | Backbone::ResNet34, _) => (320, 375),
        (_, _) => (208, 810),
    }
}
