//! Which files are compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::labels::EXTENSIONS;
use super::{EvalError, PairFiles, Pairs};

/// The class masks of one side.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Relative path without extension: relative path, and the file.
    pub(crate) files: BTreeMap<PathBuf, (String, PathBuf)>,
    /// Files beside one of the same name and another extension, which is taken instead.
    pub(crate) beside: Vec<String>,
}

impl Listing {
    fn of_file(path: &Path, stem: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { files: [(stem.to_owned(), (name, path.to_owned()))].into(), beside: Vec::new() }
    }

    /// Adds a file; of two with one stem the one with the preferred extension stays.
    fn add(&mut self, name: &Path, path: PathBuf) {
        let (stem, shown) = (name.with_extension(""), slashed(name));
        let rank = |path: &Path| EXTENSIONS.iter().position(|known| has_extension(path, known));
        match self.files.get(&stem) {
            Some((other, there)) if rank(there) <= rank(&path) => {
                self.beside.push(format!("{shown} beside {other}"));
            }
            Some((other, _)) => {
                self.beside.push(format!("{other} beside {shown}"));
                self.files.insert(stem, (shown, path));
            }
            None => drop(self.files.insert(stem, (shown, path))),
        }
    }
}

/// Pairs the PNGs and GeoTIFFs below two folders that have the same relative path, extensions aside, or two files. Hidden ones are no masks.
///
/// # Errors
/// When a folder cannot be listed, or there is no pair.
pub fn pairs_of(masks: &Path, truth: &Path) -> Result<Pairs, EvalError> {
    let (mut own, other) = listings(masks, truth)?;
    let (n_masks, n_truth) = (own.files.len(), other.files.len());
    let mut found = Pairs { beside: [own.beside, other.beside].concat(), ..Pairs::default() };
    for (stem, (name, truth)) in other.files {
        match own.files.remove(&stem) {
            Some((_, mask)) => found.pairs.push(PairFiles { name, mask, truth, scores: None }),
            None => found.missing.push(name),
        }
    }
    if found.pairs.is_empty() {
        return Err(EvalError::NoPair { masks: masks.into(), n_masks, truth: truth.into(), n_truth });
    }
    found.extra = own.files.into_values().map(|(name, _)| name).collect();
    Ok(found)
}

/// What is compared with what: two files whatever their names, or what lies below two folders.
fn listings(masks: &Path, truth: &Path) -> Result<(Listing, Listing), EvalError> {
    if masks.is_file() && truth.is_file() {
        let stem = Path::new("file");
        return Ok((Listing::of_file(masks, stem), Listing::of_file(truth, stem)));
    }
    Ok((listing(masks)?, listing(truth)?))
}

/// The class masks below a folder, or one. Hidden ones are none.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn listing(folder: &Path) -> Result<Listing, EvalError> {
    let is_hidden = |e: &DirEntry| e.depth() > 0 && e.file_name().as_encoded_bytes().starts_with(b".");
    if folder.is_file() {
        return Ok(Listing::of_file(folder, Path::new(folder.file_stem().unwrap_or_default())));
    }
    let mut found = Listing::default();
    for entry in WalkDir::new(folder).follow_links(true).into_iter().filter_entry(|e| !is_hidden(e)) {
        let fail = |source: walkdir::Error| {
            let path = source.path().unwrap_or(folder).to_owned();
            EvalError::List { path, source }
        };
        let entry = entry.map_err(fail)?;
        if entry.file_type().is_file() && EXTENSIONS.iter().any(|known| has_extension(entry.path(), known)) {
            found.add(entry.path().strip_prefix(folder).unwrap_or(entry.path()), entry.path().to_owned());
        }
    }
    Ok(found)
}

fn has_extension(path: &Path, known: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(known))
}

/// The name as people read it on every system.
fn slashed(name: &Path) -> String {
    let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
