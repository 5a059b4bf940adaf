//! Interpolation between sizes.

use tch::Tensor;

/// Bilinear interpolation of `[N, C, h, w]` to height and width `size`.
///
/// `align_corners` as in PyTorch: whether the corner values lie on the corners of the result, or half a step inside.
pub fn bilinear(xs: &Tensor, size: [i64; 2], align_corners: bool) -> Tensor {
    xs.upsample_bilinear2d(size, align_corners, None, None)
}

/// The nearest value of `[N, C, h, w]` for height and width `size`.
pub fn nearest(xs: &Tensor, size: [i64; 2]) -> Tensor {
    xs.upsample_nearest2d(size, None, None)
}

/// Height and width of `[.., H, W]`.
pub fn size_of(xs: &Tensor) -> [i64; 2] {
    let size = xs.size();
    [size[size.len() - 2], size[size.len() - 1]]
}
