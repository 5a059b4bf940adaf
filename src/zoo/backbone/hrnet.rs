//! HRNetV2 (Wang et al. 2019, arXiv:1908.07919): branches of four resolutions side by side that keep exchanging what they know.

use tch::Tensor;
use tch::nn::Init;

use super::resnet::{Block, BlockKind, Place, ResNetTable};
use super::{Extractor, Features, Pace};
use crate::zoo::layers::conv::{ConvBn, ConvShape};
use crate::zoo::layers::linear::Linear;
use crate::zoo::layers::resize::{bilinear, nearest, size_of};
use crate::zoo::layers::scope::Scope;
use crate::zoo::spec::Backbone;

/// Channels of the stem, which ends at stride 4.
const STEM_CHANNELS: i64 = 64;
/// Channels inside the bottlenecks in front of timm's classifier.
const HEAD_WIDTHS: [i64; 4] = [32, 64, 128, 256];
/// Channels in front of timm's classifier.
const HEAD_CHANNELS: i64 = 2048;

/// How the exchange brings a coarse branch to a finer one's size. The definitions have the same weights and other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuseUpsampling {
    /// Bilinear with aligned corners: segmentation.
    Bilinear,
    /// Nearest: classification, timm.
    Nearest,
}

/// One member of the family, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HrNetTable {
    /// Channels of the finest branch; each coarser one has twice as many.
    pub width: i64,
    /// Blocks of stage 1, and channels inside them.
    pub first: (usize, i64),
    /// Modules of stages 2 to 4.
    pub modules: [usize; 3],
    /// Blocks of a branch in each module.
    pub blocks: usize,
}

impl HrNetTable {
    /// The row of a backbone; `None` for backbones of another family.
    pub fn of(backbone: Backbone) -> Option<Self> {
        let usual = |width| Self { width, first: (4, 64), modules: [1, 4, 3], blocks: 4 };
        let rows = [
            (Backbone::HrNetW18Small, Self { width: 16, first: (1, 32), modules: [1, 1, 1], blocks: 2 }),
            (Backbone::HrNetW18, usual(18)),
            (Backbone::HrNetW32, usual(32)),
            (Backbone::HrNetW48, usual(48)),
        ];
        rows.into_iter().find(|(b, _)| *b == backbone).map(|(_, row)| row)
    }
}

/// The network up to its four branches. Its feature maps are the first convolution's (stride 2) and the branches (4 to 32).
#[derive(Debug)]
pub struct HrNet {
    conv1: ConvBn,
    conv2: ConvBn,
    layer1: Vec<Block>,
    stages: Vec<Stage>,
    channels: [i64; 5],
    head: Option<Head>,
}

/// New branches, then modules.
#[derive(Debug)]
struct Stage {
    /// Of each branch, what makes its input of the stage before: nothing where that passes through.
    transition: Vec<Option<ConvBn>>,
    modules: Vec<Module>,
}

impl HrNet {
    /// The network for images of `bands` channels.
    pub fn new(scope: &Scope, table: HrNetTable, upsampling: FuseUpsampling, bands: u32) -> Self {
        let start = start();
        let stem = |idx: usize, input: i64| {
            let (conv, norm) = (scope / format!("conv{idx}"), scope / format!("bn{idx}"));
            ConvBn::new(&conv, &norm, input, STEM_CHANNELS, ConvShape { kernel: 3, stride: 2, ..start })
        };
        let bottleneck = ResNetTable::plain(BlockKind::Bottleneck);
        let (n_first, width) = table.first;
        let place = Place { width, pace: Pace::EVEN, start };
        let wide = width * BlockKind::Bottleneck.expansion();
        let layer1 = |idx: usize| {
            Block::new(&(scope / "layer1" / idx), bottleneck, if idx == 0 { STEM_CHANNELS } else { wide }, place, idx)
        };
        let branch_channels: [i64; 4] = std::array::from_fn(|idx| table.width << idx);
        let mut stages = Vec::new();
        let mut before = vec![wide];
        for (idx, n_modules) in table.modules.into_iter().enumerate() {
            let channels = &branch_channels[..idx + 2];
            let transition = transition(&(scope / format!("transition{}", idx + 1)), &before, channels);
            let modules = scope / format!("stage{}", idx + 2);
            let modules = (0..n_modules).map(|m| Module::new(&(&modules / m), channels, table.blocks, upsampling));
            let modules = modules.collect();
            stages.push(Stage { transition, modules });
            before = channels.to_vec();
        }
        let [b0, b1, b2, b3] = branch_channels;
        Self {
            conv1: stem(1, i64::from(bands)),
            conv2: stem(2, STEM_CHANNELS),
            layer1: (0..n_first).map(layer1).collect(),
            stages,
            channels: [STEM_CHANNELS, b0, b1, b2, b3],
            head: None,
        }
    }

