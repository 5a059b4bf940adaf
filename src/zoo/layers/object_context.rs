//! Object-contextual representations (Yuan et al. 2020, arXiv:1909.11065).

use tch::{Kind, Tensor};

use super::conv::{ConvBn, ConvShape};
use super::dropout::Dropout;
use super::kernels::{arranged_like, widened};
use super::resize::size_of;
use super::scope::Scope;
use super::trace;

/// Share of the feature maps dropped in training.
const DROPOUT: f64 = 0.05;

/// One vector per class: the features averaged over the pixels, each weighted by how much of that class it is.
///
/// `features` `[N, C, H, W]`, `logits` `[N, K, H, W]`; the weights are a softmax over the pixels. Returns `[N, C, K, 1]`. It computes in f32 in
/// every network: a pixel's share of tens of thousands is less than f16 can hold, but not nothing.
pub fn gather(features: &Tensor, logits: &Tensor) -> Tensor {
    let weights = widened(&logits.flatten(2, -1)).softmax(2, None::<Kind>);
    let pixels = widened(&features.flatten(2, -1).transpose(1, 2));
    let gathered = weights.matmul(&pixels).transpose(1, 2).unsqueeze(3).to_kind(features.kind());
    trace::see("ocr_gather_head", &gathered, pixels.size()[1]);
    gathered
}

/// Every pixel asks the class vectors, and what they answer is joined with its own features.
#[derive(Debug)]
pub struct ObjectContext {
    name: String,
    query: [ConvBn; 2],
    key: [ConvBn; 2],
    value: ConvBn,
    answer: ConvBn,
    join: ConvBn,
    dropout: Dropout,
    inner: i64,
}

impl ObjectContext {
    /// Variables: `object_context_block.{f_pixel,f_object,f_down,f_up}.*`, `conv_bn_dropout.*`.
    pub fn new(scope: &Scope, channels: i64, inner: i64) -> Self {
        let block = scope / "object_context_block";
        let point = ConvShape::new(1);
        let step = |name: &str, at: usize, input: i64, output: i64| {
            let place = &block / name;
            ConvBn::new(&(&place / at), &(&place / (at + 1) / 0), input, output, point)
        };
        let twice = |name: &str| [step(name, 0, channels, inner), step(name, 2, inner, inner)];
        let join = scope / "conv_bn_dropout";
        Self {
            name: block.name("attention"),
            query: twice("f_pixel"),
            key: twice("f_object"),
            value: step("f_down", 0, channels, inner),
            answer: step("f_up", 0, inner, channels),
            join: ConvBn::new(&(&join / 0), &(&join / 1 / 0), 2 * channels, channels, point),
            dropout: Dropout::channels(&join, DROPOUT),
            inner,
        }
    }

    /// `features` `[N, C, H, W]`, `classes` `[N, C, K, 1]` from [`gather`]. Returns `[N, C, H, W]`.
    pub fn forward(&self, features: &Tensor, classes: &Tensor, train: bool) -> Tensor {
        let both = |convs: &[ConvBn; 2], xs: &Tensor| {
            convs.iter().fold(xs.shallow_clone(), |xs, conv| conv.forward_relu(&xs, train)).flatten(2, -1)
        };
        let query = both(&self.query, features).transpose(1, 2);
        let key = both(&self.key, classes);
        let value = self.value.forward_relu(classes, train).flatten(2, -1).transpose(1, 2);
        // Before it is scaled down, a similarity may be more than f16 can hold.
        let (query, key) = (widened(&query), widened(&key));
        let similarity = query.matmul(&key) * (self.inner as f64).powf(-0.5);
        let context = similarity.softmax(-1, None::<Kind>).to_kind(value.kind()).matmul(&value);
        // The similarity of every pixel with every class, and as much again for the sum over the classes.
        trace::see(&self.name, &context, 2 * value.size()[1]);
        let [height, width] = size_of(features);
        let context = context.view([-1, height, width, self.inner]).permute([0, 3, 1, 2]);
        let context = self.answer.forward_relu(&arranged_like(&context, features), train);
        let joined = Tensor::cat(&[&context, features], 1);
        self.dropout.apply(&self.join.forward_relu(&joined, train), train)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn shares_of_very_many_pixels_do_not_vanish_in_f16() {
        // 62 500 pixels that count alike: f16 rounds each one's share by 0.16 %, all in the same direction.
        let logits = Tensor::zeros([1, 1, 250, 250], (Kind::Half, Device::Cpu));
        let features = Tensor::full([1, 8, 250, 250], 3.0, (Kind::Half, Device::Cpu));
        let gathered = gather(&features, &logits);
        assert_eq!(gathered.kind(), Kind::Half);
        let off = (gathered.to_kind(Kind::Float) - 3.0).abs().max().double_value(&[]);
        assert!(off < 1e-3, "{off}");
        let weights = logits.flatten(2, -1).softmax(2, None::<Kind>).to_kind(Kind::Float);
        let lost = (weights.sum(Kind::Float) - 1.0).abs().double_value(&[]);
        assert!(lost > 1e-3, "the plain form is as good: {lost}");
    }
}
