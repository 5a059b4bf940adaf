//! What members' weights say themselves, and a pipeline's own keys: what these leave out is taken from there, and nothing may say otherwise.

use std::fmt::Display;
use std::path::PathBuf;

use super::classes::ClassTable;
use super::fault::Fault;
use super::file::{InputTable, MemberInputTable, MemberTable};
use super::pipeline::{InputSpec, Pipeline, Reading};
use crate::raster::Drivers;
use crate::tiler::Tiling;
use crate::zoo::spec::{Channels, NetworkSpec};

/// What a weights file says of itself.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) file: PathBuf,
    /// Its pipeline, with one member.
    pub(super) pipeline: Pipeline,
}

impl Bundle {
    /// Its network.
    ///
    /// # Errors
    /// When a key of the table, which stands at `key`, says otherwise.
    pub(super) fn network(&self, table: &MemberTable, key: &str) -> Result<NetworkSpec, Fault> {
        let spec = &self.pipeline.members[0].spec;
        if table.preset.is_some() {
            let named = table.spec(key)?;
            let named = named.resolve(spec.bands, Some(spec.classes)).map_err(|e| Fault::about(key, e))?;
            self.agree(&format!("{key}.preset"), Some(&named), spec, ToString::to_string)?;
            return Ok(spec.clone());
        }
        let key = |own: &str| format!("{key}.{own}");
        let stride = spec.logit_stride();
        let channels = table.decoder_channels.as_ref().map(|channels| match channels {
            Channels::One(n) => vec![*n],
            Channels::Several(list) => list.clone(),
        });
        self.agree(&key("network"), table.network.as_ref(), &spec.network, ToString::to_string)?;
        self.agree(&key("variant"), table.variant.as_ref(), &spec.variant, ToString::to_string)?;
        self.agree(&key("backbone"), table.backbone.map(Some).as_ref(), &spec.backbone, optional)?;
        self.agree(&key("output_stride"), table.output_stride.as_ref(), &spec.output_stride, ToString::to_string)?;
        self.agree(&key("rates"), table.rates.as_ref(), &spec.rates, |rates| list(rates))?;
        self.agree(&key("depth"), table.depth.as_ref(), &spec.depth, ToString::to_string)?;
        self.agree(&key("decoder_channels"), channels.as_ref(), &spec.decoder_channels, |channels| list(channels))?;
        self.agree(&key("upsampling"), table.upsampling.as_ref(), &stride, ToString::to_string)?;
        self.agree(&key("attention"), table.attention.map(Some).as_ref(), &spec.attention, optional)?;
        self.agree(
            &key("deep_supervision"),
            table.deep_supervision.as_ref(),
            &spec.deep_supervision,
            ToString::to_string,
        )?;
        Ok(spec.clone())
    }

    /// Its normalisation. Divisors of further pixel types may be declared: `declared` is what the pipeline has for the member, and `key` says
    /// where.
    ///
    /// # Errors
    /// When what is declared says otherwise.
    pub(super) fn input(&self, declared: MemberInputTable, key: impl Fn(&str) -> String) -> Result<InputSpec, Fault> {
        let own = &self.pipeline.members[0].input;
        let MemberInputTable { bands, divide, mean, std } = declared;
        self.agree(&key("bands"), bands.as_ref(), &own.bands, |bands| list(bands))?;
        for (dtype, by) in divide.iter().flatten() {
            let theirs = own.divide.get(dtype).unwrap_or(by);
            self.agree(&format!("{}.{dtype}", key("divide")), Some(by), theirs, ToString::to_string)?;
        }
        self.agree(&key("mean"), mean.as_ref(), &own.mean, |mean| list(mean))?;
        self.agree(&key("std"), std.as_ref(), &own.std, |std| list(std))?;
        Ok(InputSpec { divide: divide.unwrap_or_else(|| own.divide.clone()), ..own.clone() })
    }

    /// Refuses a value of the pipeline, where there is one, that is not the bundle's.
    fn agree<T: PartialEq>(
        &self,
        key: &str,
        ours: Option<&T>,
        theirs: &T,
        show: impl Fn(&T) -> String,
    ) -> Result<(), Fault> {
        match ours.filter(|ours| *ours != theirs) {
            None => Ok(()),
            Some(ours) => Err(self.contradicts(key, &show(ours), &show(theirs), "take it out, or name other weights")),
        }
    }

