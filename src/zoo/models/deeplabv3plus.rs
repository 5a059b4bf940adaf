//! DeepLabv3+ (Chen et al. 2018, arXiv:1802.02611): coarse features through an atrous pyramid, joined with stage 1's fine ones.
//!
//! Two definitions. segmentation_models_pytorch 0.6: separable convolutions, variables `encoder.*`, `decoder.*`,
//! `segmentation_head.0.*`. The 2020 entry: plain convolutions, variables `backend.*`, `aspp_pooling.*`, `cbr_low.*`, `cbr_last.*`.
//! Both up-sample the logits by 4; here that is left to the caller.
//!
//! Batch statistics need at least two images per step: see [`Aspp::forward`].

use tch::Tensor;
use tch::nn::Init;

use crate::zoo::backbone::resnet::{Parts, ResNet, ResNetTable};
use crate::zoo::backbone::{self, Dilation, Extractor, FirstBlock};
use crate::zoo::layers::aspp::Aspp;
use crate::zoo::layers::conv::{Conv, ConvBn, ConvShape};
use crate::zoo::layers::resize::{bilinear, size_of};
use crate::zoo::layers::scope::Scope;
use crate::zoo::layers::separable::SeparableConvBn;
use crate::zoo::segmenter::{Segmented, Segmenter};
use crate::zoo::spec::{NetworkSpec, Upsample};

/// Channels of the entry's decoder.
const NAIC_CHANNELS: i64 = 256;
/// Channels that the fine feature map is reduced to.
const LOW_CHANNELS: i64 = 48;

/// The network.
#[derive(Debug)]
pub struct DeepLabV3Plus {
    encoder: Box<dyn Extractor>,
    aspp: Aspp,
    low: ConvBn,
    decoder: Decoder,
    head: Conv,
    upsample: Option<Upsample>,
}

/// What joins coarse and fine features.
#[derive(Debug)]
enum Decoder {
    /// The refinement of the coarse features, and the fusion.
    Smp(Box<[SeparableConvBn; 2]>),
    /// The fusion in two steps.
    Naic(Box<[ConvBn; 2]>),
}

impl DeepLabV3Plus {
    /// As segmentation_models_pytorch defines it; `None` for a spec without a backbone.
    pub fn smp(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let encoder = backbone::build(&(scope / "encoder"), spec, FirstBlock::Same)?;
        let (low_channels, high_channels) = ends(&*encoder);
        let channels = spec.decoder_channels.first().map_or(NAIC_CHANNELS, |&n| i64::from(n));
        let decoder = scope / "decoder";
        let aspp = &decoder / "aspp";
        let fine = ConvShape::new(1).decoder_init();
        Some(Self {
            encoder,
            aspp: Aspp::smp(&(&aspp / 0), high_channels, channels, spec.rates),
            low: ConvBn::sequential(&(&decoder / "block1"), 0, low_channels, LOW_CHANNELS, fine),
            decoder: Decoder::Smp(Box::new([
                SeparableConvBn::sequential(&aspp, 1, channels, channels, 1),
                SeparableConvBn::sequential(&(&decoder / "block2"), 0, channels + LOW_CHANNELS, channels, 1),
            ])),
            head: Conv::new(
                &(scope / "segmentation_head" / 0),
                channels,
                i64::from(spec.classes),
                glorot(channels, spec),
            ),
            upsample: spec.upsample(),
        })
    }

    /// As the 2020 entry defines it; `None` for a spec without a backbone.
    ///
    /// The entry builds its ResNeSt for output stride 8 whatever is asked for, under a pyramid with the rates of 16: that network has
    /// `output_stride = 8` and `rates = [6, 12, 18]` here.
    pub fn naic(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let encoder = naic_encoder(&(scope / "backend"), spec)?;
        let (low_channels, high_channels) = ends(&*encoder);
        let last = scope / "cbr_last";
        let spatial = ConvShape::new(3);
        let classes = i64::from(spec.classes);
        Some(Self {
            encoder,
            aspp: Aspp::naic(&(scope / "aspp_pooling"), high_channels, NAIC_CHANNELS, spec.rates),
            low: ConvBn::sequential(&(scope / "cbr_low"), 0, low_channels, LOW_CHANNELS, ConvShape::new(1)),
            decoder: Decoder::Naic(Box::new([
                ConvBn::sequential(&last, 0, NAIC_CHANNELS + LOW_CHANNELS, NAIC_CHANNELS, spatial),
                ConvBn::sequential(&last, 3, NAIC_CHANNELS, NAIC_CHANNELS, spatial),
            ])),
            head: Conv::new(&(last / 6), NAIC_CHANNELS, classes, ConvShape::new(1).biased()),
            upsample: spec.upsample(),
        })
    }

