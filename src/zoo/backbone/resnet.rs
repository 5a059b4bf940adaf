//! ResNets (He et al. 2016, arXiv:1512.03385) with torchvision's names and arithmetic.
//!
//! The stride of a bottleneck sits on its 3 x 3 convolution. Deeper and grouped variants (ResNeXt) are further rows of
//! [`ResNetTable::of`].

use tch::Tensor;
use tch::nn::{self, Module};

use super::Features;
use crate::zoo::layers::conv::{ConvBn, ConvShape};
use crate::zoo::spec::Backbone;

/// Channels of the stem.
const STEM_CHANNELS: i64 = 64;

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
    const fn expansion(self) -> i64 {
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
}

impl ResNetTable {
    /// The row of a backbone.
    pub const fn of(backbone: Backbone) -> Self {
        let (block, depths) = match backbone {
            Backbone::ResNet18 => (BlockKind::Basic, [2, 2, 2, 2]),
            Backbone::ResNet34 => (BlockKind::Basic, [3, 4, 6, 3]),
            Backbone::ResNet50 => (BlockKind::Bottleneck, [3, 4, 6, 3]),
        };
        Self { block, depths, groups: 1, group_width: 64 }
    }

    /// Output channels of the four stages.
    pub const fn channels(self) -> [i64; 4] {
        let e = self.block.expansion();
        [64 * e, 128 * e, 256 * e, 512 * e]
    }
}

/// A ResNet, with or without its classifier.
#[derive(Debug)]
pub struct ResNet {
    stem: ConvBn,
    stages: [Vec<Block>; 4],
    classifier: Option<nn::Linear>,
}

impl ResNet {
    /// The network for images of `bands` channels whose deepest map has stride `output_stride`: 32, 16 or 8.
    ///
    /// A stage that would go beyond that stride keeps its size and dilates all its 3 x 3 convolutions instead, the first block's
    /// included, as segmentation_models_pytorch does (torchvision leaves the first block at the dilation before).
    /// With `classes`, there is a linear classifier `fc`: [`Self::classify`].
    pub fn new(vs: &nn::Path, table: ResNetTable, output_stride: u32, bands: i64, classes: Option<i64>) -> Self {
        let stem_shape = ConvShape::new(7).stride(2).backbone_init();
        let stem = ConvBn::new(vs / "conv1", vs / "bn1", bands, STEM_CHANNELS, stem_shape);
        let channels = table.channels();
        let mut input = STEM_CHANNELS;
        let stages = std::array::from_fn(|idx| {
            let undilated_stride = 4 << idx;
            let dilation = (undilated_stride / i64::from(output_stride)).max(1);
            let stride = if idx == 0 || dilation > 1 { 1 } else { 2 };
            let place = Place { width: 64 << idx, stride, dilation };
            let stage = build_stage(&(vs / format!("layer{}", idx + 1)), table, table.depths[idx], input, place);
            input = channels[idx];
            stage
        });
        let classifier = classes.map(|n| nn::linear(vs / "fc", channels[3], n, nn::LinearConfig::default()));
        Self { stem, stages, classifier }
    }

    /// The feature maps of `xs`, `[N, bands, H, W]`.
    pub fn features(&self, xs: &Tensor, train: bool) -> Features {
        let stage = |idx: usize, xs: &Tensor| run_stage(&self.stages[idx], xs, train);
        let stem = self.stem.forward_relu(xs, train);
        let c1 = stage(0, &stem.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false));
        let c2 = stage(1, &c1);
        let c3 = stage(2, &c2);
        let c4 = stage(3, &c3);
        Features { stem, c1, c2, c3, c4 }
    }

    /// The class scores, `[N, classes]`, that belong to stage 4's map; `None` when built without a classifier.
    pub fn classify(&self, c4: &Tensor) -> Option<Tensor> {
        let classifier = self.classifier.as_ref()?;
        Some(classifier.forward(&c4.adaptive_avg_pool2d([1, 1]).flatten(1, -1)))
    }
}

/// Where a block stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    width: i64,
    stride: i64,
    dilation: i64,
}

fn build_stage(vs: &nn::Path, table: ResNetTable, depth: usize, input: i64, place: Place) -> Vec<Block> {
    let output = place.width * table.block.expansion();
    (0..depth)
        .map(|idx| match idx {
            0 => Block::new(&(vs / idx), table, input, place),
            _ => Block::new(&(vs / idx), table, output, Place { stride: 1, ..place }),
        })
        .collect()
}

fn run_stage(blocks: &[Block], xs: &Tensor, train: bool) -> Tensor {
    blocks.iter().fold(xs.shallow_clone(), |xs, block| block.forward(&xs, train))
}

/// Convolutions around which the input is added to the output.
#[derive(Debug)]
struct Block {
    convs: Vec<ConvBn>,
    downsample: Option<ConvBn>,
}

impl Block {
    fn new(vs: &nn::Path, table: ResNetTable, input: i64, place: Place) -> Self {
        let Place { width, stride, dilation } = place;
        let output = width * table.block.expansion();
        let spatial = ConvShape::new(3).dilation(dilation).backbone_init();
        let point = ConvShape::new(1).backbone_init();
        let inner = width * table.group_width / 64 * table.groups;
        let plan = match table.block {
            BlockKind::Basic => vec![(input, output, spatial.stride(stride)), (output, output, spatial)],
            BlockKind::Bottleneck => vec![
                (input, inner, point),
                (inner, inner, spatial.stride(stride).groups(table.groups)),
                (inner, output, point),
            ],
        };
        let build = |(idx, (input, output, shape)): (usize, (i64, i64, ConvShape))| {
            ConvBn::new(vs / format!("conv{}", idx + 1), vs / format!("bn{}", idx + 1), input, output, shape)
        };
        let convs = plan.into_iter().enumerate().map(build).collect();
        let changes = stride != 1 || input != output;
        let downsample =
            changes.then(|| ConvBn::sequential(&(vs / "downsample"), 0, input, output, point.stride(stride)));
        Self { convs, downsample }
    }

    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let residual = self.residual(xs, train);
        match &self.downsample {
            Some(downsample) => (residual + downsample.forward(xs, train)).relu_(),
            None => (residual + xs).relu_(),
        }
    }

    /// What is added to the input: the convolutions, ReLU between them and not after the last.
    fn residual(&self, xs: &Tensor, train: bool) -> Tensor {
        let mut out = xs.shallow_clone();
        for (idx, conv) in self.convs.iter().enumerate() {
            out = if idx + 1 < self.convs.len() { conv.forward_relu(&out, train) } else { conv.forward(&out, train) };
        }
        out
    }
}
