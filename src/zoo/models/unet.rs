//! U-Nets (Ronneberger et al. 2015, arXiv:1505.04597).
//!
//! [`SmpUnet`] is segmentation_models_pytorch 0.6's, on a backbone: variables `encoder.*`, `decoder.blocks.*`, `segmentation_head.0.*`.
//! [`NaicUnet`] is the 2020 entry's, the classic one with batch normalisation: `Conv{1..5}`, `Up{5..2}`, `Up_conv{5..2}`, `Conv_1x1`.

use tch::Tensor;

use crate::zoo::backbone::{self, Extractor, FirstBlock};
use crate::zoo::layers::conv::{Conv, ConvShape};
use crate::zoo::layers::double_conv::{DoubleConv, Doubling, UpConv};
use crate::zoo::layers::resize::size_of;
use crate::zoo::layers::scope::Scope;
use crate::zoo::layers::smp_decoder::SmpDecoderBlock;
use crate::zoo::segmenter::{Segmented, Segmenter};
use crate::zoo::spec::NetworkSpec;

/// Channels of the classic network, from fine to coarse.
const CLASSIC: [i64; 5] = [64, 128, 256, 512, 1024];

/// A backbone whose maps are joined from coarse to fine. Takes images of any size.
#[derive(Debug)]
pub struct SmpUnet {
    encoder: Box<dyn Extractor>,
    blocks: Vec<SmpDecoderBlock>,
    head: Conv,
}

impl SmpUnet {
    /// The network that `spec` describes; `None` for a spec without a backbone.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let encoder = backbone::build(&(scope / "encoder"), spec, FirstBlock::Same)?;
        let mut skips = encoder.channels().to_vec();
        let mut input = skips.pop()?;
        let mut blocks = Vec::new();
        for (idx, &output) in spec.decoder_channels.iter().enumerate() {
            let output = i64::from(output);
            let place = scope / "decoder.blocks" / idx;
            blocks.push(SmpDecoderBlock::new(&place, input, skips.pop().unwrap_or(0), output, spec.attention));
            input = output;
        }
        let head = scope / "segmentation_head" / 0;
        Some(Self {
            encoder,
            blocks,
            head: Conv::new(&head, input, i64::from(spec.classes), ConvShape::new(3).biased()),
        })
    }
}

impl Segmenter for SmpUnet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let mut maps = self.encoder.features(input, train).maps;
        let mut out = maps.pop().unwrap_or_default();
        for block in &self.blocks {
            let skip = maps.pop();
            let size = size_of(skip.as_ref().unwrap_or(input));
            out = block.forward(&out, skip.as_ref(), size, train);
        }
        Segmented::new(self.head.forward(&out), None)
    }
}

/// The classic network. Height and width are multiples of 16.
#[derive(Debug)]
pub struct NaicUnet {
    down: Vec<DoubleConv>,
    /// From coarse to fine.
    up: Vec<(UpConv, DoubleConv)>,
    head: Conv,
}

impl NaicUnet {
    /// The network that `spec` describes.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Self {
        let shape = ConvShape::new(3).biased();
        let down = |idx: usize| {
            let input = if idx == 0 { i64::from(spec.bands) } else { CLASSIC[idx - 1] };
            DoubleConv::new(&(scope / format!("Conv{}", idx + 1)), input, CLASSIC[idx], shape)
        };
        let up = |idx: usize| {
            let (coarse, fine) = (CLASSIC[idx], CLASSIC[idx - 1]);
            let double = UpConv::new(&(scope / format!("Up{}", idx + 1)), coarse, fine, Doubling::Nearest);
            (double, DoubleConv::new(&(scope / format!("Up_conv{}", idx + 1)), coarse, fine, shape))
        };
        let head = Conv::new(&(scope / "Conv_1x1"), CLASSIC[0], i64::from(spec.classes), ConvShape::new(1).biased());
        Self { down: (0..CLASSIC.len()).map(down).collect(), up: (1..CLASSIC.len()).rev().map(up).collect(), head }
    }
}

impl Segmenter for NaicUnet {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let mut maps: Vec<Tensor> = Vec::new();
        for (idx, conv) in self.down.iter().enumerate() {
            let map = match idx {
                0 => conv.forward(input, train),
                _ => conv.forward(&maps[idx - 1].max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false), train),
            };
            maps.push(map);
        }
        let mut out = maps.pop().unwrap_or_default();
        for ((double, conv), skip) in self.up.iter().zip(maps.iter().rev()) {
            out = conv.forward(&Tensor::cat(&[skip, &double.forward(&out, train)], 1), train);
        }
        Segmented::new(self.head.forward(&out), None)
    }
}
