//! Networks by name.

use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::names::{Backbone, Network, Variant};
use super::nearest;
use super::table::{Channels, SpecError, SpecTable};

/// A network with a name of its own.
#[derive(Clone, Debug)]
pub struct Preset {
    /// The name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The network.
    pub table: SpecTable,
}

/// The members that the 2020 entry submitted to the semi-final, in its order, and what one of them was meant to be; then small networks of the
/// same four architectures.
pub fn presets() -> Vec<Preset> {
    let mut presets = submitted();
    presets.extend(small());
    presets
}

/// The small networks, each of which a CPU core trains with four to seven crops of 256 x 256 a second, DANet with five of 192 x 192
/// (`tests/bench/README.md`).
fn small() -> [Preset; 4] {
    let small = |network, variant, backbone, channels: Option<u32>| SpecTable {
        variant: Some(variant),
        backbone: Some(backbone),
        decoder_channels: channels.map(Channels::One),
        ..SpecTable::new(network)
    };
    let deeplab = |backbone, channels| SpecTable {
        output_stride: Some(16),
        rates: Some([6, 12, 18]),
        ..small(Network::DeepLabV3Plus, Variant::Smp, backbone, Some(channels))
    };
    [
        Preset {
            name: "small/deeplab-resnet18",
            about: "half as wide, output stride 16, a decoder of 128 channels",
            table: deeplab(Backbone::ResNet18W32, 128),
        },
        Preset {
            name: "small/danet-resnet18",
            about: "half as wide, output stride 8",
            table: small(Network::DaNet, Variant::Official, Backbone::ResNet18W32, None),
        },
        Preset {
            name: "small/deeplab-resnest14",
            about: "half as wide, output stride 16, a decoder of 64 channels",
            table: deeplab(Backbone::ResNeSt14W32, 64),
        },
        Preset {
            name: "small/hrnet-ocr-w18-small",
            about: "a context of 64 channels",
            table: small(Network::HrnetOcr, Variant::Official, Backbone::HrNetW18Small, Some(64)),
        },
    ]
}

fn submitted() -> Vec<Preset> {
    let naic = |network, backbone, output_stride| SpecTable {
        variant: Some(Variant::Naic),
        backbone: Some(backbone),
        output_stride: Some(output_stride),
        ..SpecTable::new(network)
    };
    let deeplab = |backbone, output_stride| SpecTable {
        rates: Some([6, 12, 18]),
        ..naic(Network::DeepLabV3Plus, backbone, output_stride)
    };
    vec![
        Preset {
            name: "naic2020/deeplab-resnet101",
            about: "submitted: output stride 16",
            table: deeplab(Backbone::ResNet101, 16),
        },
        Preset {
            name: "naic2020/danet-resnet101",
            about: "submitted: output stride 8",
            table: naic(Network::DaNet, Backbone::ResNet101, 8),
        },
        Preset {
            name: "naic2020/deeplab-resnest101",
            about: "submitted: output stride 8 under a pyramid with the rates of 16, as the entry's code really builds it",
            table: deeplab(Backbone::ResNeSt101, 8),
        },
        Preset {
            name: "naic2020/hrnet-ocr-w48",
            about: "submitted",
            table: naic(Network::HrnetOcr, Backbone::HrNetW48, 32),
        },
        Preset {
            name: "naic2020/deeplab-resnest101-os16",
            about: "what deeplab-resnest101 was meant to be: output stride 16",
            table: deeplab(Backbone::ResNeSt101, 16),
        },
    ]
}

impl SpecTable {
    /// The network called `name`: a preset's name, or `VARIANT/NETWORK`, `VARIANT/NETWORK/BACKBONE`, `NETWORK` or `NETWORK/BACKBONE`.
    ///
    /// # Errors
    /// When nothing has this name.
    pub fn named(name: &str) -> Result<Self, SpecError> {
        if let Some(preset) = presets().into_iter().find(|p| p.name == name) {
            return Ok(preset.table);
        }
        let unknown = || SpecError::new(format!("no network is called `{name}`; {}", nearest::advice(name)));
        let mut parts = name.split('/').peekable();
        let variant = parts.peek().and_then(|part| read::<Variant>(part));
        if variant.is_some() {
            parts.next();
        }
        let network = parts.next().and_then(read::<Network>).ok_or_else(unknown)?;
        let backbone = match parts.next() {
            None => None,
            Some(part) => Some(read::<Backbone>(part).ok_or_else(unknown)?),
        };
        if parts.next().is_some() {
            return Err(unknown());
        }
        Ok(Self { variant, backbone, ..Self::new(network) })
    }
}

/// A name as it is written in files.
fn read<'de, T: Deserialize<'de>>(name: &'de str) -> Option<T> {
    T::deserialize(StrDeserializer::<ValueError>::new(name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_found_by_what_its_spec_displays_and_by_its_presets_name() {
        for name in ["smp/unet/resnet34", "naic/unet", "official/hrnet_ocr/hrnet_w18", "timm/backbone/xception41"] {
            let spec = SpecTable::named(name).unwrap().resolve(3, Some(2)).unwrap();
            assert_eq!(spec.to_string(), name);
        }
        assert_eq!(SpecTable::named("danet").unwrap().variant, None);
        assert_eq!(SpecTable::named("naic2020/deeplab-resnest101").unwrap().output_stride, Some(8));
        for preset in presets() {
            preset.table.resolve(3, Some(15)).unwrap();
        }
        let small = presets().into_iter().filter(|p| p.name.starts_with("small/"));
        let sizes: Vec<u64> = small.map(|p| p.table.resolve(3, Some(15)).unwrap().parameters()).collect();
        assert!(
            sizes.len() == 4 && sizes.iter().all(|&n| n > 0) && sizes.iter().sum::<u64>() < 20_000_000,
            "{sizes:?}"
        );
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "smp", "unet/vgg16", "smp/unet/resnet34/more", "identity/"] {
            let text = SpecTable::named(name).unwrap_err().to_string();
            assert!(text.contains(&format!("`{name}`")) && text.contains("models list"), "{text}");
        }
        for (name, meant) in
            [("naic2020/danet-resnet110", "naic2020/danet-resnet101"), ("smp/unet/resnet43", "smp/unet/resnet34")]
        {
            let text = SpecTable::named(name).unwrap_err().to_string();
            assert!(text.contains(&format!("did you mean `{meant}`")), "{text}");
        }
    }
}
