//! ResNeSts (Zhang et al. 2020, arXiv:2004.08955) with the authors' names and arithmetic: radix 2, cardinality 1, deep stem,
//! average pooling in front of the shortcut and behind the strided convolution.

use tch::{Kind, Tensor};

use super::{Dilation, Extractor, Features, Pace};
use crate::zoo::layers::conv::{Conv, ConvBn, ConvShape};
use crate::zoo::layers::linear::Linear;
use crate::zoo::layers::scope::Scope;
use crate::zoo::spec::Backbone;

/// Channels of a block's output per unit of its width.
const EXPANSION: i64 = 4;
/// Groups of channels between which attention chooses.
const RADIX: i64 = 2;
/// Fewest channels inside the attention.
const MIN_ATTENTION: i64 = 32;

/// One member of the family, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNeStTable {
    /// Blocks per stage.
    pub depths: [usize; 4],
    /// Channels of the stem's first convolutions; its last has twice as many.
    pub stem: i64,
    /// Channels of stage 1 inside its blocks: 64 in all that are published.
    pub width: i64,
}

impl ResNeStTable {
    /// The row of a backbone; `None` for backbones of another family.
    pub fn of(backbone: Backbone) -> Option<Self> {
        let (depths, stem, width) = match backbone {
            Backbone::ResNeSt14 => ([1, 1, 1, 1], 32, 64),
            Backbone::ResNeSt14W32 => ([1, 1, 1, 1], 16, 32),
            Backbone::ResNeSt26 => ([2, 2, 2, 2], 32, 64),
            Backbone::ResNeSt50 => ([3, 4, 6, 3], 32, 64),
            Backbone::ResNeSt101 => ([3, 4, 23, 3], 64, 64),
            Backbone::ResNeSt200 => ([3, 24, 36, 3], 64, 64),
            Backbone::ResNeSt269 => ([3, 30, 48, 8], 64, 64),
            Backbone::ResNet18
            | Backbone::ResNet18W32
            | Backbone::ResNet34
            | Backbone::ResNet50
            | Backbone::ResNet101
            | Backbone::ResNet152
            | Backbone::ResNeXt50
            | Backbone::ResNeXt101
            | Backbone::Xception
            | Backbone::Xception41
            | Backbone::Xception65
            | Backbone::HrNetW18Small
            | Backbone::HrNetW18
            | Backbone::HrNetW32
            | Backbone::HrNetW48 => return None,
        };
        Some(Self { depths, stem, width })
    }
}

/// What becomes of the poolings that would have halved a stage which keeps its resolution: the one behind the attention, and the one in front
/// of the shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DilatedPooling {
    /// The authors keep the first, at stride 1, and have no second.
    Keep,
    /// timm has no first; the second averages each pixel with those to the right and below, and zeros beyond the border.
    Drop,
}

/// A ResNeSt.
#[derive(Debug)]
pub struct ResNeSt {
    stem: [ConvBn; 3],
    stages: Vec<Vec<Block>>,
    channels: Vec<i64>,
    classifier: Option<Linear>,
}

impl ResNeSt {
    /// The network for images of `bands` channels, of which `depth` stages are used, the stem counted as one: the others have their
    /// names only.
    pub fn new(
        scope: &Scope,
        table: ResNeStTable,
        dilation: Dilation,
        pooling: DilatedPooling,
        bands: u32,
        depth: u32,
    ) -> Self {
        let first = scope / "conv1";
        let spatial = ConvShape::new(3).backbone_init();
        let (width, stem) = (table.stem, 2 * table.stem);
        let stem_convs = [
            ConvBn::sequential(&first, 0, i64::from(bands), width, spatial.stride(2)),
            ConvBn::sequential(&first, 3, width, width, spatial),
            ConvBn::new(&(&first / 6), &(scope / "bn1"), width, stem, spatial),
        ];
        let keeps = pooling == DilatedPooling::Keep;
        let mut channels = vec![stem];
        let mut stages = Vec::new();
        for (idx, n_blocks) in table.depths.into_iter().enumerate() {
            let pace = dilation.pace(idx);
            let place = Place {
                width: table.width << idx,
                pace,
                pools: idx > 0 && (keeps || pace.stride > 1),
                averages: !keeps && pace.dilation > 1,
            };
            let input = if idx == 0 { stem } else { (table.width << (idx - 1)) * EXPANSION };
            let build = |scope: &Scope| build_stage(scope, n_blocks, input, place);
            let stage = scope / format!("layer{}", idx + 1);
            if idx + 1 < depth as usize {
                stages.push(build(&stage));
                channels.push(place.width * EXPANSION);
            } else {
                stage.never_used(build);
            }
        }
        Self { stem: stem_convs, stages, channels, classifier: None }
    }

    /// The same with a linear classifier, variables `fc.*` at `scope`.
    pub fn with_classifier(mut self, scope: &Scope, classes: u32) -> Self {
        let features = self.channels.last().copied().unwrap_or_default();
        self.classifier = Some(Linear::new(&(scope / "fc"), features, i64::from(classes)));
        self
    }
}

impl Extractor for ResNeSt {
    fn channels(&self) -> &[i64] {
        &self.channels
    }

