//! Convolution, batch normalisation, and the pair of them that nearly everything is made of.

use std::cell::OnceCell;

use tch::nn::Init;
use tch::{Device, Kind, Tensor};

use super::joint::{self, Statistics};
use super::kernels::{Kernels, MemoryFormat, Prepared, arranged, from_phases, phases};
use super::onednn::OneDnn;
use super::resize::size_of;
use super::scope::Scope;
use super::shape::Activation;
use super::trace;
use super::winograd::Winograd;

pub use super::shape::ConvShape;

/// Fewest channels, of a group, of which Winograd's algorithm is worth it.
const WINOGRAD_CHANNELS: i64 = 96;

/// PyTorch's starting values of a layer with `fan_in` values per output.
pub(super) fn uniform(fan_in: i64) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A weight that was brought into the order of a CPU's kernel.
#[derive(Debug)]
enum Packed {
    OneDnn(Tensor),
    Winograd(Winograd),
}

/// Whether convolutions on this device, of this type, keep their weights in an order of their own.
pub(crate) fn packs(kernels: Kernels, device: Device, kind: Kind) -> bool {
    let is_last = kernels.fused && kernels.format == MemoryFormat::ChannelsLast;
    is_last && device == Device::Cpu && kind == Kind::Float && OneDnn::get().is_some()
}

/// A convolution. Variables `weight` `[output, input / groups, kernel, kernel]` and, if it has one, `bias` `[output]`.
#[derive(Debug)]
pub struct Conv {
    name: String,
    weight: Tensor,
    bias: Option<Tensor>,
    shape: ConvShape,
    /// Values of the weight per output channel.
    fan_in: i64,
    n_outputs: i64,
    prepared: Prepared,
    /// The weight as a CPU's kernel wants it, shared by all networks around the same variables. The variable is empty from then on: two
    /// copies would be twice the memory.
    packed: OnceCell<Packed>,
}

impl Conv {
    /// The convolution whose variables are at `scope`.
    pub fn new(scope: &Scope, input: i64, output: i64, shape: ConvShape) -> Self {
        let size = shape.weight(input, output);
        let pytorch = uniform(size[1] * size[2] * size[3]);
        let weight = scope.parameter("weight", &size, shape.init.unwrap_or(pytorch));
        let bias = shape.bias.then(|| scope.parameter("bias", &[output], pytorch));
        Self::of(scope, weight, bias, (size, shape))
    }

    /// With a weight of this size, which it may have had when it was not packed yet.
    fn of(scope: &Scope, weight: Tensor, bias: Option<Tensor>, (size, shape): ([i64; 4], ConvShape)) -> Self {
        let (n_outputs, fan_in) = (size[0], size[1..].iter().product());
        let (name, prepared) = (scope.name("").trim_end_matches('.').to_owned(), scope.prepared());
        let conv = Self { name, weight, bias, shape, fan_in, n_outputs, prepared, packed: OnceCell::new() };
        scope.ahead(|| {
            let twin = conv.twin();
            Box::new(move || {
                twin.packed();
            })
        });
        conv
    }

    /// The same around the same variables.
    fn twin(&self) -> Self {
        let (weight, bias) = (self.weight.shallow_clone(), self.bias.as_ref().map(Tensor::shallow_clone));
        let (name, prepared) = (self.name.clone(), Prepared::clone(&self.prepared));
        Self { name, weight, bias, prepared, packed: OnceCell::new(), ..*self }
    }