    /// Coarse and fine features side by side at stride 4.
    fn joined(&self, input: &Tensor, train: bool) -> Tensor {
        let features = self.encoder.features(input, train);
        let deepest = features.maps.len() - 1;
        let [c1, deep] = features.keep([1, deepest]);
        let coarse = self.aspp.forward(&deep, train);
        let coarse = match &self.decoder {
            Decoder::Smp(steps) => steps[0].forward(&coarse, train),
            Decoder::Naic(_) => coarse,
        };
        let coarse = bilinear(&coarse, size_of(&c1), true);
        Tensor::cat(&[coarse, self.low.forward_relu(&c1, train)], 1)
    }
}

/// Channels of stage 1 and of the deepest stage.
fn ends(encoder: &dyn Extractor) -> (i64, i64) {
    let channels = encoder.channels();
    (channels[1], channels[channels.len() - 1])
}

/// A 1 x 1 head with Glorot's uniform bound, as segmentation_models_pytorch starts it.
fn glorot(channels: i64, spec: &NetworkSpec) -> ConvShape {
    let bound = (6.0 / (channels as f64 + f64::from(spec.classes))).sqrt();
    ConvShape::new(1).biased().init(Init::Uniform { lo: -bound, up: bound })
}

/// The entry splits a ResNet into a sequence that ends with stage 1 and one of the other stages; other backbones keep their names.
fn naic_encoder(scope: &Scope, spec: &NetworkSpec) -> Option<Box<dyn Extractor>> {
    let Some(table) = spec.backbone.and_then(ResNetTable::of) else {
        let pretrained = scope / "pretrained";
        return backbone::build_with_unused_classifier(&pretrained, spec, FirstBlock::Before);
    };
    let (low, high) = (scope / "low_features", scope / "high_features");
    let parts = Parts { conv1: &low / 0, bn1: &low / 1, stages: [&low / 4, &high / 0, &high / 1, &high / 2] };
    let dilation = Dilation { output_stride: spec.output_stride, first: FirstBlock::Same };
    Some(Box::new(ResNet::new(&parts, table, dilation, spec.bands, spec.depth)))
}

impl Segmenter for DeepLabV3Plus {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let joined = self.joined(input, train);
        let fused = match &self.decoder {
            Decoder::Smp(steps) => steps[1].forward(&joined, train),
            Decoder::Naic(steps) => steps.iter().fold(joined, |xs, step| step.forward_relu(&xs, train)),
        };
        Segmented::new(self.head.forward(&fused), self.upsample)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::zoo::layers::scope::Purpose;
    use crate::zoo::registry::{self, Built};
    use crate::zoo::segmenter;
    use crate::zoo::spec::{Backbone, Network, SpecTable};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn spec(backbone: Backbone, output_stride: u32) -> NetworkSpec {
        let table = SpecTable {
            backbone: Some(backbone),
            output_stride: Some(output_stride),
            rates: Some([6, 12, 18]),
            ..SpecTable::new(Network::DeepLabV3Plus)
        };
        table.resolve(4, Some(7)).unwrap()
    }

    fn network(spec: &NetworkSpec) -> Built<dyn Segmenter> {
        tch::set_num_threads(1);
        registry::build(spec, Purpose::Training, Device::Cpu).unwrap()
    }

    #[test]
    fn logits_come_at_the_native_stride_whatever_the_output_stride() {
        for (backbone, output_stride) in [(Backbone::ResNet18, 16), (Backbone::ResNet18, 8), (Backbone::ResNet50, 8)] {
            let spec = spec(backbone, output_stride);
            let net = network(&spec).network;
            let out = segmenter::run(&*net, &Tensor::zeros([2, 4, 64, 32], CPU)).unwrap();
            assert_eq!(out.values.size(), [2, 7, 16, 8]);
            assert_eq!(out.upsample, Some(Upsample::Bilinear { align_corners: true }));
            assert_eq!(spec.logit_stride(), 4);
            assert!(!out.values.requires_grad());
        }
    }

    #[test]
    fn the_wrong_number_of_bands_is_an_error_not_a_panic() {
        let net = network(&spec(Backbone::ResNet18, 16)).network;
        let error = segmenter::run(&*net, &Tensor::zeros([1, 3, 32, 32], CPU)).unwrap_err();
        assert!(error.to_string().contains("4 channels, but got 3"), "{error}");
    }
}
