//! DeepLabv3+ (Chen et al. 2018, arXiv:1802.02611) as segmentation_models_pytorch 0.6 builds it.
//!
//! Variables: `encoder.*` (torchvision's names, no `fc`), `decoder.*`, `segmentation_head.0.*`. The reference up-samples the
//! logits by 4; here that is left to the caller.
//!
//! Batch statistics need at least two images per step: see [`Aspp::forward`].

use tch::Tensor;
use tch::nn::{self, Init};

use crate::zoo::backbone::Features;
use crate::zoo::backbone::resnet::{ResNet, ResNetTable};
use crate::zoo::layers::aspp::Aspp;
use crate::zoo::layers::conv::{ConvBn, ConvShape};
use crate::zoo::layers::separable::SeparableConvBn;
use crate::zoo::segmenter::{Segmented, Segmenter};
use crate::zoo::spec::{Backbone, NetworkSpec, Upsample};

/// Channels of the decoder.
const DECODER_CHANNELS: i64 = 256;
/// Channels that the fine feature map is reduced to.
const LOW_CHANNELS: i64 = 48;
/// Share of activations dropped after the pyramid in training.
const ASPP_DROPOUT: f64 = 0.5;

/// The network: coarse features through an atrous pyramid, joined with stage 1's fine ones.
#[derive(Debug)]
pub struct DeepLabV3Plus {
    encoder: ResNet,
    aspp: Aspp,
    aspp_refine: SeparableConvBn,
    low: ConvBn,
    fuse: SeparableConvBn,
    head: nn::Conv2D,
    upsample: Option<Upsample>,
}

impl DeepLabV3Plus {
    /// The network that `spec` describes, on `backbone`; `spec.output_stride` is 8 or 16.
    pub fn new(vs: &nn::Path, spec: &NetworkSpec, backbone: Backbone) -> Self {
        let table = ResNetTable::of(backbone);
        let [low_channels, .., high_channels] = table.channels();
        let classes = i64::from(spec.classes);
        let decoder = vs / "decoder";
        let aspp = &decoder / "aspp";
        let fused = DECODER_CHANNELS + LOW_CHANNELS;
        // Glorot's uniform bound for a 1 x 1 kernel, as the reference starts its head.
        let bound = (6.0 / f64::from(spec.classes + 256)).sqrt();
        let head_config = nn::ConvConfig { ws_init: Init::Uniform { lo: -bound, up: bound }, ..Default::default() };
        Self {
            encoder: ResNet::new(&(vs / "encoder"), table, spec.output_stride, i64::from(spec.bands), None),
            aspp: Aspp::new(&(&aspp / 0), high_channels, DECODER_CHANNELS, spec.rates, ASPP_DROPOUT),
            aspp_refine: SeparableConvBn::sequential(&aspp, 1, DECODER_CHANNELS, DECODER_CHANNELS, 1),
            low: ConvBn::sequential(&(&decoder / "block1"), 0, low_channels, LOW_CHANNELS, ConvShape::new(1)),
            fuse: SeparableConvBn::sequential(&(&decoder / "block2"), 0, fused, DECODER_CHANNELS, 1),
            head: nn::conv2d(vs / "segmentation_head" / 0, DECODER_CHANNELS, classes, 1, head_config),
            upsample: spec.upsample(),
        }
    }

    /// Coarse and fine features side by side at stride 4, `[N, 304, H / 4, W / 4]`.
    fn joined(&self, input: &Tensor, train: bool) -> Tensor {
        // The pattern lets go of the maps that the decoder does not use.
        let Features { c1, c4, .. } = self.encoder.features(input, train);
        let coarse = self.aspp_refine.forward(&self.aspp.forward(&c4, train), train);
        let size = c1.size();
        let coarse = coarse.upsample_bilinear2d([size[2], size[3]], true, None, None);
        Tensor::cat(&[coarse, self.low.forward_relu(&c1, train)], 1)
    }
}

