//! A network as a pipeline or a fixture names it.

use serde::Deserialize;

use super::catalogue::{ARCHITECTURES, Architecture, Choice};
use super::names::{Attention, Backbone, Network, Variant};
use super::{NetworkSpec, Script};

/// Stages of a backbone.
const MAX_STAGES: u32 = 5;
/// Most channels of a decoder's stage.
const MAX_CHANNELS: u32 = 4096;
/// Largest dilation rate: far more than any map is wide.
const MAX_RATE: u32 = 4096;
/// Most classes or bands.
const MAX_PLANES: u32 = 65_536;

/// The names and numbers that say which network is meant. What is left out takes the architecture's default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecTable {
    /// The architecture.
    pub network: Network,
    /// Whose definition of it.
    #[serde(default)]
    pub variant: Option<Variant>,
    /// The feature extractor.
    #[serde(default)]
    pub backbone: Option<Backbone>,
    /// Stride of the deepest feature map: 8, 16 or 32.
    #[serde(default)]
    pub output_stride: Option<u32>,
    /// Dilation rates of the atrous pyramid.
    #[serde(default)]
    pub rates: Option<[u32; 3]>,
    /// Stages of the backbone that are used, stem included.
    #[serde(default)]
    pub depth: Option<u32>,
    /// Channels of the decoder's stages, coarse to fine; one number where there is one stage.
    #[serde(default)]
    pub decoder_channels: Option<Channels>,
    /// Factor of the last up-sampling.
    #[serde(default)]
    pub upsampling: Option<u32>,
    /// Attention in the decoder.
    #[serde(default)]
    pub attention: Option<Attention>,
    /// A classifier at every depth.
    #[serde(default)]
    pub deep_supervision: Option<bool>,
    /// Of a backbone: the feature pyramid instead of the classifier.
    #[serde(default)]
    pub features: Option<bool>,
    /// Of a program: what height and width must be multiples of (32).
    #[serde(default)]
    pub multiple: Option<u32>,
    /// Of a program: what height and width must be at least (the multiple).
    #[serde(default)]
    pub min_size: Option<u32>,
    /// Of a program: whether up-sampling puts corners on corners.
    #[serde(default)]
    pub align_corners: Option<bool>,
    /// Of a program: bytes of activations per input pixel (2048).
    #[serde(default)]
    pub bytes_per_pixel: Option<u32>,
    /// Output channels.
    #[serde(default)]
    pub classes: Option<u32>,
}

/// One number or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "it must be a whole number or a list of them")]
pub enum Channels {
    /// A decoder of one stage.
    One(u32),
    /// Several stages.
    Several(Vec<u32>),
}

/// Why a table names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SpecError {
    /// The key that is at fault, if it is one.
    pub key: Option<&'static str>,
    reason: String,
}

impl SpecError {
    pub(super) fn new(reason: String) -> Self {
        Self { key: None, reason }
    }

    fn of(key: &'static str, reason: String) -> Self {
        Self { key: Some(key), reason }
    }
}

impl SpecTable {
    /// A table that names a network and leaves the rest to it.
    pub fn new(network: Network) -> Self {
        Self {
            network,
            variant: None,
            backbone: None,
            output_stride: None,
            rates: None,
            depth: None,
            decoder_channels: None,
            upsampling: None,
            attention: None,
            deep_supervision: None,
            features: None,
            multiple: None,
            min_size: None,
            align_corners: None,
            bytes_per_pixel: None,
            classes: None,
        }
    }

    /// The network that this names, for images of `bands` channels. `classes`, if given, overrules the table's own number.
    ///
    /// # Errors
    /// When there is no such architecture, or it does not offer what was chosen; says what it offers.
    pub fn resolve(&self, bands: u32, classes: Option<u32>) -> Result<NetworkSpec, SpecError> {
        let architecture = self.architecture()?;
        let backbone = pick("backbone", self, self.backbone, architecture.backbones)?;
        let depth = pick("depth", self, self.depth, architecture.depths)?.unwrap_or(MAX_STAGES);
        let strides = architecture.output_strides;
        let output_stride = pick("output_stride", self, self.output_stride, strides)?.unwrap_or(32);
        self.refuse_choices(architecture)?;
        let spec = NetworkSpec {
            network: self.network,
            variant: architecture.variant,
            backbone,
            output_stride,
            depth,
            rates: self.rates.unwrap_or_else(|| default_rates(architecture, output_stride, backbone)),
            decoder_channels: self.channels(architecture, depth)?,
            attention: self.attention,
            deep_supervision: self.deep_supervision.unwrap_or(false),
            features: self.features.unwrap_or(false),
            bands,
            classes: classes.or(self.classes).unwrap_or(1000),
            script: architecture.options.contains(&Choice::Script).then(|| self.script()),
        };
        self.check(&spec)?;
        Ok(spec)
    }

