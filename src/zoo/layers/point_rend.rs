//! Points that are classified again (PointRend: Kirillov et al. 2020, arXiv:1912.08193), in the 2020 entry's way: uncertainty is
//! measured on probabilities, corners are aligned, and the coarse logits are taken from the map as refined so far.

use tch::{Kind, Tensor};

use super::conv::uniform;
use super::resize::{bilinear, size_of};
use super::scope::Scope;
use super::trace;

/// Points classified again at each doubling.
const POINTS: i64 = 512;
/// Points drawn per image in training.
const TRAINING_POINTS: i64 = 2048;
/// Candidates per drawn point.
const CANDIDATES: i64 = 3;
/// Channels inside the perceptron.
const INNER: i64 = 256;

/// A perceptron on the features of single points, with ReLU between its layers.
#[derive(Debug)]
pub struct PointHead {
    name: String,
    /// Weights `[output, input, 1]`, and biases where there are.
    layers: Vec<(Tensor, Option<Tensor>)>,
}

/// Which layers have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointBias {
    /// All.
    All,
    /// The last.
    Last,
}

impl PointHead {
    /// Four layers at these places, from `input` channels to `classes`.
    pub fn new(layers: [&Scope; 4], input: i64, classes: i64, bias: PointBias) -> Self {
        let widths = [input, INNER, INNER, INNER, classes];
        let layer = |(idx, scope): (usize, &Scope)| {
            let start = uniform(widths[idx]);
            let weight = scope.parameter("weight", &[widths[idx + 1], widths[idx], 1], start);
            let has_bias = bias == PointBias::All || idx + 2 == widths.len();
            (weight, has_bias.then(|| scope.parameter("bias", &[widths[idx + 1]], start)))
        };
        let name = layers[0].name("");
        Self { name, layers: layers.into_iter().enumerate().map(layer).collect() }
    }

    /// `[N, input, P]` to `[N, classes, P]`.
    fn forward(&self, xs: &Tensor) -> Tensor {
        let last = self.layers.len() - 1;
        let layer = |xs: Tensor, (idx, (weight, bias)): (usize, &(Tensor, Option<Tensor>))| {
            let mut out = xs.conv1d(weight, bias.as_ref(), [1], [0], [1], 1);
            trace::see(&self.name, &out, weight.size()[1]);
            if idx == last { out } else { out.relu_() }
        };
        self.layers.iter().enumerate().fold(xs.shallow_clone(), layer)
    }

    /// Doubles `logits` and classifies the points again that are least certain, with the features `fine` of any resolution.
    pub fn refine(&self, logits: &Tensor, fine: &Tensor) -> Tensor {
        let logits = bilinear(logits, size_of(logits).map(|n| 2 * n), true);
        let (indices, points) = least_certain(&logits);
        let rendered = self.classify(&logits, fine, &points);
        let indices = indices.unsqueeze(1).expand([-1, logits.size()[1], -1], false);
        logits.flatten(2, -1).scatter(2, &indices, &rendered).view_as(&logits)
    }

    /// The points to train on and what the head makes of them: `[N, P, 2]` (x, y from 0 to 1) and `[N, classes, P]`.
    ///
    /// `important`: share of the points that are the least certain of three times as many; the rest is drawn evenly.
    pub fn sample(&self, logits: &Tensor, fine: &Tensor, important: f64) -> (Tensor, Tensor) {
        let points = training_points(logits, important);
        let rendered = self.classify(logits, fine, &points);
        (points, rendered)
    }

    fn classify(&self, logits: &Tensor, fine: &Tensor, points: &Tensor) -> Tensor {
        self.forward(&Tensor::cat(&[sampled(logits, points), sampled(fine, points)], 1))
    }
}

/// The values of `[N, C, H, W]` at `[N, P, 2]`: `[N, C, P]`.
fn sampled(map: &Tensor, points: &Tensor) -> Tensor {
    // Bilinear, zeros outside, corners aligned.
    let grid = (points * 2.0 - 1.0).unsqueeze(2).to_kind(map.kind());
    map.grid_sampler(&grid, 0, 0, true).squeeze_dim(3)
}

/// How close the two likeliest classes are, along dimension 1: 0 where they are equal, -1 where one is certain.
fn uncertainty(logits: &Tensor) -> Tensor {
    let (two, _) = logits.softmax(1, None::<Kind>).topk(2.min(logits.size()[1]), 1, true, true);
    two.select(1, -1) - two.select(1, 0)
}

/// Indices `[N, P]` of the least certain pixels and their centres `[N, P, 2]`.
fn least_certain(logits: &Tensor) -> (Tensor, Tensor) {
    let [height, width] = size_of(logits);
    let n_points = POINTS.min(height * width);
    let (_, indices) = uncertainty(logits).flatten(1, -1).topk(n_points, 1, true, true);
    let centre = |index: Tensor, side: i64| (index.to_kind(Kind::Float) + 0.5) / side as f64;
    let x = centre(indices.remainder(width), width);
    let y = centre(indices.floor_divide_scalar(width), height);
    (indices, Tensor::stack(&[x, y], 2))
}

/// Points of which the share `important` is uncertain.
fn training_points(logits: &Tensor, important: f64) -> Tensor {
    let options = (Kind::Float, logits.device());
    let n_images = logits.size()[0];
    let candidates = Tensor::rand([n_images, CANDIDATES * TRAINING_POINTS, 2], options);
    #[expect(clippy::cast_possible_truncation, reason = "a share of the points, rounded down")]
    let n_important = (important * TRAINING_POINTS as f64) as i64;
    let (_, chosen) = uncertainty(&sampled(&logits.detach(), &candidates)).topk(n_important, 1, true, true);
    let chosen = candidates.gather(1, &chosen.unsqueeze(2).expand([-1, -1, 2], false), false);
    let even = Tensor::rand([n_images, TRAINING_POINTS - n_important, 2], options);
    Tensor::cat(&[chosen, even], 1)
}
