//! DANet (Fu et al. 2019, arXiv:1809.02983): attention over positions and channels of a dilated backbone's deepest map.
//!
//! Variables: `pretrained.*`, `head.*`. The authors classify the sum of both attentions (`head.conv8`) and each alone for training
//! (`head.conv6`, `head.conv7`); the 2020 entry the sum only (`seg1`), and its backbone has an unused classifier.

use tch::Tensor;

use crate::zoo::backbone::{self, Extractor, FirstBlock};
use crate::zoo::layers::conv::{Conv, ConvShape};
use crate::zoo::layers::dropout::Dropout;
use crate::zoo::layers::dual_attention::{Attended, DualAttention};
use crate::zoo::layers::scope::Scope;
use crate::zoo::segmenter::{Segmented, Segmenter, Side};
use crate::zoo::spec::{NetworkSpec, Upsample};

/// Share of activations dropped in front of the classifiers in training.
const DROPOUT: f64 = 0.1;

/// The network.
#[derive(Debug)]
pub struct DaNet {
    encoder: Box<dyn Extractor>,
    attention: DualAttention,
    sum: Conv,
    /// The classifiers of the position and the channel attention alone.
    alone: Option<[Conv; 2]>,
    dropout: Dropout,
    upsample: Option<Upsample>,
}

impl DaNet {
    /// As the authors define it, on torchvision's dilated ResNet; `None` for a spec without a backbone.
    pub fn official(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let encoder = backbone::build(&(scope / "pretrained"), spec, FirstBlock::Before)?;
        let head = scope / "head";
        let (attention, channels) = attention(&head, &*encoder);
        let classifier = |head: &Scope, name: &str| {
            Conv::new(&(head / name / 1), channels, i64::from(spec.classes), ConvShape::new(1).biased())
        };
        Some(Self {
            encoder,
            attention,
            alone: head.training_only(|head| [classifier(head, "conv6"), classifier(head, "conv7")]),
            sum: classifier(&head, "conv8"),
            dropout: Dropout::channels(scope, DROPOUT),
            upsample: spec.upsample(),
        })
    }

    /// As the 2020 entry defines it; `None` for a spec without a backbone.
    pub fn naic(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let pretrained = scope / "pretrained";
        let encoder = backbone::build_with_unused_classifier(&pretrained, spec, FirstBlock::Before)?;
        let (attention, channels) = attention(&(scope / "head"), &*encoder);
        let point = ConvShape::new(1).biased();
        Some(Self {
            encoder,
            attention,
            alone: None,
            sum: Conv::new(&(scope / "seg1" / 1), channels, i64::from(spec.classes), point),
            dropout: Dropout::values(scope, DROPOUT),
            upsample: spec.upsample(),
        })
    }
}

/// The attentions on the deepest map of `encoder`, and the channels they return.
fn attention(scope: &Scope, encoder: &dyn Extractor) -> (DualAttention, i64) {
    let input = encoder.channels().last().copied().unwrap_or_default();
    (DualAttention::new(scope, input), input / 4)
}

impl Segmenter for DaNet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let features = self.encoder.features(input, train);
        let deepest = features.maps.len() - 1;
        let [deep] = features.keep([deepest]);
        let Attended { position, channel } = self.attention.forward(&deep, train);
        let sum = self.dropout.apply(&(&position + &channel), train);
        let mut out = Segmented::new(self.sum.forward(&sum), self.upsample);
        for (name, conv, xs) in self.alone.iter().flat_map(|[p, c]| [("sa", p, &position), ("sc", c, &channel)]) {
            let values = conv.forward(&self.dropout.apply(xs, train));
            out.side.push(Side { name, values, upsample: self.upsample });
        }
        out
    }
}
