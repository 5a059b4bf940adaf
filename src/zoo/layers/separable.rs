//! Depthwise separable convolution.

use tch::Tensor;
use tch::nn::{self, ModuleT};

use super::conv::{ConvShape, batch_norm};

/// A depthwise 3 x 3 convolution, a 1 x 1 convolution, batch normalisation, ReLU.
///
/// Nothing stands between the two convolutions. This is segmentation_models_pytorch's `SeparableConv2d` and what follows it.
#[derive(Debug)]
pub struct SeparableConvBn {
    depthwise: nn::Conv2D,
    pointwise: nn::Conv2D,
    norm: nn::BatchNorm,
}

impl SeparableConvBn {
    /// Variables: `{first}.0.weight` `[input, 1, 3, 3]`, `{first}.1.weight` `[output, input, 1, 1]`, `{first + 1}.*`.
    pub fn sequential(vs: &nn::Path, first: usize, input: i64, output: i64, dilation: i64) -> Self {
        let convs = vs / first;
        Self {
            depthwise: ConvShape::new(3).dilation(dilation).groups(input).build(&convs / 0, input, input),
            pointwise: ConvShape::new(1).build(&convs / 1, input, output),
            norm: batch_norm(vs / (first + 1), output),
        }
    }

    /// `[N, input, H, W]` to `[N, output, H, W]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.norm.forward_t(&xs.apply(&self.depthwise).apply(&self.pointwise), train).relu_()
    }
}
