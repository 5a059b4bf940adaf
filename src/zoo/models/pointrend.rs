//! The 2020 entry's networks whose uncertain points are classified again (PointRend: Kirillov et al. 2020, arXiv:1912.08193).
//!
//! [`RendDaNet`]: a DANet; variables `pretrained.*`, `head.*`, `seg1.*`, `rend_head.mlp.*`. [`RendUnet`]: a dilated ResNet with squeeze and
//! excitation; variables `seg.*`, `rend.mlp*`. In training both return the coarse logits, and points with what is made of them as side
//! outputs.

use tch::Tensor;

use crate::zoo::backbone::resnet::{Parts, ResNet, ResNetTable};
use crate::zoo::backbone::{self, Dilation, Extractor, Features, FirstBlock};
use crate::zoo::layers::conv::{Conv, ConvShape};
use crate::zoo::layers::double_conv::DoubleConv;
use crate::zoo::layers::dropout::Dropout;
use crate::zoo::layers::dual_attention::{Attended, DualAttention};
use crate::zoo::layers::point_rend::{PointBias, PointHead};
use crate::zoo::layers::resize::{bilinear, size_of};
use crate::zoo::layers::scope::Scope;
use crate::zoo::layers::scse::MaxScse;
use crate::zoo::segmenter::{Segmented, Segmenter, Side};
use crate::zoo::spec::{NetworkSpec, Upsample};

/// Share of activations dropped in front of the coarse classifier in training.
const DROPOUT: f64 = 0.1;
/// Share of the training points that are uncertain.
const DANET_IMPORTANT: f64 = 0.85;
const UNET_IMPORTANT: f64 = 0.75;
/// How the coarse logits reach full size for the loss.
const COARSE: Option<Upsample> = Some(Upsample::Bilinear { align_corners: true });

/// DANet with point refinement, in three doublings on stage 2's features. Height and width are multiples of 8.
#[derive(Debug)]
pub struct RendDaNet {
    encoder: Box<dyn Extractor>,
    attention: DualAttention,
    dropout: Dropout,
    coarse: Conv,
    head: PointHead,
}

impl RendDaNet {
    /// The network that `spec` describes; `None` for a spec without a backbone.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let encoder = backbone::build_with_unused_classifier(&(scope / "pretrained"), spec, FirstBlock::Before)?;
        let (fine, deep) = (encoder.channels()[2], encoder.channels()[4]);
        let classes = i64::from(spec.classes);
        let mlp = scope / "rend_head.mlp";
        let layers = [0, 2, 4, 6].map(|idx| &mlp / idx);
        let [a, b, c, d] = &layers;
        Some(Self {
            attention: DualAttention::new(&(scope / "head"), deep),
            dropout: Dropout::values(scope, DROPOUT),
            coarse: Conv::new(&(scope / "seg1" / 1), deep / 4, classes, ConvShape::new(1).biased()),
            head: PointHead::new([a, b, c, d], classes + fine, classes, PointBias::Last),
            encoder,
        })
    }
}

impl Segmenter for RendDaNet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let [fine, deep] = self.encoder.features(input, train).keep([2, 4]);
        let Attended { position, channel } = self.attention.forward(&deep, train);
        let coarse = self.coarse.forward(&self.dropout.apply(&(position + channel), train));
        if train {
            let (points, rendered) = self.head.sample(&coarse, &fine, DANET_IMPORTANT);
            return training(coarse, [("points", points), ("rend", rendered)]);
        }
        let mut logits = coarse;
        while size_of(&logits) != size_of(input) {
            logits = self.head.refine(&logits, &fine);
        }
        Segmented::new(logits, None)
    }
}

/// A coarse classifier and three refinements, each on finer features. Height and width are multiples of 8.
#[derive(Debug)]
pub struct RendUnet {
    encoder: ResNet,
    finest: DoubleConv,
    attention: MaxScse,
    dropout: Dropout,
    coarse: Conv,
    /// On stage 1, the stem, and full resolution.
    heads: [PointHead; 3],
}

impl RendUnet {
    /// The network that `spec` describes; `None` for a spec without a ResNet.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let table = ResNetTable::of(spec.backbone?)?;
        let seg = scope / "seg";
        let stages = [&seg / "layer1.1", &seg / "layer2", &seg / "layer3", &seg / "layer4"];
        let parts = Parts { conv1: &seg / "layer0.0", bn1: &seg / "layer0.1", stages };
        let dilation = Dilation { output_stride: spec.output_stride, first: FirstBlock::Before };
        let encoder = ResNet::new(&parts, table, dilation, spec.bands, spec.depth);
        let (classes, finest) = (i64::from(spec.classes), 64);
        let [stem, c1, c2, c3, deep] = *encoder.channels() else { return None };
        let head = |scope: &Scope, name: &str, fine: i64| {
            let mlp = scope / "rend" / name / "mlp";
            let layers = ["fc1", "fc2", "fc3", "final_fc"].map(|layer| &mlp / layer);
            let [a, b, c, d] = &layers;
            PointHead::new([a, b, c, d], classes + fine, classes, PointBias::All)
        };
        // Two refinements on coarser maps were given up by their author; their weights were not.
        scope.never_used(|scope| [head(scope, "mlp3", c3), head(scope, "mlp2", c2)]);
        Some(Self {
            encoder,
            finest: DoubleConv::new(&(&seg / "refine"), i64::from(spec.bands), finest, ConvShape::new(3)),
            attention: MaxScse::new(&(&seg / "att"), deep, 4),
            dropout: Dropout::channels(scope, DROPOUT),
            coarse: Conv::new(&(&seg / "seg" / 1), deep, classes, ConvShape::new(1).biased()),
            heads: [head(scope, "mlp1", c1), head(scope, "mlp0", stem), head(scope, "mlp_refine", finest)],
        })
    }
}

impl Segmenter for RendUnet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let finest = self.finest.forward(input, train);
        let features: Features = self.encoder.features(input, train);
        let [stem, c1, deep] = features.keep([0, 1, 4]);
        let coarse = self.coarse.forward(&self.dropout.apply(&self.attention.forward(&deep), train));
        let fine = [c1, stem, finest];
        if !train {
            let refine = |logits: Tensor, (head, fine): (&PointHead, &Tensor)| head.refine(&logits, fine);
            return Segmented::new(self.heads.iter().zip(&fine).fold(coarse, refine), None);
        }
        let names = [("points3", "rend3"), ("points4", "rend4"), ("points5", "rend5")];
        let mut logits = coarse.shallow_clone();
        let mut sides = Vec::new();
        for ((head, fine), (points_name, name)) in self.heads.iter().zip(&fine).zip(names) {
            logits = bilinear(&logits, size_of(&logits).map(|n| 2 * n), true);
            let (points, rendered) = head.sample(&logits, fine, UNET_IMPORTANT);
            sides.extend([(points_name, points), (name, rendered)]);
        }
        training(coarse, sides)
    }
}

/// Coarse logits with points.
fn training(coarse: Tensor, sides: impl IntoIterator<Item = (&'static str, Tensor)>) -> Segmented {
    let side = sides.into_iter().map(|(name, values)| Side { name, values, upsample: None }).collect();
    Segmented { values: coarse, upsample: COARSE, side }
}
