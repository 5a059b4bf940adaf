//! The names that pipelines and parity fixtures use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A feature extractor alone, with its ImageNet classifier or without.
    Backbone,
    /// U-Net (Ronneberger et al. 2015, arXiv:1505.04597).
    Unet,
    /// UNet++ (Zhou et al. 2018, arXiv:1807.10165).
    #[serde(rename = "unetpp")]
    UnetPP,
    /// A U-Net with squeeze and excitation in space and channels (Roy et al. 2018, arXiv:1803.02579).
    ScseUnet,
    /// DeepLabv3+ (Chen et al. 2018, arXiv:1802.02611).
    #[serde(rename = "deeplabv3plus")]
    DeepLabV3Plus,
    /// PSPNet (Zhao et al. 2017, arXiv:1612.01105).
    #[serde(rename = "pspnet")]
    PspNet,
    /// HRNetV2 (Wang et al. 2019, arXiv:1908.07919).
    #[serde(rename = "hrnet")]
    HrNet,
    /// HRNetV2 with object-contextual representations (Yuan et al. 2020, arXiv:1909.11065).
    HrnetOcr,
    /// DANet (Fu et al. 2019, arXiv:1809.02983).
    #[serde(rename = "danet")]
    DaNet,
    /// BASNet (Qin et al. 2019, CVPR).
    #[serde(rename = "basnet")]
    BasNet,
    /// RefineNet, four cascaded (Lin et al. 2017, arXiv:1611.06612).
    #[serde(rename = "refinenet")]
    RefineNet,
    /// Light-weight RefineNet (Nekrasov et al. 2018, arXiv:1810.03272).
    #[serde(rename = "refinenet_lw")]
    RefineNetLw,
    /// DANet whose uncertain points are classified again (PointRend: Kirillov et al. 2020, arXiv:1912.08193).
    #[serde(rename = "renddanet")]
    RendDaNet,
    /// A U-Net whose uncertain points are classified again.
    #[serde(rename = "rendunet")]
    RendUnet,
    /// A program that somebody made of a network of their own (`torch.jit.save`): run as it is.
    #[serde(rename = "torchscript")]
    TorchScript,
    /// A graph in an ONNX file, which ONNX Runtime runs.
    Onnx,
    /// Hands the first band through as a one-hot map of class ids; only the fake backend runs it. For tests of the dataflow.
    Identity,
}

/// Whose definition of an architecture: they differ in names of weights, order of channels, interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// torchvision 0.26.
    Torchvision,
    /// timm 1.0.
    Timm,
    /// segmentation_models_pytorch 0.6.
    Smp,
    /// The authors' repository.
    Official,
    /// The entry to the 2020 contest NAIC "AI + remote sensing" (JasmineRain/NAIC_AI-RS).
    Naic,
    /// The user.
    Own,
}

/// A feature extractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// ResNet-18 (He et al. 2016, arXiv:1512.03385), basic blocks.
    #[serde(rename = "resnet18")]
    ResNet18,
    /// ResNet-18 with half of the channels throughout, stem included: 32 at its first stage. Nobody publishes weights of it.
    #[serde(rename = "resnet18_w32")]
    ResNet18W32,
    /// ResNet-34, basic blocks.
    #[serde(rename = "resnet34")]
    ResNet34,
    /// ResNet-50, bottleneck blocks with the stride on the 3 x 3 convolution.
    #[serde(rename = "resnet50")]
    ResNet50,
    /// ResNet-101.
    #[serde(rename = "resnet101")]
    ResNet101,
    /// ResNet-152.
    #[serde(rename = "resnet152")]
    ResNet152,
    /// ResNeXt-50 (Xie et al. 2017, arXiv:1611.05431), 32 groups of 4.
    #[serde(rename = "resnext50_32x4d")]
    ResNeXt50,
    /// ResNeXt-101, 32 groups of 8.
    #[serde(rename = "resnext101_32x8d")]
    ResNeXt101,
    /// ResNeSt with one block a stage, which GluonCV and timm train (`resnest14d` to timm).
    #[serde(rename = "resnest14", alias = "resnest14d")]
    ResNeSt14,
    /// The same with half of the channels throughout: 32 at its first stage. Nobody publishes weights of it.
    #[serde(rename = "resnest14_w32")]
    ResNeSt14W32,
    /// ResNeSt with two blocks a stage; `resnest26d` to timm.
    #[serde(rename = "resnest26", alias = "resnest26d")]
    ResNeSt26,
    /// ResNeSt-50 (Zhang et al. 2020, arXiv:2004.08955); `resnest50d` to timm.
    #[serde(rename = "resnest50", alias = "resnest50d")]
    ResNeSt50,
    /// ResNeSt-101; `resnest101e` to timm.
    #[serde(rename = "resnest101", alias = "resnest101e")]
    ResNeSt101,
    /// ResNeSt-200; `resnest200e` to timm.
    #[serde(rename = "resnest200", alias = "resnest200e")]
    ResNeSt200,
    /// ResNeSt-269; `resnest269e` to timm.
    #[serde(rename = "resnest269", alias = "resnest269e")]
    ResNeSt269,
    /// Aligned Xception as the 2020 entry has it.
    Xception,
    /// Aligned Xception (Chollet 2017, arXiv:1610.02357; Chen et al. 2018) with 8 middle blocks.
    Xception41,
    /// The same with 16 middle blocks.
    Xception65,
    /// HRNet-W18-Small, version 1, of the authors: in spite of its name 16 channels at the finest resolution, one module a stage, two blocks
    /// a branch.
    #[serde(rename = "hrnet_w18_small")]
    HrNetW18Small,
    /// HRNet, 18 channels at the finest resolution.
    #[serde(rename = "hrnet_w18")]
    HrNetW18,
    /// HRNet, 32 channels.
    #[serde(rename = "hrnet_w32")]
    HrNetW32,
    /// HRNet, 48 channels.
    #[serde(rename = "hrnet_w48")]
    HrNetW48,
}

impl Backbone {
    /// Whether it is one of the ResNeSts.
    pub const fn is_resnest(self) -> bool {
        matches!(
            self,
            Self::ResNeSt14
                | Self::ResNeSt14W32
                | Self::ResNeSt26
                | Self::ResNeSt50
                | Self::ResNeSt101
                | Self::ResNeSt200
                | Self::ResNeSt269
        )
    }
}

/// Attention in a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Squeeze and excitation in space and channels.
    Scse,
}

/// How the reference implementation brings native logits to one per input pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsample {
    /// Linear interpolation along both axes.
    Bilinear {
        /// Whether the corner logits lie on the corner pixels (PyTorch's `align_corners`) or half a stride inside.
        align_corners: bool,
    },
}

/// Displays a name as it is written in files.
macro_rules! display_as_written {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // serde knows the name; unit variants serialise to nothing else.
                self.serialize(f)
            }
        }
    )*};
}

display_as_written!(Network, Variant, Backbone, Attention);
