//! What a pipeline file means, checked: the part of a plan that a person wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::classes::ClassTable;
use super::file::{InputTable, MemberInputTable, MemberTable, PipelineFile, StrategyName, TilerTable};
use super::unknown_key;
use crate::raster::PixelType;
use crate::tiler::{Strategy, Tiling};
use crate::zoo::spec::{Network, NetworkSpec};

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
    /// It is no TOML, or has a key or a value that it may not have.
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
    /// Values that do not fit together.
    #[error("`{}`: {detail}", path.display())]
    Check {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        detail: String,
    },
}

/// How members are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Weighted mean of logits.
    #[default]
    Logits,
    /// Weighted mean of softmax probabilities, taken at full resolution.
    Probabilities,
}

/// Arithmetic of a member's forward pass. Sums and the argmax are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 on a CPU, f16 on a GPU.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// IEEE half.
    F16,
    /// Brain float.
    BF16,
}

/// Bits per pixel of the mask PNG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum MaskDepth {
    /// Values to 255.
    #[default]
    Eight,
    /// Values to 65535.
    Sixteen,
}

impl TryFrom<u8> for MaskDepth {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            8 => Ok(Self::Eight),
            16 => Ok(Self::Sixteen),
            other => Err(format!("masks have 8 or 16 bits, not {other}")),
        }
    }
}

impl From<MaskDepth> for u8 {
    fn from(depth: MaskDepth) -> Self {
        match depth {
            MaskDepth::Eight => 8,
            MaskDepth::Sixteen => 16,
        }
    }
}

/// How pixels become a network's input: `(pixel / divide - mean) / std` for each band.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputSpec {
    /// Bands counted from 1, in the network's order.
    pub bands: Vec<u32>,
    /// Divisor by pixel type; types that are not listed are refused.
    pub divide: BTreeMap<PixelType, f64>,
    /// Per band.
    pub mean: Vec<f64>,
    /// Per band.
    pub std: Vec<f64>,
}

/// Where a member's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// A weights file.
    File(PathBuf),
    /// Random numbers that follow from the seed: for demonstrations and tests.
    Seed(u64),
}

/// One network of the ensemble.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// Name in messages and reports; unique.
    pub name: String,
    /// The network.
    pub spec: NetworkSpec,
    /// Its weights; of a TorchScript network the program.
    pub weights: Weights,
    /// What the SHA-256 of that file must be, in lower case. A plan has the digest that was found.
    #[serde(skip)]
    pub sha256: Option<String>,
    /// Its share in the mean, before normalisation to a sum of 1.
    pub weight: f64,
    /// Arithmetic of its forward pass.
    pub precision: Precision,
    /// Its normalisation.
    pub input: InputSpec,
}

/// What is written per scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Outputs {
    /// Depth of the mask.
    pub mask_depth: MaskDepth,
    /// Whether a colour PNG is written beside it.
    pub color: bool,
}

/// A kind of stage result that a run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checkpoint {
    /// Class labels of every tile, before they become files.
    Labels,
    /// What each member's forward pass returned.
    MemberLogits,
}

/// What is done to a label map before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Post {
    /// Class by class, every component of other labels with fewer pixels takes the class; 0 or 1 leaves all as it is.
    pub fill_holes: u32,
}

impl Post {
    /// Whether it changes no map.
    pub const fn is_nothing(self) -> bool {
        self.fill_holes <= 1
    }
}

/// submit.zip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Folder inside the archive, empty for none.
    pub prefix: String,
    /// Whether `manifest.json` (names, sizes, digests) is added.
    pub manifest: bool,
}

/// A checked pipeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pipeline {
    /// How scenes are cut.
    pub tiling: Tiling,
    /// The ensemble, in the order of summation.
    pub members: Vec<Member>,
    /// How they are combined.
    pub combine: Combine,
    /// Tiles per forward pass.
    pub batch: u32,
    /// A band of a tiled scene that needs more bytes than this is cut into spans of columns.
    pub unit_max: u64,
    /// The classes.
    pub classes: ClassTable,
    /// What is done to label maps.
    pub post: Post,
    /// Files per scene.
    pub outputs: Outputs,
    /// The archive.
    pub package: Package,
    /// What is kept beside the outputs. It changes no byte of them, so it is no part of a plan's digest.
    #[serde(skip)]
    pub checkpoints: Vec<Checkpoint>,
}

impl Pipeline {
    /// Reads and checks a pipeline file, with `key=value` settings applied on top (`tiler.dilation=64`, `members.0.weight=2`).
    ///
    /// # Errors
    /// When the file cannot be read, holds an unknown key or a value out of range, or its parts contradict each other.
    pub fn load(path: &Path, settings: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let text = apply(path, text, settings)?;
        let file: PipelineFile = toml::from_str(&text).map_err(|e| parse_error(path, &text, settings, &e))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        check(file, folder).map_err(|detail| ConfigError::Check { path: path.into(), detail })
    }

