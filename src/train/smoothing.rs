//! Targets that are less sure of themselves where two classes meet: label smoothing of edges, as the 2020 entry has it.
//!
//! The entry finds edges with a random kernel, which misses some by cancellation. What it is meant to find is found here: a pixel is an
//! edge when the window around it, of `2 radius + 1` pixels a side, holds another label. Beyond the border the map's own last pixels repeat.

use tch::{Kind, Tensor};

/// Where the labels `[N, H, W]` have edges.
pub fn edges(labels: &Tensor, radius: i64) -> Tensor {
    let side = 2 * radius + 1;
    // Class indices are exact in f32. What pooling pads with never wins, and repeated pixels would add no label.
    let most = |values: &Tensor| values.max_pool2d([side, side], [1, 1], [radius, radius], [1, 1], false);
    let values = labels.unsqueeze(1).to_kind(Kind::Float);
    let is_edge = most(&values).ne_tensor(&-most(&-&values));
    is_edge.squeeze_dim(1)
}

/// Targets `[N, C, H, W]` of one-hot ones: at edges `1 - smoothing + smoothing / C` instead of 1 and `smoothing / C` instead of 0.
pub fn soft(one_hot: &Tensor, edges: &Tensor, smoothing: f64) -> Tensor {
    let share = edges.unsqueeze(1).to_kind(one_hot.kind()) * smoothing;
    one_hot * (1.0 - &share) + share / one_hot.size()[1] as f64
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn an_edge_is_where_the_window_holds_another_label() {
        tch::manual_seed(3);
        let (height, width) = (13, 17);
        let labels = Tensor::randint(12, [1, height, width], (Kind::Int64, Device::Cpu)).clamp_min(9);
        let at = |y: i64, x: i64| labels.int64_value(&[0, y.clamp(0, height - 1), x.clamp(0, width - 1)]);
        for radius in [1, 2, 5] {
            let found = edges(&labels, radius);
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let window = |d: i64| -radius + d % (2 * radius + 1);
                let n = (2 * radius + 1).pow(2);
                let is_edge = (0..n).any(|i| at(y + window(i / (2 * radius + 1)), x + window(i)) != at(y, x));
                assert_eq!(found.int64_value(&[0, y, x]) == 1, is_edge, "({x}, {y}) with radius {radius}");
            }
        }
    }
}
