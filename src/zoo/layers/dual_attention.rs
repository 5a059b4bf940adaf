//! Attention over positions and over channels (Fu et al. 2019, arXiv:1809.02983).

use tch::nn::Init;
use tch::{Kind, Tensor};

use super::conv::{Conv, ConvBn, ConvShape};
use super::kernels::{AttentionKernel, Prepared, arranged_like, widened};
use super::resize::size_of;
use super::scope::Scope;
use super::trace;

/// Values of the position attention's map that are held at once, at most: 64 MiB in f32.
const MAX_MAP_VALUES: i64 = 16 << 20;

/// The two attentions side by side on features reduced to a quarter of the channels.
#[derive(Debug)]
pub struct DualAttention {
    position: Branch<PositionAttention>,
    channel: Branch<ChannelAttention>,
}

/// Reduction, attention, and a last convolution.
#[derive(Debug)]
struct Branch<A> {
    reduce: ConvBn,
    attention: A,
    finish: ConvBn,
}

/// What the two attentions found.
#[derive(Debug)]
pub struct Attended {
    /// Over positions, `[N, input / 4, H, W]`.
    pub position: Tensor,
    /// Over channels, the same shape.
    pub channel: Tensor,
}

impl DualAttention {
    /// Variables: `conv5a`, `sa`, `conv51` for positions, `conv5c`, `sc`, `conv52` for channels.
    pub fn new(scope: &Scope, input: i64) -> Self {
        let inner = input / 4;
        let spatial = ConvShape::new(3);
        let conv = |name: &str, input: i64| ConvBn::sequential(&(scope / name), 0, input, inner, spatial);
        Self {
            position: Branch {
                reduce: conv("conv5a", input),
                attention: PositionAttention::new(&(scope / "sa"), inner),
                finish: conv("conv51", inner),
            },
            channel: Branch {
                reduce: conv("conv5c", input),
                attention: ChannelAttention::new(&(scope / "sc")),
                finish: conv("conv52", inner),
            },
        }
    }

    /// `[N, input, H, W]` to two maps.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Attended {
        let Branch { reduce, attention, finish } = &self.position;
        let position = finish.forward_relu(&attention.forward(&reduce.forward_relu(xs, train)), train);
        let Branch { reduce, attention, finish } = &self.channel;
        let channel = finish.forward_relu(&attention.forward(&reduce.forward_relu(xs, train)), train);
        Attended { position, channel }
    }
}

/// Every position takes from all others, by how alike they are: y = gamma V softmax(Q K)' + x.
#[derive(Debug)]
struct PositionAttention {
    name: String,
    query: Conv,
    key: Conv,
    value: Conv,
    gamma: Tensor,
    prepared: Prepared,
}

impl PositionAttention {
    fn new(scope: &Scope, channels: i64) -> Self {
        let point = ConvShape::new(1).biased();
        let conv = |name: &str, output: i64| Conv::new(&(scope / name), channels, output, point);
        Self {
            name: scope.name("position"),
            query: conv("query_conv", channels / 8),
            key: conv("key_conv", channels / 8),
            value: conv("value_conv", channels),
            gamma: scope.parameter("gamma", &[1], Init::Const(0.0)),
            prepared: scope.prepared(),
        }
    }

    /// The map of all positions against all others is made some rows at a time: at 1280 x 1280 pixels and stride 8 it would have
    /// 655 million values. It is f32 in every network: what 16 bits hold is soon exceeded.
    fn forward(&self, xs: &Tensor) -> Tensor {
        let [height, width] = size_of(xs);
        let n_positions = height * width;
        let query = self.query.forward(xs).flatten(2, -1).transpose(1, 2);
        let key = self.key.forward(xs).flatten(2, -1);
        let value = self.value.forward(xs).flatten(2, -1).transpose(1, 2).contiguous();
        let found = match self.prepared.get().map_or(AttentionKernel::Rows, |kernels| kernels.attention) {
            AttentionKernel::Rows => by_rows(&query, &key, &value),
            AttentionKernel::ScaledDotProduct => {
                let key = key.transpose(1, 2);
                Tensor::scaled_dot_product_attention(&query, &key, &value, None::<Tensor>, 0.0, false, 1.0, false)
            }
        };
        let found = found.view([-1, height, width, value.size()[2]]).permute([0, 3, 1, 2]);
        let found = arranged_like(&found, xs);
        // A value of the result costs one row of the map times the values, and its share of that row.
        trace::see(&self.name, &found, n_positions + n_positions * query.size()[2] / value.size()[2]);
        &self.gamma * found + xs
    }
}