    /// Every band that some member needs, ascending: what is read from a scene.
    pub fn bands(&self) -> Vec<u32> {
        let all: BTreeSet<u32> = self.members.iter().flat_map(|m| m.input.bands.iter().copied()).collect();
        all.into_iter().collect()
    }

    /// Weight of each member in the mean, summing to 1.
    pub fn shares(&self) -> Vec<f32> {
        let total: f64 = self.members.iter().map(|m| m.weight).sum();
        #[expect(clippy::cast_possible_truncation, reason = "a share of 1 rounded to f32 is what the sums use")]
        self.members.iter().map(|m| (m.weight / total) as f32).collect()
    }

    /// Number of classes, which is every member's number of output channels.
    pub fn n_classes(&self) -> usize {
        self.classes.classes().len()
    }
}

fn parse_error(path: &Path, text: &str, settings: &[String], error: &toml::de::Error) -> ConfigError {
    let line = |at: usize| text.get(..at).map_or(0, |head| head.matches('\n').count()) + 1;
    // With settings applied the text is no longer the file's.
    let at = match error.span() {
        Some(span) if settings.is_empty() => format!(", line {}", line(span.start)),
        _ => String::new(),
    };
    ConfigError::Parse { path: path.into(), at, detail: unknown_key::explain(error.message()) }
}

/// The text with the settings written into it.
fn apply(path: &Path, text: String, settings: &[String]) -> Result<String, ConfigError> {
    if settings.is_empty() {
        return Ok(text);
    }
    let mut root: toml::Value = toml::from_str(&text).map_err(|e| parse_error(path, &text, &[], &e))?;
    for setting in settings {
        set(&mut root, setting).map_err(|detail| ConfigError::Setting { setting: setting.clone(), detail })?;
    }
    toml::to_string(&root).map_err(|e| ConfigError::Check { path: path.into(), detail: e.to_string() })
}

fn set(root: &mut toml::Value, setting: &str) -> Result<(), String> {
    let (key, value) = setting.split_once('=').ok_or("write key=value, e.g. tiler.dilation=64")?;
    // A value is TOML; what is not (a bare word) is a string.
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok().and_then(|mut t| t.remove("value"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut place = root;
    let mut parts = key.trim().split('.').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        place = match place {
            toml::Value::Table(table) if last => {
                table.insert(part.to_owned(), value);
                return Ok(());
            }
            toml::Value::Table(table) => table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new())),
            toml::Value::Array(items) => {
                let n = items.len();
                let idx = part.parse::<usize>().map_err(|_| format!("`{part}` is not a position in a list of {n}"))?;
                let item = items.get_mut(idx).ok_or_else(|| format!("there is no entry {idx}; the list has {n}"))?;
                if last {
                    *item = value;
                    return Ok(());
                }
                item
            }
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => return Err(format!("there is nothing below `{part}`'s parent")),
        };
    }
    Err("the key is empty".into())
}

fn check(file: PipelineFile, folder: &Path) -> Result<Pipeline, String> {
    let classes = ClassTable::new(file.classes, file.nodata).map_err(|e| e.to_string())?;
    if file.outputs.mask_bits == MaskDepth::Eight && classes.max_value() > 255 {
        return Err(format!(
            "a class has value {}, more than 8 bits hold; set outputs.mask_bits = 16",
            classes.max_value()
        ));
    }
    if file.members.is_empty() {
        return Err("there are no [[members]]; an ensemble needs at least one".into());
    }
    if file.post.fill_holes > MAX_HOLE {
        return Err(format!("post.fill_holes is {}; it may be up to {MAX_HOLE} pixels", file.post.fill_holes));
    }
    if file.inference.batch == 0 {
        return Err("inference.batch is 0; it counts tiles per forward pass, from 1".into());
    }
    let mut members: Vec<Member> = Vec::new();
    for (idx, table) in file.members.into_iter().enumerate() {
        let name = table.name.clone().unwrap_or_else(|| format!("member{idx}"));
        if members.iter().any(|m| m.name == name) {
            return Err(format!("two members are called `{name}`"));
        }
        let n_classes = u32::try_from(classes.classes().len()).unwrap_or(u32::MAX);
        members
            .push(member(table, &name, &file.input, n_classes, folder).map_err(|e| format!("member `{name}`: {e}"))?);
    }
    if !members.iter().map(|m| m.weight).sum::<f64>().is_finite() {
        return Err("the members' weights are too large to be summed".into());
    }
    if !members.iter().any(|m| m.weight > 0.0) {
        return Err("all members have weight 0".into());
    }
    Ok(Pipeline {
        tiling: tiling(file.tiler)?,
        members,
        combine: file.inference.combine,
        batch: file.inference.batch,
        unit_max: file.inference.unit_max.0,
        classes,
        post: Post { fill_holes: file.post.fill_holes },
        outputs: Outputs { mask_depth: file.outputs.mask_bits, color: file.outputs.color },
        package: Package { prefix: file.package.prefix, manifest: file.package.manifest },
        checkpoints: file.checkpoints,
    })
}

/// Holes up to here: every class holds that many rows back.
const MAX_HOLE: u32 = 4096;

