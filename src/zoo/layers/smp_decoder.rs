//! The decoder block of segmentation_models_pytorch's U-Nets.

use tch::Tensor;

use super::conv::{ConvBn, ConvShape};
use super::resize::{nearest, size_of};
use super::scope::Scope;
use super::scse::SumScse;
use crate::zoo::spec::Attention;

/// Up-sampling, concatenation with a finer map, two 3 x 3 convolutions; attention before and behind them if wanted.
///
/// Variables: `conv1.{0,1}.*`, `conv2.{0,1}.*`, `attention1.*`, `attention2.*`.
#[derive(Debug)]
pub struct SmpDecoderBlock {
    before: Option<SumScse>,
    convs: [ConvBn; 2],
    behind: Option<SumScse>,
}

impl SmpDecoderBlock {
    /// `input` channels from below, `skip` from the finer map (0: there is none), `output` out.
    pub fn new(scope: &Scope, input: i64, skip: i64, output: i64, attention: Option<Attention>) -> Self {
        let spatial = ConvShape::new(3).decoder_init();
        let scse = |scope: &Scope, name: &str, channels: i64| SumScse::new(&(scope / name), channels);
        // Without a finer map the reference has the first attention and does not use it.
        let before = attention.and_then(|Attention::Scse| match skip {
            0 => {
                scope.never_used(|scope| scse(scope, "attention1", input));
                None
            }
            _ => Some(scse(scope, "attention1", input + skip)),
        });
        let conv = |name: &str, input: i64| ConvBn::sequential(&(scope / name), 0, input, output, spatial);
        let convs = [conv("conv1", input + skip), conv("conv2", output)];
        let behind = attention.map(|Attention::Scse| scse(scope, "attention2", output));
        Self { before, convs, behind }
    }

    /// `xs` brought to height and width `size` and joined with `skip`: `[N, output, size]`.
    pub fn forward(&self, xs: &Tensor, skip: Option<&Tensor>, size: [i64; 2], train: bool) -> Tensor {
        let mut out = if size_of(xs) == size { xs.shallow_clone() } else { nearest(xs, size) };
        if let Some(skip) = skip {
            out = Tensor::cat(&[&out, skip], 1);
        }
        if let Some(attention) = &self.before {
            out = attention.forward(&out);
        }
        out = self.convs.iter().fold(out, |xs, conv| conv.forward_relu(&xs, train));
        match &self.behind {
            Some(attention) => attention.forward(&out),
            None => out,
        }
    }
}
