//! ResNets (He et al. 2016, arXiv:1512.03385) with torchvision's names and arithmetic.
//!
//! The stride of a bottleneck sits on its 3 x 3 convolution. ResNeXt (Xie et al. 2017, arXiv:1611.05431) groups that convolution.

use tch::Tensor;

use super::{Dilation, Extractor, Features, Pace};
use crate::zoo::layers::conv::{ConvBn, ConvShape};
use crate::zoo::layers::linear::Linear;
use crate::zoo::layers::scope::Scope;
use crate::zoo::spec::Backbone;

/// Channels of the stem, and of the first stage inside its blocks.
const WIDTH: i64 = 64;

/// What blocks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Two 3 x 3 convolutions.
    Basic,
    /// 1 x 1, 3 x 3, 1 x 1, the last with four times the channels.
    Bottleneck,
}

impl BlockKind {
    /// Output channels per unit of width.
    pub(super) const fn expansion(self) -> i64 {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// One member of the family, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetTable {
    /// What its blocks are.
    pub block: BlockKind,
    /// Blocks per stage.
    pub depths: [usize; 4],
    /// Groups of the 3 x 3 convolution of a bottleneck.
    pub groups: i64,
    /// Channels per group at stage 1, 64 in a plain ResNet.
    pub group_width: i64,
    /// Channels of the stem, and of stage 1 inside its blocks: 64 in all that are published.
    pub width: i64,
}

impl ResNetTable {
    /// The row of a backbone; `None` for backbones of another family.
    pub fn of(backbone: Backbone) -> Option<Self> {
        let (block, depths, groups, group_width) = match backbone {
            Backbone::ResNet18 | Backbone::ResNet18W32 => (BlockKind::Basic, [2, 2, 2, 2], 1, 64),
            Backbone::ResNet34 => (BlockKind::Basic, [3, 4, 6, 3], 1, 64),
            Backbone::ResNet50 => (BlockKind::Bottleneck, [3, 4, 6, 3], 1, 64),
            Backbone::ResNet101 => (BlockKind::Bottleneck, [3, 4, 23, 3], 1, 64),
            Backbone::ResNet152 => (BlockKind::Bottleneck, [3, 8, 36, 3], 1, 64),
            Backbone::ResNeXt50 => (BlockKind::Bottleneck, [3, 4, 6, 3], 32, 4),
            Backbone::ResNeXt101 => (BlockKind::Bottleneck, [3, 4, 23, 3], 32, 8),
            Backbone::ResNeSt14
            | Backbone::ResNeSt14W32
            | Backbone::ResNeSt26
            | Backbone::ResNeSt50
            | Backbone::ResNeSt101
            | Backbone::ResNeSt200
            | Backbone::ResNeSt269
            | Backbone::Xception
            | Backbone::Xception41
            | Backbone::Xception65
            | Backbone::HrNetW18Small
            | Backbone::HrNetW18
            | Backbone::HrNetW32
            | Backbone::HrNetW48 => return None,
        };
        let width = if backbone == Backbone::ResNet18W32 { WIDTH / 2 } else { WIDTH };
        Some(Self { block, depths, groups, group_width, width })
    }

    /// Plain blocks of one kind.
    pub(super) const fn plain(block: BlockKind) -> Self {
        Self { block, depths: [0; 4], groups: 1, group_width: 64, width: WIDTH }
    }

    /// Output channels of the four stages.
    pub const fn channels(self) -> [i64; 4] {
        let first = self.width * self.block.expansion();
        [first, 2 * first, 4 * first, 8 * first]
    }
}

/// Where the parts of a ResNet have their variables: definitions that embed one rename its parts.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The first convolution.
    pub conv1: Scope<'a>,
    /// The normalisation behind it.
    pub bn1: Scope<'a>,
    /// The four stages.
    pub stages: [Scope<'a>; 4],
}

impl<'a> Parts<'a> {
    /// torchvision's names: `conv1`, `bn1`, `layer1` to `layer4`.
    pub fn torchvision(scope: &Scope<'a>) -> Self {
        let stages = std::array::from_fn(|idx| scope / format!("layer{}", idx + 1));
        Self { conv1: scope / "conv1", bn1: scope / "bn1", stages }
    }
}

/// A ResNet without a classifier of its own; [`Self::with_classifier`] adds torchvision's.
#[derive(Debug)]
pub struct ResNet {
    stem: ConvBn,
    stages: Vec<Stage>,
    channels: Vec<i64>,
    classifier: Option<Linear>,
}

impl ResNet {
    /// The network for images of `bands` channels, of which `depth` stages are used, the stem counted as one: the others have their
    /// names only.
    pub fn new(parts: &Parts, table: ResNetTable, dilation: Dilation, bands: u32, depth: u32) -> Self {
        let stem_shape = ConvShape::new(7).stride(2).backbone_init();
        let stem = ConvBn::new(&parts.conv1, &parts.bn1, i64::from(bands), table.width, stem_shape);
        let channels: Vec<i64> = [table.width].into_iter().chain(table.channels()).collect();
        let mut stages = Vec::new();
        for (idx, scope) in parts.stages.iter().enumerate() {
            let build = |scope: &Scope| Stage::new(scope, table, dilation, idx);
            if idx + 1 < depth as usize {
                stages.push(build(scope));
            } else {
                scope.never_used(build);
            }
        }
        Self { stem, channels: channels[..=stages.len()].to_vec(), stages, classifier: None }
    }

