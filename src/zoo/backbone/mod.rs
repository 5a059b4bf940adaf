//! Feature extractors: an image in, a pyramid of feature maps out.

pub mod resnet;

use tch::Tensor;

/// The feature maps of a backbone, finest first, each `[N, channels, H / stride, W / stride]` (rounded up).
#[derive(Debug)]
pub struct Features {
    /// After the first convolution, stride 2.
    pub stem: Tensor,
    /// Stage 1, stride 4.
    pub c1: Tensor,
    /// Stage 2, stride 8.
    pub c2: Tensor,
    /// Stage 3, stride 16 or the output stride.
    pub c3: Tensor,
    /// Stage 4, the output stride.
    pub c4: Tensor,
}
