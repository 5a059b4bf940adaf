//! Pooling into grids of several sizes (Zhao et al. 2017, arXiv:1612.01105).

use tch::Tensor;

use super::conv::{Conv, ConvBn, ConvShape};
use super::resize::{bilinear, size_of};
use super::scope::Scope;

/// Sides of the grids.
const BINS: [i64; 4] = [1, 2, 3, 6];

/// The means over grids of 1, 2, 3 and 6 cells a side, each reduced to a share of the channels and brought back to the map's size.
#[derive(Debug)]
pub struct PyramidPool {
    branches: [Branch; 4],
    order: Order,
}

/// Where the map itself stands among what it was pooled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    MapFirst,
    MapLast,
}

#[derive(Debug)]
enum Branch {
    Normalised(ConvBn),
    /// A grid of one cell has no variance to normalise by.
    Plain(Conv),
}

impl PyramidPool {
    /// As segmentation_models_pytorch has it. Variables: `blocks.{i}.pool.1.*`.
    pub fn smp(scope: &Scope, input: i64) -> Self {
        let point = ConvShape::new(1).decoder_init();
        let branch = |idx: usize| {
            let place = scope / "blocks" / idx / "pool" / 1;
            match BINS[idx] {
                1 => Branch::Plain(Conv::new(&(&place / 0), input, input / 4, point.biased())),
                _ => Branch::Normalised(ConvBn::sequential(&place, 0, input, input / 4, point)),
            }
        };
        Self { branches: std::array::from_fn(branch), order: Order::MapLast }
    }

    /// As the 2020 entry has it, with `output` channels per grid. Variables: `pp_bra{i}.*`.
    pub fn naic(scope: &Scope, input: i64, output: i64) -> Self {
        let branch = |idx: usize| {
            let (place, number) = (scope / format!("pp_bra{}", idx + 1), idx + 1);
            let (conv, norm) = (&place / format!("conv{number}"), &place / format!("bn{number}"));
            Branch::Normalised(ConvBn::new(&conv, &norm, input, output, ConvShape::new(1)))
        };
        Self { branches: std::array::from_fn(branch), order: Order::MapFirst }
    }

    /// `[N, input, H, W]` to that and the four pooled maps side by side.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let size = size_of(xs);
        let pooled = BINS.iter().zip(&self.branches).map(|(&bins, branch)| {
            let cells = xs.adaptive_avg_pool2d([bins, bins]);
            let cells = match branch {
                Branch::Normalised(conv) => conv.forward_relu(&cells, train),
                Branch::Plain(conv) => conv.forward(&cells).relu_(),
            };
            bilinear(&cells, size, true)
        });
        let mut maps: Vec<Tensor> = pooled.collect();
        match self.order {
            Order::MapFirst => maps.insert(0, xs.shallow_clone()),
            Order::MapLast => maps.push(xs.shallow_clone()),
        }
        Tensor::cat(&maps, 1)
    }
}