impl Segmenter for DeepLabV3Plus {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let values = self.fuse.forward(&self.joined(input, train), train).apply(&self.head);
        Segmented { values, upsample: self.upsample }
    }
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;
    use crate::zoo::spec::Network;
    use crate::zoo::{registry, segmenter, weights};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn spec(backbone: Backbone, output_stride: u32) -> NetworkSpec {
        let network = Network::DeepLabV3Plus;
        NetworkSpec { network, backbone: Some(backbone), output_stride, rates: [6, 12, 18], bands: 4, classes: 7 }
    }

    fn network(spec: &NetworkSpec) -> (VarStore, Box<dyn Segmenter>) {
        tch::set_num_threads(1);
        let vs = VarStore::new(Device::Cpu);
        let net = registry::build(&vs.root(), spec).unwrap();
        (vs, net)
    }

    #[test]
    fn logits_come_at_the_native_stride_whatever_the_output_stride() {
        for (backbone, output_stride) in [(Backbone::ResNet18, 16), (Backbone::ResNet18, 8), (Backbone::ResNet50, 8)] {
            let spec = spec(backbone, output_stride);
            let (_vs, net) = network(&spec);
            let out = segmenter::run(&*net, &Tensor::zeros([2, 4, 64, 32], CPU)).unwrap();
            assert_eq!(out.values.size(), [2, 7, 16, 8]);
            assert_eq!(out.upsample, Some(Upsample::Bilinear { align_corners: true }));
            assert_eq!(spec.logit_stride(), 4);
            assert!(!out.values.requires_grad());
        }
    }

    #[test]
    fn the_wrong_number_of_bands_is_an_error_not_a_panic() {
        let (_vs, net) = network(&spec(Backbone::ResNet18, 16));
        let error = segmenter::run(&*net, &Tensor::zeros([1, 3, 32, 32], CPU)).unwrap_err();
        assert!(error.to_string().contains("4 channels, but got 3"), "{error}");
    }

    #[test]
    fn gradient_reaches_every_parameter() {
        let (vs, net) = network(&spec(Backbone::ResNet18, 16));
        tch::manual_seed(1);
        let out = net.forward(&Tensor::randn([3, 4, 64, 64], CPU), true).values;
        (&out * out.randn_like()).sum(Kind::Float).backward();
        let variables = vs.variables();
        let trainable = variables.iter().filter(|(_, v)| v.requires_grad());
        let mut without: Vec<_> = trainable
            .filter(|(_, v)| !v.grad().defined() || v.grad().abs().sum(Kind::Float).double_value(&[]) == 0.0)
            .map(|(name, _)| name)
            .collect();
        without.sort();
        assert!(without.is_empty(), "{without:?}");
        let n_buffers = variables
            .iter()
            .filter(|(_, v)| !v.requires_grad())
            .inspect(|(name, _)| assert!(name.contains("running_")))
            .count();
        assert_eq!(variables.len(), vs.trainable_variables().len() + n_buffers);
    }

    #[test]
    fn training_uses_batch_statistics_and_dropout_and_inference_neither() {
        let (vs, net) = network(&spec(Backbone::ResNet18, 16));
        weights::seeded(&vs, 3).unwrap();
        tch::manual_seed(1);
        let input = Tensor::randn([2, 4, 32, 32], CPU);
        let statistics = || vs.variables()["encoder.bn1.running_mean"].copy();
        let before = statistics();
        let still = segmenter::run(&*net, &input).unwrap().values;
        assert!(still.equal(&segmenter::run(&*net, &input).unwrap().values));
        assert!(statistics().equal(&before));

        let (a, b) = tch::no_grad(|| (net.forward(&input, true).values, net.forward(&input, true).values));
        assert!(!a.equal(&b), "two passes with dropout agree");
        assert!(!a.allclose(&still, 1e-3, 1e-3, false));
        assert!(!statistics().equal(&before));
    }

    #[test]
    fn training_starts_with_neutral_normalisation() {
        let (vs, _net) = network(&spec(Backbone::ResNet50, 16));
        for (name, tensor) in vs.variables() {
            let is_norm = tensor.dim() == 1 && name.ends_with(".weight");
            if is_norm || name.ends_with("running_var") {
                assert!(tensor.eq(1.0).all().int64_value(&[]) == 1, "{name}");
            }
        }
    }

    #[test]
    fn parameters_and_names_agree_with_the_spec() {
        for backbone in [Backbone::ResNet18, Backbone::ResNet34, Backbone::ResNet50] {
            let spec = spec(backbone, 16);
            let (vs, _net) = network(&spec);
            let counted: usize = vs.trainable_variables().iter().map(Tensor::numel).sum();
            assert_eq!(u64::try_from(counted).unwrap(), spec.parameters(), "{backbone}");
            // tch renames a second variable of the same name instead of refusing it.
            assert!(vs.variables().keys().all(|name| !name.contains("__")));
        }
    }
}