    /// The same with a linear classifier, variables `fc.*` at `scope`.
    pub fn with_classifier(mut self, scope: &Scope, classes: u32) -> Self {
        let features = self.channels.last().copied().unwrap_or_default();
        self.classifier = Some(Linear::new(&(scope / "fc"), features, i64::from(classes)));
        self
    }
}

impl Extractor for ResNet {
    fn channels(&self) -> &[i64] {
        &self.channels
    }

    fn features(&self, xs: &Tensor, train: bool) -> Features {
        let stem = self.stem.forward_relu(xs, train);
        Features::stage_by_stage(stem, &self.stages, |stage, xs| stage.forward(xs, train))
    }

    fn classify(&self, features: &Features) -> Option<Tensor> {
        Some(features.classified(self.classifier.as_ref()?))
    }
}

/// Where a block stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Channels inside it.
    pub(super) width: i64,
    /// Stride and dilation.
    pub(super) pace: Pace,
    /// Values to start training with.
    pub(super) start: ConvShape,
}

/// The blocks of one resolution.
#[derive(Debug)]
pub struct Stage(Vec<Block>);

impl Stage {
    /// Stage `idx` of a network, counted from 0 for the one at stride 4.
    pub fn new(scope: &Scope, table: ResNetTable, dilation: Dilation, idx: usize) -> Self {
        let place =
            Place { width: table.width << idx, pace: dilation.pace(idx), start: ConvShape::new(1).backbone_init() };
        let input = if idx == 0 { table.width } else { table.channels()[idx - 1] };
        let output = table.channels()[idx];
        let block = |at: usize| Block::new(&(scope / at), table, if at == 0 { input } else { output }, place, at);
        Self((0..table.depths[idx]).map(block).collect())
    }

    /// `[N, input, H, W]` to `[N, output, h, w]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.0.iter().fold(xs.shallow_clone(), |xs, block| block.forward(&xs, train))
    }
}

/// Convolutions around which the input is added to the output.
#[derive(Debug)]
pub struct Block {
    /// All but the last.
    convs: Vec<ConvBn>,
    last: ConvBn,
    downsample: Option<ConvBn>,
}

impl Block {
    /// A basic block that changes neither size nor channels.
    pub fn basic(scope: &Scope, channels: i64) -> Self {
        let place = Place { width: channels, pace: Pace::EVEN, start: ConvShape::new(1).backbone_init() };
        Self::new(scope, ResNetTable::plain(BlockKind::Basic), channels, place, 0)
    }

    /// The block `idx` of a stage.
    pub(super) fn new(scope: &Scope, table: ResNetTable, input: i64, place: Place, idx: usize) -> Self {
        let (stride, dilation) = place.pace.of_block(idx);
        let output = place.width * table.block.expansion();
        let point = place.start;
        let spatial = ConvShape { kernel: 3, ..point };
        let inner = place.width * table.group_width / 64 * table.groups;
        let conv = |number: u32, input: i64, output: i64, shape: ConvShape| {
            let (conv, norm) = (scope / format!("conv{number}"), scope / format!("bn{number}"));
            ConvBn::new(&conv, &norm, input, output, shape)
        };
        let paced = spatial.stride(stride).dilation(dilation);
        let (convs, last) = match table.block {
            BlockKind::Basic => {
                // The second convolution is the stage's own whatever the first does: DANet's authors and timm.
                let second = spatial.dilation(place.pace.dilation);
                (vec![conv(1, input, output, paced)], conv(2, output, output, second))
            }
            BlockKind::Bottleneck => (
                vec![conv(1, input, inner, point), conv(2, inner, inner, paced.groups(table.groups))],
                conv(3, inner, output, point),
            ),
        };
        let changes = stride != 1 || input != output;
        let downsample =
            changes.then(|| ConvBn::sequential(&(scope / "downsample"), 0, input, output, point.stride(stride)));
        Self { convs, last, downsample }
    }

    /// `[N, input, H, W]` to `[N, output, h, w]`: the convolutions, ReLU between them, the input added behind the last, ReLU.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let inner = self.convs.iter().fold(xs.shallow_clone(), |xs, conv| conv.forward_relu(&xs, train));
        match &self.downsample {
            Some(downsample) => self.last.forward_add_relu(&inner, &downsample.forward(xs, train), train),
            None => self.last.forward_add_relu(&inner, xs, train),
        }
    }
}