    fn architecture(&self) -> Result<&'static Architecture, SpecError> {
        let of_network = || ARCHITECTURES.iter().filter(|a| a.network == self.network);
        let found = of_network().find(|a| self.variant.is_none_or(|v| v == a.variant));
        found.ok_or_else(|| {
            let known: Vec<_> = of_network().map(|a| format!("`{}`", a.variant)).collect();
            let variant = self.variant.map(|v| v.to_string()).unwrap_or_default();
            SpecError::of(
                "variant",
                format!("there is no `{}` of `{variant}`; there is one of {}", self.network, known.join(", ")),
            )
        })
    }

    /// Refuses what was chosen and the architecture does not offer.
    fn refuse_choices(&self, architecture: &Architecture) -> Result<(), SpecError> {
        let offers = |choice| architecture.options.contains(&choice);
        let chosen = [
            (self.rates.is_some(), Choice::Rates, "rates"),
            (self.attention.is_some(), Choice::Attention, "attention"),
            (self.deep_supervision == Some(true), Choice::DeepSupervision, "deep_supervision"),
            (self.upsampling.is_some() && !offers(Choice::Script), Choice::Upsampling, "upsampling"),
            (self.multiple.is_some(), Choice::Script, "multiple"),
            (self.min_size.is_some(), Choice::Script, "min_size"),
            (self.align_corners.is_some(), Choice::Script, "align_corners"),
            (self.bytes_per_pixel.is_some(), Choice::Script, "bytes_per_pixel"),
            (self.features == Some(true), Choice::Features, "features"),
        ];
        for (is_chosen, choice, key) in chosen {
            if is_chosen && !offers(choice) {
                return Err(self.has_no(key, architecture));
            }
        }
        Ok(())
    }

    /// What is said of a program, or what most programs are.
    fn script(&self) -> Script {
        Script {
            multiple: self.multiple.unwrap_or(32),
            min_size: self.min_size,
            logit_stride: self.upsampling.unwrap_or(1),
            align_corners: self.align_corners.unwrap_or(false),
            bytes_per_pixel: self.bytes_per_pixel.unwrap_or_else(Script::bytes_per_pixel),
        }
    }

    fn has_no(&self, key: &'static str, architecture: &Architecture) -> SpecError {
        SpecError::of(key, format!("`{}` of `{}` has no `{key}`", self.network, architecture.variant))
    }

    fn channels(&self, architecture: &Architecture, depth: u32) -> Result<Vec<u32>, SpecError> {
        let Some(default) = architecture.options.iter().find_map(|option| option.default_channels()) else {
            return match self.decoder_channels {
                None => Ok(vec![]),
                Some(_) => Err(self.has_no("decoder_channels", architecture)),
            };
        };
        // As many stages as there are steps from the deepest map to the image, or just the one.
        let n_stages = if default.len() == 1 { 1 } else { depth as usize };
        let chosen = match &self.decoder_channels {
            None => default.iter().copied().take(n_stages).collect(),
            Some(Channels::One(n)) => vec![*n],
            Some(Channels::Several(list)) => list.clone(),
        };
        if chosen.len() != n_stages || chosen.iter().any(|n| !(1..=MAX_CHANNELS).contains(n)) {
            let wanted = format!("{n_stages} numbers from 1 to {MAX_CHANNELS}");
            return Err(SpecError::of(
                "decoder_channels",
                format!("decoder_channels is {chosen:?}; this network takes {wanted}"),
            ));
        }
        // What says nothing has the digest that it always had.
        let is_own = architecture.options.contains(&Choice::HeadChannels(default)) && chosen == default;
        Ok(if is_own { vec![] } else { chosen })
    }

    fn check(&self, spec: &NetworkSpec) -> Result<(), SpecError> {
        if let Some(Script { multiple, min_size, logit_stride, bytes_per_pixel, .. }) = spec.script {
            let numbers = [
                ("multiple", multiple, 1024),
                ("min_size", min_size.unwrap_or(1), 1 << 16),
                ("upsampling", logit_stride, 1024),
                ("bytes_per_pixel", bytes_per_pixel, 1 << 20),
            ];
            if let Some((key, number, most)) = numbers.into_iter().find(|(_, n, most)| !(1..=*most).contains(n)) {
                return Err(SpecError::of(key, format!("{key} is {number}; it is from 1 to {most}")));
            }
        }
        if spec.rates.iter().any(|r| !(1..=MAX_RATE).contains(r)) {
            return Err(SpecError::of("rates", format!("rates are {:?}; each is from 1 to {MAX_RATE}", spec.rates)));
        }
        if let Some(factor) = self.upsampling.filter(|&factor| factor != spec.logit_stride()) {
            let stride = spec.logit_stride();
            return Err(SpecError::of(
                "upsampling",
                format!("upsampling is {factor}; the logits of `{spec}` have stride {stride}"),
            ));
        }
        if !(1..=MAX_PLANES).contains(&spec.classes) || !(1..=MAX_PLANES).contains(&spec.bands) {
            return Err(SpecError::new(format!("{} bands and {} classes are out of range", spec.bands, spec.classes)));
        }
        Ok(())
    }
}