    /// The same with the classifier that timm and the authors' classification network have.
    pub fn with_classifier(mut self, scope: &Scope, classes: u32) -> Self {
        self.head = Some(Head::new(scope, &self.channels[1..], i64::from(classes)));
        self
    }
}

/// The starting values of the authors: normal, deviation 0.001.
fn start() -> ConvShape {
    ConvShape::new(1).init(Init::Randn { mean: 0.0, stdev: 0.001 })
}

/// Makes branches of `channels` from those of `before`.
fn transition(scope: &Scope, before: &[i64], channels: &[i64]) -> Vec<Option<ConvBn>> {
    let shape = ConvShape { kernel: 3, ..start() };
    let branch = |(idx, &output): (usize, &i64)| match before.get(idx) {
        Some(&input) if input == output => None,
        Some(&input) => Some(ConvBn::sequential(&(scope / idx), 0, input, output, shape)),
        None => {
            let input = before[before.len() - 1];
            Some(ConvBn::sequential(&(scope / idx / 0), 0, input, output, shape.stride(2)))
        }
    };
    channels.iter().enumerate().map(branch).collect()
}

impl Stage {
    fn forward(&self, before: &[Tensor], train: bool) -> Vec<Tensor> {
        let last = before.len() - 1;
        let make = |(idx, conv): (usize, &Option<ConvBn>)| match conv {
            None => before[idx].shallow_clone(),
            Some(conv) => conv.forward_relu(&before[idx.min(last)], train),
        };
        let branches = self.transition.iter().enumerate().map(make).collect();
        self.modules.iter().fold(branches, |branches, module| module.forward(branches, train))
    }
}

/// Branches, each on its own, then the exchange between all of them.
#[derive(Debug)]
struct Module {
    branches: Vec<Vec<Block>>,
    fuse: Vec<Vec<Path>>,
    upsampling: FuseUpsampling,
}

/// The way from one branch to another.
#[derive(Debug)]
enum Path {
    /// To itself.
    Same,
    /// From a coarser branch: 1 x 1, then up-sampled.
    Up(ConvBn),
    /// From a finer branch: 3 x 3 with stride 2 as often as needed, ReLU between.
    Down(Vec<ConvBn>),
}

impl Module {
    fn new(scope: &Scope, channels: &[i64], n_blocks: usize, upsampling: FuseUpsampling) -> Self {
        let basic = ResNetTable::plain(BlockKind::Basic);
        let branch = |(idx, &width): (usize, &i64)| {
            let place = Place { width, pace: Pace::EVEN, start: start() };
            let block = |at: usize| Block::new(&(scope / "branches" / idx / at), basic, width, place, at);
            (0..n_blocks).map(block).collect()
        };
        let path = |to: usize, from: usize| {
            let place = scope / "fuse_layers" / to / from;
            match to.cmp(&from) {
                std::cmp::Ordering::Equal => Path::Same,
                std::cmp::Ordering::Less => {
                    Path::Up(ConvBn::sequential(&place, 0, channels[from], channels[to], start()))
                }
                std::cmp::Ordering::Greater => Path::down(&place, channels[from], channels[to], to - from),
            }
        };
        let n = channels.len();
        Self {
            branches: channels.iter().enumerate().map(branch).collect(),
            fuse: (0..n).map(|to| (0..n).map(|from| path(to, from)).collect()).collect(),
            upsampling,
        }
    }

    fn forward(&self, branches: Vec<Tensor>, train: bool) -> Vec<Tensor> {
        let own = branches.into_iter().zip(&self.branches);
        let own: Vec<_> =
            own.map(|(xs, blocks)| blocks.iter().fold(xs, |xs, block| block.forward(&xs, train))).collect();
        self.fuse.iter().enumerate().map(|(to, paths)| self.exchange(&own, to, paths, train)).collect()
    }

