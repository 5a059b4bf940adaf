//! Feature extractors: an image in, a pyramid of feature maps out.

pub mod hrnet;
pub mod resnest;
pub mod resnet;
pub mod xception;

use std::fmt;

use tch::Tensor;

use self::hrnet::{FuseUpsampling, HrNet, HrNetTable};
use self::resnest::{DilatedPooling, ResNeSt, ResNeStTable};
use self::resnet::{Parts, ResNet, ResNetTable};
use self::xception::{AlignedXception, NaicXception, Naming};
use crate::zoo::layers::linear::Linear;
use crate::zoo::layers::scope::Scope;
use crate::zoo::spec::{NetworkSpec, Variant};

/// Classes of ImageNet's classifiers.
const IMAGENET_CLASSES: i64 = 1000;

/// A pyramid of feature maps, finest first, each `[N, channels, H / stride, W / stride]` (rounded up).
///
/// Map 0 comes from the stem, stride 2; map i from stage i, at twice the stride of the one before until the output stride is reached. A
/// backbone that ends early has fewer.
#[derive(Debug)]
pub struct Features {
    /// The maps.
    pub maps: Vec<Tensor>,
}

impl Features {
    /// The map of stage `idx`; 0 is the stem.
    pub fn stage(&self, idx: usize) -> &Tensor {
        &self.maps[idx]
    }

    /// The deepest map.
    pub fn deepest(&self) -> &Tensor {
        &self.maps[self.maps.len() - 1]
    }

    /// Of a backbone whose first stage stands behind a max-pooling and each other one behind the stage before.
    fn stage_by_stage<S>(stem: Tensor, stages: &[S], run: impl Fn(&S, &Tensor) -> Tensor) -> Self {
        let mut maps = vec![stem];
        for (idx, stage) in stages.iter().enumerate() {
            let map = match idx {
                0 => run(stage, &maps[0].max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)),
                _ => run(stage, &maps[idx]),
            };
            maps.push(map);
        }
        Self { maps }
    }

    /// What a classifier makes of the mean of the deepest map.
    fn classified(&self, classifier: &Linear) -> Tensor {
        classifier.forward(&self.deepest().adaptive_avg_pool2d([1, 1]).flatten(1, -1))
    }

    /// The maps of these stages; the memory of the others is free again.
    pub fn keep<const N: usize>(mut self, stages: [usize; N]) -> [Tensor; N] {
        stages.map(|idx| std::mem::replace(&mut self.maps[idx], Tensor::new()))
    }
}

/// A network that makes feature maps of an image.
pub trait Extractor: Send + fmt::Debug {
    /// Channels of the maps, finest first.
    fn channels(&self) -> &[i64];

    /// The feature maps of `xs`, `[N, bands, H, W]`. `train` switches batch statistics on.
    fn features(&self, xs: &Tensor, train: bool) -> Features;

    /// The class scores, `[N, classes]`, that belong to these maps; `None` when built without a classifier.
    fn classify(&self, features: &Features) -> Option<Tensor>;
}

/// How a backbone keeps its resolution from some stage on. The definitions differ in what the first block of such a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dilation {
    /// Stride of the deepest map: 32, 16 or 8.
    pub output_stride: u32,
    /// What the first block does.
    pub first: FirstBlock,
}

/// What the first block of a dilated stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBlock {
    /// It keeps the dilation of the stage before: torchvision, ResNeSt, the original DANet.
    Before,
    /// It is dilated like the rest of its stage: segmentation_models_pytorch, the entry's DeepLabv3+.
    Same,
}

/// Stride and dilations of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Stride of the first block.
    pub stride: i64,
    /// Dilation of the first block.
    pub first_dilation: i64,
    /// Dilation of the other blocks.
    pub dilation: i64,
}

impl Dilation {
    /// No dilation: the deepest map has stride 32.
    pub const NONE: Self = Self { output_stride: 32, first: FirstBlock::Before };

    /// What stage `idx` does, counted from 0 for the one at stride 4.
    pub fn pace(self, idx: usize) -> Pace {
        let dilation = |idx: usize| ((4 << idx) / i64::from(self.output_stride)).max(1);
        let (before, now) = (dilation(idx.saturating_sub(1)), dilation(idx));
        let first_dilation = match self.first {
            FirstBlock::Before => before,
            FirstBlock::Same => now,
        };
        Pace { stride: if idx == 0 || now > 1 { 1 } else { 2 }, first_dilation, dilation: now }
    }
}

