//! The text of a pipeline file with the settings of the command line on top, and which of the two is to blame for a fault.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::bundle;
use super::fault::{self, Fault};
use super::file::PipelineFile;
use crate::weights::{self, Format, WeightsError};

/// Why a pipeline file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the pipeline file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML, has a key or a value that it may not have, or values that do not fit together.
    #[error("`{}`{at}: {detail}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// ", line 12", where known.
        at: String,
        /// What is wrong.
        detail: String,
    },
    /// A `--set` that does not apply.
    #[error("--set {setting}: {detail}")]
    Setting {
        /// As given.
        setting: String,
        /// What is wrong.
        detail: String,
    },
    /// A weights file in place of a pipeline file cannot be read.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// The same as of a pipeline, where weights are to blame: they contradict it, or cannot be used as what they say they are.
    #[error(transparent)]
    Weights(Box<ConfigError>),
}

impl ConfigError {
    /// The same, where weights are to blame.
    pub(super) fn of_weights(self) -> Self {
        if matches!(self, Self::Weights(_)) { self } else { Self::Weights(Box::new(self)) }
    }
}

/// A pipeline file as text.
pub(super) struct Source<'a> {
    path: &'a Path,
    text: String,
    /// Whether it is in a weights file.
    is_bundle: bool,
}

impl<'a> Source<'a> {
    /// Reads the file, or what a weights file has in place of one.
    ///
    /// # Errors
    /// When it cannot be read, or is neither text nor a bundle.
    pub(super) fn read(path: &'a Path) -> Result<Self, ConfigError> {
        let is_bundle = Format::is_weights(path);
        let read = || std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source });
        let text = if is_bundle { bundled(path)? } else { read()? };
        Ok(Self { path, text, is_bundle })
    }

    /// What it holds, with the settings applied.
    ///
    /// # Errors
    /// When it is no TOML, or a setting names a place that cannot be.
    pub(super) fn with(&self, settings: &[String]) -> Result<Value, ConfigError> {
        let table: toml::Table = toml::from_str(&self.text).map_err(|e| {
            let at = e.span().map(|span| span.start);
            self.error(at, e.message().trim().replace('\n', ", "))
        })?;
        let mut root = Value::Table(table);
        if self.is_bundle {
            let own = self.path.file_name().map_or(self.path, Path::new);
            bundle::name_weights(&mut root, own).map_err(|detail| self.error(None, detail))?;
        }
        for setting in settings {
            set(&mut root, setting).map_err(|detail| ConfigError::Setting { setting: setting.clone(), detail })?;
        }
        Ok(root)
    }

    /// The error for a fault that comes with these settings. `alone` is what comes of the file without them: what it has by itself is no
    /// setting's fault.
    pub(super) fn blame(&self, fault: Fault, settings: &[String], alone: Result<(), Fault>) -> ConfigError {
        let is_files_own = alone.as_ref().err() == Some(&fault);
        let of_key = || settings.iter().rev().find(|setting| overlap(key_of(setting), &fault.key));
        let of_any = || settings.last().filter(|_| alone.is_ok());
        let of_weights = fault.of_weights;
        let error = match of_key().or_else(of_any).filter(|_| !is_files_own) {
            Some(setting) => ConfigError::Setting { setting: setting.clone(), detail: fault.detail },
            None => self.error(self.place(&fault.key), fault.detail),
        };
        if of_weights { error.of_weights() } else { error }
    }

    /// An error of the file, at a byte of its text where that is known.
    fn error(&self, at: Option<usize>, detail: String) -> ConfigError {
        let line = |at: usize| self.text.get(..at).map_or(0, |head| head.matches('\n').count()) + 1;
        let whose = if self.is_bundle { " of its pipeline" } else { "" };
        let at = at.map_or_else(String::new, |at| format!(", line {}{whose}", line(at)));
        let error = ConfigError::Parse { path: self.path.into(), at, detail };
        if self.is_bundle { error.of_weights() } else { error }
    }

    /// Where a key is in the text, or else the table that it would be in.
    fn place(&self, key: &str) -> Option<usize> {
        let parts: Vec<&str> = key.split('.').collect();
        place_in(DeTable::parse(&self.text).ok()?.get_ref(), &parts)
    }
}