    fn features(&self, xs: &Tensor, train: bool) -> Features {
        let stem = self.stem.iter().fold(xs.shallow_clone(), |xs, conv| conv.forward_relu(&xs, train));
        Features::stage_by_stage(stem, &self.stages, |blocks, xs| {
            blocks.iter().fold(xs.shallow_clone(), |xs, block| block.forward(&xs, train))
        })
    }

    fn classify(&self, features: &Features) -> Option<Tensor> {
        Some(features.classified(self.classifier.as_ref()?))
    }
}

/// Where a block stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    width: i64,
    pace: Pace,
    /// The stage's first block pools behind its split attention, which takes over the stride.
    pools: bool,
    /// Its shortcut averages at stride 1.
    averages: bool,
}

fn build_stage(scope: &Scope, n_blocks: usize, input: i64, place: Place) -> Vec<Block> {
    let output = place.width * EXPANSION;
    (0..n_blocks).map(|idx| Block::new(&(scope / idx), if idx == 0 { input } else { output }, place, idx)).collect()
}

/// 1 x 1, split attention, 1 x 1, around which the input is added to the output.
#[derive(Debug)]
struct Block {
    reduce: ConvBn,
    attention: SplitAttention,
    /// Stride of the average pooling behind the attention.
    pool: Option<i64>,
    expand: ConvBn,
    shortcut: Option<(ShortcutPool, ConvBn)>,
}

/// What stands in front of the convolution of a shortcut.
#[derive(Clone, Copy, Debug)]
enum ShortcutPool {
    None,
    /// The mean of squares of this side.
    Stride(i64),
    /// The mean of each pixel and those to the right and below.
    Same,
}

impl Block {
    fn new(scope: &Scope, input: i64, place: Place, idx: usize) -> Self {
        let (stride, dilation) = place.pace.of_block(idx);
        let (width, output) = (place.width, place.width * EXPANSION);
        let point = ConvShape::new(1).backbone_init();
        let pool = (place.pools && idx == 0).then_some(stride);
        let attention_stride = if pool.is_some() { 1 } else { stride };
        let changes = stride != 1 || input != output;
        let shortcut_pool = match stride {
            1 if place.averages => ShortcutPool::Same,
            1 => ShortcutPool::None,
            _ => ShortcutPool::Stride(stride),
        };
        let shortcut =
            changes.then(|| (shortcut_pool, ConvBn::sequential(&(scope / "downsample"), 1, input, output, point)));
        let spatial = ConvShape::new(3).backbone_init().stride(attention_stride).dilation(dilation);
        Self {
            reduce: ConvBn::new(&(scope / "conv1"), &(scope / "bn1"), input, width, point),
            attention: SplitAttention::new(&(scope / "conv2"), width, spatial),
            pool,
            expand: ConvBn::new(&(scope / "conv3"), &(scope / "bn3"), width, output, point),
            shortcut,
        }
    }

    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let mut out = self.attention.forward(&self.reduce.forward_relu(xs, train), train);
        if let Some(stride) = self.pool {
            // The zeros of the padding count.
            out = out.avg_pool2d([3, 3], [stride, stride], [1, 1], false, true, None::<i64>);
        }
        let shortcut = match &self.shortcut {
            None => xs.shallow_clone(),
            Some((pool, conv)) => conv.forward(&pool.apply(xs), train),
        };
        self.expand.forward_add_relu(&out, &shortcut, train)
    }
}

impl ShortcutPool {
    fn apply(self, xs: &Tensor) -> Tensor {
        match self {
            Self::None => xs.shallow_clone(),
            // Windows that reach over the border average the real pixels only.
            Self::Stride(n) => xs.avg_pool2d([n; 2], [n; 2], [0, 0], true, false, None::<i64>),
            Self::Same => xs.constant_pad_nd([0, 1, 0, 1]).avg_pool2d([2, 2], [1, 1], [0, 0], false, true, None::<i64>),
        }
    }
}

/// Two groups of channels, mixed by weights that the whole map decides (section 3.1 of the paper).
#[derive(Debug)]
struct SplitAttention {
    conv: ConvBn,
    squeeze: ConvBn,
    excite: Conv,
    width: i64,
}

impl SplitAttention {
    fn new(scope: &Scope, width: i64, spatial: ConvShape) -> Self {
        let inner = (width * RADIX / 4).max(MIN_ATTENTION);
        let point = ConvShape::new(1).biased();
        Self {
            conv: ConvBn::new(&(scope / "conv"), &(scope / "bn0"), width, width * RADIX, spatial.groups(RADIX)),
            squeeze: ConvBn::new(&(scope / "fc1"), &(scope / "bn1"), width, inner, point),
            excite: Conv::new(&(scope / "fc2"), inner, width * RADIX, point),
            width,
        }
    }

    /// `[N, width, H, W]` to `[N, width, h, w]`.
    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let groups = self.conv.forward_relu(xs, train);
        let (first, second) = (groups.narrow(1, 0, self.width), groups.narrow(1, self.width, self.width));
        let whole = (&first + &second).adaptive_avg_pool2d([1, 1]);
        let votes = self.excite.forward(&self.squeeze.forward_relu(&whole, train));
        let votes = votes.view([-1, RADIX, self.width, 1, 1]).softmax(1, None::<Kind>);
        (first * votes.select(1, 0)).addcmul_(&second, &votes.select(1, 1))
    }
}
