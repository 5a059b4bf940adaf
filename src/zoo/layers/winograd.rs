//! 3 x 3 convolutions with 16 multiplications for 36: Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray 2015, arXiv:1509.09308).
//!
//! The products of all channels are matrix products, the transforms around them additions. What is in between stays within the processor's cache:
//! some rows of the map at a time. An image's result does not depend on the images beside it.

use tch::{Kind, Tensor};

use super::resize::size_of;
use super::shape::Activation;

/// Tiles of 2 x 2 outputs that are computed together, about. Of 32 to 4096, 128 to 256 were fastest from 96 channels on.
const TILES: i64 = 256;
/// Output channels whose weights are transformed together: in f64, they take room.
const OUTPUTS: i64 = 32;

/// The weights of a convolution, `[16, inputs of a group, outputs]`.
#[derive(Debug)]
pub(super) struct Winograd {
    weights: Tensor,
    groups: i64,
}

impl Winograd {
    /// A weight `[outputs, inputs of a group, 3, 3]` as it is multiplied by: `[16, inputs of a group, outputs]`.
    pub(super) fn transformed(weight: &Tensor) -> Tensor {
        let (outputs, inputs) = (weight.size()[0], weight.size()[1]);
        let g = [1.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0.0, 0.0, 1.0_f64];
        let g = Tensor::from_slice(&g).view([4, 3]);
        // Both sides at once: one product of matrices instead of two for each pair of channels, of which there are millions.
        let both = g.kron(&g).transpose(0, 1);
        let weights = Tensor::empty([16, inputs, outputs], (weight.kind(), weight.device()));
        for begin in steps(0, outputs, OUTPUTS) {
            let n = OUTPUTS.min(outputs - begin);
            let part = weight.narrow(0, begin, n).reshape([n * inputs, 9]).to_kind(Kind::Double);
            let part = part.matmul(&both).view([n, inputs, 16]);
            weights.narrow(2, begin, n).copy_(&part.permute([2, 1, 0]));
        }
        weights
    }

    /// With a weight that is [`Self::transformed`].
    pub(super) fn of(weights: Tensor, groups: i64) -> Self {
        Self { weights, groups }
    }

    /// Convolves `[N, C, H, W]`, whose channels go last in memory, as they do in the result. Each `together` images are one image's parts.
    pub(super) fn convolve(&self, xs: &Tensor, together: i64, bias: Option<&Tensor>, activation: Activation) -> Tensor {
        let [height, width] = size_of(xs);
        let (rows, columns) = ((height + 1) / 2, (width + 1) / 2);
        let (images, outputs) = (xs.size()[0], self.weights.size()[2]);
        let xs = xs.permute([0, 2, 3, 1]);
        let out = Tensor::empty([images, 2 * rows, 2 * columns, outputs], (xs.kind(), xs.device()));
        let n_images = (TILES / (rows * columns)).clamp(1, together);
        let n_rows = (TILES / columns).clamp(1, rows);
        for image in steps(0, images, together) {
            for first in steps(image, image + together, n_images) {
                let count = n_images.min(image + together - first);
                let (xs, out) = (xs.narrow(0, first, count), out.narrow(0, first, count));
                for row in steps(0, rows, n_rows) {
                    let n_rows = n_rows.min(rows - row);
                    let products = self.products(&strip(&xs, row, n_rows), n_rows, columns);
                    if let Some(bias) = bias {
                        // This product alone enters all four outputs, once.
                        drop(products.select(0, 1).select(0, 1).g_add_(bias));
                    }
                    finish(&products, &out.narrow(1, 2 * row, 2 * n_rows), activation);
                }
            }
        }
        let whole = out.narrow(1, 0, height).narrow(2, 0, width).contiguous();
        whole.permute([0, 3, 1, 2])
    }