/// The text of the pipeline file in a weights file.
///
/// # Errors
/// When the file cannot be read or is no bundle that this program understands.
pub(super) fn bundled(file: &Path) -> Result<String, ConfigError> {
    let refused = |detail| ConfigError::Parse { path: file.to_owned(), at: String::new(), detail };
    let metadata = weights::metadata(file)?;
    match bundle::embedded(&metadata) {
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

fn place_in(table: &DeTable<'_>, parts: &[&str]) -> Option<usize> {
    let (first, rest) = parts.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    place_below(value.get_ref(), rest).or(Some(key.span().start))
}

fn place_below(value: &DeValue<'_>, parts: &[&str]) -> Option<usize> {
    match value {
        DeValue::Table(table) => place_in(table, parts),
        DeValue::Array(items) => {
            let (first, rest) = parts.split_first()?;
            let item = items.get(first.parse::<usize>().ok()?)?;
            place_below(item.get_ref(), rest).or(Some(item.span().start))
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            None
        }
    }
}

/// The tables of a file.
///
/// # Errors
/// When a key is unknown, or a value is of another kind than its key takes.
pub(super) fn tables(root: &Value) -> Result<PipelineFile, Fault> {
    check_shapes(root)?;
    deserialize(root).map_err(|(key, message)| {
        // What an enumeration takes, it says only of an unknown name.
        let variants = || {
            let mut probe = root.clone();
            let replaced = place_of(&mut probe, &key).map(|value| *value = Value::String("?".to_owned()));
            let refused = replaced.and_then(|()| deserialize(&probe).err());
            refused.filter(|(at, _)| *at == key).map(|(_, message)| fault::variants(&message)).unwrap_or_default()
        };
        Fault::explain(root, &key, &message, variants)
    })
}

/// The tables, or the key that is at fault and what serde says of it.
fn deserialize(root: &Value) -> Result<PipelineFile, (String, String)> {
    use serde_path_to_error::{Deserializer, Segment, Track};
    let mut track = Track::new();
    let parsed = PipelineFile::deserialize(Deserializer::new(root.clone(), &mut track));
    parsed.map_err(|error| {
        let part = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } | Segment::Enum { variant: key } => Some(key.clone()),
            Segment::Unknown => None,
        };
        let key = track.path().iter().filter_map(part).collect::<Vec<_>>().join(".");
        (key, error.message().to_owned())
    })
}

/// serde takes a list for a table and tells of its elements; nobody who forgot a bracket would understand that.
fn check_shapes(root: &Value) -> Result<(), Fault> {
    let top = root.as_table().into_iter().flatten();
    for (key, value) in top {
        if value.is_table() && fault::is_list(key) {
            return Err(Fault::shape(key, true));
        }
        if value.is_array() && !fault::is_list(key) && key != "checkpoints" {
            return Err(Fault::shape(key, false));
        }
    }
    let members = root.get("members").and_then(Value::as_array).into_iter().flatten();
    for (idx, member) in members.enumerate() {
        if member.get("input").is_some_and(Value::is_array) {
            return Err(Fault::value(format!("members.{idx}.input"), "a list", "a table, e.g. { bands = [4, 3, 2] }"));
        }
    }
    Ok(())
}

/// The place of an existing key.
fn place_of<'a>(root: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.').filter(|part| !part.is_empty()).try_fold(root, |place, part| match place {
        Value::Table(table) => table.get_mut(part),
        Value::Array(items) => part.parse::<usize>().ok().and_then(|idx| items.get_mut(idx)),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => None,
    })
}

fn key_of(setting: &str) -> &str {
    setting.split_once('=').map_or(setting, |(key, _)| key).trim()
}

/// Whether one key is the other, or below it.
fn overlap(a: &str, b: &str) -> bool {
    let is_below = |low: &str, high: &str| {
        !high.is_empty() && low.strip_prefix(high).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    is_below(a, b) || is_below(b, a)
}

fn set(root: &mut Value, setting: &str) -> Result<(), String> {
    let parts = setting.split_once('=').filter(|(key, _)| !key.trim().is_empty());
    let (key, value) = parts.ok_or("write key=value, e.g. tiler.dilation=64")?;
    // A value is TOML; what is not (a bare word) is a string.
    let value = value.trim().parse().unwrap_or_else(|_| Value::String(value.to_owned()));
    let mut place = root;
    let mut so_far: Vec<&str> = Vec::new();
    let mut parts = key.trim().split('.').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let above = so_far.join(".");
        so_far.push(part);
        place = match place {
            Value::Table(table) if last => {
                table.insert(part.to_owned(), value);
                return Ok(());
            }
            Value::Table(table) => table.entry(part).or_insert_with(|| Value::Table(toml::Table::new())),
            Value::Array(items) => {
                let item = item(items, &above, part)?;
                if last {
                    *item = value;
                    return Ok(());
                }
                item
            }
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                return Err(format!("`{above}` is a value and has nothing below it"));
            }
        };
    }
    Err("the key is empty".into())
}

fn item<'a>(items: &'a mut [Value], list: &str, part: &str) -> Result<&'a mut Value, String> {
    let n = items.len();
    let first = "positions count from 0";
    let idx = part
        .parse::<usize>()
        .map_err(|_| format!("`{list}` is a list of {n}, and `{part}` is no position in it; {first}, e.g. {list}.0"))?;
    items.get_mut(idx).ok_or_else(|| format!("there is no `{list}.{idx}`; the list has {n}, and {first}"))
}
