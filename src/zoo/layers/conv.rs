//! Convolution, batch normalisation, and the pair of them that nearly everything is made of.

use tch::Tensor;
use tch::nn::Init;
use tch::nn::init::{FanInOut, NonLinearity, NormalOrUniform};

use super::scope::Scope;
use super::trace;

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

    /// `[output, input / groups, kernel, kernel]`.
    fn weight(self, input: i64, output: i64) -> [i64; 4] {
        [output, input / self.groups, self.kernel, self.kernel]
    }
}

/// PyTorch's starting values of a layer with `fan_in` values per output.
pub(super) fn uniform(fan_in: i64) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A convolution. Variables `weight` `[output, input / groups, kernel, kernel]` and, if it has one, `bias` `[output]`.
#[derive(Debug)]
pub struct Conv {
    name: String,
    weight: Tensor,
    bias: Option<Tensor>,
    shape: ConvShape,
}

impl Conv {
    /// The convolution whose variables are at `scope`.
    pub fn new(scope: &Scope, input: i64, output: i64, shape: ConvShape) -> Self {
        let size = shape.weight(input, output);
        let pytorch = uniform(size[1] * size[2] * size[3]);
        let weight = scope.parameter("weight", &size, shape.init.unwrap_or(pytorch));
        let bias = shape.bias.then(|| scope.parameter("bias", &[output], pytorch));
        Self { name: scope.name(""), weight, bias, shape }
    }

    /// `[N, input, H, W]` to `[N, output, h, w]`.
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        let ConvShape { kernel, stride, dilation, groups, .. } = self.shape;
        let padding = kernel / 2 * dilation;
        let (stride, padding, dilation) = ([stride; 2], [padding; 2], [dilation; 2]);
        let out = xs.conv2d(&self.weight, self.bias.as_ref(), stride, padding, dilation, groups);
        let weight = self.weight.size();
        trace::see(self.name.trim_end_matches('.'), &out, weight[1] * weight[2] * weight[3]);
        out
    }
}

/// Batch normalisation as PyTorch starts it: momentum 0.1, scale 1, shift 0.
///
/// Variables `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`.
#[derive(Debug)]
pub struct BatchNorm {
    name: String,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: f64,
}

impl BatchNorm {
    /// What nearly all networks add to the variance.
    pub const EPS: f64 = 1e-5;
    /// Share of a batch in the running statistics.
    const MOMENTUM: f64 = 0.1;

    fn new(scope: &Scope, channels: i64, eps: f64) -> Self {
        Self {
            name: scope.name(""),
            scale: scope.parameter("weight", &[channels], Init::Const(1.0)),
            shift: scope.parameter("bias", &[channels], Init::Const(0.0)),
            mean: scope.statistic("running_mean", &[channels], 0.0),
            variance: scope.statistic("running_var", &[channels], 1.0),
            eps,
        }
    }

    fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let (scale, shift) = (Some(&self.scale), Some(&self.shift));
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        let out = xs.batch_norm(scale, shift, mean, variance, train, Self::MOMENTUM, self.eps, true);
        trace::see(self.name.trim_end_matches('.'), &out, 0);
        out
    }
}

/// A convolution, then batch normalisation; in a network for inference one convolution with a bias.
#[derive(Debug)]
pub struct ConvBn {
    conv: Conv,
    norm: Option<BatchNorm>,
}

impl ConvBn {
    /// The pair with the variables at `conv` and `norm`: references name the two in different ways.
    pub fn new(conv: &Scope, norm: &Scope, input: i64, output: i64, shape: ConvShape) -> Self {
        Self::with_eps(conv, norm, input, output, shape, BatchNorm::EPS)
    }

    /// The pair with another number added to the variance.
    pub fn with_eps(conv: &Scope, norm: &Scope, input: i64, output: i64, shape: ConvShape, eps: f64) -> Self {
        if !conv.folds() {
            let norm = BatchNorm::new(norm, output, eps);
            return Self { conv: Conv::new(conv, input, output, shape), norm: Some(norm) };
        }
        let (weight, bias) = conv.folded(norm, &shape.weight(input, output), shape.bias, eps);
        Self { conv: Conv { name: conv.name(""), weight, bias: Some(bias), shape }, norm: None }
    }

    /// The pair as PyTorch's `Sequential(conv, bn, ..)` names it: `{first}.weight`, `{first + 1}.weight` ...
    pub fn sequential(scope: &Scope, first: usize, input: i64, output: i64, shape: ConvShape) -> Self {
        Self::new(&(scope / first), &(scope / (first + 1)), input, output, shape)
    }

    /// `[N, input, H, W]` to `[N, output, h, w]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let out = self.conv.forward(xs);
        match &self.norm {
            Some(norm) => norm.forward(&out, train),
            None => out,
        }
    }

    /// The same with ReLU.
    pub fn forward_relu(&self, xs: &Tensor, train: bool) -> Tensor {
        self.forward(xs, train).relu_()
    }
}
