//! BASNet (Qin et al. 2019, CVPR): an encoder and decoder at full resolution, and a small U-Net that refines what they predict.
//!
//! Variables: `inconv`, `inbn`, `encoder{1..4}`, `resb{5,6}_{1..3}`, `convbg_*`, `conv{6..1}d_*`, `outconv{b,6..1}`, `refunet`. The authors'
//! network and the 2020 entry's have the same weights but for the classes; the entry aligns corners outside the refinement, and
//! the authors end every map in a sigmoid.

use tch::Tensor;

use crate::zoo::backbone::Dilation;
use crate::zoo::backbone::resnet::{Block, ResNetTable, Stage};
use crate::zoo::layers::conv::{Conv, ConvBn, ConvShape};
use crate::zoo::layers::resize::{bilinear, size_of};
use crate::zoo::layers::scope::Scope;
use crate::zoo::segmenter::{Segmented, Segmenter, Side};
use crate::zoo::spec::{Backbone, NetworkSpec, Upsample, Variant};

/// Channels of the refinement.
const REFINE_CHANNELS: i64 = 64;
/// Input and output channels of the decoder's steps, from coarse to fine.
const DECODER: [(&str, i64, i64, i64); 6] = [
    ("6d", 1024, 512, 512),
    ("5d", 1024, 512, 512),
    ("4d", 1024, 512, 256),
    ("3d", 512, 256, 128),
    ("2d", 256, 128, 64),
    ("1d", 128, 64, 64),
];
/// Names of the side outputs of bridge and decoder steps but the last, and of their classifiers.
const SIDES: [(&str, &str, i64); 6] = [
    ("db", "outconvb", 512),
    ("d6", "outconv6", 512),
    ("d5", "outconv5", 512),
    ("d4", "outconv4", 256),
    ("d3", "outconv3", 128),
    ("d2", "outconv2", 64),
];

/// The network. Height and width are multiples of 32.
#[derive(Debug)]
pub struct BasNet {
    input: ConvBn,
    stages: [Stage; 4],
    /// Blocks behind the two poolings.
    deep: [Vec<Block>; 2],
    bridge: [ConvBn; 3],
    decoder: Vec<[ConvBn; 3]>,
    sides: Vec<(&'static str, Conv)>,
    last: Conv,
    refine: Refine,
    align_corners: bool,
    /// Whether the map in front of the refinement is returned for training too.
    is_training: bool,
}

impl BasNet {
    /// The network that `spec` describes.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let table = ResNetTable::of(Backbone::ResNet34)?;
        let classes = i64::from(spec.classes);
        let spatial = ConvShape::new(3).biased();
        let stage = |idx: usize| Stage::new(&(scope / format!("encoder{}", idx + 1)), table, Dilation::NONE, idx);
        let block = |level: usize, idx: usize| Block::basic(&(scope / format!("resb{level}_{idx}")), 512);
        let blocks = |level: usize| (1..=3).map(|idx| block(level, idx)).collect();
        let classifier = |scope: &Scope, name: &str, input: i64| Conv::new(&(scope / name), input, classes, spatial);
        let sides = scope.training_only(|scope| {
            SIDES.iter().map(|&(output, name, input)| (output, classifier(scope, name, input))).collect()
        });
        let input = i64::from(spec.bands);
        Some(Self {
            input: ConvBn::new(&(scope / "inconv"), &(scope / "inbn"), input, 64, spatial),
            stages: std::array::from_fn(stage),
            deep: [blocks(5), blocks(6)],
            bridge: step(scope, "bg", [512, 512, 512, 512], [2, 2, 2]),
            decoder: DECODER
                .iter()
                .map(|&(name, input, inner, output)| {
                    // The coarsest step sees farther.
                    let dilations = if name == "6d" { [1, 2, 2] } else { [1, 1, 1] };
                    step(scope, name, [input, inner, inner, output], dilations)
                })
                .collect(),
            is_training: sides.is_some(),
            sides: sides.unwrap_or_default(),
            last: classifier(scope, "outconv1", 64),
            refine: Refine::new(&(scope / "refunet"), classes),
            align_corners: spec.variant == Variant::Naic,
        })
    }

