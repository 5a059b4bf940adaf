//! Aligned Xception (Chollet 2017, arXiv:1610.02357, as DeepLabv3+ modified it: Chen et al. 2018, arXiv:1802.02611, section 3.2).
//!
//! Two definitions with other names and other arithmetic: [`AlignedXception`] is timm's, which follows TensorFlow's DeepLab;
//! [`NaicXception`] is the 2020 entry's.

use tch::Tensor;

use super::{Extractor, Features};
use crate::zoo::layers::conv::{ConvBn, ConvShape};
use crate::zoo::layers::linear::Linear;
use crate::zoo::layers::scope::Scope;
use crate::zoo::spec::Backbone;

/// Channels of the middle flow.
const MIDDLE: i64 = 728;
/// What timm's definition adds to variances.
const TIMM_EPS: f64 = 1e-3;
/// Middle blocks of the entry's definition.
const NAIC_MIDDLE_BLOCKS: usize = 16;

/// Middle blocks of timm's definition of a backbone; `None` for others.
pub fn middle_blocks(backbone: Backbone) -> Option<usize> {
    let known = [(Backbone::Xception41, 8), (Backbone::Xception65, 16)];
    known.into_iter().find(|(b, _)| *b == backbone).map(|(_, n)| n)
}

/// A depthwise 3 x 3 and a 1 x 1 convolution, each with batch normalisation.
#[derive(Debug)]
struct Separable {
    depthwise: ConvBn,
    pointwise: ConvBn,
}

impl Separable {
    /// timm's: `conv_dw`, `bn_dw`, `conv_pw`, `bn_pw`.
    fn timm(scope: &Scope, input: i64, output: i64, stride: i64, dilation: i64) -> Self {
        let part = |name: &str| scope / name;
        let spatial = ConvShape::new(3).stride(stride).dilation(dilation).groups(input).backbone_init();
        let point = ConvShape::new(1).backbone_init();
        Self {
            depthwise: ConvBn::with_eps(&part("conv_dw"), &part("bn_dw"), input, input, spatial, TIMM_EPS),
            pointwise: ConvBn::with_eps(&part("conv_pw"), &part("bn_pw"), input, output, point, TIMM_EPS),
        }
    }

    /// The entry's: `conv1`, `bn`, `pointwise` at `scope`, and the normalisation behind it at `norm`.
    fn naic(scope: &Scope, norm: &Scope, input: i64, output: i64, stride: i64, dilation: i64) -> Self {
        let spatial = ConvShape::new(3).stride(stride).dilation(dilation).groups(input).backbone_init();
        let point = ConvShape::new(1).backbone_init();
        Self {
            depthwise: ConvBn::new(&(scope / "conv1"), &(scope / "bn"), input, input, spatial),
            pointwise: ConvBn::new(&(scope / "pointwise"), norm, input, output, point),
        }
    }

    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.pointwise.forward(&self.depthwise.forward(xs, train), train)
    }

    /// The same with ReLU behind both convolutions.
    fn forward_relu(&self, xs: &Tensor, train: bool) -> Tensor {
        self.pointwise.forward_relu(&self.depthwise.forward_relu(xs, train), train)
    }
}

/// How timm names the parts of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `blocks.3`: in the classifier.
    Nested,
    /// `blocks_3`: where only features are wanted.
    Joined,
}

impl Naming {
    fn place<'a>(self, scope: &Scope<'a>, part: &str, idx: usize) -> Scope<'a> {
        match self {
            Self::Nested => scope / part / idx,
            Self::Joined => scope / format!("{part}_{idx}"),
        }
    }
}

/// timm's definition.
#[derive(Debug)]
pub struct AlignedXception {
    stem: [ConvBn; 2],
    blocks: Vec<TimmBlock>,
    classifier: Option<Linear>,
}

#[derive(Debug)]
struct TimmBlock {
    stack: [Separable; 3],
    shortcut: Option<ConvBn>,
    /// The last block has no shortcut, and ReLUs behind its convolutions instead of in front.
    is_last: bool,
    /// A feature map is taken in front of its third convolution.
    is_tapped: bool,
}

impl AlignedXception {
    /// Channels of the five feature maps.
    const CHANNELS: [i64; 5] = [128, 256, 728, 1024, 2048];

