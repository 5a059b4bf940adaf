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
    /// How the names of its backbone's tensors begin; empty where it has none.
    pub backbone_names: &'static [&'static str],
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
    /// Channels of the head, chosen by the same key. With the definition's own, which are these, a spec says nothing of them.
    HeadChannels(&'static [u32]),
    /// Attention in the decoder.
    Attention,
    /// A classifier at every depth.
    DeepSupervision,
    /// The factor of the last up-sampling, which must be the stride of the logits.
    Upsampling,
    /// The feature pyramid instead of the classifier's scores.
    Features,
    /// What the file does not tell: the sizes it takes, the stride of the logits, how they are up-sampled, memory.
    Script,
}

impl Architecture {
    /// Whether the network is one of this program's, with layers and weights of its own.
    pub fn is_known(&self) -> bool {
        !matches!(self.network, Network::Identity | Network::TorchScript | Network::Onnx)
    }
}

impl Choice {
    /// The channels of the decoder's stages, or of the head, if nothing else is chosen.
    pub(super) fn default_channels(&self) -> Option<&'static [u32]> {
        if let Self::DecoderChannels(default) | Self::HeadChannels(default) = self { Some(default) } else { None }
    }
}

const RESNETS: &[Backbone] = &[ResNet101, ResNet50, ResNet152];
const WITH_RESNEXT: &[Backbone] = &[ResNet50, ResNet18, ResNet34, ResNet101, ResNet152, ResNeXt50, ResNeXt101];
const SMP: &[Backbone] = &[
    ResNet34, ResNet18, ResNet50, ResNet101, ResNet152, ResNeXt50, ResNeXt101, ResNeSt14, ResNeSt26, ResNeSt50,
    ResNeSt101, ResNeSt200, ResNeSt269,
];
const SMP_DILATED: &[Backbone] = &[
    ResNet34,
    ResNet18,
    ResNet18W32,
    ResNet50,
    ResNet101,
    ResNet152,
    ResNeXt50,
    ResNeXt101,
    ResNeSt14,
    ResNeSt14W32,
    ResNeSt26,
];
const RESNESTS: &[Backbone] = &[ResNeSt101, ResNeSt50, ResNeSt200, ResNeSt269];
const HRNETS: &[Backbone] = &[HrNetW48, HrNetW18Small, HrNetW18, HrNetW32];
/// Of segmentation_models_pytorch's networks.
const OF_SMP: &[&str] = &["encoder."];
/// Of backbones that have no prefix of their own: those of ResNets, and of HRNets.
const OF_RESNETS: &[&str] = &["conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4."];
const OF_HRNETS: &[&str] =
    &["conv1.", "bn1.", "conv2.", "bn2.", "layer1.", "stage2.", "stage3.", "stage4.", "transition"];
/// Of BASNet, whose first stages are a ResNet-34's.
const OF_BASNETS: &[&str] = &["inconv.", "inbn.", "encoder1.", "encoder2.", "encoder3.", "encoder4."];
/// Of the context of the authors' OCR (`MODEL.OCR.MID_CHANNELS` in their configuration).
const OCR_CHANNELS: Choice = Choice::HeadChannels(&[512]);

/// Of the decoders of segmentation_models_pytorch's U-Nets.
const UNET_CHANNELS: &[u32] = &[256, 128, 64, 32, 16];

const ALIGNED: Option<Upsample> = Some(Upsample::Bilinear { align_corners: true });
const UNALIGNED: Option<Upsample> = Some(Upsample::Bilinear { align_corners: false });

/// What most entries say: nothing to choose, any size, stride 32 inside, a logit per pixel.
const PLAIN: Architecture = Architecture {
    network: Network::Identity,
    variant: Variant::Naic,
    backbones: &[],
    output_strides: &[32],
    depths: &[],
    multiple: Pixels::Fixed(1),
    logit_stride: Pixels::Fixed(1),
    upsample: None,
    options: &[],
    backbone_names: &[],
    source: "",
};

