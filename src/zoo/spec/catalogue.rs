//! The architectures, one entry each: what they can be built on and what planning needs to know.

use super::names::Backbone::{self, *};
use super::names::{Network, Upsample, Variant};

/// What there is to say about an architecture in one definition.
#[derive(Debug)]
pub struct Architecture {
    /// The architecture.
    pub network: Network,
    /// Whose definition.
    pub variant: Variant,
    /// What it can be built on, the default first; empty where there is nothing to choose.
    pub backbones: &'static [Backbone],
    /// Strides of the deepest feature map, the default first.
    pub output_strides: &'static [u32],
    /// Stages of the backbone that can be used (stem included), the default first; empty where there is nothing to choose.
    pub depths: &'static [u32],
    /// Height and width must be multiples of this.
    pub multiple: Pixels,
    /// Input pixels per logit, per side.
    pub logit_stride: Pixels,
    /// How native logits become one per pixel; `None` where they are that already.
    pub upsample: Option<Upsample>,
    /// What else can be chosen.
    pub options: &'static [Choice],
    /// The definition that this one follows.
    pub source: &'static str,
}

/// A number of pixels that may depend on what was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Always this.
    Fixed(u32),
    /// The output stride.
    OutputStride,
    /// 2 to the power of the depth.
    Depth,
}

/// Something that only some architectures let one choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Dilation rates of the atrous pyramid.
    Rates,
    /// Channels of the decoder's stages, with the default; one number where there is one stage.
    DecoderChannels(&'static [u32]),
    /// Attention in the decoder.
    Attention,
    /// A classifier at every depth.
    DeepSupervision,
    /// The factor of the last up-sampling, which must be the stride of the logits.
    Upsampling,
    /// The feature pyramid instead of the classifier's scores.
    Features,
}

impl Choice {
    /// The channels of the decoder's stages if nothing else is chosen.
    pub(super) fn default_channels(&self) -> Option<&'static [u32]> {
        if let Self::DecoderChannels(default) = self { Some(default) } else { None }
    }
}

const RESNETS: &[Backbone] = &[ResNet101, ResNet50, ResNet152];
const WITH_RESNEXT: &[Backbone] = &[ResNet50, ResNet18, ResNet34, ResNet101, ResNet152, ResNeXt50, ResNeXt101];
const SMP: &[Backbone] = &[
    ResNet34, ResNet18, ResNet50, ResNet101, ResNet152, ResNeXt50, ResNeXt101, ResNeSt50, ResNeSt101, ResNeSt200,
    ResNeSt269,
];
const SMP_RESNETS: &[Backbone] = &[ResNet34, ResNet18, ResNet50, ResNet101, ResNet152, ResNeXt50, ResNeXt101];
const RESNESTS: &[Backbone] = &[ResNeSt101, ResNeSt50, ResNeSt200, ResNeSt269];
const HRNETS: &[Backbone] = &[HrNetW48, HrNetW18, HrNetW32];

/// Of the decoders of segmentation_models_pytorch's U-Nets.
const UNET_CHANNELS: &[u32] = &[256, 128, 64, 32, 16];

const ALIGNED: Option<Upsample> = Some(Upsample::Bilinear { align_corners: true });
const UNALIGNED: Option<Upsample> = Some(Upsample::Bilinear { align_corners: false });

