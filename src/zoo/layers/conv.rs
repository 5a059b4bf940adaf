//! Convolution followed by batch normalisation, the unit that nearly everything is made of.

use tch::Tensor;
use tch::nn::init::{DEFAULT_KAIMING_UNIFORM, FanInOut, NonLinearity, NormalOrUniform};
use tch::nn::{self, Init, ModuleT};

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
    /// Values to start training with.
    pub init: Init,
}

impl ConvShape {
    /// A `kernel` x `kernel` convolution with stride 1, no dilation, one group, and the decoders' starting values.
    pub fn new(kernel: i64) -> Self {
        Self { kernel, stride: 1, dilation: 1, groups: 1, init: DEFAULT_KAIMING_UNIFORM }
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

    /// The same with the starting values of ResNets: normal, variance 2 / (kernel area x output channels).
    pub fn backbone_init(self) -> Self {
        let (dist, fan) = (NormalOrUniform::Normal, FanInOut::FanOut);
        Self { init: Init::Kaiming { dist, fan, non_linearity: NonLinearity::ReLU }, ..self }
    }

    /// The convolution without bias: variable `weight`, `[output, input / groups, kernel, kernel]`.
    pub fn build(self, vs: nn::Path, input: i64, output: i64) -> nn::Conv2D {
        let config = nn::ConvConfig {
            stride: self.stride,
            padding: self.kernel / 2 * self.dilation,
            dilation: self.dilation,
            groups: self.groups,
            bias: false,
            ws_init: self.init,
            ..nn::ConvConfig::default()
        };
        nn::conv2d(vs, input, output, self.kernel, config)
    }
}

/// Batch normalisation as PyTorch starts it: eps 1e-5, momentum 0.1, scale 1, shift 0.
///
/// Variables `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`.
pub fn batch_norm(vs: nn::Path, channels: i64) -> nn::BatchNorm {
    // tch's own default draws the scale from Uniform(0, 1).
    let config = nn::BatchNormConfig { ws_init: Init::Const(1.0), ..nn::BatchNormConfig::default() };
    nn::batch_norm2d(vs, channels, config)
}

/// A convolution without bias, then batch normalisation.
#[derive(Debug)]
pub struct ConvBn {
    conv: nn::Conv2D,
    norm: nn::BatchNorm,
}

impl ConvBn {
    /// The pair with the variables at `conv_vs` and `norm_vs`: references name the two in different ways.
    pub fn new(conv_vs: nn::Path, norm_vs: nn::Path, input: i64, output: i64, shape: ConvShape) -> Self {
        Self { conv: shape.build(conv_vs, input, output), norm: batch_norm(norm_vs, output) }
    }

    /// The pair as PyTorch's `Sequential(conv, bn, ..)` names it: `{first}.weight`, `{first + 1}.weight` ...
    pub fn sequential(vs: &nn::Path, first: usize, input: i64, output: i64, shape: ConvShape) -> Self {
        Self::new(vs / first, vs / (first + 1), input, output, shape)
    }

    /// `[N, input, H, W]` to `[N, output, h, w]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.norm.forward_t(&xs.apply(&self.conv), train)
    }

    /// The same with ReLU.
    pub fn forward_relu(&self, xs: &Tensor, train: bool) -> Tensor {
        self.forward(xs, train).relu_()
    }
}
