//! Where pairs lie: the layouts that people have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::config::data::Data;
use crate::words::absolute;

/// Extensions of images, and of masks.
pub(crate) const IMAGES: [&str; 6] = ["tif", "tiff", "png", "jpg", "jpeg", "vrt"];
const MASKS: [&str; 3] = ["png", "tif", "tiff"];

/// What stands for the name of a pair in a path.
const NAME: &str = "{}";

/// Folders of parts, and the part.
const PARTS: [(&str, Part); 4] =
    [("train", Part::Train), ("val", Part::Val), ("valid", Part::Val), ("test", Part::Test)];

/// An image with its mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Relative path without extension, with `/`; unique within a part.
    pub name: String,
    /// The image; several files where each band has its own.
    pub images: Vec<PathBuf>,
    /// The file with the true classes.
    pub mask: PathBuf,
    /// What it is for.
    pub part: Part,
    /// How much its labels count in training, against 1 of others.
    pub weight: f64,
}

impl Pair {
    /// What messages and `--exclude` call it: `train/a`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.part, self.name)
    }
}

/// What a pair is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Nobody has said.
    All,
    /// To be trained on.
    Train,
    /// To choose by.
    Val,
    /// To be looked at once.
    Test,
    /// One of several parts, each to be left out once.
    Fold(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Train => f.write_str("train"),
            Self::Val => f.write_str("val"),
            Self::Test => f.write_str("test"),
            Self::Fold(number) => write!(f, "fold{number}"),
        }
    }
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fold = text.strip_prefix("fold").and_then(|number| number.parse().ok()).map(Self::Fold);
        let named = PARTS.iter().find(|(name, _)| *name == text).map(|(_, part)| *part);
        let all = (text == "all").then_some(Self::All);
        named
            .or(fold)
            .or(all)
            .ok_or_else(|| format!("`{text}` is no part; write train, val, test, all or fold0, fold1, ..."))
    }
}

/// A file that is in no pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// The file.
    pub path: PathBuf,
    /// Why it is in no pair.
    pub cause: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// In order of part and name.
    pub pairs: Vec<Pair>,
    /// Images without a mask and the like.
    pub strays: Vec<Stray>,
}

/// Why there are no pairs.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A folder or list cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line of a list, or another description, is none.
    #[error("`{}`: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nothing there looks like labelled scenes.
    #[error(
        "`{}` holds no labelled scenes: looked for `{images}` and `{masks}` in it and in train, val and test below it, for nnU-Net's \
         imagesTr and labelsTr, and it is no list; set data.images and data.masks (a folder each, or a path in which {{}} is the name)",
        path.display()
    )]
    Nothing {
        /// Where.
        path: PathBuf,
        /// `data.images`.
        images: String,
        /// `data.masks`.
        masks: String,
    },
}

/// Finds the pairs of a folder or of a list.
///
/// # Errors
/// When it cannot be read, or there is no pair.
pub fn find(root: &Path, data: &Data) -> Result<Found, DatasetError> {
    let is_file = std::fs::metadata(root).map_err(|e| unreadable(root, e))?.is_file();
    let mut found = Found::default();
    if is_file {
        list(root, &mut found)?;
    } else if root.join("imagesTr").is_dir() {
        nn_unet(root, &mut found)?;
    } else {
        let parts = PARTS.iter().map(|(folder, part)| (root.join(folder), *part));
        for (folder, part) in parts.chain([(root.to_owned(), Part::All)]) {
            if folder.is_dir() {
                folders(&folder, data, part, &mut found)?;
            }
        }
    }
    if found.pairs.is_empty() {
        let (path, images, masks) = (root.to_owned(), data.images.clone(), data.masks.clone());
        return Err(DatasetError::Nothing { path, images, masks });
    }
    found.pairs.sort_by(|a, b| (a.part, &a.name).cmp(&(b.part, &b.name)));
    Ok(found)
}