    /// The network with `middle` blocks in its middle flow. Strides beyond `output_stride` become dilation of all blocks behind.
    ///
    /// `naming`: timm joins levels of names with `_` where only features are wanted.
    pub fn new(scope: &Scope, naming: Naming, middle: usize, output_stride: u32, bands: u32) -> Self {
        let stem = |idx: usize, input: i64, output: i64, stride: i64| {
            let place = naming.place(scope, "stem", idx);
            let shape = ConvShape::new(3).stride(stride).backbone_init();
            ConvBn::with_eps(&(&place / "conv"), &(&place / "bn"), input, output, shape, TIMM_EPS)
        };
        // Channels of the three convolutions, and the stride.
        let mut plan = vec![([128; 3], 2), ([256; 3], 2), ([MIDDLE; 3], 2)];
        plan.extend((0..middle).map(|_| ([MIDDLE; 3], 1)));
        plan.extend([([MIDDLE, 1024, 1024], 2), ([1536, 1536, 2048], 1)]);
        let (mut input, mut reached, mut dilation) = (64, 2, 1);
        let mut blocks = Vec::new();
        let last = plan.len() - 1;
        for (idx, (channels, stride)) in plan.into_iter().enumerate() {
            let fits = reached * stride <= i64::from(output_stride);
            let place = BlockPlace { stride: if fits { stride } else { 1 }, dilation, is_last: idx == last };
            blocks.push(TimmBlock::new(&naming.place(scope, "blocks", idx), input, channels, place, stride > 1));
            if fits {
                reached *= stride;
            } else {
                dilation *= stride;
            }
            input = channels[2];
        }
        Self { stem: [stem(0, i64::from(bands), 32, 2), stem(1, 32, 64, 1)], blocks, classifier: None }
    }

    /// The same with a linear classifier, variables `head.fc.*` at `scope`.
    pub fn with_classifier(mut self, scope: &Scope, classes: u32) -> Self {
        self.classifier = Some(Linear::new(&(scope / "head.fc"), Self::CHANNELS[4], i64::from(classes)));
        self
    }
}

/// Where a block stands.
#[derive(Clone, Copy)]
struct BlockPlace {
    stride: i64,
    dilation: i64,
    is_last: bool,
}

impl TimmBlock {
    fn new(scope: &Scope, input: i64, channels: [i64; 3], place: BlockPlace, is_tapped: bool) -> Self {
        let BlockPlace { stride, dilation, is_last } = place;
        let inputs = [input, channels[0], channels[1]];
        let stack = std::array::from_fn(|idx| {
            let stride = if idx == 2 { stride } else { 1 };
            let conv = scope / "stack" / format!("conv{}", idx + 1);
            Separable::timm(&conv, inputs[idx], channels[idx], stride, dilation)
        });
        let changes = !is_last && (stride != 1 || input != channels[2]);
        let shortcut = changes.then(|| {
            let (place, shape) = (scope / "shortcut", ConvShape::new(1).stride(stride).backbone_init());
            ConvBn::with_eps(&(&place / "conv"), &(&place / "bn"), input, channels[2], shape, TIMM_EPS)
        });
        Self { stack, shortcut, is_last, is_tapped }
    }

    /// The block's output, and the map in front of its third convolution.
    fn forward(&self, xs: &Tensor, train: bool) -> (Tensor, Tensor) {
        let [first, second, third] = &self.stack;
        if self.is_last {
            let inner = second.forward_relu(&first.forward_relu(xs, train), train);
            return (third.forward_relu(&inner, train), inner);
        }
        let inner = first.forward(&xs.relu(), train).relu_();
        let inner = second.forward(&inner, train).relu_();
        let out = third.forward(&inner, train);
        let skip = self.shortcut.as_ref().map_or_else(|| xs.shallow_clone(), |conv| conv.forward(xs, train));
        (out + skip, inner)
    }
}

impl Extractor for AlignedXception {
    fn channels(&self) -> &[i64] {
        &Self::CHANNELS
    }

    fn features(&self, xs: &Tensor, train: bool) -> Features {
        let mut out = self.stem.iter().fold(xs.shallow_clone(), |xs, conv| conv.forward_relu(&xs, train));
        let mut maps = Vec::new();
        for block in &self.blocks {
            let (next, inner) = block.forward(&out, train);
            if block.is_tapped {
                maps.push(inner);
            }
            out = next;
        }
        maps.push(out);
        Features { maps }
    }

    fn classify(&self, features: &Features) -> Option<Tensor> {
        Some(features.classified(self.classifier.as_ref()?))
    }
}

/// The 2020 entry's definition, in which a ReLU that works in place also changes what the shortcut sees.
#[derive(Debug)]
pub struct NaicXception {
    stem: [ConvBn; 2],
    blocks: Vec<NaicBlock>,
    exit: [Separable; 3],
}

#[derive(Debug)]
struct NaicBlock {
    rep: Vec<Separable>,
    shortcut: Option<ConvBn>,
    starts_with_relu: bool,
}

/// What a block of the entry's network is made of.
#[derive(Clone)]
struct NaicPlan {
    input: i64,
    /// Output channels, stride and dilation of each convolution.
    convs: Vec<(i64, i64, i64)>,
    starts_with_relu: bool,
}