/// The choice, or the first that is offered; `None` where there is none to make.
fn pick<T: Copy + PartialEq + std::fmt::Display>(
    key: &'static str,
    table: &SpecTable,
    chosen: Option<T>,
    offered: &[T],
) -> Result<Option<T>, SpecError> {
    match chosen {
        None => Ok(offered.first().copied()),
        Some(choice) if offered.contains(&choice) => Ok(Some(choice)),
        Some(choice) => {
            let offered: Vec<_> = offered.iter().map(|o| format!("`{o}`")).collect();
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            Err(SpecError::of(
                key,
                format!("`{}` does not take the {key} `{choice}`; it takes {offered}", table.network),
            ))
        }
    }
}

/// The rates that a definition uses when none are named.
fn default_rates(architecture: &Architecture, output_stride: u32, backbone: Option<Backbone>) -> [u32; 3] {
    use super::Backbone::{ResNeSt50, ResNeSt101};
    let built_for_16 = matches!(backbone, Some(ResNeSt50 | ResNeSt101));
    match (architecture.variant, output_stride) {
        // The entry's ResNeSt ignores the output stride that the pyramid is built for, which is 16.
        (Variant::Naic, 16..) => [6, 12, 18],
        (Variant::Naic, _) if built_for_16 => [6, 12, 18],
        _ => [12, 24, 36],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut SpecTable)) -> String {
        let mut table = SpecTable::new(Network::DeepLabV3Plus);
        change(&mut table);
        table.resolve(3, Some(5)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_takes_the_definitions_default() {
        let spec = SpecTable::new(Network::DeepLabV3Plus).resolve(4, Some(7)).unwrap();
        assert_eq!((spec.variant, spec.backbone), (Variant::Smp, Some(Backbone::ResNet34)));
        assert_eq!((spec.output_stride, spec.rates, spec.depth), (16, [12, 24, 36], 5));
        assert_eq!((spec.bands, spec.classes, &spec.decoder_channels[..]), (4, 7, &[256][..]));
        let naic = SpecTable { variant: Some(Variant::Naic), ..SpecTable::new(Network::DeepLabV3Plus) };
        assert_eq!(naic.resolve(3, None).unwrap().rates, [6, 12, 18]);
        let stride_8 = SpecTable { output_stride: Some(8), ..naic };
        assert_eq!(stride_8.resolve(3, None).unwrap().rates, [12, 24, 36]);
        let ocr = |channels| SpecTable { decoder_channels: channels, ..SpecTable::new(Network::HrnetOcr) };
        let plain = ocr(None).resolve(3, None).unwrap();
        assert!(plain.decoder_channels.is_empty());
        assert_eq!(ocr(Some(Channels::One(512))).resolve(3, None).unwrap(), plain);
        assert_eq!(ocr(Some(Channels::One(64))).resolve(3, None).unwrap().decoder_channels, [64]);
    }

    #[test]
    fn what_an_architecture_does_not_offer_is_refused_with_what_it_offers() {
        assert_eq!(
            refusal(|t| t.variant = Some(Variant::Timm)),
            "there is no `deeplabv3plus` of `timm`; there is one of `smp`, `naic`"
        );
        let text = refusal(|t| t.backbone = Some(Backbone::HrNetW48));
        assert!(
            text.starts_with("`deeplabv3plus` does not take the backbone `hrnet_w48`; it takes `resnet34`"),
            "{text}"
        );
        assert!(refusal(|t| t.output_stride = Some(32)).ends_with("output_stride `32`; it takes `16`, `8`"));
        assert!(refusal(|t| t.attention = Some(Attention::Scse)).ends_with("has no `attention`"));
        assert!(refusal(|t| t.upsampling = Some(8)).ends_with("have stride 4"));
        assert!(refusal(|t| t.rates = Some([0, 1, 2])).contains("from 1 to"));
        assert!(refusal(|t| t.decoder_channels = Some(Channels::Several(vec![1, 2]))).contains("takes 1 numbers"));
    }

    #[test]
    fn every_architecture_resolves_on_every_backbone_and_stride() {
        for a in ARCHITECTURES {
            let backbones: Vec<_> = match a.backbones {
                [] => vec![None],
                list => list.iter().copied().map(Some).collect(),
            };
            for backbone in backbones {
                for &stride in a.output_strides {
                    let table = SpecTable {
                        variant: Some(a.variant),
                        backbone,
                        output_stride: Some(stride),
                        ..SpecTable::new(a.network)
                    };
                    let spec = table.resolve(3, Some(15)).unwrap();
                    assert!(std::ptr::eq(spec.architecture(), a));
                    assert!(spec.size_rule().multiple >= 1 && spec.logit_stride() >= 1);
                }
            }
        }
    }
}