/// Centres up to here; beyond, a crop's pixel count would not fit the arithmetic of any network.
const MAX_CENTRE: u32 = 1 << 16;

fn tiling(table: TilerTable) -> Result<Tiling, String> {
    let in_range = |c: &u32| (1..=MAX_CENTRE).contains(c);
    let strategy = match table.strategy {
        StrategyName::Whole if table.whole_max == 0 => return Err("tiler: strategy `whole` needs whole_max".into()),
        StrategyName::Whole => Strategy::Whole,
        StrategyName::Adaptive => {
            let super::file::AdaptiveRule::MaxLast = table.rule;
            let centres = table.centres.ok_or("tiler: strategy `adaptive` needs centres, e.g. [1024, 960, 896]")?;
            if centres.is_empty() || !centres.iter().all(in_range) {
                return Err(format!("tiler: centres need one or more sizes of 1 to {MAX_CENTRE} pixels"));
            }
            Strategy::MaxLast { centres }
        }
        StrategyName::Fixed => {
            let centre = table.centre.ok_or("tiler: strategy `fixed` needs centre, e.g. 512")?;
            if !in_range(&centre) {
                return Err(format!("tiler: centre is {centre}; it may be 1 to {MAX_CENTRE} pixels"));
            }
            Strategy::Fixed { centre }
        }
    };
    if table.dilation > MAX_CENTRE || table.whole_max > MAX_CENTRE {
        return Err(format!("tiler: dilation and whole_max may be up to {MAX_CENTRE} pixels"));
    }
    Ok(Tiling { whole_max: table.whole_max, strategy, dilation: table.dilation, border: table.border })
}

fn member(table: MemberTable, name: &str, shared: &InputTable, classes: u32, folder: &Path) -> Result<Member, String> {
    let network = table.spec()?;
    let input = input(shared, table.input)?;
    let weights = match (table.weights, table.seed) {
        (Some(path), None) => Weights::File(folder.join(path)),
        (None, Some(seed)) => Weights::Seed(seed),
        (Some(_), Some(_)) => return Err("it has both `weights` and `seed`; keep one".into()),
        (None, None) if network.network == Network::Identity => Weights::Seed(0),
        (None, None) => return Err("it has neither `weights` (a file) nor `seed` (random weights)".into()),
    };
    let is_program = network.network == Network::TorchScript;
    match (is_program, &weights, table.trust, &table.sha256) {
        (true, Weights::File(_), true, Some(_)) => {}
        (true, Weights::Seed(_), ..) => return Err("a TorchScript program has weights of its own, no `seed`".into()),
        (true, ..) => {
            return Err("a TorchScript file is a program, which can do on this machine whatever you can; if you know where it comes \
                        from, write trust = true and sha256 = \"...\" (sha256sum FILE)"
                .into());
        }
        (false, _, true, _) => return Err("`trust` is for TorchScript programs; weights are data".into()),
        (false, Weights::Seed(_), _, Some(_)) => return Err("`sha256` is that of a file, and `seed` names none".into()),
        (false, ..) => {}
    }
    let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !table.sha256.iter().all(is_digest) {
        return Err("`sha256` has 64 hexadecimal digits, as `sha256sum FILE` prints them".into());
    }
    if !(table.weight.is_finite() && table.weight >= 0.0) {
        return Err(format!("its weight is {}; it must be 0 or more", table.weight));
    }
    let bands = u32::try_from(input.bands.len()).unwrap_or(u32::MAX);
    let spec = network.resolve(bands, Some(classes)).map_err(|e| e.to_string())?;
    Ok(Member {
        name: name.to_owned(),
        spec,
        weights,
        sha256: table.sha256.map(|digest| digest.to_ascii_lowercase()),
        weight: table.weight,
        precision: table.precision,
        input,
    })
}

fn input(shared: &InputTable, own: MemberInputTable) -> Result<InputSpec, String> {
    let spec = InputSpec {
        bands: own.bands.unwrap_or_else(|| shared.bands.clone()),
        divide: own.divide.unwrap_or_else(|| shared.divide.clone()),
        mean: own.mean.unwrap_or_else(|| shared.mean.clone()),
        std: own.std.unwrap_or_else(|| shared.std.clone()),
    };
    let n = spec.bands.len();
    if n == 0 || spec.bands.contains(&0) {
        return Err("input.bands counts bands from 1, e.g. [1, 2, 3]".into());
    }
    if spec.mean.len() != n || spec.std.len() != n {
        return Err(format!("input has {n} bands, {} means and {} stds", spec.mean.len(), spec.std.len()));
    }
    if !spec.mean.iter().all(|m| m.is_finite()) || !spec.std.iter().all(|s| s.is_finite() && *s > 0.0) {
        return Err("input.mean must be finite and input.std above 0".into());
    }
    if spec.divide.is_empty() || !spec.divide.values().all(|d| d.is_finite() && *d != 0.0) {
        return Err("input.divide needs a pixel type with a number other than 0, e.g. { u8 = 255 }".into());
    }
    Ok(spec)
}
