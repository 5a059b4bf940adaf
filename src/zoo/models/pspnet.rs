//! PSPNet (Zhao et al. 2017, arXiv:1612.01105).
//!
//! segmentation_models_pytorch 0.6: variables `encoder.*`, `decoder.*`, `segmentation_head.0.*`, on the first stages of the backbone. The
//! 2020 entry: variables `backend.*`, `pyramid_pooling.*`, `cbr_last.*`, `cbr_deepsup.*`, on all of them without dilation.

use tch::Tensor;

use crate::zoo::backbone::resnet::{Parts, ResNet, ResNetTable};
use crate::zoo::backbone::{self, Dilation, Extractor, FirstBlock};
use crate::zoo::layers::conv::{Conv, ConvBn, ConvShape};
use crate::zoo::layers::dropout::Dropout;
use crate::zoo::layers::pyramid_pool::PyramidPool;
use crate::zoo::layers::scope::Scope;
use crate::zoo::segmenter::{Segmented, Segmenter, Side};
use crate::zoo::spec::{NetworkSpec, Upsample};

/// Channels of each pooled map of the entry's network, and of its last convolution.
const NAIC_CHANNELS: i64 = 256;
/// Channels of its auxiliary head, on stage 3.
const NAIC_SIDE_CHANNELS: i64 = 512;

/// The network.
#[derive(Debug)]
pub struct PspNet {
    encoder: Box<dyn Extractor>,
    pool: PyramidPool,
    head: Head,
    side: Option<Head>,
    upsample: Option<Upsample>,
}

/// A convolution, dropout of whole channels, and the classifier.
#[derive(Debug)]
struct Head {
    conv: ConvBn,
    dropout: Dropout,
    last: Conv,
}

impl Head {
    /// The entry's.
    fn naic(scope: &Scope, input: i64, inner: i64, classes: u32) -> Self {
        Self {
            conv: ConvBn::sequential(scope, 0, input, inner, ConvShape::new(3)),
            dropout: Dropout::channels(scope, 0.1),
            last: Conv::new(&(scope / 4), inner, i64::from(classes), ConvShape::new(1).biased()),
        }
    }

    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.last.forward(&self.dropout.apply(&self.conv.forward_relu(xs, train), train))
    }
}

impl PspNet {
    /// As segmentation_models_pytorch defines it; `None` for a spec without a backbone.
    pub fn smp(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let encoder = backbone::build(&(scope / "encoder"), spec, FirstBlock::Same)?;
        let input = encoder.channels().last().copied()?;
        let inner = i64::from(*spec.decoder_channels.first()?);
        let decoder = scope / "decoder";
        let head = Head {
            conv: ConvBn::sequential(&(&decoder / "conv"), 0, 2 * input, inner, ConvShape::new(1).decoder_init()),
            dropout: Dropout::channels(scope, 0.2),
            last: Conv::new(
                &(scope / "segmentation_head" / 0),
                inner,
                i64::from(spec.classes),
                ConvShape::new(3).biased(),
            ),
        };
        let pool = PyramidPool::smp(&(&decoder / "psp"), input);
        Some(Self { encoder, pool, head, side: None, upsample: spec.upsample() })
    }

    /// As the 2020 entry defines it; `None` for a spec without a ResNet.
    pub fn naic(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let table = ResNetTable::of(spec.backbone?)?;
        let (low, high) = (scope / "backend.low_features", scope / "backend.high_features");
        let parts = Parts { conv1: &low / 0, bn1: &low / 1, stages: [&low / 4, &low / 5, &low / 6, &high / 0] };
        let encoder = ResNet::new(&parts, table, Dilation::NONE, spec.bands, spec.depth);
        let [.., middle, deep] = table.channels();
        let head = Head::naic(&(scope / "cbr_last"), deep + 4 * NAIC_CHANNELS, NAIC_CHANNELS, spec.classes);
        let side =
            scope.training_only(|scope| Head::naic(&(scope / "cbr_deepsup"), middle, NAIC_SIDE_CHANNELS, spec.classes));
        let pool = PyramidPool::naic(&(scope / "pyramid_pooling"), deep, NAIC_CHANNELS);
        Some(Self { encoder: Box::new(encoder), pool, head, side, upsample: spec.upsample() })
    }
}

impl Segmenter for PspNet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let features = self.encoder.features(input, train);
        let deepest = features.maps.len() - 1;
        let [before, deep] = features.keep([deepest - 1, deepest]);
        let mut out = Segmented::new(self.head.forward(&self.pool.forward(&deep, train), train), self.upsample);
        if let Some(side) = &self.side {
            out.side.push(Side { name: "aux", values: side.forward(&before, train), upsample: self.upsample });
        }
        out
    }
}