    /// Bridge and decoder, from coarse to fine: seven maps.
    fn decode(&self, input: &Tensor, train: bool) -> Vec<Tensor> {
        let mut maps = Vec::new();
        let mut xs = self.input.forward_relu(input, train);
        for stage in &self.stages {
            xs = stage.forward(&xs, train);
            maps.push(xs.shallow_clone());
        }
        for blocks in &self.deep {
            xs = blocks.iter().fold(halved(&xs), |xs, block| block.forward(&xs, train));
            maps.push(xs.shallow_clone());
        }
        let run = |convs: &[ConvBn; 3], xs: Tensor| convs.iter().fold(xs, |xs, conv| conv.forward_relu(&xs, train));
        let mut decoded = vec![run(&self.bridge, xs)];
        for (step, skip) in self.decoder.iter().zip(maps.iter().rev()) {
            let below = &decoded[decoded.len() - 1];
            let size = size_of(skip);
            let below =
                if size_of(below) == size { below.shallow_clone() } else { bilinear(below, size, self.align_corners) };
            decoded.push(run(step, Tensor::cat(&[&below, skip], 1)));
        }
        decoded
    }
}

/// The convolutions `conv{name}_{1,m,2}` with channels and dilations in order.
fn step(scope: &Scope, name: &str, channels: [i64; 4], dilations: [i64; 3]) -> [ConvBn; 3] {
    std::array::from_fn(|idx| {
        let part = ["1", "m", "2"][idx];
        let (conv, norm) = (scope / format!("conv{name}_{part}"), scope / format!("bn{name}_{part}"));
        let shape = ConvShape::new(3).biased().dilation(dilations[idx]);
        ConvBn::new(&conv, &norm, channels[idx], channels[idx + 1], shape)
    })
}

/// The greatest of every 2 x 2 values, windows over the border included.
fn halved(xs: &Tensor) -> Tensor {
    xs.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], true)
}

impl Segmenter for BasNet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let decoded = self.decode(input, train);
        let coarse = self.last.forward(&decoded[decoded.len() - 1]);
        let mut out = Segmented::new(self.refine.forward(&coarse, train), None);
        let upsample = Some(Upsample::Bilinear { align_corners: self.align_corners });
        if self.is_training {
            out.side.push(Side { name: "d1", values: coarse, upsample: None });
        }
        for ((name, conv), xs) in self.sides.iter().zip(&decoded) {
            out.side.push(Side { name, values: conv.forward(xs), upsample });
        }
        out
    }
}

/// A U-Net that adds a correction to the map it is given.
#[derive(Debug)]
struct Refine {
    first: Conv,
    down: [ConvBn; 5],
    /// From coarse to fine.
    up: [ConvBn; 4],
    last: Conv,
}

impl Refine {
    fn new(scope: &Scope, classes: i64) -> Self {
        let shape = ConvShape::new(3).biased();
        let conv = |part: String, input: i64| {
            let (conv, norm) = (scope / format!("conv{part}"), scope / format!("bn{part}"));
            ConvBn::new(&conv, &norm, input, REFINE_CHANNELS, shape)
        };
        Self {
            first: Conv::new(&(scope / "conv0"), classes, REFINE_CHANNELS, shape),
            down: std::array::from_fn(|idx| conv((idx + 1).to_string(), REFINE_CHANNELS)),
            up: std::array::from_fn(|idx| conv(format!("_d{}", 4 - idx), 2 * REFINE_CHANNELS)),
            last: Conv::new(&(scope / "conv_d0"), REFINE_CHANNELS, classes, shape),
        }
    }

    /// Corners are not aligned here, in either definition.
    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let mut maps: Vec<Tensor> = Vec::new();
        let mut out = self.first.forward(xs);
        for (idx, conv) in self.down.iter().enumerate() {
            out = conv.forward_relu(&if idx == 0 { out } else { halved(&out) }, train);
            maps.push(out.shallow_clone());
        }
        for (conv, skip) in self.up.iter().zip(maps.iter().rev().skip(1)) {
            out = conv.forward_relu(&Tensor::cat(&[&bilinear(&out, size_of(skip), false), skip], 1), train);
        }
        xs + self.last.forward(&out)
    }
}
