//! From a file to a pipeline: a pipeline file, or a bundle in place of one, and what the weights of members say.

use std::path::Path;

use toml::{Table, Value};

use super::agree::{Bundle, list};
use super::bundle::{embedded, name_weights};
use super::check::check;
use super::fault::Fault;
use super::file::MemberTable;
use super::pipeline::Pipeline;
use super::source::{ConfigError, Source, bundled, tables};
use crate::weights::{self, Metadata};
use crate::words::{absolute, explain};
use crate::zoo::spec::Network;

impl Pipeline {
    /// Reads and checks a pipeline file, with `key=value` settings applied on top (`tiler.dilation=64`, `members.0.weight=2`).
    ///
    /// # Errors
    /// When the file cannot be read, holds an unknown key or a value out of range, or its parts contradict each other or what members' weights
    /// say.
    pub fn load(path: &Path, settings: &[String]) -> Result<Self, ConfigError> {
        Self::load_for(path, settings, |_| true)
    }

    /// The same, where weights may be meant to say something else from now on: members that name a network themselves are as they are written.
    ///
    /// # Errors
    /// As [`Self::load`], but for what the weights of such members say.
    pub fn load_as_written(path: &Path, settings: &[String]) -> Result<Self, ConfigError> {
        Self::load_for(path, settings, |member| !member.names_network())
    }

    /// Asks the weights of members for which `asks` holds.
    fn load_for(path: &Path, settings: &[String], asks: impl Fn(&MemberTable) -> bool) -> Result<Self, ConfigError> {
        let source = Source::read(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let understood = |root: &Value| -> Result<Self, Fault> {
            let file = tables(root)?;
            let bundle = |(idx, table): (usize, &MemberTable)| match asks(table) {
                true => of_member(table, &format!("members.{idx}"), folder),
                false => Ok(None),
            };
            let bundles: Vec<_> = file.members.iter().enumerate().map(bundle).collect::<Result<_, _>>()?;
            check(file, folder, &bundles)
        };
        let (alone, root) = (source.with(&[])?, source.with(settings)?);
        understood(&root).map_err(|fault| source.blame(fault, settings, understood(&alone).map(drop)))
    }
}

/// What a weights file that may be a bundle holds, in a line; none if it is not one.
pub fn bundle_summary(file: &Path, metadata: &Metadata) -> Option<String> {
    let told = |Bundle { pipeline, .. }: Bundle| {
        let Pipeline { members, reading, classes, .. } = &pipeline;
        let member = &members[0];
        let names: Vec<&str> = classes.classes().iter().map(|class| class.name.as_str()).collect();
        let resolution = reading.resolution.map(|metres| format!(", pixels of {metres} m")).unwrap_or_default();
        format!("{}, bands {}{resolution}, classes {}", member.spec, list(&member.input.bands), names.join(", "))
    };
    of(file, metadata).map(|bundle| bundle.map(told)).unwrap_or_else(Some)
}

/// The pipeline file in a bundle, with the bundle as its member's weights: to be copied and edited.
///
/// # Errors
/// When the file cannot be read or is no bundle that this program understands.
pub fn bundled_pipeline(file: &Path) -> Result<String, ConfigError> {
    let refused = |detail| ConfigError::Parse { path: file.to_owned(), at: String::new(), detail };
    let mut document: toml_edit::DocumentMut =
        bundled(file)?.parse().map_err(|e: toml_edit::TomlError| refused(e.to_string()))?;
    let file = absolute(file);
    let members = document.get_mut("members").and_then(|members| members.as_array_of_tables_mut());
    if let Some(member) = members.and_then(|members| members.get_mut(0)) {
        member.insert("weights", toml_edit::value(file.display().to_string()));
    }
    Ok(document.to_string())
}

/// What the weights of a member say, which stands at `key`; nothing where they are no bundle.
///
/// # Errors
/// When they are one that cannot be used, or cannot be read and it is for them to say which network the member is.
fn of_member(table: &MemberTable, key: &str, folder: &Path) -> Result<Option<Bundle>, Fault> {
    let Some(file) = &table.weights else { return Ok(None) };
    let file = folder.join(file);
    let refused = |detail: String| Fault::about(format!("{key}.weights"), detail).of_weights();
    let is_program = matches!(table.network, Some(Network::TorchScript | Network::Onnx));
    match weights::metadata(&file) {
        _ if is_program => Ok(None),
        Ok(metadata) => of(&file, &metadata)
            .map_err(|detail| refused(format!("`{}` cannot be used as what it says it is: {detail}", file.display()))),
        // The member does without what they may say; who loads them tells what is wrong with them.
        Err(_) if table.names_network() => Ok(None),
        Err(error) => {
            Err(refused(format!("there is no `network`, and the weights cannot say it: {}", explain(&error))))
        }
    }
}

fn of(file: &Path, metadata: &Metadata) -> Result<Option<Bundle>, String> {
    let Some(text) = embedded(metadata)? else { return Ok(None) };
    let parsed: Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
    let mut root = Value::Table(parsed);
    name_weights(&mut root, file)?;
    let pipeline = tables(&root).and_then(|file| check(file, Path::new(""), &[None]));
    Ok(Some(Bundle { file: file.to_owned(), pipeline: pipeline.map_err(|fault| fault.detail)? }))
}

#[cfg(test)]
mod tests {
    use super::super::bundle;
    use super::super::data::Data;
    use super::super::pipeline::{Checkpoint, Member, Package, Weights};
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
                let metadata = bundle::metadata(&pipeline, member, Some("{}")).unwrap();
                let file = Path::new("x.safetensors");
                let bundle = of(file, &metadata).unwrap_or_else(|e| panic!("{e}: {metadata:?}")).unwrap();
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
                assert_eq!(bundle::metadata(&kept, &kept.members[0], Some("{}")).unwrap(), metadata);
            }
        }
    }

    #[test]
    fn what_is_no_bundle_of_this_version_is_told() {
        let pipeline = loaded(ALL);
        let sound = bundle::metadata(&pipeline, &pipeline.members[0], None).unwrap();
        let refusal = |key: &str, value: &str| {
            let mut metadata = sound.clone();
            metadata.insert(key.to_owned(), value.to_owned());
            of(Path::new("x"), &metadata).unwrap_err()
        };
        assert!(refusal("swath.bundle", "7").contains("format 7, and this version of swath reads 1"));
        assert!(refusal("swath.form", "folded").contains("tensors are folded"));
        assert!(refusal("swath.pipeline", "[input").contains("unclosed table"));
        assert!(refusal("swath.pipeline", "").contains("one member"));
        let (one, word) = (&sound["swath.pipeline"], "[tiler]");
        assert!(refusal("swath.pipeline", &one.replace(word, "[tilr]")).contains("did you mean `tiler`?"));
        assert!(of(Path::new("x"), &Metadata::new()).unwrap().is_none());
        let said = bundle_summary(Path::new("x"), &sound).unwrap();
        assert_eq!(said, "smp/unet/resnet18, bands [`red`, `nir`], pixels of 0.5 m, classes water, bare soil, ship");
    }
}
