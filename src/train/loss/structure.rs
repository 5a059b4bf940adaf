//! Structural similarity (Wang et al. 2004) of probabilities and labels.

use tch::{Kind, Tensor};

use super::truth::Truth;

/// Side of the window.
const WINDOW: i64 = 11;
/// Standard deviation of the Gaussian in it, in pixels.
const SIGMA: f64 = 1.5;
/// Stabilise the quotients where means and variances are small.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

pub(super) fn one_minus_ssim(logits: &Tensor, truth: &Truth<'_>) -> Tensor {
    let (a, b) = (truth.probabilities(logits, false), truth.one_hot());
    let n_channels = a.size()[1];
    let window = window(&a).expand([n_channels, 1, WINDOW, WINDOW], false);
    let blurred = |xs: &Tensor| {
        let pad = WINDOW / 2;
        xs.conv2d(&window, None::<&Tensor>, [1, 1], [pad, pad], [1, 1], n_channels)
    };
    let (mean_a, mean_b) = (blurred(&a), blurred(&b));
    let (aa, bb, ab) = (&mean_a * &mean_a, &mean_b * &mean_b, &mean_a * &mean_b);
    let (var_a, var_b, cov) = (blurred(&(&a * &a)) - &aa, blurred(&(&b * &b)) - &bb, blurred(&(a * b)) - &ab);
    let similarity = ((ab * 2.0 + C1) * (cov * 2.0 + C2)) / ((aa + bb + C1) * (var_a + var_b + C2));
    truth.mean_of_classes(&(1.0 - similarity))
}

/// The Gaussian, which sums to 1, as `like` in type and device.
fn window(like: &Tensor) -> Tensor {
    let at = Tensor::arange(WINDOW, (Kind::Double, tch::Device::Cpu)) - (WINDOW / 2) as f64;
    let line = (-at.square() / (2.0 * SIGMA * SIGMA)).exp();
    let line = &line / line.sum(Kind::Double);
    line.outer(&line).to_kind(like.kind()).to_device(like.device())
}
