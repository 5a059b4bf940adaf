//! The blocks of classic U-Nets (Ronneberger et al. 2015, arXiv:1505.04597), with batch normalisation and padding.

use tch::Tensor;

use super::conv::{ConvBn, ConvShape};
use super::resize::{bilinear, nearest, size_of};
use super::scope::Scope;

/// Two 3 x 3 convolutions with ReLU. Variables: `conv.{0,1,3,4}.*`.
#[derive(Debug)]
pub struct DoubleConv([ConvBn; 2]);

impl DoubleConv {
    /// With biases in the convolutions or without: `shape` says so.
    pub fn new(scope: &Scope, input: i64, output: i64, shape: ConvShape) -> Self {
        let conv = scope / "conv";
        Self([ConvBn::sequential(&conv, 0, input, output, shape), ConvBn::sequential(&conv, 3, output, output, shape)])
    }

    /// `[N, input, H, W]` to `[N, output, H, W]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.0.iter().fold(xs.shallow_clone(), |xs, conv| conv.forward_relu(&xs, train))
    }
}

/// How a map is doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubling {
    /// Each value four times.
    Nearest,
    /// Bilinear with aligned corners.
    Aligned,
}

/// Doubles a map, then a 3 x 3 convolution with ReLU. Variables: `up.{1,2}.*`.
#[derive(Debug)]
pub struct UpConv {
    conv: ConvBn,
    doubling: Doubling,
}

impl UpConv {
    /// `input` to `output` channels.
    pub fn new(scope: &Scope, input: i64, output: i64, doubling: Doubling) -> Self {
        Self { conv: ConvBn::sequential(&(scope / "up"), 1, input, output, ConvShape::new(3).biased()), doubling }
    }

    /// `[N, input, H, W]` to `[N, output, 2 H, 2 W]`.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let size = size_of(xs).map(|n| 2 * n);
        let doubled = match self.doubling {
            Doubling::Nearest => nearest(xs, size),
            Doubling::Aligned => bilinear(xs, size, true),
        };
        self.conv.forward_relu(&doubled, train)
    }
}