/// softmax(Q K) V, the softmax over the positions of K.
fn by_rows(query: &Tensor, key: &Tensor, value: &Tensor) -> Tensor {
    let (n_images, n_positions) = (query.size()[0], query.size()[1]);
    let (query, key) = (widened(query), widened(key));
    let rows = (MAX_MAP_VALUES / (n_positions * n_images).max(1)).clamp(1, n_positions.max(1));
    let mut found = Vec::new();
    let mut begin = 0;
    while begin < n_positions {
        let n_rows = rows.min(n_positions - begin);
        let energy = query.narrow(1, begin, n_rows).matmul(&key);
        found.push(energy.softmax(-1, None::<Kind>).to_kind(value.kind()).matmul(value));
        begin += n_rows;
    }
    Tensor::cat(&found, 1)
}

/// Every channel takes from all others, by how unlike they are: y = gamma softmax(max(X X') - X X') X + x.
#[derive(Debug)]
struct ChannelAttention {
    name: String,
    gamma: Tensor,
}

impl ChannelAttention {
    fn new(scope: &Scope) -> Self {
        Self { name: scope.name("channel"), gamma: scope.parameter("gamma", &[1], Init::Const(0.0)) }
    }

    fn forward(&self, xs: &Tensor) -> Tensor {
        let flat = xs.flatten(2, -1);
        // A sum of squares over all positions, which f16 cannot hold and bf16 only in steps of 64 and more.
        let wide = widened(&flat);
        let energy = wide.matmul(&wide.transpose(1, 2));
        let energy = energy.amax([-1], true) - energy;
        let found = energy.softmax(-1, None::<Kind>).to_kind(flat.kind()).matmul(&flat).view_as(xs);
        trace::see(&self.name, &found, 2 * flat.size()[1]);
        &self.gamma * found + xs
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tch::Device;
    use tch::nn::VarStore;

    use super::*;
    use crate::zoo::layers::scope::Purpose;

    /// Features of one sign whose products exceed what f16 holds.
    fn large(kind: Kind) -> Tensor {
        (Tensor::rand([1, 16, 30], (Kind::Float, Device::Cpu)) * 100.0 + 50.0).to_kind(kind)
    }

    fn is_finite(xs: &Tensor) -> bool {
        xs.isfinite().all().int64_value(&[]) == 1
    }

    #[test]
    fn energies_beyond_16_bits_leave_attention_finite_and_right() {
        tch::manual_seed(3);
        let (store, layout) = (VarStore::new(Device::Cpu), RefCell::default());
        let channel = ChannelAttention::new(&Scope::root(&store, &layout, Purpose::Training));
        let _no_grad = tch::no_grad_guard();
        for kind in [Kind::Half, Kind::BFloat16] {
            let (query, key, value) = (large(kind).transpose(1, 2), large(kind), large(kind).transpose(1, 2));
            let both = |kind: Kind| {
                channel.gamma.shallow_clone().set_data(&Tensor::ones([1], (kind, Device::Cpu)));
                let [query, key, value] = [&query, &key, &value].map(|xs| xs.to_kind(kind));
                [by_rows(&query, &key, &value), channel.forward(&key.view([1, 16, 6, 5]))]
            };
            for (narrow, expected) in both(kind).into_iter().zip(both(Kind::Float)) {
                assert_eq!(narrow.kind(), kind);
                assert!(is_finite(&narrow), "{kind:?}");
                let error = (narrow.to_kind(Kind::Float) - &expected).abs().max() / expected.abs().max();
                assert!(error.double_value(&[]) < if kind == Kind::Half { 2e-3 } else { 2e-2 }, "{kind:?}: {error}");
            }
        }
        // What the plain form makes of them.
        let flat = large(Kind::Half);
        assert!(!is_finite(&flat.matmul(&flat.transpose(1, 2))));
    }

    #[test]
    fn scaled_dot_products_find_what_rows_do() {
        let options = (Kind::Float, Device::Cpu);
        let [query, key] = [(); 2].map(|()| Tensor::randn([2, 40, 8], options));
        let value = Tensor::randn([2, 40, 16], options);
        let rows = by_rows(&query, &key.transpose(1, 2), &value);
        let scaled = Tensor::scaled_dot_product_attention(&query, &key, &value, None::<Tensor>, 0.0, false, 1.0, false);
        assert!(rows.allclose(&scaled, 1e-4, 1e-5, false));
    }
}