    /// `[N, input, H, W]` to `[N, output, h, w]`.
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        self.activated(xs, Activation::Identity)
    }

    /// The same with ReLU.
    pub fn forward_relu(&self, xs: &Tensor) -> Tensor {
        self.activated(xs, Activation::Relu)
    }

    fn activated(&self, xs: &Tensor, activation: Activation) -> Tensor {
        if let Some(out) = self.fused(xs, activation) {
            trace::see(&self.name, &out, self.fan_in);
            return out;
        }
        let [stride, padding, dilation] = self.shape.twice();
        let out = xs.conv2d(&self.weight, self.bias.as_ref(), stride, padding, dilation, self.shape.groups);
        trace::see(&self.name, &out, self.fan_in);
        activation.apply(out)
    }

    /// What follows in one operation, where the network is prepared for that.
    fn fused(&self, xs: &Tensor, activation: Activation) -> Option<Tensor> {
        let kernels = self.prepared.get().filter(|kernels| kernels.fused)?;
        match (xs.device(), activation) {
            (Device::Cpu, _) if kernels.format == MemoryFormat::ChannelsLast => self.on_onednn(xs, activation),
            (Device::Cuda(_), Activation::Relu) => {
                let (bias, [stride, padding, dilation]) = (self.cudnn_bias()?, self.shape.twice());
                let groups = self.shape.groups;
                Some(xs.cudnn_convolution_relu(&self.weight, Some(bias), stride, padding, dilation, groups))
            }
            _ => None,
        }
    }

    /// As few operations as the device has for it, where the network is prepared for that.
    fn fused_add_relu(&self, xs: &Tensor, other: &Tensor) -> Option<Tensor> {
        self.prepared.get().filter(|kernels| kernels.fused)?;
        if xs.device() == Device::Cpu {
            // oneDNN's own addition takes 1.3 to 5 times as long as this.
            return Some(self.forward(xs).internal_add_relu_(other));
        }
        let (bias, [stride, padding, dilation]) = (self.cudnn_bias()?, self.shape.twice());
        let groups = self.shape.groups;
        Some(xs.cudnn_convolution_add_relu(&self.weight, other, 1.0, Some(bias), stride, padding, dilation, groups))
    }

    /// The bias, where cuDNN's fused operations take one and are worth it: large kernels are many times slower with them when channels go
    /// last (pytorch#68506), and one group per channel is what they are not made for.
    fn cudnn_bias(&self) -> Option<&Tensor> {
        self.bias.as_ref().filter(|_| self.shape.kernel <= 3 && self.shape.groups < 8)
    }

    fn on_onednn(&self, xs: &Tensor, activation: Activation) -> Option<Tensor> {
        let onednn = OneDnn::get().filter(|_| xs.kind() == Kind::Float)?;
        let (n_phases, shape) = self.in_phases();
        let input = match n_phases {
            1 => arranged(xs, MemoryFormat::ChannelsLast),
            n => phases(xs, n),
        };
        let bias = self.bias.as_ref();
        let out = match self.packed() {
            Packed::Winograd(weights) => weights.convolve(&input, n_phases * n_phases, bias, activation),
            Packed::OneDnn(weight) => onednn.convolve(&input, weight, bias, shape, activation).unwrap_or_else(|| {
                let size = xs.size();
                panic!("{}: oneDNN refuses an input of shape {size:?}, or there is not enough memory", self.name)
            }),
        };
        Some(if n_phases == 1 { out } else { from_phases(&out, n_phases, size_of(xs)) })
    }

    /// The weight as a CPU's kernel wants it.
    fn packed(&self) -> &Packed {
        self.packed.get_or_init(|| {
            let (is_winograd, (_, shape)) = (self.is_winograd(), self.in_phases());
            let packed = self.prepared.packed(&self.name, || {
                let packed = match is_winograd {
                    true => Winograd::transformed(&self.weight),
                    false => OneDnn::packed(&self.weight, shape),
                };
                self.weight.shallow_clone().set_data(&self.weight.narrow(0, 0, 0).copy());
                packed
            });
            match is_winograd {
                true => Packed::Winograd(Winograd::of(packed, self.shape.groups)),
                false => Packed::OneDnn(packed),
            }
        })
    }

    fn is_winograd(&self) -> bool {
        self.prepared.get().is_some_and(|kernels| kernels.winograd) && self.suits_winograd()
    }

    /// Into how many phases a side of the map is cut first, and the convolution of each.
    fn in_phases(&self) -> (i64, ConvShape) {
        match self.n_phases(self.is_winograd()) {
            1 => (1, self.shape),
            n => (n, self.shape.dilation(1)),
        }
    }

    /// Whether Winograd's algorithm is faster than oneDNN's kernels, on maps of usual sizes: by 1.3 to 1.8 times from 96 channels on, while at 64
    /// and less the transforms eat it up. Rates beyond 6 leave phases of few pixels, and of their taps many fall outside of the map.
    fn suits_winograd(&self) -> bool {
        let ConvShape { kernel, stride, dilation, groups, .. } = self.shape;
        let (inputs, outputs) = (self.fan_in / 9, self.n_outputs / groups);
        kernel == 3 && stride == 1 && dilation <= 6 && inputs.min(outputs) >= WINOGRAD_CHANNELS
    }

    /// Into how many phases a side of the map is cut first. Where it was measured, oneDNN's kernels with dilation 2 took 0.9 to 1.5 times as
    /// long as cutting, convolving and joining, those with dilation 4 and more 0.8 to 1.1 times; with a group per channel 10 times.
    fn n_phases(&self, is_winograd: bool) -> i64 {
        let ConvShape { stride, dilation, groups, .. } = self.shape;
        let is_depthwise = groups > 1 && self.fan_in == self.shape.kernel * self.shape.kernel;
        if stride == 1 && (dilation == 2 || is_depthwise || is_winograd) { dilation } else { 1 }
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
        let out = match if train { joint::statistics(xs) } else { None } {
            Some(joint) => self.jointly(xs, &joint),
            None => xs.batch_norm(scale, shift, mean, variance, train, Self::MOMENTUM, self.eps, true),
        };
        trace::see(self.name.trim_end_matches('.'), &out, 0);
        out
    }

    /// By the statistics of a batch of which others have parts.
    fn jointly(&self, xs: &Tensor, joint: &Statistics) -> Tensor {
        let Statistics { mean, variance, n, is_first } = joint;
        if *is_first {
            let _no_grad = tch::no_grad_guard();
            let follow = |running: &Tensor, own: &Tensor| {
                let own = own.detach().view([-1]).to_kind(running.kind());
                drop(running.shallow_clone().lerp_(&own, Self::MOMENTUM));
            };
            follow(&self.mean, mean);
            follow(&self.variance, &(variance * (*n as f64 / (*n as f64 - 1.0).max(1.0))));
        }
        let by_channel = |of: &Tensor| of.view([1, -1, 1, 1]);
        let factor = (variance + self.eps).rsqrt() * by_channel(&self.scale);
        ((xs - mean) * factor + by_channel(&self.shift)).to_kind(xs.kind())
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
        let size = shape.weight(input, output);
        let (weight, bias) = conv.folded(norm, &size, shape.bias, eps);
        Self { conv: Conv::of(conv, weight, Some(bias), (size, shape)), norm: None }
    }

    /// The pair as PyTorch's `Sequential(conv, bn, ..)` names it: `{first}.weight`, `{first + 1}.weight` ...
    pub fn sequential(scope: &Scope, first: usize, input: i64, output: i64, shape: ConvShape) -> Self {
        Self::new(&(scope / first), &(scope / (first + 1)), input, output, shape)
    }

    /// `[N, input, H, W]` to `[N, output, h, w]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.activated(xs, Activation::Identity, train)
    }

    /// The same with ReLU.
    pub fn forward_relu(&self, xs: &Tensor, train: bool) -> Tensor {
        self.activated(xs, Activation::Relu, train)
    }

    /// The same, `other` added in front of the ReLU.
    pub fn forward_add_relu(&self, xs: &Tensor, other: &Tensor, train: bool) -> Tensor {
        self.conv.fused_add_relu(xs, other).unwrap_or_else(|| (self.forward(xs, train) + other).relu_())
    }

    fn activated(&self, xs: &Tensor, activation: Activation, train: bool) -> Tensor {
        match &self.norm {
            Some(norm) => activation.apply(norm.forward(&self.conv.forward(xs), train)),
            None => self.conv.activated(xs, activation),
        }
    }
}