    /// The sixteen products of each tile of a strip, `[4, 4, images, rows, columns, outputs]`.
    fn products(&self, strip: &Tensor, rows: i64, columns: i64) -> Tensor {
        let (images, channels) = (strip.size()[0], strip.size()[3]);
        let tiles = images * rows * columns;
        let options = (strip.kind(), strip.device());
        let transformed = Tensor::empty([4, 4, images, rows, columns, channels], options);
        let row = |y: i64| strip.slice(1, y, y + 2 * rows - 1, 2);
        for (y, line) in differences([row(0), row(1), row(2), row(3)]).into_iter().enumerate() {
            let column = |x: i64| line.slice(2, x, x + 2 * columns - 1, 2);
            let place = |x: i64| transformed.select(0, y as i64).select(0, x);
            let [a, b, c, d] = [column(0), column(1), column(2), column(3)];
            drop(a.sub_out(&place(0), &c));
            drop(b.add_out(&place(1), &c));
            drop(c.sub_out(&place(2), &b));
            drop(b.sub_out(&place(3), &d));
        }
        let transformed = transformed.view([16, tiles, channels]);
        let outputs = self.weights.size()[2];
        let (n_in, n_out) = (channels / self.groups, outputs / self.groups);
        let products = Tensor::empty([16, tiles, outputs], options);
        for group in 0..self.groups {
            let weights = self.weights.narrow(2, group * n_out, n_out);
            let input = transformed.narrow(2, group * n_in, n_in);
            drop(input.bmm_out(&products.narrow(2, group * n_out, n_out), &weights));
        }
        products.view([4, 4, images, rows, columns, outputs])
    }
}

/// Positions from `begin` to before `end`, `step` apart.
fn steps(begin: i64, end: i64, step: i64) -> impl Iterator<Item = i64> {
    std::iter::successors(Some(begin), move |at| Some(at + step)).take_while(move |at| *at < end)
}

/// The rows that `n_rows` rows of tiles from `row` on read, with a border of zeros where the map ends.
fn strip(xs: &Tensor, row: i64, n_rows: i64) -> Tensor {
    let (height, width) = (xs.size()[1], xs.size()[2]);
    let (begin, end) = (2 * row - 1, 2 * (row + n_rows) + 1);
    let (from, to) = (begin.max(0), end.min(height));
    let right = 1 + width % 2;
    xs.slice(1, from, to, 1).constant_pad_nd([0, 0, 1, right, from - begin, end - to])
}

/// One axis of the input's transform.
fn differences([a, b, c, d]: [Tensor; 4]) -> [Tensor; 4] {
    [&a - &c, &b + &c, &c - &b, &b - &d]
}

/// The output's transform, into rows that the products belong to.
fn finish(products: &Tensor, out: &Tensor, activation: Activation) {
    for (y, line) in sums(products, 0).into_iter().enumerate() {
        let rows = out.slice(1, y as i64, None, 2);
        for (x, values) in sums(&line, 0).into_iter().enumerate() {
            rows.slice(2, x as i64, None, 2).copy_(&activation.apply(values));
        }
    }
}

/// One axis of it.
fn sums(values: &Tensor, axis: i64) -> [Tensor; 2] {
    let [a, b, c, d] = [0, 1, 2, 3].map(|idx| values.select(axis, idx));
    let (mut even, mut odd) = (a + &b, b - &c);
    even += &c;
    odd -= &d;
    [even, odd]
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn winograd_is_convolution() {
        let options = (Kind::Float, Device::Cpu);
        for (groups, [height, width]) in [(1, [1, 1]), (1, [5, 4]), (2, [4, 7]), (1, [40, 41])] {
            let weight = Tensor::randn([6, 4 / groups, 3, 3], options);
            let bias = Tensor::randn([6], options);
            let xs = Tensor::randn([3, height, width, 4], options).permute([0, 3, 1, 2]);
            let direct = xs.conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], groups).relu();
            let winograd = Winograd::of(Winograd::transformed(&weight), groups);
            let ours = winograd.convolve(&xs, 1, Some(&bias), Activation::Relu);
            assert!(ours.allclose(&direct, 1e-4, 1e-5, false), "{groups} {height} x {width}");
            // Whatever is beside an image.
            let alone = winograd.convolve(&xs.narrow(0, 1, 1), 1, Some(&bias), Activation::Relu);
            assert!(alone.equal(&ours.narrow(0, 1, 1)), "{groups} {height} x {width}");
        }
    }
}
