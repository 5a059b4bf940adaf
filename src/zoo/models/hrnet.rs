//! HRNetV2 for segmentation (Wang et al. 2019, arXiv:1908.07919), without and with object-contextual representations (Yuan et al. 2020,
//! arXiv:1909.11065), as the authors' branch HRNet-OCR defines them: corners aligned wherever something is up-sampled.
//!
//! Variables of the trunk at the top, `last_layer.*` without OCR; with it `aux_head.*`, `conv3x3_ocr.*`, `ocr_distri_head.*`, `cls_head.*`.

use tch::Tensor;

use crate::zoo::backbone::Extractor;
use crate::zoo::backbone::hrnet::{FuseUpsampling, HrNet as Trunk, HrNetTable};
use crate::zoo::layers::conv::{Conv, ConvBn, ConvShape};
use crate::zoo::layers::object_context::{ObjectContext, gather};
use crate::zoo::layers::resize::{bilinear, size_of};
use crate::zoo::layers::scope::{Purpose, Scope};
use crate::zoo::segmenter::{Segmented, Segmenter, Side};
use crate::zoo::spec::{NetworkSpec, Upsample};

/// Channels of the features that the object context works on, if nothing else is chosen.
const CONTEXT_CHANNELS: i64 = 512;

/// The network without OCR.
#[derive(Debug)]
pub struct HrNet {
    trunk: Trunk,
    head: PointHead,
    upsample: Option<Upsample>,
}

/// The network with OCR.
#[derive(Debug)]
pub struct HrNetOcr {
    trunk: Trunk,
    /// Its logits say which pixels make up a class's vector: it is needed for inference too.
    coarse: PointHead,
    narrow: ConvBn,
    context: ObjectContext,
    head: Conv,
    /// Whether the coarse logits are returned too.
    is_training: bool,
    upsample: Option<Upsample>,
}

/// Two 1 x 1 convolutions.
#[derive(Debug)]
struct PointHead {
    first: ConvBn,
    last: Conv,
}

impl PointHead {
    fn new(scope: &Scope, channels: i64, classes: u32) -> Self {
        let point = ConvShape::new(1).biased();
        Self {
            first: ConvBn::sequential(scope, 0, channels, channels, point),
            last: Conv::new(&(scope / 3), channels, i64::from(classes), point),
        }
    }

    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.last.forward(&self.first.forward_relu(xs, train))
    }
}

/// The trunk of `spec` and the channels of its four branches together.
fn trunk(scope: &Scope, spec: &NetworkSpec) -> Option<(Trunk, i64)> {
    let table = HrNetTable::of(spec.backbone?)?;
    let trunk = Trunk::new(scope, table, FuseUpsampling::Bilinear, spec.bands);
    let channels = trunk.channels()[1..].iter().sum();
    Some((trunk, channels))
}

/// The four branches side by side at stride 4.
fn joined(trunk: &Trunk, input: &Tensor, train: bool) -> Tensor {
    let features = trunk.features(input, train);
    let size = size_of(features.stage(1));
    let branches: Vec<_> = features.maps[1..]
        .iter()
        .enumerate()
        .map(|(idx, branch)| if idx == 0 { branch.shallow_clone() } else { bilinear(branch, size, true) })
        .collect();
    Tensor::cat(&branches, 1)
}

impl HrNet {
    /// The network that `spec` describes; `None` for a spec without an HRNet backbone.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let (trunk, channels) = trunk(scope, spec)?;
        let head = PointHead::new(&(scope / "last_layer"), channels, spec.classes);
        Some(Self { trunk, head, upsample: spec.upsample() })
    }
}

impl Segmenter for HrNet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        Segmented::new(self.head.forward(&joined(&self.trunk, input, train), train), self.upsample)
    }
}

impl HrNetOcr {
    /// The network that `spec` describes; `None` for a spec without an HRNet backbone. Queries and keys have half of the context's channels,
    /// as in all that the authors publish.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let (trunk, channels) = trunk(scope, spec)?;
        let inner = spec.decoder_channels.first().map_or(CONTEXT_CHANNELS, |&n| i64::from(n));
        let spatial = ConvShape::new(3).biased();
        let classes = i64::from(spec.classes);
        Some(Self {
            trunk,
            coarse: PointHead::new(&(scope / "aux_head"), channels, spec.classes),
            narrow: ConvBn::sequential(&(scope / "conv3x3_ocr"), 0, channels, inner, spatial),
            context: ObjectContext::new(&(scope / "ocr_distri_head"), inner, (inner / 2).max(1)),
            head: Conv::new(&(scope / "cls_head"), inner, classes, ConvShape::new(1).biased()),
            is_training: scope.purpose() != Purpose::Inference,
            upsample: spec.upsample(),
        })
    }
}

impl Segmenter for HrNetOcr {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let joined = joined(&self.trunk, input, train);
        let coarse = self.coarse.forward(&joined, train);
        let features = self.narrow.forward_relu(&joined, train);
        let context = self.context.forward(&features, &gather(&features, &coarse), train);
        let mut out = Segmented::new(self.head.forward(&context), self.upsample);
        if self.is_training {
            out.side.push(Side { name: "aux", values: coarse, upsample: self.upsample });
        }
        out
    }
}