impl NaicXception {
    /// Channels of the five maps: the stem, block 1 (low level), blocks 2 and 19, the end.
    const CHANNELS: [i64; 5] = [64, 128, 256, MIDDLE, 2048];

    /// The network for `output_stride` 16 or 8.
    pub fn new(scope: &Scope, output_stride: u32, bands: u32) -> Self {
        let (stride, middle, exit) = if output_stride >= 16 { (2, 1, (1, 2)) } else { (1, 2, (2, 4)) };
        let entry = |input, output, stride, starts_with_relu| {
            // The third convolution carries the stride.
            NaicPlan { input, convs: vec![(output, 1, 1), (output, 1, 1), (output, stride, 1)], starts_with_relu }
        };
        let mut plans = vec![entry(64, 128, 2, false), entry(128, 256, 2, false), entry(256, MIDDLE, stride, true)];
        let inner = NaicPlan { input: MIDDLE, convs: vec![(MIDDLE, 1, middle); 3], starts_with_relu: true };
        plans.extend(std::iter::repeat_n(inner, NAIC_MIDDLE_BLOCKS));
        // The last convolution of the exit block is not dilated.
        let convs = vec![(MIDDLE, 1, exit.0), (1024, 1, exit.0), (1024, 1, 1)];
        plans.push(NaicPlan { input: MIDDLE, convs, starts_with_relu: true });

        let spatial = ConvShape::new(3).backbone_init();
        let stem = |idx: usize, input: i64, output: i64, shape: ConvShape| {
            ConvBn::new(&(scope / format!("conv{idx}")), &(scope / format!("bn{idx}")), input, output, shape)
        };
        let last = |idx: usize, input: i64, output: i64| {
            let (conv, norm) = (scope / format!("conv{idx}"), scope / format!("bn{idx}"));
            Separable::naic(&conv, &norm, input, output, 1, exit.1)
        };
        let blocks = plans.iter().enumerate();
        let blocks = blocks.map(|(idx, plan)| NaicBlock::new(&(scope / format!("block{}", idx + 1)), plan)).collect();
        Self {
            stem: [stem(1, i64::from(bands), 32, spatial.stride(2)), stem(2, 32, 64, spatial)],
            blocks,
            exit: [last(3, 1024, 1536), last(4, 1536, 1536), last(5, 1536, 2048)],
        }
    }
}

impl NaicBlock {
    fn new(scope: &Scope, plan: &NaicPlan) -> Self {
        let rep_scope = scope / "rep";
        // ReLU, convolution, normalisation, and so on: a block without the first ReLU counts from its convolution.
        let first = usize::from(plan.starts_with_relu);
        let mut input = plan.input;
        let mut rep = Vec::new();
        for (idx, &(output, stride, dilation)) in plan.convs.iter().enumerate() {
            let at = first + 3 * idx;
            let (conv, norm) = (&rep_scope / at, &rep_scope / (at + 1));
            rep.push(Separable::naic(&conv, &norm, input, output, stride, dilation));
            input = output;
        }
        let stride: i64 = plan.convs.iter().map(|conv| conv.1).product();
        let shortcut = (input != plan.input || stride != 1).then(|| {
            let shape = ConvShape::new(1).stride(stride).backbone_init();
            ConvBn::new(&(scope / "skip"), &(scope / "skipbn"), plan.input, input, shape)
        });
        Self { rep, shortcut, starts_with_relu: plan.starts_with_relu }
    }

    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let input = if self.starts_with_relu { xs.relu() } else { xs.shallow_clone() };
        let mut out = input.shallow_clone();
        for (idx, conv) in self.rep.iter().enumerate() {
            out = conv.forward(&if idx == 0 { out } else { out.relu_() }, train);
        }
        match &self.shortcut {
            Some(conv) => out + conv.forward(&input, train),
            None => out + input,
        }
    }
}

impl Extractor for NaicXception {
    fn channels(&self) -> &[i64] {
        &Self::CHANNELS
    }

    fn features(&self, xs: &Tensor, train: bool) -> Features {
        let stem = self.stem.iter().fold(xs.shallow_clone(), |xs, conv| conv.forward_relu(&xs, train));
        let mut maps = vec![stem];
        let mut out = maps[0].shallow_clone();
        let n_blocks = self.blocks.len();
        for (idx, block) in self.blocks.iter().enumerate() {
            out = block.forward(&out, train);
            if idx == 0 {
                out = out.relu_();
            }
            // Blocks 1 and 2, and the last of the middle flow.
            if idx < 2 || idx + 2 == n_blocks {
                maps.push(out.shallow_clone());
            }
        }
        let out = self.exit.iter().fold(out.relu(), |xs, conv| conv.forward(&xs, train).relu_());
        maps.push(out);
        Features { maps }
    }

    fn classify(&self, _features: &Features) -> Option<Tensor> {
        None
    }
}
