//! Depthwise separable convolution.

use tch::Tensor;

use super::conv::{Conv, ConvBn, ConvShape};
use super::scope::Scope;

/// A depthwise 3 x 3 convolution, a 1 x 1 convolution, batch normalisation, ReLU.
///
/// Nothing stands between the two convolutions. This is segmentation_models_pytorch's `SeparableConv2d` and what follows it.
#[derive(Debug)]
pub struct SeparableConvBn {
    depthwise: Conv,
    pointwise: ConvBn,
}

impl SeparableConvBn {
    /// Variables: `{first}.0.weight` `[input, 1, 3, 3]`, `{first}.1.weight` `[output, input, 1, 1]`, `{first + 1}.*`.
    pub fn sequential(scope: &Scope, first: usize, input: i64, output: i64, dilation: i64) -> Self {
        let convs = scope / first;
        let spatial = ConvShape::new(3).dilation(dilation).groups(input).decoder_init();
        let point = ConvShape::new(1).decoder_init();
        Self {
            depthwise: Conv::new(&(&convs / 0), input, input, spatial),
            pointwise: ConvBn::new(&(&convs / 1), &(scope / (first + 1)), input, output, point),
        }
    }

    /// `[N, input, H, W]` to `[N, output, H, W]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.pointwise.forward_relu(&self.depthwise.forward(xs), train)
    }
}
