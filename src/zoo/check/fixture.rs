//! What a folder of parity fixtures holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;
use tch::Tensor;

use crate::zoo::seed;
use crate::zoo::spec::{NetworkSpec, SpecTable};

/// A folder of fixtures: `manifest.json`, and for each network `NAME.safetensors` and `NAME.keys.json`.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    entries: Vec<Value>,
}

/// Why a fixture could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file is missing or is not what it should be.
    #[error("cannot read the fixture file `{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The fixture is no network with inputs and outputs.
    #[error("`{name}` is of the kind {kind}")]
    OtherKind {
        /// The fixture.
        name: String,
        /// What it is.
        kind: String,
    },
}

/// A network's fixture.
pub(super) struct Fixture {
    entry: Entry,
    keys: Keys,
    file: Vec<u8>,
    path: PathBuf,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    spec: Value,
    cases: Vec<Case>,
}

/// An input and what the reference made of it.
#[derive(Deserialize)]
pub(super) struct Case {
    input: Vec<i64>,
    pub(super) outputs: BTreeMap<String, OutputFacts>,
}

/// What is known of an output.
#[derive(Deserialize)]
pub(super) struct OutputFacts {
    pub(super) shape: Vec<i64>,
    pub(super) saved_stride: i64,
    pub(super) rms: f64,
    pub(super) max_abs_diff_f64: Option<f64>,
}

/// The weights of a fixture's network.
#[derive(Deserialize)]
pub(crate) struct Keys {
    seed: u64,
    /// Name, dtype, shape, kind, exponent.
    keys: Vec<(String, String, Vec<usize>, String, i32)>,
}

#[derive(Deserialize)]
struct Manifest {
    fixtures: Vec<Value>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, CheckError> {
        let manifest: Manifest = json(&path.join("manifest.json"))?;
        Ok(Self { path: path.to_owned(), entries: manifest.fixtures })
    }

    /// Names of the fixtures in the manifest's order.
    pub fn names(&self) -> Vec<String> {
        self.entries.iter().filter_map(|e| Some(e.get("name")?.as_str()?.to_owned())).collect()
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|e| e.get("name").and_then(Value::as_str) == Some(name))
    }

    /// The weights files of a fixture that has no network, and the safetensors file of what is in them. The files of a folder that is no
    /// collection of whole files are one.
    pub(super) fn containers(&self, name: &str) -> Option<(Vec<PathBuf>, PathBuf)> {
        let entry = self.find(name)?;
        let kind = entry.get("kind")?.as_str()?;
        let files: Vec<&str> = entry.get("files")?.as_object()?.keys().map(String::as_str).collect();
        let is_expected = |file: &&&str| file.ends_with(".safetensors");
        let expected = self.path.join(files.iter().find(is_expected)?);
        let containers: Vec<PathBuf> = match kind {
            "checkpoint containers" => {
                files.iter().filter(|file| !is_expected(file)).map(|file| self.path.join(file)).collect()
            }
            "compress" => vec![self.path.join(files.iter().find_map(|file| file.split_once('/'))?.0)],
            _ => return None,
        };
        Some((containers, expected))
    }

    /// What the manifest says of a fixture, as far as it is a `T`.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn entry<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<T, String> {
        T::deserialize(self.find(name).unwrap_or(&Value::Null)).map_err(|e| format!("`manifest.json` of `{name}`: {e}"))
    }

    /// The file `NAME.json` of a fixture.
    ///
    /// # Errors
    /// When it cannot be read as a `T`.
    pub(crate) fn facts<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<T, String> {
        json(&self.path.join(format!("{name}.json"))).map_err(|e| e.to_string())
    }

    /// The tensors of a fixture by name, each of its own type.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn tensors(&self, name: &str) -> Result<BTreeMap<String, Tensor>, String> {
        let path = self.path.join(format!("{name}.safetensors"));
        let tensors = Tensor::read_safetensors(&path).map_err(|e| broken(&path, e.to_string()).to_string())?;
        Ok(tensors.into_iter().collect())
    }

    pub(super) fn fixture(&self, name: &str) -> Result<Fixture, CheckError> {
        let manifest = self.path.join("manifest.json");
        let entry = self.find(name).ok_or_else(|| broken(&manifest, format!("it has no fixture `{name}`")))?;
        if entry.get("cases").is_none() || entry.get("spec").is_none() {
            let kind = entry.get("kind").and_then(Value::as_str).unwrap_or("unknown").to_owned();
            return Err(CheckError::OtherKind { name: name.to_owned(), kind });
        }
        let entry = Entry::deserialize(entry).map_err(|e| broken(&manifest, format!("`{name}`: {e}")))?;
        // A value that this build does not know is worth its name more than a missing file.
        SpecTable::deserialize(&entry.spec).map_err(|e| broken(&manifest, format!("`{name}`: {e}")))?;
        let keys = json(&self.path.join(format!("{name}.keys.json")))?;
        let path = self.path.join(format!("{name}.safetensors"));
        let file = std::fs::read(&path).map_err(|e| broken(&path, e.to_string()))?;
        Ok(Fixture { entry, keys, file, path })
    }

    /// The reference's own activations of case 0 of a fixture, if the folder has them.
    pub(super) fn taps(&self, name: &str) -> Result<Vec<Tap>, CheckError> {
        #[derive(Deserialize)]
        struct Taps {
            taps: Vec<Tap>,
        }
        json::<Taps>(&self.path.join(format!("{name}.taps.json"))).map(|t| t.taps)
    }
}

/// Module, type, shape, mean, root mean square, first values.
pub(super) type Tap = (String, String, Vec<i64>, f64, f64, Vec<f64>);

impl Keys {
    /// Names and shapes of the weights by order of name, without batch counters.
    pub(super) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let rows = self.keys.iter().filter(|row| row.3 != "nbt");
        let mut shapes: Vec<_> = rows.map(|row| (row.0.clone(), row.2.clone())).collect();
        shapes.sort();
        shapes
    }

    /// The values of a weight by the seeded rule.
    pub(super) fn fill(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let exponent = self.keys.iter().find(|row| row.0 == name).map_or(0, |row| row.4);
        seed::fill(self.seed, name, shape, exponent)
    }
}

impl Fixture {
    /// The network that it is of.
    pub(super) fn spec(&self) -> Result<NetworkSpec, String> {
        let table = SpecTable::deserialize(&self.entry.spec).map_err(|e| e.to_string())?;
        let bands = self.entry.cases.first().and_then(|c| c.input.get(1)).copied().unwrap_or(3);
        table.resolve(u32::try_from(bands).unwrap_or(0), None).map_err(|e| e.to_string())
    }

    pub(super) fn cases(&self) -> &[Case] {
        &self.entry.cases
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// An input or output.
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor, String> {
        let broken = |reason: String| broken(&self.path, reason).to_string();
        let tensors = SafeTensors::deserialize(&self.file).map_err(|e| broken(e.to_string()))?;
        let view = tensors.tensor(name).map_err(|e| broken(format!("`{name}`: {e}")))?;
        if view.dtype() != Dtype::F32 {
            return Err(broken(format!("`{name}` of `{}` is {:?}, not F32", self.entry.name, view.dtype())));
        }
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        Tensor::f_from_slice(&values).and_then(|t| t.f_reshape(shape)).map_err(|e| broken(e.to_string()))
    }
}

fn broken(path: &Path, reason: String) -> CheckError {
    CheckError::File { path: path.to_owned(), reason }
}

fn json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, CheckError> {
    let text = std::fs::read(path).map_err(|e| broken(path, e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| broken(path, e.to_string()))
}