    /// What branch `to` gets: the sum over all branches, in their order.
    fn exchange(&self, own: &[Tensor], to: usize, paths: &[Path], train: bool) -> Tensor {
        let size = size_of(&own[to]);
        let parts = own.iter().zip(paths).map(|(xs, path)| match path {
            Path::Same => xs.shallow_clone(),
            Path::Down(convs) => Path::descend(convs, xs, train),
            Path::Up(conv) => match self.upsampling {
                FuseUpsampling::Bilinear => bilinear(&conv.forward(xs, train), size, true),
                FuseUpsampling::Nearest => nearest(&conv.forward(xs, train), size),
            },
        });
        // The first addition makes a map of its own: a branch that passes through is read by others too.
        let sum = parts.enumerate().fold(Tensor::default(), |mut sum, (idx, part)| match idx {
            0 => part,
            1 => sum + part,
            _ => {
                sum += part;
                sum
            }
        });
        { sum }.relu_()
    }
}

impl Path {
    /// `steps` convolutions, the last of which changes the channels.
    fn down(scope: &Scope, input: i64, output: i64, steps: usize) -> Self {
        let shape = ConvShape { kernel: 3, stride: 2, ..start() };
        let conv = |step: usize| {
            let output = if step + 1 == steps { output } else { input };
            ConvBn::sequential(&(scope / step), 0, input, output, shape)
        };
        Self::Down((0..steps).map(conv).collect())
    }

    fn descend(convs: &[ConvBn], xs: &Tensor, train: bool) -> Tensor {
        let last = convs.len() - 1;
        convs.iter().enumerate().fold(xs.shallow_clone(), |xs, (idx, conv)| match idx == last {
            true => conv.forward(&xs, train),
            false => conv.forward_relu(&xs, train),
        })
    }
}

impl Extractor for HrNet {
    fn channels(&self) -> &[i64] {
        &self.channels
    }

    fn features(&self, xs: &Tensor, train: bool) -> Features {
        let stem = self.conv1.forward_relu(xs, train);
        let wide = self.conv2.forward_relu(&stem, train);
        let wide = self.layer1.iter().fold(wide, |xs, block| block.forward(&xs, train));
        let branches = self.stages.iter().fold(vec![wide], |branches, stage| stage.forward(&branches, train));
        Features { maps: [stem].into_iter().chain(branches).collect() }
    }

    fn classify(&self, features: &Features) -> Option<Tensor> {
        Some(self.head.as_ref()?.forward(&features.maps[1..]))
    }
}

/// The branches joined from fine to coarse, and a classifier.
#[derive(Debug)]
struct Head {
    widen: Vec<Block>,
    down: Vec<ConvBn>,
    last: ConvBn,
    classifier: Linear,
}

impl Head {
    fn new(scope: &Scope, channels: &[i64], classes: i64) -> Self {
        let table = ResNetTable::plain(BlockKind::Bottleneck);
        let wide = HEAD_WIDTHS.map(|width| width * BlockKind::Bottleneck.expansion());
        let widen = |(idx, &input): (usize, &i64)| {
            let place = Place { width: HEAD_WIDTHS[idx], pace: Pace::EVEN, start: start() };
            Block::new(&(scope / "incre_modules" / idx / 0), table, input, place, 0)
        };
        let shape = ConvShape { kernel: 3, stride: 2, ..start() }.biased();
        let down =
            |idx: usize| ConvBn::sequential(&(scope / "downsamp_modules" / idx), 0, wide[idx], wide[idx + 1], shape);
        Self {
            widen: channels.iter().enumerate().map(widen).collect(),
            down: (0..channels.len() - 1).map(down).collect(),
            last: ConvBn::sequential(&(scope / "final_layer"), 0, wide[3], HEAD_CHANNELS, start().biased()),
            classifier: Linear::new(&(scope / "classifier"), HEAD_CHANNELS, classes),
        }
    }

    /// The classifier is there for comparison and for pretrained files: it runs on running statistics.
    fn forward(&self, branches: &[Tensor]) -> Tensor {
        let mut joined = self.widen[0].forward(&branches[0], false);
        for (idx, down) in self.down.iter().enumerate() {
            joined = self.widen[idx + 1].forward(&branches[idx + 1], false) + down.forward_relu(&joined, false);
        }
        let pooled = self.last.forward_relu(&joined, false).adaptive_avg_pool2d([1, 1]).flatten(1, -1);
        self.classifier.forward(&pooled)
    }
}