/// Leaves pairs out that a list names, one on each line: by name, with or without the part before it, or by a file of the pair. What is in
/// the list and no pair is among the strays.
///
/// # Errors
/// When the list cannot be read, or no pair is left.
pub fn exclude(found: &mut Found, list: &Path) -> Result<(), DatasetError> {
    let text = std::fs::read_to_string(list).map_err(|e| unreadable(list, e))?;
    let canonical = |path: &Path| path.canonicalize().ok();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        // Where a path is relative, to the list or to where one is.
        let beside = list.parent().unwrap_or(Path::new("")).join(line);
        let files: Vec<PathBuf> = [Path::new(line), &beside].into_iter().filter_map(canonical).collect();
        let is_named = |pair: &Pair| pair.name == line || pair.full_name() == line;
        let is_file = |file: &PathBuf| canonical(file).is_some_and(|file| files.contains(&file));
        let before = found.pairs.len();
        found.pairs.retain(|pair| {
            !is_named(pair) && (files.is_empty() || !pair.images.iter().chain([&pair.mask]).any(is_file))
        });
        if found.pairs.len() == before {
            let cause = format!("`{line}`, which it is to leave out, is no pair");
            found.strays.push(Stray { path: list.to_owned(), cause });
        }
    }
    if found.pairs.is_empty() {
        return Err(DatasetError::Form { path: list.to_owned(), reason: "it leaves every pair out".to_owned() });
    }
    Ok(())
}

/// Two folders, or two paths with a name in them.
fn folders(root: &Path, data: &Data, part: Part, found: &mut Found) -> Result<(), DatasetError> {
    let images = named(root, &data.images, &IMAGES, &mut found.strays)?;
    let mut masks = named(root, &data.masks, &MASKS, &mut found.strays)?;
    for (name, image) in images {
        match masks.remove(&name) {
            Some(mask) => found.pairs.push(Pair { name, images: vec![image], mask, part, weight: 1.0 }),
            None => found.strays.push(Stray { path: image, cause: "an image without a mask".into() }),
        }
    }
    let alone = |mask| Stray { path: mask, cause: "a mask without an image".into() };
    found.strays.extend(masks.into_values().map(alone));
    Ok(())
}

/// The files of a folder, or those whose path has a name in it, by name.
fn named(
    root: &Path,
    place: &str,
    extensions: &[&str],
    strays: &mut Vec<Stray>,
) -> Result<BTreeMap<String, PathBuf>, DatasetError> {
    let (folder, template) = match place.split_once(NAME) {
        Some(template) => (root.to_owned(), Some(template)),
        None => (root.join(place), None),
    };
    let mut files = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in WalkDir::new(&folder).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|e| unreadable(&folder, e.into()))?;
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let relative = path.strip_prefix(&folder).unwrap_or(path);
        let name = match template {
            Some((before, after)) => between(&slashed(relative), before, after),
            None => extension_of(path)
                .filter(|own| extensions.contains(&own.as_str()))
                .map(|_| slashed(&relative.with_extension(""))),
        };
        let Some(name) = name.filter(|_| entry.file_type().is_file() && !is_hidden) else { continue };
        match files.get(&name) {
            None => drop(files.insert(name, path.to_owned())),
            Some(_) => {
                strays.push(Stray { path: path.to_owned(), cause: format!("another file has the name `{name}`") })
            }
        }
    }
    Ok(files)
}

