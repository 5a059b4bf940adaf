//! The 2020 entry's U-Net with squeeze and excitation in channels and space (Roy et al. 2018, arXiv:1803.02579) on a ResNet-34.
//!
//! Variables: `encoder.*` (its classifier is not used), `GapCov`, `Up{4..2}`, `UpConv{4..2}`, `SCSE{4..1}`, `Conv_1x1`. The entry brings the
//! pooled map to the size that the deepest one has for images of 256 x 256, and works for those only; here it has the deepest map's
//! size, which is the same there.

use tch::Tensor;

use crate::zoo::backbone::Extractor;
use crate::zoo::backbone::resnet::{Parts, ResNet, ResNetTable};
use crate::zoo::backbone::{Dilation, Features};
use crate::zoo::layers::conv::{Conv, ConvShape};
use crate::zoo::layers::double_conv::{DoubleConv, Doubling, UpConv};
use crate::zoo::layers::linear::Linear;
use crate::zoo::layers::resize::size_of;
use crate::zoo::layers::scope::Scope;
use crate::zoo::layers::scse::MaxScse;
use crate::zoo::segmenter::{Segmented, Segmenter};
use crate::zoo::spec::{Backbone, NetworkSpec, Upsample};

/// Channels per channel inside the squeeze.
const REDUCTION: i64 = 2;
/// Classes of the unused classifier.
const IMAGENET_CLASSES: i64 = 1000;

/// The network.
#[derive(Debug)]
pub struct ScseUnet {
    encoder: ResNet,
    bottom: DoubleConv,
    /// From coarse to fine.
    up: Vec<(UpConv, DoubleConv)>,
    /// On the encoder's stages, from coarse to fine.
    attention: Vec<MaxScse>,
    head: Conv,
    upsample: Option<Upsample>,
}

impl ScseUnet {
    /// The network that `spec` describes.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let table = ResNetTable::of(Backbone::ResNet34)?;
        let encoder = scope / "encoder";
        let channels = table.channels();
        let shape = ConvShape::new(3).biased();
        let up = |idx: usize| {
            let (coarse, fine) = (channels[idx], channels[idx - 1]);
            let double = UpConv::new(&(scope / format!("Up{}", idx + 1)), coarse, fine, Doubling::Aligned);
            (double, DoubleConv::new(&(scope / format!("UpConv{}", idx + 1)), coarse, fine, shape))
        };
        let attention = |idx: usize| MaxScse::new(&(scope / format!("SCSE{}", idx + 1)), channels[idx], REDUCTION);
        encoder.never_used(|encoder| Linear::new(&(encoder / "fc"), channels[3], IMAGENET_CLASSES));
        Some(Self {
            encoder: ResNet::new(&Parts::torchvision(&encoder), table, Dilation::NONE, spec.bands, 5),
            bottom: DoubleConv::new(&(scope / "GapCov"), 2 * channels[3], channels[3], shape),
            up: (1..4).rev().map(up).collect(),
            attention: (0..4).rev().map(attention).collect(),
            head: Conv::new(&(scope / "Conv_1x1"), channels[0], i64::from(spec.classes), ConvShape::new(1).biased()),
            upsample: spec.upsample(),
        })
    }
}

impl Segmenter for ScseUnet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let Features { mut maps } = self.encoder.features(input, train);
        let mut deeper = || maps.pop().unwrap_or_default();
        let deepest = deeper();
        let [height, width] = size_of(&deepest);
        let pooled = deepest.adaptive_avg_pool2d([1, 1]).expand([-1, -1, height, width], false);
        let mut out = self.bottom.forward(&Tensor::cat(&[&pooled, &self.attention[0].forward(&deepest)], 1), train);
        for ((double, conv), attention) in self.up.iter().zip(&self.attention[1..]) {
            let skip = attention.forward(&deeper());
            out = conv.forward(&Tensor::cat(&[&double.forward(&out, train), &skip], 1), train);
        }
        Segmented::new(self.head.forward(&out), self.upsample)
    }
}
