//! Bundles: weights files that say what they are. The metadata of one holds a whole pipeline file, whose one member has the file's own
//! weights, so that it stands wherever a pipeline file does, and a member needs its path alone.
//!
//! [`metadata`] makes it of a checked pipeline with every key written out, so that no other default or preset ever changes what it means.
//! `load.rs` reads it, and where it is a member's weights, `agree.rs` gives what the pipeline leaves out and refuses what says otherwise.

use std::path::Path;

use toml::{Table, Value};

use super::classes::ClassTable;
use super::data::Data;
use super::pipeline::{InputSpec, Member, Pipeline, Reading};
use super::post::Post;
use crate::raster::Drivers;
use crate::weights::{FORM_KEY, Metadata};
use crate::zoo::spec::Choice;

/// The key of the format, and the one that there is.
const FORMAT_KEY: (&str, &str) = ("swath.bundle", "1");
/// The key of the pipeline file.
const PIPELINE_KEY: &str = "swath.pipeline";
/// The key of what the training says of itself, as JSON.
const TRAINING_KEY: &str = "swath.training";
const MIB: u64 = 1 << 20;

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

/// The pipeline file in a weights file, if there is one.
///
/// # Errors
/// When it is for another version or program.
pub(super) fn embedded(metadata: &Metadata) -> Result<Option<&str>, String> {
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
/// When that has not one member, or names other weights. What comes along with a file is not trusted to run.
pub(super) fn name_weights(root: &mut Value, file: &Path) -> Result<(), String> {
    let member = match root.get_mut("members").and_then(Value::as_array_mut).map(Vec::as_mut_slice) {
        Some([Value::Table(member)]) => member,
        _ => return Err("a bundle has one member".to_owned()),
    };
    if let Some(key) = ["weights", "seed", "sha256", "trust"].into_iter().find(|key| member.contains_key(*key)) {
        return Err(format!("`members.0.{key}` has no place in a bundle"));
    }
    member.insert("weights".to_owned(), Value::String(file.display().to_string()));
    Ok(())
}

/// The pipeline file, in the order in which a person would write it.
fn text(pipeline: &Pipeline, member: &Member) -> Result<String, toml::ser::Error> {
    // What is new in a pipeline is inference's concern or not: that is for here to say.
    let Pipeline {
        tiling,
        reading,
        members: _,
        // In its table.
        combine: _,
        views: _,
        batch: _,
        unit_max: _,
        classes,
        post,
        outputs,
        package: _,
        train: _,
        checkpoints: _,
        data,
    } = pipeline;
    let InputSpec { bands, divide, mean, std } = &member.input;
    let divide: Table = divide.iter().map(|(dtype, by)| (dtype.to_string(), (*by).into())).collect();
    let mut input = keys([
        ("bands", Value::try_from(bands)?),
        ("divide", divide.into()),
        ("mean", Value::try_from(mean)?),
        ("std", Value::try_from(std)?),
    ]);
    // What may be opened is for who has the scenes to say.
    input.extend(Table::try_from(Reading { drivers: Drivers::default(), ..*reading })?);
    let mut sections = vec![
        ("input", Value::Table(input)),
        ("tiler", Value::try_from(tiling)?),
        ("inference", Value::Table(inference_table(pipeline)?)),
        ("members", Value::Array(vec![Value::Table(member_table(member)?)])),
        ("post", Value::Table(post_table(post, classes)?)),
        ("outputs", Value::try_from(outputs)?),
        ("data", Value::Table(data_table(data)?)),
        ("classes", Value::try_from(classes.classes())?),
    ];
    if let Some(nodata) = classes.nodata() {
        sections.push(("nodata", Value::try_from(nodata)?));
    }
    written(sections)
}

/// The pipeline file of bundles together, each by name and by its path from the folder of that file. What they say themselves is left to
/// them.
///
/// # Errors
/// When a number is none that TOML can hold.
pub fn ensemble(pipeline: &Pipeline, files: &[(String, String)]) -> Result<String, toml::ser::Error> {
    let member = |(name, file): &(String, String)| {
        Value::Table(keys([("name", name.as_str().into()), ("weights", file.as_str().into())]))
    };
    written([
        ("members", Value::Array(files.iter().map(member).collect())),
        ("inference", Value::Table(inference_table(pipeline)?)),
        ("post", Value::Table(post_table(&pipeline.post, &pipeline.classes)?)),
        ("outputs", Value::try_from(pipeline.outputs)?),
        ("data", Value::Table(data_table(&pipeline.data)?)),
    ])
}

fn written<'a>(sections: impl IntoIterator<Item = (&'a str, Value)>) -> Result<String, toml::ser::Error> {
    let sections = sections.into_iter().map(|section| toml::to_string(&keys([section])));
    Ok(sections.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn inference_table(pipeline: &Pipeline) -> Result<Table, toml::ser::Error> {
    let Pipeline { combine, views, batch, unit_max, .. } = pipeline;
    Ok(keys([
        ("combine", Value::try_from(combine)?),
        ("views", Value::try_from(views)?),
        ("batch", Value::try_from(batch)?),
        ("unit_max", if unit_max % MIB == 0 { format!("{}MiB", unit_max / MIB) } else { unit_max.to_string() }.into()),
    ]))
}

fn data_table(data: &Data) -> Result<Table, toml::ser::Error> {
    let mut table = keys([("labels", Value::try_from(data.labels)?), ("remap", Value::try_from(&data.remap)?)]);
    if data.remap.is_empty() {
        table.remove("remap");
    }
    Ok(table)
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