/// Every architecture in every definition; of several definitions of one network, the first is what a pipeline gets that names none.
pub static ARCHITECTURES: &[Architecture] = &[
    Architecture {
        network: Network::Unet,
        variant: Variant::Smp,
        backbones: SMP,
        depths: &[5, 4, 3],
        options: &[Choice::DecoderChannels(UNET_CHANNELS), Choice::Attention],
        backbone_names: OF_SMP,
        source: "segmentation_models_pytorch 0.6 Unet",
        ..PLAIN
    },
    Architecture {
        network: Network::Unet,
        variant: Variant::Naic,
        output_strides: &[16],
        multiple: Pixels::Fixed(16),
        source: "NAIC_AI-RS models/UNet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::UnetPP,
        variant: Variant::Smp,
        backbones: SMP,
        depths: &[5, 4, 3],
        multiple: Pixels::Depth,
        options: &[Choice::DecoderChannels(UNET_CHANNELS), Choice::Attention],
        backbone_names: OF_SMP,
        source: "segmentation_models_pytorch 0.6 UnetPlusPlus",
        ..PLAIN
    },
    Architecture {
        network: Network::UnetPP,
        variant: Variant::Naic,
        output_strides: &[16],
        multiple: Pixels::Fixed(16),
        options: &[Choice::DeepSupervision],
        source: "NAIC_AI-RS models/UNetPP.py",
        ..PLAIN
    },
    Architecture {
        network: Network::ScseUnet,
        variant: Variant::Naic,
        multiple: Pixels::Fixed(32),
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        backbone_names: OF_SMP,
        source: "NAIC_AI-RS models/scSEUNet.py (there for 256 x 256 only)",
        ..PLAIN
    },
    Architecture {
        network: Network::DeepLabV3Plus,
        variant: Variant::Smp,
        backbones: SMP_DILATED,
        output_strides: &[16, 8],
        depths: &[5, 4],
        multiple: Pixels::OutputStride,
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[Choice::Rates, Choice::DecoderChannels(&[256]), Choice::Upsampling],
        backbone_names: OF_SMP,
        source: "segmentation_models_pytorch 0.6 DeepLabV3Plus",
    },
    Architecture {
        network: Network::DeepLabV3Plus,
        variant: Variant::Naic,
        backbones: &[ResNet101, ResNet50, ResNet152, ResNeSt101, ResNeSt50],
        output_strides: &[16, 8],
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[Choice::Rates],
        backbone_names: &["backend."],
        source: "NAIC_AI-RS models/DeepLabV3_plus",
        ..PLAIN
    },
    Architecture {
        network: Network::PspNet,
        variant: Variant::Smp,
        backbones: SMP,
        depths: &[3, 4, 5],
        multiple: Pixels::Depth,
        logit_stride: Pixels::Depth,
        upsample: ALIGNED,
        options: &[Choice::DecoderChannels(&[512]), Choice::Upsampling],
        backbone_names: OF_SMP,
        source: "segmentation_models_pytorch 0.6 PSPNet",
        ..PLAIN
    },
    Architecture {
        network: Network::PspNet,
        variant: Variant::Naic,
        backbones: &[ResNet50, ResNet101, ResNet152],
        logit_stride: Pixels::Fixed(32),
        upsample: ALIGNED,
        backbone_names: &["backend."],
        source: "NAIC_AI-RS models/PSPNet",
        ..PLAIN
    },
    Architecture {
        network: Network::HrNet,
        variant: Variant::Official,
        backbones: HRNETS,
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        backbone_names: OF_HRNETS,
        source: "HRNet-Semantic-Segmentation, branch HRNet-OCR, seg_hrnet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::HrnetOcr,
        variant: Variant::Official,
        backbones: HRNETS,
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[OCR_CHANNELS],
        backbone_names: OF_HRNETS,
        source: "HRNet-Semantic-Segmentation, branch HRNet-OCR, seg_hrnet_ocr.py",
        ..PLAIN
    },
    Architecture {
        network: Network::HrnetOcr,
        variant: Variant::Naic,
        backbones: HRNETS,
        logit_stride: Pixels::Fixed(4),
        upsample: ALIGNED,
        options: &[OCR_CHANNELS],
        backbone_names: OF_HRNETS,
        source: "NAIC_AI-RS models/HRNetOCR (the official arithmetic)",
        ..PLAIN
    },
    Architecture {
        network: Network::DaNet,
        variant: Variant::Official,
        backbones: &[ResNet101, ResNet50, ResNet152, ResNet18, ResNet18W32, ResNet34],
        output_strides: &[8],
        logit_stride: Pixels::Fixed(8),
        upsample: ALIGNED,
        backbone_names: &["pretrained."],
        source: "junfu1115/DANet, head danet.py on torchvision's dilated ResNet",
        ..PLAIN
    },
    Architecture {
        network: Network::DaNet,
        variant: Variant::Naic,
        backbones: &[ResNet101, ResNet50, ResNet152, ResNeXt50, ResNeXt101, ResNeSt50, ResNeSt101],
        output_strides: &[8],
        logit_stride: Pixels::Fixed(8),
        upsample: ALIGNED,
        backbone_names: &["pretrained."],
        source: "NAIC_AI-RS models/DANet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::BasNet,
        variant: Variant::Official,
        multiple: Pixels::Fixed(32),
        backbone_names: OF_BASNETS,
        source: "xuebinqin/BASNet model/BASNet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::BasNet,
        variant: Variant::Naic,
        multiple: Pixels::Fixed(32),
        backbone_names: OF_BASNETS,
        source: "NAIC_AI-RS models/BASNet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::RefineNet,
        variant: Variant::Official,
        backbones: RESNETS,
        logit_stride: Pixels::Fixed(4),
        upsample: UNALIGNED,
        backbone_names: OF_RESNETS,
        source: "DrSleep/refinenet-pytorch models/resnet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::RefineNet,
        variant: Variant::Naic,
        backbones: RESNETS,
        logit_stride: Pixels::Fixed(4),
        upsample: UNALIGNED,
        backbone_names: OF_RESNETS,
        source: "NAIC_AI-RS models/RefineNet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::RefineNetLw,
        variant: Variant::Official,
        backbones: RESNETS,
        logit_stride: Pixels::Fixed(4),
        upsample: UNALIGNED,
        backbone_names: OF_RESNETS,
        source: "DrSleep/light-weight-refinenet models/resnet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::RendDaNet,
        variant: Variant::Naic,
        backbones: RESNETS,
        output_strides: &[8],
        multiple: Pixels::Fixed(8),
        backbone_names: &["pretrained."],
        source: "NAIC_AI-RS models/RendDANet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::RendUnet,
        variant: Variant::Naic,
        backbones: RESNETS,
        output_strides: &[8],
        multiple: Pixels::Fixed(8),
        backbone_names: &["seg.layer"],
        source: "NAIC_AI-RS models/RendUNet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Torchvision,
        backbones: WITH_RESNEXT,
        output_strides: &[32, 16, 8],
        logit_stride: Pixels::OutputStride,
        options: &[Choice::Features],
        backbone_names: &[""],
        source: "torchvision 0.26 models/resnet.py",
        ..PLAIN
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Official,
        backbones: RESNESTS,
        output_strides: &[32, 16, 8],
        logit_stride: Pixels::OutputStride,
        options: &[Choice::Features],
        backbone_names: &[""],
        source: "zhanghang1989/ResNeSt resnest/torch/models",
        ..PLAIN
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Timm,
        backbones: &[
            ResNeSt50,
            ResNeSt14,
            ResNeSt26,
            ResNeSt101,
            ResNeSt200,
            ResNeSt269,
            Xception41,
            Xception65,
            HrNetW18Small,
            HrNetW18,
            HrNetW32,
            HrNetW48,
        ],
        output_strides: &[32, 16, 8],
        logit_stride: Pixels::OutputStride,
        options: &[Choice::Features],
        backbone_names: &[""],
        source: "timm 1.0 models/{resnest,xception_aligned,hrnet}.py",
        ..PLAIN
    },
    Architecture {
        network: Network::Backbone,
        variant: Variant::Naic,
        backbones: &[Xception],
        output_strides: &[16, 8],
        logit_stride: Pixels::OutputStride,
        options: &[Choice::Features],
        backbone_names: &[""],
        source: "NAIC_AI-RS models/backbone/xception.py",
        ..PLAIN
    },
    Architecture {
        network: Network::TorchScript,
        variant: Variant::Own,
        output_strides: &[1],
        options: &[Choice::Script],
        source: "the file",
        ..PLAIN
    },
    Architecture {
        network: Network::Onnx,
        variant: Variant::Own,
        output_strides: &[1],
        options: &[Choice::Script],
        source: "the file",
        ..PLAIN
    },
    Architecture {
        network: Network::Identity,
        variant: Variant::Naic,
        output_strides: &[1],
        source: "no network: for tests of the dataflow",
        ..PLAIN
    },
];
