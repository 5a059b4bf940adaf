//! What a convolution looks like, besides its weight.

use tch::Tensor;
use tch::nn::Init;
use tch::nn::init::{FanInOut, NonLinearity, NormalOrUniform};

/// What a square convolution looks like, besides its channels.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Side of the kernel, odd.
    pub kernel: i64,
    /// Stride.
    pub stride: i64,
    /// Dilation; the padding follows from it, so that a stride of 1 keeps the size.
    pub dilation: i64,
    /// Groups of channels.
    pub groups: i64,
    /// Whether there is a bias.
    pub bias: bool,
    /// Values to start training with; `None` for PyTorch's own: uniform, at most 1 / sqrt(values per output).
    pub init: Option<Init>,
}

impl ConvShape {
    /// A `kernel` x `kernel` convolution with stride 1, no dilation, one group, no bias, and PyTorch's starting values.
    pub fn new(kernel: i64) -> Self {
        Self { kernel, stride: 1, dilation: 1, groups: 1, bias: false, init: None }
    }

    /// The same with this stride.
    pub fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// The same with this dilation.
    pub fn dilation(self, dilation: i64) -> Self {
        Self { dilation, ..self }
    }

    /// The same with this many groups.
    pub fn groups(self, groups: i64) -> Self {
        Self { groups, ..self }
    }

    /// The same with a bias.
    pub fn biased(self) -> Self {
        Self { bias: true, ..self }
    }

    /// The same with these starting values of the weight.
    pub fn init(self, init: Init) -> Self {
        Self { init: Some(init), ..self }
    }

    /// The same with the starting values of ResNets: normal, variance 2 / (kernel area x output channels).
    pub fn backbone_init(self) -> Self {
        let (dist, fan) = (NormalOrUniform::Normal, FanInOut::FanOut);
        self.init(Init::Kaiming { dist, fan, non_linearity: NonLinearity::ReLU })
    }

    /// The same with the starting values of segmentation_models_pytorch's decoders: uniform, at most sqrt(6 / values per output).
    pub fn decoder_init(self) -> Self {
        self.init(tch::nn::init::DEFAULT_KAIMING_UNIFORM)
    }

    /// Stride, padding and dilation, along both axes.
    pub(super) fn twice(self) -> [[i64; 2]; 3] {
        [self.stride, self.kernel / 2 * self.dilation, self.dilation].map(|n| [n; 2])
    }

    /// `[output, input / groups, kernel, kernel]`.
    pub(super) fn weight(self, input: i64, output: i64) -> [i64; 4] {
        [output, input / self.groups, self.kernel, self.kernel]
    }
}

/// What a convolution's output goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Identity,
    Relu,
}

impl Activation {
    pub(super) fn apply(self, mut out: Tensor) -> Tensor {
        match self {
            Self::Identity => out,
            Self::Relu => out.relu_(),
        }
    }
}
