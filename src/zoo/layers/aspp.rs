//! Atrous spatial pyramid pooling.

use tch::Tensor;
use tch::nn;

use super::conv::{ConvBn, ConvShape};
use super::separable::SeparableConvBn;

/// Looks at a feature map at several scales at once: 1 x 1, three dilated 3 x 3, and the mean of the whole map.
///
/// The branches are concatenated in the order 1 x 1, the three rates as given, image pool, and projected.
#[derive(Debug)]
pub struct Aspp {
    point: ConvBn,
    atrous: [SeparableConvBn; 3],
    pool: ConvBn,
    project: ConvBn,
    dropout: f64,
}

impl Aspp {
    /// Variables: `convs.{0..4}.*`, `project.*`. `dropout` acts on the projection, in training only.
    pub fn new(vs: &nn::Path, input: i64, output: i64, rates: [u32; 3], dropout: f64) -> Self {
        let branch = |idx: usize| vs / "convs" / idx;
        let atrous =
            |idx: usize, rate: u32| SeparableConvBn::sequential(&branch(idx), 0, input, output, i64::from(rate));
        let point = ConvShape::new(1);
        Self {
            point: ConvBn::sequential(&branch(0), 0, input, output, point),
            atrous: [atrous(1, rates[0]), atrous(2, rates[1]), atrous(3, rates[2])],
            // Index 0 of this branch is the pooling, which has no variables.
            pool: ConvBn::sequential(&branch(4), 1, input, output, point),
            project: ConvBn::sequential(&(vs / "project"), 0, 5 * output, output, point),
            dropout,
        }
    }

    /// `[N, input, H, W]` to `[N, output, H, W]`.
    ///
    /// In training N must be at least 2: the pooled branch has one value per image and channel, and the variance of a single
    /// value would enter the running statistics as NaN.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.project.forward_relu(&self.branches(xs, train), train).dropout(self.dropout, train)
    }

    /// The branches side by side, `[N, 5 output, H, W]`.
    fn branches(&self, xs: &Tensor, train: bool) -> Tensor {
        let size = xs.size();
        let mut branches = vec![self.point.forward_relu(xs, train)];
        branches.extend(self.atrous.iter().map(|branch| branch.forward(xs, train)));
        let pooled = self.pool.forward_relu(&xs.adaptive_avg_pool2d([1, 1]), train);
        branches.push(pooled.expand([-1, -1, size[2], size[3]], false));
        Tensor::cat(&branches, 1)
    }
}