    fn contradicts(&self, key: &str, ours: &str, theirs: &str, remedy: &str) -> Fault {
        let file = self.file.display();
        Fault::about(key, format_args!("it is {ours} here, and {theirs} in the weights `{file}`: {remedy}"))
            .of_weights()
    }
}

/// What the weights of a pipeline's members say together, one entry for each.
pub(super) struct Bundles<'a>(pub(super) &'a [Option<Bundle>]);

impl Bundles<'_> {
    /// What the first says, if all members are bundles.
    pub(super) fn first(&self) -> Option<&Pipeline> {
        let all: Option<Vec<&Bundle>> = self.0.iter().map(Option::as_ref).collect();
        all?.first().map(|bundle| &bundle.pipeline)
    }

    /// How scenes are read: as declared, or else as all members' weights say.
    ///
    /// # Errors
    /// When some weights say otherwise.
    pub(super) fn reading(&self, declared: &InputTable) -> Result<Reading, Fault> {
        let InputTable { nodata, nodata_value, apply_scale, resolution, assume_resolution, .. } = *declared;
        // What may be opened is a matter of where scenes come from, and never of the weights.
        let drivers = declared.drivers.clone().map(Drivers::from).unwrap_or_default();
        let usual = self.first().map(|pipeline| pipeline.reading).unwrap_or_default();
        let reading = Reading {
            nodata: nodata.unwrap_or(usual.nodata),
            nodata_value: nodata_value.or(usual.nodata_value),
            apply_scale: apply_scale.unwrap_or(usual.apply_scale),
            resolution: resolution.or(usual.resolution),
            assume_resolution: assume_resolution.or(usual.assume_resolution),
            drivers,
        };
        for bundle in self.0.iter().flatten() {
            let (ours, theirs) = (&reading, &bundle.pipeline.reading);
            let rule = |reading: &Reading| format!("{:?}", reading.nodata).to_lowercase();
            for (key, is_declared, is_same, ours, theirs) in [
                ("nodata", nodata.is_some(), ours.nodata == theirs.nodata, rule(ours), rule(theirs)),
                (
                    "nodata_value",
                    nodata_value.is_some(),
                    ours.nodata_value == theirs.nodata_value,
                    optional(&ours.nodata_value),
                    optional(&theirs.nodata_value),
                ),
                (
                    "apply_scale",
                    apply_scale.is_some(),
                    ours.apply_scale == theirs.apply_scale,
                    ours.apply_scale.to_string(),
                    theirs.apply_scale.to_string(),
                ),
                (
                    "resolution",
                    resolution.is_some(),
                    ours.resolution == theirs.resolution,
                    optional(&ours.resolution),
                    optional(&theirs.resolution),
                ),
            ] {
                if !is_same {
                    return Err(bundle.contradicts(&format!("input.{key}"), &ours, &theirs, self.remedy(is_declared)));
                }
            }
        }
        Ok(reading)
    }

    fn remedy(&self, is_declared: bool) -> &'static str {
        match (is_declared, self.first()) {
            (true, _) => "take it out, or name other weights",
            (false, Some(_)) => "members of one pipeline have it in common; run these weights by themselves",
            (false, None) => "it has its default, as it is left out; write what the weights need",
        }
    }

    /// Refuses classes that are not all weights' in number, names and values.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn agree_on(&self, table: &ClassTable, is_declared: bool) -> Result<(), Fault> {
        for bundle in self.0.iter().flatten() {
            let refused = |key: &str, ours: &dyn Display, theirs: &dyn Display| {
                Err(bundle.contradicts(key, &ours.to_string(), &theirs.to_string(), self.remedy(is_declared)))
            };
            let (ours, theirs) = (table.classes(), bundle.pipeline.classes.classes());
            if ours.len() != theirs.len() {
                return refused("classes", &format_args!("{} of them", ours.len()), &theirs.len());
            }
            for (idx, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                if ours.name != theirs.name {
                    return refused(&format!("classes.{idx}.name"), &ours.name, &theirs.name);
                }
                if ours.value != theirs.value {
                    return refused(&format!("classes.{idx}.value"), &ours.value, &theirs.value);
                }
            }
        }
        Ok(())
    }

    /// How scenes are cut where the pipeline does not say, if all members' weights say the same.
    pub(super) fn tiling(&self) -> Option<Tiling> {
        let tiling = &self.first()?.tiling;
        let is_common = self.0.iter().flatten().all(|bundle| bundle.pipeline.tiling == *tiling);
        is_common.then(|| tiling.clone())
    }
}

fn optional<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

pub(super) fn list(items: &[impl Display]) -> String {
    format!("[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