impl Pace {
    /// Every block at full resolution.
    pub const EVEN: Self = Self { stride: 1, first_dilation: 1, dilation: 1 };

    /// Stride and dilation of block `idx`.
    pub fn of_block(self, idx: usize) -> (i64, i64) {
        if idx == 0 { (self.stride, self.first_dilation) } else { (1, self.dilation) }
    }
}

/// The backbone of `spec` at `scope`, dilated as `first` says to the spec's output stride; `None` for a spec that names none.
///
/// It has no classifier: see [`build_with_unused_classifier`].
pub fn build(scope: &Scope, spec: &NetworkSpec, first: FirstBlock) -> Option<Box<dyn Extractor>> {
    let backbone = spec.backbone?;
    let dilation = Dilation { output_stride: spec.output_stride, first };
    if let Some(table) = ResNetTable::of(backbone) {
        return Some(Box::new(ResNet::new(&Parts::torchvision(scope), table, dilation, spec.bands, spec.depth)));
    }
    let table = ResNeStTable::of(backbone)?;
    let dilation = Dilation { first: FirstBlock::Before, ..dilation };
    // segmentation_models_pytorch takes timm's ResNeSt, wrapped once more.
    let (place, pooling) = match spec.variant == Variant::Smp {
        true => (scope / "model", DilatedPooling::Drop),
        false => (scope.clone(), DilatedPooling::Keep),
    };
    Some(Box::new(ResNeSt::new(&place, table, dilation, pooling, spec.bands, spec.depth)))
}

/// [`build`], where the definition keeps the ImageNet classifier `fc` and never uses it.
pub fn build_with_unused_classifier(
    scope: &Scope,
    spec: &NetworkSpec,
    first: FirstBlock,
) -> Option<Box<dyn Extractor>> {
    let built = build(scope, spec, first)?;
    let features = built.channels().last().copied().unwrap_or_default();
    scope.never_used(|scope| Linear::new(&(scope / "fc"), features, IMAGENET_CLASSES));
    Some(built)
}

/// A backbone as its definition has it, with its ImageNet classifier unless `spec` asks for features.
pub fn alone(scope: &Scope, spec: &NetworkSpec) -> Option<Box<dyn Extractor>> {
    let backbone = spec.backbone?;
    let dilation = Dilation { output_stride: spec.output_stride, first: FirstBlock::Before };
    let classes = (!spec.features).then_some(spec.classes);
    if let Some(table) = ResNetTable::of(backbone) {
        let net = ResNet::new(&Parts::torchvision(scope), table, dilation, spec.bands, spec.depth);
        return Some(boxed(net, classes, |net, n| net.with_classifier(scope, n)));
    }
    if let Some(table) = ResNeStTable::of(backbone) {
        let pooling = if spec.variant == Variant::Timm { DilatedPooling::Drop } else { DilatedPooling::Keep };
        let net = ResNeSt::new(scope, table, dilation, pooling, spec.bands, spec.depth);
        return Some(boxed(net, classes, |net, n| net.with_classifier(scope, n)));
    }
    if let Some(table) = HrNetTable::of(backbone) {
        let net = HrNet::new(scope, table, FuseUpsampling::Nearest, spec.bands);
        return Some(boxed(net, classes, |net, n| net.with_classifier(scope, n)));
    }
    if let Some(middle) = xception::middle_blocks(backbone) {
        let naming = if spec.features { Naming::Joined } else { Naming::Nested };
        let net = AlignedXception::new(scope, naming, middle, spec.output_stride, spec.bands);
        return Some(boxed(net, classes, |net, n| net.with_classifier(scope, n)));
    }
    Some(Box::new(NaicXception::new(scope, spec.output_stride, spec.bands)))
}

fn boxed<E: Extractor + 'static>(net: E, classes: Option<u32>, add: impl FnOnce(E, u32) -> E) -> Box<dyn Extractor> {
    Box::new(match classes {
        Some(classes) => add(net, classes),
        None => net,
    })
}