/// What lies between the two in a text.
fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let name = text.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn extension_of(path: &Path) -> Option<String> {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

fn slashed(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// A path without its root and without what leads out of a folder: masks and links lie under the name of a pair.
fn inside(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

fn unreadable(path: &Path, source: std::io::Error) -> DatasetError {
    DatasetError::Read { path: path.to_owned(), source }
}

/// A list: image, mask and perhaps the part and a weight on each line, a tab or comma between them; relative paths are relative to the list.
fn list(file: &Path, found: &mut Found) -> Result<(), DatasetError> {
    let text = std::fs::read_to_string(file).map_err(|e| unreadable(file, e))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut names = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let cells: Vec<&str> = line.split(if line.contains('\t') { '\t' } else { ',' }).map(str::trim).collect();
        // A file may well be called `images/a.tif`.
        let is_head =
            number == 1 && cells[0].to_lowercase().starts_with("image") && !cells[0].contains(['/', '\\', '.']);
        if line.is_empty() || line.starts_with('#') || is_head {
            continue;
        }
        let form =
            |reason: String| DatasetError::Form { path: file.to_owned(), reason: format!("line {number}: {reason}") };
        let (image, mask, part, weight) = match cells[..] {
            [image, mask] => (image, mask, Part::All, 1.0),
            [image, mask, part] => (image, mask, part.parse().map_err(form)?, 1.0),
            [image, mask, part, weight] => (image, mask, part.parse().map_err(form)?, weight_of(weight).map_err(form)?),
            _ => {
                let text =
                    "write image, mask and perhaps the part and its labels' weight, with tabs or commas between them";
                return Err(form(text.into()));
            }
        };
        let name = slashed(&inside(&Path::new(image).with_extension("")));
        if !names.insert((part, name.clone())) {
            return Err(form(format!("`{image}` is there twice")));
        }
        found.pairs.push(Pair { name, images: vec![folder.join(image)], mask: folder.join(mask), part, weight });
    }
    Ok(())
}

fn weight_of(text: &str) -> Result<f64, String> {
    let weight = text.parse().ok().filter(|weight: &f64| weight.is_finite() && *weight > 0.0);
    weight.ok_or_else(|| format!("`{text}` is no weight; write a number above 0, 1 for labels that count in full"))
}

/// A list that [`find`] takes, with paths that hold from anywhere.
///
/// # Errors
/// When a pair has a file for each channel.
pub(crate) fn listed<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> Result<String, String> {
    let mut text = "image\tmask\tpart\tweight\n".to_owned();
    for pair in pairs {
        let [image] = pair.images.as_slice() else {
            return Err(format!("`{}` has a file for each channel, which no list can name", pair.name));
        };
        text += &format!(
            "{}\t{}\t{}\t{}\n",
            absolute(image).display(),
            absolute(&pair.mask).display(),
            pair.part,
            pair.weight
        );
    }
    Ok(text)
}

/// nnU-Net's raw layout: a file for each channel, `NAME_0000`, and one mask.
fn nn_unet(root: &Path, found: &mut Found) -> Result<(), DatasetError> {
    for (images, masks, part) in [("imagesTr", "labelsTr", Part::All), ("imagesTs", "labelsTs", Part::Test)] {
        let channels = named(root, images, &IMAGES, &mut found.strays)?;
        let mut masks = named(root, masks, &MASKS, &mut found.strays)?;
        let mut cases: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for (name, file) in channels {
            let case = name
                .rsplit_once('_')
                .filter(|(_, number)| number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()));
            match case {
                Some((case, number)) if number.parse() == Ok(cases.get(case).map_or(0, Vec::len)) => {
                    cases.entry(case.to_owned()).or_default().push(file);
                }
                Some(_) => found.strays.push(Stray { path: file, cause: "channels count 0000, 0001, 0002 ...".into() }),
                None => found.strays.push(Stray { path: file, cause: "an image that is no channel, NAME_0000".into() }),
            }
        }
        for (name, images) in cases {
            match masks.remove(&name) {
                Some(mask) => found.pairs.push(Pair { name, images, mask, part, weight: 1.0 }),
                None if part == Part::Test => {}
                None => {
                    let cause = "an image without a mask".to_owned();
                    found.strays.extend(images.into_iter().take(1).map(|path| Stray { path, cause: cause.clone() }));
                }
            }
        }
        found.strays.extend(masks.into_values().map(|path| Stray { path, cause: "a mask without an image".into() }));
    }
    Ok(())
}