/// Every architecture in every definition; of several definitions of one network, the first is what a pipeline gets that names none.
pub static ARCHITECTURES: &[Architecture] = &[
    Architecture {
        network: Network::Unet,
        variant: Variant::Smp,
        backbones: SMP,
        output_strides: &[32],
        depths: &[5, 4, 3],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[Choice::DecoderChannels(UNET_CHANNELS), Choice::Attention],
        source: "segmentation_models_pytorch 0.6 Unet",
    },
    Architecture {
        network: Network::Unet,
        variant: Variant::Naic,
        backbones: &[],
        output_strides: &[16],
        depths: &[],
        multiple: Pixels::Fixed(16),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[],
        source: "NAIC_AI-RS models/UNet.py",
    },
    Architecture {
        network: Network::UnetPP,
        variant: Variant::Smp,
        backbones: SMP,
        output_strides: &[32],
        depths: &[5, 4, 3],
        multiple: Pixels::Depth,
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[Choice::DecoderChannels(UNET_CHANNELS), Choice::Attention],
        source: "segmentation_models_pytorch 0.6 UnetPlusPlus",
    },
    Architecture {
        network: Network::UnetPP,
        variant: Variant::Naic,
        backbones: &[],
        output_strides: &[16],
        depths: &[],
        multiple: Pixels::Fixed(16),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[Choice::DeepSupervision],
        source: "NAIC_AI-RS models/UNetPP.py",
    },
    Architecture {
        network: Network::ScseUnet,
        variant: Variant::Naic,
        backbones: &[],
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(32),
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[],
        source: "NAIC_AI-RS models/scSEUNet.py (there for 256 x 256 only)",
    },
    Architecture {
        network: Network::DeepLabV3Plus,
        variant: Variant::Smp,
        backbones: SMP_RESNETS,
        output_strides: &[16, 8],
        depths: &[5, 4],
        multiple: Pixels::OutputStride,
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[Choice::Rates, Choice::DecoderChannels(&[256]), Choice::Upsampling],
        source: "segmentation_models_pytorch 0.6 DeepLabV3Plus",
    },
    Architecture {
        network: Network::DeepLabV3Plus,
        variant: Variant::Naic,
        backbones: &[ResNet101, ResNet50, ResNet152, ResNeSt101, ResNeSt50],
        output_strides: &[16, 8],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[Choice::Rates],
        source: "NAIC_AI-RS models/DeepLabV3_plus",
    },
    Architecture {
        network: Network::PspNet,
        variant: Variant::Smp,
        backbones: SMP,
        output_strides: &[32],
        depths: &[3, 4, 5],
        multiple: Pixels::Depth,
        logit_stride: Pixels::Depth,
        upsample: ALIGNED,
        options: &[Choice::DecoderChannels(&[512]), Choice::Upsampling],
        source: "segmentation_models_pytorch 0.6 PSPNet",
    },
    Architecture {
        network: Network::PspNet,
        variant: Variant::Naic,
        backbones: &[ResNet50, ResNet101, ResNet152],
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(32),
        upsample: ALIGNED,
        options: &[],
        source: "NAIC_AI-RS models/PSPNet",
    },
    Architecture {
        network: Network::HrNet,
        variant: Variant::Official,
        backbones: HRNETS,
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[],
        source: "HRNet-Semantic-Segmentation, branch HRNet-OCR, seg_hrnet.py",
    },
    Architecture {
        network: Network::HrnetOcr,
        variant: Variant::Official,
        backbones: HRNETS,
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[],
        source: "HRNet-Semantic-Segmentation, branch HRNet-OCR, seg_hrnet_ocr.py",
    },
    Architecture {
        network: Network::HrnetOcr,
        variant: Variant::Naic,
        backbones: HRNETS,
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[],
        source: "NAIC_AI-RS models/HRNetOCR (the official arithmetic)",
    },
    Architecture {
        network: Network::DaNet,
        variant: Variant::Official,
        backbones: RESNETS,
        output_strides: &[8],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(8),
        upsample: ALIGNED,
        options: &[],
        source: "junfu1115/DANet, head danet.py on torchvision's dilated ResNet",
    },
    Architecture {
        network: Network::DaNet,
        variant: Variant::Naic,
        backbones: &[ResNet101, ResNet50, ResNet152, ResNeXt50, ResNeXt101, ResNeSt50, ResNeSt101],
        output_strides: &[8],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(8),
        upsample: ALIGNED,
        options: &[],
        source: "NAIC_AI-RS models/DANet.py",
    },
    Architecture {
        network: Network::BasNet,
        variant: Variant::Official,
        backbones: &[],
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(32),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[],
        source: "xuebinqin/BASNet model/BASNet.py",
    },
    Architecture {
        network: Network::BasNet,
        variant: Variant::Naic,
        backbones: &[],
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(32),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[],
        source: "NAIC_AI-RS models/BASNet.py",
    },
    Architecture {
        network: Network::RefineNet,
        variant: Variant::Official,
        backbones: RESNETS,
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(4),
        upsample: UNALIGNED,
        options: &[],
        source: "DrSleep/refinenet-pytorch models/resnet.py",
    },
    Architecture {
        network: Network::RefineNet,
        variant: Variant::Naic,
        backbones: RESNETS,
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(4),
        upsample: UNALIGNED,
        options: &[],
        source: "NAIC_AI-RS models/RefineNet.py",
    },
    Architecture {
        network: Network::RefineNetLw,
        variant: Variant::Official,
        backbones: RESNETS,
        output_strides: &[32],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(4),
        upsample: UNALIGNED,
        options: &[],
        source: "DrSleep/light-weight-refinenet models/resnet.py",
    },
    Architecture {
        network: Network::RendDaNet,
        variant: Variant::Naic,
        backbones: RESNETS,
        output_strides: &[8],
        depths: &[],
        multiple: Pixels::Fixed(8),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[],
        source: "NAIC_AI-RS models/RendDANet.py",
    },
    Architecture {
        network: Network::RendUnet,
        variant: Variant::Naic,
        backbones: RESNETS,
        output_strides: &[8],
        depths: &[],
        multiple: Pixels::Fixed(8),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[],
        source: "NAIC_AI-RS models/RendUNet.py",
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Torchvision,
        backbones: WITH_RESNEXT,
        output_strides: &[32, 16, 8],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::OutputStride,
        upsample: None,
        options: &[Choice::Features],
        source: "torchvision 0.26 models/resnet.py",
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Official,
        backbones: RESNESTS,
        output_strides: &[32, 16, 8],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::OutputStride,
        upsample: None,
        options: &[Choice::Features],
        source: "zhanghang1989/ResNeSt resnest/torch/models",
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Timm,
        backbones: &[
            ResNeSt50, ResNeSt101, ResNeSt200, ResNeSt269, Xception41, Xception65, HrNetW18, HrNetW32, HrNetW48,
        ],
        output_strides: &[32, 16, 8],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::OutputStride,
        upsample: None,
        options: &[Choice::Features],
        source: "timm 1.0 models/{resnest,xception_aligned,hrnet}.py",
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Naic,
        backbones: &[Xception],
        output_strides: &[16, 8],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::OutputStride,
        upsample: None,
        options: &[Choice::Features],
        source: "NAIC_AI-RS models/backbone/xception.py",
    },
    Architecture {
        network: Network::Identity,
        variant: Variant::Naic,
        backbones: &[],
        output_strides: &[1],
        depths: &[],
        multiple: Pixels::Fixed(1),
        logit_stride: Pixels::Fixed(1),
        upsample: None,
        options: &[],
        source: "no network: for tests of the dataflow",
    },
];
