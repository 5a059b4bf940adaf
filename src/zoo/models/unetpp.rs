//! UNet++ (Zhou et al. 2018, arXiv:1807.10165): a U-Net with a whole triangle of decoder blocks.
//!
//! [`SmpUnetPP`] is segmentation_models_pytorch 0.6's: variables `encoder.*`, `decoder.blocks.x_{d}_{l}.*`, `segmentation_head.0.*`.
//! [`NaicUnetPP`] is the 2020 entry's, without a backbone: `conv{i}_{j}.*`, `final.*` or `final{1..4}.*`.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::zoo::backbone::{self, Extractor, FirstBlock};
use crate::zoo::layers::conv::{Conv, ConvBn, ConvShape};
use crate::zoo::layers::resize::{bilinear, size_of};
use crate::zoo::layers::scope::Scope;
use crate::zoo::layers::smp_decoder::SmpDecoderBlock;
use crate::zoo::segmenter::{Segmented, Segmenter, Side};
use crate::zoo::spec::NetworkSpec;

/// Channels of the entry's network, from fine to coarse.
const CLASSIC: [i64; 5] = [64, 128, 256, 512, 1024];

/// Height and width are multiples of 2 to the depth.
#[derive(Debug)]
pub struct SmpUnetPP {
    encoder: Box<dyn Extractor>,
    /// `x_{d}_{l}` by (d, l): d counts from the coarsest map to finer ones where a row begins, l where it has got to.
    blocks: BTreeMap<(usize, usize), SmpDecoderBlock>,
    /// The last l.
    depth: usize,
    head: Conv,
}

impl SmpUnetPP {
    /// The network that `spec` describes; `None` for a spec without a backbone.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Option<Self> {
        let encoder = backbone::build(&(scope / "encoder"), spec, FirstBlock::Same)?;
        let mut skips = encoder.channels().to_vec();
        let deepest = skips.pop()?;
        skips.reverse();
        let outputs: Vec<i64> = spec.decoder_channels.iter().map(|&n| i64::from(n)).collect();
        let depth = skips.len();
        let input = |l: usize| if l == 0 { deepest } else { outputs[l - 1] };
        let mut blocks = BTreeMap::new();
        let mut add = |d: usize, l: usize, input: i64, skip: i64, output: i64| {
            let place = scope / "decoder.blocks" / format!("x_{d}_{l}");
            blocks.insert((d, l), SmpDecoderBlock::new(&place, input, skip, output, spec.attention));
        };
        for (l, &skip) in skips.iter().enumerate() {
            add(0, l, input(l), skip * (l as i64 + 1), outputs[l]);
            for d in 1..=l {
                add(d, l, skips[l - 1], skip * (l - d + 1) as i64, skip);
            }
        }
        add(0, depth, input(depth), 0, outputs[depth]);
        let (head, classes) = (scope / "segmentation_head" / 0, i64::from(spec.classes));
        Some(Self {
            encoder,
            blocks,
            depth,
            head: Conv::new(&head, outputs[depth], classes, ConvShape::new(3).biased()),
        })
    }
}

impl Segmenter for SmpUnetPP {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        // From coarse to fine.
        let mut maps = self.encoder.features(input, train).maps;
        maps.reverse();
        let mut dense: BTreeMap<(usize, usize), Tensor> = BTreeMap::new();
        for step in 0..self.depth {
            for d in 0..self.depth - step {
                let l = d + step;
                let below = if step == 0 { &maps[d] } else { &dense[&(d, l - 1)] };
                let mut skips: Vec<&Tensor> = (d + 1..=l).map(|begin| &dense[&(begin, l)]).collect();
                skips.push(&maps[l + 1]);
                let skip = Tensor::cat(&skips, 1);
                let out = self.blocks[&(d, l)].forward(below, Some(&skip), size_of(&skip), train);
                dense.insert((d, l), out);
            }
        }
        let last = self.blocks[&(0, self.depth)].forward(&dense[&(0, self.depth - 1)], None, size_of(input), train);
        Segmented::new(self.head.forward(&last), None)
    }
}

/// Height and width are multiples of 16.
#[derive(Debug)]
pub struct NaicUnetPP {
    /// `conv{i}_{j}` by (i, j): i counts the poolings, j the steps to the right.
    blocks: BTreeMap<(usize, usize), [ConvBn; 2]>,
    head: Conv,
    /// Classifiers on the shorter paths of the finest row.
    sides: Vec<(&'static str, Conv)>,
}

impl NaicUnetPP {
    /// The network that `spec` describes.
    pub fn new(scope: &Scope, spec: &NetworkSpec) -> Self {
        let shape = ConvShape::new(3).biased();
        let levels = CLASSIC.len();
        let mut blocks = BTreeMap::new();
        for i in 0..levels {
            for j in 0..levels - i {
                let input = match (i, j) {
                    (0, 0) => i64::from(spec.bands),
                    (_, 0) => CLASSIC[i - 1],
                    _ => CLASSIC[i] * j as i64 + CLASSIC[i + 1],
                };
                let place = scope / format!("conv{i}_{j}");
                let conv = |idx: usize, input: i64| {
                    let (conv, norm) = (&place / format!("conv{idx}"), &place / format!("bn{idx}"));
                    ConvBn::new(&conv, &norm, input, CLASSIC[i], shape)
                };
                blocks.insert((i, j), [conv(1, input), conv(2, CLASSIC[i])]);
            }
        }
        let classifier = |scope: &Scope, name: &str| {
            Conv::new(&(scope / name), CLASSIC[0], i64::from(spec.classes), ConvShape::new(1).biased())
        };
        let sides = match spec.deep_supervision {
            true => scope.training_only(|scope| {
                let names = [("o1", "final1"), ("o2", "final2"), ("o3", "final3")];
                names.map(|(output, name)| (output, classifier(scope, name))).into()
            }),
            false => None,
        };
        let head = classifier(scope, if spec.deep_supervision { "final4" } else { "final" });
        Self { blocks, head, sides: sides.unwrap_or_default() }
    }
}

impl Segmenter for NaicUnetPP {
    fn forward(&self, input: &Tensor, train: bool) -> Segmented {
        let run =
            |at: (usize, usize), xs: Tensor| self.blocks[&at].iter().fold(xs, |xs, conv| conv.forward_relu(&xs, train));
        let levels = CLASSIC.len();
        let mut maps: BTreeMap<(usize, usize), Tensor> = BTreeMap::new();
        for i in 0..levels {
            let xs = match i {
                0 => input.shallow_clone(),
                _ => maps[&(i - 1, 0)].max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
            };
            maps.insert((i, 0), run((i, 0), xs));
        }
        for j in 1..levels {
            for i in 0..levels - j {
                let up = bilinear(&maps[&(i + 1, j - 1)], size_of(&maps[&(i, 0)]), false);
                let mut row: Vec<&Tensor> = (0..j).map(|before| &maps[&(i, before)]).collect();
                row.push(&up);
                let out = run((i, j), Tensor::cat(&row, 1));
                maps.insert((i, j), out);
            }
        }
        let mut out = Segmented::new(self.head.forward(&maps[&(0, levels - 1)]), None);
        for (idx, (name, conv)) in self.sides.iter().enumerate() {
            out.side.push(Side { name, values: conv.forward(&maps[&(0, idx + 1)]), upsample: None });
        }
        out
    }
}
