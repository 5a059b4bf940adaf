//! Bundles: weights files that say what they are. The metadata of one holds a whole pipeline file, whose one member has the file's own
//! weights, so that it stands wherever a pipeline file does, and a member needs its path alone.
//!
//! [`metadata`] makes it of a checked pipeline with every key written out, so that no other default or preset ever changes what it means.
//! Where a pipeline names a bundle as a member's weights, `check.rs` takes from here what it leaves out, and refuses what says otherwise.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::check::check;
use super::classes::ClassTable;
use super::fault::Fault;
use super::file::{InputTable, MemberInputTable, MemberTable};
use super::pipeline::{InputSpec, Member, Pipeline, Reading};
use super::post::Post;
use super::source::{ConfigError, tables};
use crate::tiler::Tiling;
use crate::weights::{self, FORM_KEY, Metadata};
use crate::words::explain;
use crate::zoo::spec::{Channels, Choice, Network, NetworkSpec};

/// The key of the format, and the one that there is.
const FORMAT_KEY: (&str, &str) = ("swath.bundle", "1");
/// The key of the pipeline file.
const PIPELINE_KEY: &str = "swath.pipeline";
/// The key of what the training says of itself, as JSON.
const TRAINING_KEY: &str = "swath.training";

/// What a weights file says of itself in order to be a bundle: the pipeline as far as it concerns inference with this member of it alone,
/// and what the training has to say, as JSON.
///
/// # Errors
/// When a number is none that TOML can hold.
pub fn metadata(pipeline: &Pipeline, member: &Member, training: Option<&str>) -> Result<Metadata, toml::ser::Error> {
    let own = [(FORMAT_KEY.0, FORMAT_KEY.1.to_owned()), (PIPELINE_KEY, text(pipeline, member)?)];
    let own = own.into_iter().chain(training.map(|training| (TRAINING_KEY, training.to_owned())));
    Ok(own.map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What a weights file that may be a bundle holds, in a line; none if it is not one.
pub fn summary(file: &Path, metadata: &Metadata) -> Option<String> {
    let told = |Bundle { pipeline, .. }: Bundle| {
        let Pipeline { members, reading, classes, .. } = &pipeline;
        let member = &members[0];
        let names: Vec<&str> = classes.classes().iter().map(|class| class.name.as_str()).collect();
        let resolution = reading.resolution.map(|metres| format!(", pixels of {metres} m")).unwrap_or_default();
        format!("{}, bands {}{resolution}, classes {}", member.spec, list(&member.input.bands), names.join(", "))
    };
    Bundle::of(file, metadata).map(|bundle| bundle.map(told)).unwrap_or_else(Some)
}

/// The pipeline file in a bundle, with the bundle as its member's weights: to be copied and edited.
///
/// # Errors
/// When the file cannot be read or is no bundle that this program understands.
pub fn pipeline_file(file: &Path) -> Result<String, ConfigError> {
    let refused = |detail| ConfigError::Parse { path: file.to_owned(), at: String::new(), detail };
    let text = text_in(file)?;
    let mut document: toml_edit::DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| refused(e.to_string()))?;
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let members = document.get_mut("members").and_then(|members| members.as_array_of_tables_mut());
    if let Some(member) = members.and_then(|members| members.get_mut(0)) {
        member.insert("weights", toml_edit::value(file.display().to_string()));
    }
    Ok(document.to_string())
}

/// The text of the pipeline file in a weights file.
///
/// # Errors
/// When the file cannot be read or is no bundle that this program understands.
pub(super) fn text_in(file: &Path) -> Result<String, ConfigError> {
    let refused = |detail| ConfigError::Parse { path: file.to_owned(), at: String::new(), detail };
    let metadata = weights::metadata(file)?;
    match embedded(&metadata) {
        Ok(Some(text)) => Ok(text.to_owned()),
        Err(detail) => Err(refused(detail).of_weights()),
        Ok(None) => Err(refused(format!(
            "these are weights, and they do not say what they are for, as weights do that `swath train` writes: name a pipeline file with \
             them as a member's weights (pipelines/single.toml is the one to copy), or put that into them: swath weights convert '{}' -o \
             BUNDLE.safetensors --pipeline PIPELINE.toml",
            file.display()
        ))),
    }
}

/// The text, if there is one; or why it cannot be used.
fn embedded(metadata: &Metadata) -> Result<Option<&str>, String> {
    let Some(format) = metadata.get(FORMAT_KEY.0) else { return Ok(None) };
    if format != FORMAT_KEY.1 {
        return Err(format!(
            "it is a bundle of format {format}, and this version of swath reads {}: take the version that wrote it, or a newer one",
            FORMAT_KEY.1
        ));
    }
    if let Some(form) = metadata.get(FORM_KEY) {
        return Err(format!(
            "it is a bundle whose tensors are {form}, which is for other programs: use the file that it was made of"
        ));
    }
    let text = metadata.get(PIPELINE_KEY).ok_or("it is a bundle without a pipeline: have it written again")?;
    Ok(Some(text))
}

/// Puts the weights file, by a path relative to the folder of the pipeline, into what its own pipeline file holds.
///
/// # Errors
/// When that has not one member.
pub(super) fn name_weights(root: &mut Value, file: &Path) -> Result<(), String> {
    let member = match root.get_mut("members").and_then(Value::as_array_mut).map(Vec::as_mut_slice) {
        Some([Value::Table(member)]) => member,
        _ => return Err("a bundle has one member".to_owned()),
    };
    member.insert("weights".to_owned(), Value::String(file.display().to_string()));
    Ok(())
}

/// What a weights file says of itself.
#[derive(Debug)]
pub(super) struct Bundle {
    file: PathBuf,
    pipeline: Pipeline,
}

impl Bundle {
    /// What the weights of a member say, which stands at `key`; nothing where they are no bundle.
    ///
    /// # Errors
    /// When they are one that cannot be used, or cannot be read and it is for them to say which network the member is.
    pub(super) fn of_member(table: &MemberTable, key: &str, folder: &Path) -> Result<Option<Self>, Fault> {
        let Some(file) = &table.weights else { return Ok(None) };
        let file = folder.join(file);
        let refused = |detail: String| Fault::about(format!("{key}.weights"), detail).of_weights();
        let is_program = matches!(table.network, Some(Network::TorchScript | Network::Onnx));
        match weights::metadata(&file) {
            _ if is_program => Ok(None),
            Ok(metadata) => Self::of(&file, &metadata).map_err(|detail| {
                refused(format!("`{}` cannot be used as what it says it is: {detail}", file.display()))
            }),
            // The member does without what they may say; who loads them tells what is wrong with them.
            Err(_) if table.network.is_some() || table.preset.is_some() => Ok(None),
            Err(error) => {
                Err(refused(format!("there is no `network`, and the weights cannot say it: {}", explain(&error))))
            }
        }
    }

    fn of(file: &Path, metadata: &Metadata) -> Result<Option<Self>, String> {
        let Some(text) = embedded(metadata)? else { return Ok(None) };
        let parsed: Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        let mut root = Value::Table(parsed);
        name_weights(&mut root, file)?;
        let pipeline = tables(&root).and_then(|file| check(file, Path::new(""), &[None]));
        Ok(Some(Self { file: file.to_owned(), pipeline: pipeline.map_err(|fault| fault.detail)? }))
    }

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
    fn first(&self) -> Option<&Pipeline> {
        let all: Option<Vec<&Bundle>> = self.0.iter().map(Option::as_ref).collect();
        all?.first().map(|bundle| &bundle.pipeline)
    }

    /// How scenes are read: as declared, or else as all members' weights say.
    ///
    /// # Errors
    /// When some weights say otherwise.
    pub(super) fn reading(&self, declared: &InputTable) -> Result<Reading, Fault> {
        let InputTable { nodata, nodata_value, apply_scale, resolution, assume_resolution, .. } = *declared;
        let usual = self.first().map(|pipeline| pipeline.reading).unwrap_or_default();
        let reading = Reading {
            nodata: nodata.unwrap_or(usual.nodata),
            nodata_value: nodata_value.or(usual.nodata_value),
            apply_scale: apply_scale.unwrap_or(usual.apply_scale),
            resolution: resolution.or(usual.resolution),
            assume_resolution: assume_resolution.or(usual.assume_resolution),
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

    /// The classes: those that are declared, or else those of all members' weights.
    ///
    /// # Errors
    /// When there are none, or some weights have another number of them, or others.
    pub(super) fn classes(&self, declared: Option<ClassTable>) -> Result<ClassTable, Fault> {
        let is_declared = declared.is_some();
        let inherited = || self.first().map(|pipeline| pipeline.classes.clone());
        let table = declared.or_else(inherited).ok_or_else(|| Fault::missing("", "classes"))?;
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
        Ok(table)
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

fn list(items: &[impl Display]) -> String {
    format!("[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// The pipeline file, in the order in which a person would write it.
fn text(pipeline: &Pipeline, member: &Member) -> Result<String, toml::ser::Error> {
    let InputSpec { bands, divide, mean, std } = &member.input;
    let divide: Table = divide.iter().map(|(dtype, by)| (dtype.to_string(), (*by).into())).collect();
    let mut input = keys([
        ("bands", Value::try_from(bands)?),
        ("divide", divide.into()),
        ("mean", Value::try_from(mean)?),
        ("std", Value::try_from(std)?),
    ]);
    input.extend(Table::try_from(pipeline.reading)?);
    let inference = keys([
        ("combine", Value::try_from(pipeline.combine)?),
        ("views", Value::try_from(&pipeline.views)?),
        ("batch", Value::try_from(pipeline.batch)?),
        ("unit_max", pipeline.unit_max.to_string().into()),
    ]);
    let data = &pipeline.data;
    let mut labels = keys([("labels", Value::try_from(data.labels)?), ("remap", Value::try_from(&data.remap)?)]);
    if data.remap.is_empty() {
        labels.remove("remap");
    }
    let mut sections = vec![
        ("input", Value::Table(input)),
        ("tiler", Value::try_from(&pipeline.tiling)?),
        ("inference", Value::Table(inference)),
        ("members", Value::Array(vec![Value::Table(member_table(member)?)])),
        ("post", Value::Table(post_table(&pipeline.post, &pipeline.classes)?)),
        ("outputs", Value::try_from(pipeline.outputs)?),
        ("data", Value::Table(labels)),
        ("classes", Value::try_from(pipeline.classes.classes())?),
    ];
    if let Some(nodata) = pipeline.classes.nodata() {
        sections.push(("nodata", Value::try_from(nodata)?));
    }
    let sections = sections.into_iter().map(|section| toml::to_string(&keys([section])));
    Ok(sections.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn keys<const N: usize>(keys: [(&str, Value); N]) -> Table {
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// `[[members]]` without weights, every key of its network written out that the network has.
fn member_table(member: &Member) -> Result<Table, toml::ser::Error> {
    let spec = &member.spec;
    let mut table = keys([
        ("name", member.name.as_str().into()),
        ("weight", member.weight.into()),
        ("precision", Value::try_from(member.precision)?),
        ("kernels", Value::try_from(member.kernels)?),
    ]);
    let architecture = spec.architecture();
    let is_key = |key: &str| match key {
        "bands" | "classes" | "features" => false,
        "depth" => !architecture.depths.is_empty(),
        "rates" => architecture.options.contains(&Choice::Rates),
        "decoder_channels" => !spec.decoder_channels.is_empty(),
        "deep_supervision" => spec.deep_supervision,
        _ => true,
    };
    table.extend(Table::try_from(spec)?.into_iter().filter(|(key, _)| is_key(key)));
    Ok(table)
}

/// `[post]`, in which classes have their names.
fn post_table(post: &Post, classes: &ClassTable) -> Result<Table, toml::ser::Error> {
    let name = |id: usize| classes.classes().get(id).map(|class| class.name.clone()).unwrap_or_default();
    let Post { fill_holes, remap, majority, drop_islands } = post;
    let mut table = keys([("fill_holes", (*fill_holes).into()), ("majority", (*majority).into())]);
    if !remap.is_empty() {
        let named = remap.iter().map(|(from, to)| (name((*from).into()), name((*to).into()).into()));
        table.insert("remap".to_owned(), Value::Table(named.collect()));
    }
    // One size for all may be of classes whose names are the same.
    let islands = match drop_islands.as_slice() {
        [] => return Ok(table),
        [first, rest @ ..] if rest.iter().all(|area| area == first) => Value::try_from(first)?,
        areas => {
            let named = areas.iter().enumerate().map(|(id, area)| Ok((name(id), Value::try_from(area)?)));
            Value::Table(named.collect::<Result<_, toml::ser::Error>>()?)
        }
    };
    table.insert("drop_islands".to_owned(), islands);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::super::data::Data;
    use super::super::pipeline::{Checkpoint, Package, Weights};
    use super::*;
    use crate::atomic;

    /// Every key that a bundle keeps, with another value than its default.
    const ALL: &str = r##"
        [input]
        bands = ["red", "nir"]
        divide = { u8 = 255, u16 = 10000.5 }
        mean = [0.1, 0.3333333333333333]
        std = [1, 2e-3]
        nodata = "any"
        nodata_value = -9999
        apply_scale = true
        resolution = 0.5
        assume_resolution = 0.3
        [tiler]
        strategy = "fixed"
        centre = 192
        whole_max = 500
        dilation = [32, 0]
        border = "zero"
        [inference]
        combine = "probabilities"
        views = ["identity", "hflip", "rot270"]
        batch = 4
        unit_max = "1GiB"
        [[members]]
        name = "first"
        network = "unet"
        backbone = "resnet18"
        depth = 4
        decoder_channels = [64, 32, 16, 8]
        attention = "scse"
        seed = 1
        weight = 0.3
        precision = "bf16"
        kernels = "channels-last"
        [[members]]
        network = "unetpp"
        variant = "naic"
        deep_supervision = true
        weights = "gone.pth"
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        input = { bands = ["B04", "B05"], mean = [1, 2] }
        [[members]]
        preset = "naic2020/danet-resnet101"
        seed = 3
        [[members]]
        network = "deeplabv3plus"
        output_stride = 8
        rates = [3, 6, 9]
        seed = 4
        [post]
        remap = { ship = "water" }
        majority = 3
        fill_holes = 9
        drop_islands = { water = 12, "bare soil" = "2.5 m2" }
        [outputs]
        mask_bits = 16
        color = true
        vectors_simplify = 0.5
        [package]
        prefix = "p"
        [nodata]
        value = 9
        [data]
        images = "pictures"
        masks = "truth"
        labels = "id"
        remap = { "41" = "water", "#010203" = "ignore" }
        [[classes]]
        id = 0
        name = "water"
        value = 1
        color = "#2a6fb0"
        [[classes]]
        id = 1
        name = "bare soil"
        value = 300
        color = "#2a6fb1"
        [[classes]]
        id = 2
        name = "ship"
        value = 2
        color = "#2a6fb2"
    "##;

    fn loaded(text: &str) -> Pipeline {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        atomic::write(&path, text.as_bytes()).unwrap();
        Pipeline::load(&path, &[]).unwrap()
    }

    #[test]
    fn a_pipeline_comes_back_from_its_bundle_in_all_that_concerns_inference() {
        let shipped = ["demo", "single", "naic2020-semifinal", "naic2020-preliminary"].map(|name| {
            let path = format!("{}/pipelines/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).unwrap()
        });
        let islands = ALL.replace("{ water = 12, \"bare soil\" = \"2.5 m2\" }", "50");
        assert_ne!(islands, ALL);
        for text in [ALL, &islands].into_iter().chain(shipped.iter().map(String::as_str)) {
            let pipeline = loaded(text);
            for member in &pipeline.members {
                let metadata = metadata(&pipeline, member, Some("{}")).unwrap();
                let file = Path::new("x.safetensors");
                let bundle = Bundle::of(file, &metadata).unwrap_or_else(|e| panic!("{e}: {metadata:?}")).unwrap();
                let kept = Pipeline {
                    members: vec![Member { weights: Weights::File(file.into()), sha256: None, ..member.clone() }],
                    package: Package::default(),
                    checkpoints: vec![Checkpoint::Labels],
                    data: Data { labels: pipeline.data.labels, remap: pipeline.data.remap.clone(), ..Data::default() },
                    ..pipeline.clone()
                };
                assert_eq!(bundle.pipeline, kept);
                assert_eq!(metadata["swath.training"], "{}");
                // What is made of a bundle's pipeline is the same again.
                assert_eq!(text_of(&kept), metadata["swath.pipeline"]);
            }
        }
    }

    fn text_of(pipeline: &Pipeline) -> String {
        super::text(pipeline, &pipeline.members[0]).unwrap()
    }

    #[test]
    fn what_is_no_bundle_of_this_version_is_told() {
        let pipeline = loaded(ALL);
        let sound = metadata(&pipeline, &pipeline.members[0], None).unwrap();
        let refusal = |key: &str, value: &str| {
            let mut metadata = sound.clone();
            metadata.insert(key.to_owned(), value.to_owned());
            Bundle::of(Path::new("x"), &metadata).unwrap_err()
        };
        assert!(refusal("swath.bundle", "7").contains("format 7, and this version of swath reads 1"));
        assert!(refusal("swath.form", "folded").contains("tensors are folded"));
        assert!(refusal("swath.pipeline", "[input").contains("unclosed table"));
        assert!(refusal("swath.pipeline", "").contains("one member"));
        let (one, word) = (&sound["swath.pipeline"], "[tiler]");
        assert!(refusal("swath.pipeline", &one.replace(word, "[tilr]")).contains("did you mean `tiler`?"));
        assert!(Bundle::of(Path::new("x"), &Metadata::new()).unwrap().is_none());
        let said = summary(Path::new("x"), &sound).unwrap();
        assert_eq!(said, "smp/unet/resnet18, bands [`red`, `nir`], pixels of 0.5 m, classes water, bare soil, ship");
    }
}
