//! RefineNet, four cascaded (Lin et al. 2017, arXiv:1611.06612), and its light-weight form (Nekrasov et al. 2018, arXiv:1810.03272), as
//! DrSleep's ports and the 2020 entry define them.
//!
//! Variables: the ResNet's at the top, `p_ims1d2_outl{1..4}_dimred`, `adapt_stage*`, `mflow_conv_g*`, `clf_conv`.

use tch::Tensor;

use crate::zoo::backbone::resnet::{Parts, ResNet, ResNetTable};
use crate::zoo::backbone::{Dilation, Extractor};
use crate::zoo::layers::conv::{Conv, ConvShape};
use crate::zoo::layers::dropout::Dropout;
use crate::zoo::layers::resize::{bilinear, size_of};
use crate::zoo::layers::scope::Scope;
use crate::zoo::segmenter::{Segmented, Segmenter};
use crate::zoo::spec::{Network, NetworkSpec, Upsample};

/// Share of activations dropped in training.
const DROPOUT: f64 = 0.5;
/// Channels of the four cascades, from coarse to fine.
const CHANNELS: [i64; 4] = [512, 256, 256, 256];
/// Poolings of a chain.
const POOLINGS: usize = 4;

/// The network.
#[derive(Debug)]
pub struct RefineNet {
    encoder: ResNet,
    cascades: Vec<Cascade>,
    classifier: Conv,
    dropout: Dropout,
    /// In front of the classifier.
    last_dropout: Option<Dropout>,
    upsample: Option<Upsample>,
}

/// One resolution: its own features adapted, joined with the coarser ones, pooled in a chain, passed on.
#[derive(Debug)]
struct Cascade {
    reduce: Conv,
    adapt: Residuals,
    /// Not in the coarsest, which has nothing to join.
    join: Option<Conv>,
    pool: Vec<Conv>,
    refine: Residuals,
    /// Not in the finest.
    pass: Option<Conv>,
}

impl RefineNet {
    /// The network that `spec` describes; `None` for a spec without a ResNet.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let table = ResNetTable::of(spec.backbone?)?;
        let is_light = spec.network == Network::RefineNetLw;
        let mut inputs = table.channels();
        inputs.reverse();
        let cascade = |idx: usize| Cascade::new(scope, idx, inputs[idx], is_light);
        let dropout = Dropout::values(scope, DROPOUT);
        let (classes, spatial) = (i64::from(spec.classes), ConvShape::new(3).biased());
        Some(Self {
            encoder: ResNet::new(&Parts::torchvision(scope), table, Dilation::NONE, spec.bands, spec.depth),
            cascades: (0..CHANNELS.len()).map(cascade).collect(),
            classifier: Conv::new(&(scope / "clf_conv"), CHANNELS[3], classes, spatial),
            dropout,
            last_dropout: (!is_light).then_some(dropout),
            upsample: spec.upsample(),
        })
    }
}

impl Segmenter for RefineNet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let features = self.encoder.features(input, train);
        let [l1, l2, l3, l4] = features.keep([1, 2, 3, 4]);
        let maps = [self.dropout.apply(&l4, train), self.dropout.apply(&l3, train), l2, l1];
        let mut out: Option<Tensor> = None;
        for (cascade, map) in self.cascades.iter().zip(&maps) {
            out = Some(cascade.forward(map, out.as_ref()));
        }
        let out = out.unwrap_or_default();
        let out = self.last_dropout.map_or_else(|| out.shallow_clone(), |dropout| dropout.apply(&out, train));
        Segmented::new(self.classifier.forward(&out), self.upsample)
    }
}

impl Cascade {
    /// Cascade `idx`, counted from the coarsest, on a map of `input` channels.
    fn new(scope: &Scope, idx: usize, input: i64, is_light: bool) -> Self {
        let (number, channels) = (idx + 1, CHANNELS[idx]);
        let shape = ConvShape::new(if is_light { 1 } else { 3 });
        let residuals = |name: String, n_blocks: usize| match is_light {
            true => Residuals(vec![]),
            false => Residuals::new(&(scope / name / 0), channels, n_blocks),
        };
        let conv = |name: String, input: i64, output: i64| Conv::new(&(scope / name), input, output, shape);
        let pool =
            |step: usize| conv(format!("mflow_conv_g{number}_pool.0.{}_outvar_dimred", step + 1), channels, channels);
        Self {
            reduce: conv(format!("p_ims1d2_outl{number}_dimred"), input, channels),
            adapt: residuals(format!("adapt_stage{number}_b"), 2),
            join: (idx > 0).then(|| conv(format!("adapt_stage{number}_b2_joint_varout_dimred"), channels, channels)),
            pool: (0..POOLINGS).map(pool).collect(),
            refine: residuals(format!("mflow_conv_g{number}_b"), 3),
            pass: CHANNELS
                .get(idx + 1)
                .map(|&next| conv(format!("mflow_conv_g{number}_b3_joint_varout_dimred"), channels, next)),
        }
    }

    fn forward(&self, map: &Tensor, coarser: Option<&Tensor>) -> Tensor {
        let mut out = self.adapt.forward(self.reduce.forward(map));
        if let Some(join) = &self.join {
            out = join.forward(&out);
        }
        if let Some(coarser) = coarser {
            out += bilinear(coarser, size_of(map), true);
        }
        let mut out = out.relu_();
        let mut top = out.shallow_clone();
        for conv in &self.pool {
            top = conv.forward(&top.max_pool2d([5, 5], [1, 1], [2, 2], [1, 1], false));
            out = &top + out;
        }
        let out = self.refine.forward(out);
        match &self.pass {
            Some(pass) => pass.forward(&out),
            None => out,
        }
    }
}

/// Blocks of x + conv(relu(conv(relu(x)))).
#[derive(Debug)]
struct Residuals(Vec<[Conv; 2]>);

impl Residuals {
    fn new(scope: &Scope, channels: i64, n_blocks: usize) -> Self {
        let spatial = ConvShape::new(3);
        let conv = |name: String, shape: ConvShape| Conv::new(&(scope / name), channels, channels, shape);
        let block = |number: usize| {
            let second = conv(format!("{number}_conv_relu_varout_dimred"), spatial);
            [conv(format!("{number}_conv"), spatial.biased()), second]
        };
        Self((1..=n_blocks).map(block).collect())
    }

    fn forward(&self, xs: Tensor) -> Tensor {
        self.0.iter().fold(xs, |xs, [first, second]| second.forward(&first.forward(&xs.relu()).relu_()) + xs)
    }
}
