//! Atrous spatial pyramid pooling.

use tch::Tensor;

use super::conv::{ConvBn, ConvShape};
use super::dropout::Dropout;
use super::kernels::arranged_like;
use super::resize::size_of;
use super::scope::Scope;
use super::separable::SeparableConvBn;

/// Looks at a feature map at several scales at once: 1 x 1, three dilated 3 x 3, and the mean of the whole map.
///
/// The branches are concatenated and projected.
#[derive(Debug)]
pub struct Aspp {
    point: ConvBn,
    atrous: [Atrous; 3],
    pool: ConvBn,
    project: ConvBn,
    dropout: Dropout,
    order: BranchOrder,
}

/// Where the mean of the whole map stands among the branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BranchOrder {
    /// 1 x 1, the three rates as given, mean.
    PoolLast,
    /// Mean, 1 x 1, the three rates as given.
    PoolFirst,
}

/// A dilated 3 x 3 branch.
#[derive(Debug)]
enum Atrous {
    Separable(SeparableConvBn),
    Plain(ConvBn),
}

impl Aspp {
    /// As segmentation_models_pytorch has it: separable branches. Variables: `convs.{0..4}.*`, `project.*`; dropout 0.5.
    pub fn smp(scope: &Scope, input: i64, output: i64, rates: [u32; 3]) -> Self {
        let branch = |idx: usize| scope / "convs" / idx;
        let atrous = |idx: usize| {
            Atrous::Separable(SeparableConvBn::sequential(&branch(idx + 1), 0, input, output, i64::from(rates[idx])))
        };
        let point = ConvShape::new(1).decoder_init();
        Self {
            point: ConvBn::sequential(&branch(0), 0, input, output, point),
            atrous: std::array::from_fn(atrous),
            // Index 0 of this branch is the pooling, which has no variables.
            pool: ConvBn::sequential(&branch(4), 1, input, output, point),
            project: ConvBn::sequential(&(scope / "project"), 0, 5 * output, output, point),
            dropout: Dropout::values(scope, 0.5),
            order: BranchOrder::PoolLast,
        }
    }

    /// As the 2020 entry has it: plain branches, the mean first. Variables: `gave_pool.*`, `conv1_1.*`, `aspp_bra{1..3}.*`,
    /// `aspp_catdown.*`; dropout 0.1.
    pub fn naic(scope: &Scope, input: i64, output: i64, rates: [u32; 3]) -> Self {
        let pair = |place: &str, idx: &str, input: i64, shape: ConvShape| {
            let place = scope / place;
            ConvBn::new(&(&place / format!("conv{idx}")), &(&place / format!("bn{idx}")), input, output, shape)
        };
        let point = ConvShape::new(1);
        let atrous = |idx: usize| {
            let (place, number) = (format!("aspp_bra{}", idx + 1), format!("1_{}", idx + 1));
            Atrous::Plain(pair(&place, &number, input, ConvShape::new(3).dilation(i64::from(rates[idx]))))
        };
        Self {
            point: pair("conv1_1", "0_2", input, point),
            atrous: std::array::from_fn(atrous),
            pool: pair("gave_pool", "0_1", input, point),
            project: pair("aspp_catdown", "_down", 5 * output, point),
            dropout: Dropout::values(scope, 0.1),
            order: BranchOrder::PoolFirst,
        }
    }

    /// `[N, input, H, W]` to `[N, output, H, W]`.
    ///
    /// In training N must be at least 2: the pooled branch has one value per image and channel, and the variance of a single
    /// value would enter the running statistics as NaN.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.dropout.apply(&self.project.forward_relu(&self.branches(xs, train), train), train)
    }

    /// The branches side by side, `[N, 5 output, H, W]`.
    fn branches(&self, xs: &Tensor, train: bool) -> Tensor {
        let [height, width] = size_of(xs);
        let mut branches = vec![self.point.forward_relu(xs, train)];
        branches.extend(self.atrous.iter().map(|branch| match branch {
            Atrous::Separable(branch) => branch.forward(xs, train),
            Atrous::Plain(branch) => branch.forward_relu(xs, train),
        }));
        let pooled = self.pool.forward_relu(&xs.adaptive_avg_pool2d([1, 1]), train);
        let pooled = arranged_like(&pooled.expand([-1, -1, height, width], false), &branches[0]);
        match self.order {
            BranchOrder::PoolLast => branches.push(pooled),
            BranchOrder::PoolFirst => branches.insert(0, pooled),
        }
        Tensor::cat(&branches, 1)
    }
}
