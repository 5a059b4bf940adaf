//! Squeeze and excitation in channels and in space (Roy et al. 2018, arXiv:1803.02579).

use tch::Tensor;

use super::conv::{Conv, ConvShape};
use super::linear::Linear;
use super::scope::Scope;

/// Channels per channel inside the squeeze of [`SumScse`].
const SUM_REDUCTION: i64 = 16;

/// The sum of both excitations, as segmentation_models_pytorch has it.
#[derive(Debug)]
pub struct SumScse {
    squeeze: Conv,
    excite: Conv,
    spatial: Conv,
}

impl SumScse {
    /// Variables: `attention.cSE.{1,3}.*`, `attention.sSE.0.*`.
    pub fn new(scope: &Scope, channels: i64) -> Self {
        let (attention, point) = (scope / "attention", ConvShape::new(1).biased());
        let (cse, inner) = (&attention / "cSE", (channels / SUM_REDUCTION).max(1));
        Self {
            squeeze: Conv::new(&(&cse / 1), channels, inner, point),
            excite: Conv::new(&(&cse / 3), inner, channels, point),
            spatial: Conv::new(&(&attention / "sSE" / 0), channels, 1, point),
        }
    }

    /// `[N, channels, H, W]` to the same shape.
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        let channel = self.squeeze.forward(&xs.adaptive_avg_pool2d([1, 1])).relu_();
        let channel = self.excite.forward(&channel).sigmoid();
        xs * channel + xs * self.spatial.forward(xs).sigmoid()
    }
}

/// The greater of both excitations, as the 2020 entry has it.
#[derive(Debug)]
pub struct MaxScse {
    squeeze: Linear,
    excite: Linear,
    spatial: Conv,
}

impl MaxScse {
    /// Variables: `cSE.{fc1,fc2}.*`, `sSE.conv.*`. `reduction`: channels per channel inside the squeeze.
    pub fn new(scope: &Scope, channels: i64, reduction: i64) -> Self {
        let (cse, inner) = (scope / "cSE", channels / reduction);
        Self {
            squeeze: Linear::new(&(&cse / "fc1"), channels, inner),
            excite: Linear::new(&(&cse / "fc2"), inner, channels),
            spatial: Conv::new(&(scope / "sSE" / "conv"), channels, 1, ConvShape::new(1).biased()),
        }
    }

    /// `[N, channels, H, W]` to the same shape.
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        let channel = self.squeeze.forward(&xs.adaptive_avg_pool2d([1, 1]).flatten(1, -1)).relu_();
        let channel = self.excite.forward(&channel).sigmoid().unsqueeze(-1).unsqueeze(-1);
        let spatial = self.spatial.forward(xs).sigmoid();
        (xs * channel).maximum(&(xs * spatial))
    }
}
