//! Two folders, file by file.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

use super::{Confusion, EvalError, Scores};
use crate::masks::{MaskError, MaskReader};

/// Masks compared with their truth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Over all pixels of all pairs that could be compared.
    pub scores: Scores,
    /// Number of these pairs.
    pub pairs: u64,
    /// Truth without a mask, by relative path.
    pub missing: Vec<String>,
    /// Masks without truth, by relative path.
    pub extra: Vec<String>,
    /// Pairs that could not be compared: no pixel of them counts.
    pub mismatched: Vec<Mismatch>,
}

/// A pair that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Relative path.
    pub name: String,
    /// Why.
    pub cause: String,
}

/// Compares the `.png` files below two folders that have the same relative path, or two files. Hidden ones are no masks.
///
/// Memory is one row of each side and the counts.
///
/// # Errors
/// When a folder cannot be listed, no pair can be compared, or the files hold more values than there can be classes.
pub fn evaluate(masks: &Path, truth: &Path, ignore: Option<u16>) -> Result<Evaluation, EvalError> {
    let (mut mask_files, truth_files) = listings(masks, truth)?;
    let (n_masks, n_truth) = (mask_files.len(), truth_files.len());
    let (mut pooled, mut missing, mut mismatched, mut pairs) = (Confusion::new(), Vec::new(), Vec::new(), 0);
    for (name, truth_file) in truth_files {
        let Some(mask_file) = mask_files.remove(&name) else {
            missing.push(slashed(&name));
            continue;
        };
        match compare(&mask_file, &truth_file, ignore) {
            Ok(counts) => {
                pooled.merge(&counts)?;
                pairs += 1;
            }
            Err(cause) => mismatched.push(Mismatch { name: slashed(&name), cause }),
        }
    }
    let extra: Vec<String> = mask_files.keys().map(|name| slashed(name)).collect();
    match mismatched.first() {
        Some(Mismatch { name, cause }) if pairs == 0 => {
            Err(EvalError::NoComparison { n: mismatched.len(), name: name.clone(), cause: cause.clone() })
        }
        None if pairs == 0 => Err(EvalError::NoPair { masks: masks.into(), n_masks, truth: truth.into(), n_truth }),
        _ => Ok(Evaluation { scores: pooled.scores(), pairs, missing, extra, mismatched }),
    }
}

/// Files by relative path.
type Listing = BTreeMap<PathBuf, PathBuf>;

fn listings(masks: &Path, truth: &Path) -> Result<(Listing, Listing), EvalError> {
    if masks.is_file() && truth.is_file() {
        let name = PathBuf::from(truth.file_name().unwrap_or(truth.as_os_str()));
        return Ok(([(name.clone(), masks.into())].into(), [(name, truth.into())].into()));
    }
    Ok((listing(masks)?, listing(truth)?))
}

fn listing(folder: &Path) -> Result<Listing, EvalError> {
    let is_hidden = |e: &DirEntry| e.depth() > 0 && e.file_name().as_encoded_bytes().starts_with(b".");
    let is_png = |e: &DirEntry| e.path().extension().is_some_and(|ext| ext.eq_ignore_ascii_case("png"));
    let mut files = Listing::new();
    for entry in WalkDir::new(folder).follow_links(true).into_iter().filter_entry(|e| !is_hidden(e)) {
        let fail = |source: walkdir::Error| {
            let path = source.path().unwrap_or(folder).to_owned();
            EvalError::List { path, source }
        };
        let entry = entry.map_err(fail)?;
        if entry.file_type().is_file() && is_png(&entry) {
            let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            files.insert(name.to_owned(), entry.path().to_owned());
        }
    }
    Ok(files)
}

/// The name as people read it on every system.
fn slashed(name: &Path) -> String {
    let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Counts of one pair. On their own, because a file that turns out to be damaged must not leave half its pixels behind.
fn compare(mask: &Path, truth: &Path, ignore: Option<u16>) -> Result<Confusion, String> {
    let mut masks = MaskReader::open(mask).map_err(|e| chain(&e))?;
    let mut truths = MaskReader::open(truth).map_err(|e| chain(&e))?;
    if masks.size() != truths.size() {
        return Err(format!("the mask has {} pixels and the truth {}", masks.size(), truths.size()));
    }
    let mut counts = Confusion::new();
    let (mut mask_row, mut truth_row) = (Vec::new(), Vec::new());
    loop {
        let read = |reader: &mut MaskReader, row: &mut Vec<u16>| reader.next_row(row).map_err(|e: MaskError| chain(&e));
        // Both are read to their end, so that both are known to be whole.
        let more = [read(&mut masks, &mut mask_row)?, read(&mut truths, &mut truth_row)?];
        if more == [false, false] {
            return Ok(counts);
        }
        counts.add(&truth_row, &mask_row, ignore).map_err(|e| e.to_string())?;
    }
}

/// The error and its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |e| (**e).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaskDepth;
    use crate::geom::Size;
    use crate::masks::constant;

    fn mask(path: PathBuf, size: Size, depth: MaskDepth, value: u16) {
        constant(&path, size, depth, value).unwrap().file.persist().unwrap();
    }

    struct Folders {
        _dir: tempfile::TempDir,
        masks: PathBuf,
        truth: PathBuf,
    }

    impl Folders {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (masks, truth) = (dir.path().join("masks"), dir.path().join("truth"));
            std::fs::create_dir(&masks).unwrap();
            std::fs::create_dir(&truth).unwrap();
            Self { _dir: dir, masks, truth }
        }

        fn pair(&self, name: &str, size: Size, mask_value: u16, truth_value: u16) {
            mask(self.masks.join(name), size, MaskDepth::Eight, mask_value);
            mask(self.truth.join(name), size, MaskDepth::Sixteen, truth_value);
        }

        fn evaluate(&self, ignore: Option<u16>) -> Result<Evaluation, EvalError> {
            evaluate(&self.masks, &self.truth, ignore)
        }
    }

    fn strings(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn pixels_are_pooled_over_pairs_in_sub_folders() {
        let folders = Folders::new();
        folders.pair("a.png", Size::new(10, 3), 1, 1);
        folders.pair("sub/b.png", Size::new(5, 2), 1, 2);
        folders.pair("sub/c.PNG", Size::new(20, 1), 7, 0);
        let e = folders.evaluate(Some(0)).unwrap();
        assert_eq!((e.pairs, e.scores.counted, e.scores.ignored), (3, 40, 20));
        assert_eq!((e.scores.accuracy, e.scores.agreement), (Some(0.75), Some(0.5)));
        assert_eq!(e.scores.miou, Some(0.375));
        assert!(e.missing.is_empty() && e.extra.is_empty() && e.mismatched.is_empty());
    }

    #[test]
    fn files_without_a_partner_are_listed_and_hidden_ones_are_not() {
        let folders = Folders::new();
        let size = Size::new(2, 2);
        folders.pair("a.png", size, 1, 1);
        mask(folders.masks.join("only/mask.png"), size, MaskDepth::Eight, 1);
        mask(folders.truth.join("only/truth.png"), size, MaskDepth::Eight, 1);
        mask(folders.truth.join(".hidden.png"), size, MaskDepth::Eight, 1);
        mask(folders.masks.join(".cache/x.png"), size, MaskDepth::Eight, 1);
        crate::atomic::write(&folders.masks.join("notes.txt"), b"x").unwrap();
        let e = folders.evaluate(None).unwrap();
        assert_eq!((e.missing, e.extra), (strings(&["only/truth.png"]), strings(&["only/mask.png"])));
    }

    #[test]
    fn a_pair_that_cannot_be_compared_counts_nothing() {
        let folders = Folders::new();
        folders.pair("good.png", Size::new(4, 4), 1, 1);
        folders.pair("size.png", Size::new(4, 4), 1, 1);
        mask(folders.masks.join("size.png"), Size::new(4, 5), MaskDepth::Eight, 1);
        folders.pair("cut.png", Size::new(300, 300), 1, 2);
        let cut = folders.masks.join("cut.png");
        let bytes = std::fs::read(&cut).unwrap();
        crate::atomic::write(&cut, &bytes[..bytes.len() - 5]).unwrap();
        let e = folders.evaluate(None).unwrap();
        assert_eq!((e.pairs, e.scores.counted, e.scores.miou), (1, 16, Some(1.0)));
        assert_eq!(e.mismatched.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["cut.png", "size.png"]);
        assert!(e.mismatched[0].cause.starts_with("cannot decode the mask `"), "{}", e.mismatched[0].cause);
        assert!(e.mismatched[0].cause.contains("cut.png` as PNG: "), "{}", e.mismatched[0].cause);
        assert_eq!(e.mismatched[1].cause, "the mask has 4 x 5 pixels and the truth 4 x 4");
    }

    #[test]
    fn photographs_are_no_class_masks() {
        let folders = Folders::new();
        folders.pair("a.png", Size::new(4, 4), 1, 1);
        folders.pair("photo.png", Size::new(64, 64), 1, 1);
        let picture = image::ImageBuffer::from_fn(64, 64, |x, y| image::Luma([u16::try_from(y * 64 + x).unwrap()]));
        picture.save(folders.masks.join("photo.png")).unwrap();
        let e = folders.evaluate(None).unwrap();
        assert_eq!((e.pairs, e.scores.counted), (1, 16));
        assert!(e.mismatched[0].cause.contains("more than 1024 different values"), "{}", e.mismatched[0].cause);
    }

    #[test]
    fn no_pair_at_all_is_an_error() {
        let folders = Folders::new();
        assert!(matches!(folders.evaluate(None), Err(EvalError::NoPair { n_masks: 0, n_truth: 0, .. })));
        mask(folders.masks.join("a.png"), Size::new(1, 1), MaskDepth::Eight, 1);
        let error = folders.evaluate(None).unwrap_err().to_string();
        assert!(error.contains("masks` (1 .png) has the name of one of"), "{error}");
        mask(folders.truth.join("a.png"), Size::new(1, 2), MaskDepth::Eight, 1);
        let error = folders.evaluate(None).unwrap_err().to_string();
        assert!(error.contains("none of the 1 pairs can be compared; the first, `a.png`: the mask has"), "{error}");
        let gone = evaluate(&folders.masks.join("no"), &folders.truth, None).unwrap_err();
        assert!(matches!(gone, EvalError::List { .. }) && gone.to_string().contains("masks/no"), "{gone}");
    }

    #[test]
    fn two_files_are_a_pair_whatever_their_names() {
        let folders = Folders::new();
        let (a, b) = (folders.masks.join("a.png"), folders.truth.join("b.png"));
        mask(a.clone(), Size::new(3, 3), MaskDepth::Eight, 5);
        mask(b.clone(), Size::new(3, 3), MaskDepth::Eight, 5);
        let e = evaluate(&a, &b, None).unwrap();
        assert_eq!((e.pairs, e.scores.miou), (1, Some(1.0)));
    }

    #[test]
    fn the_evaluation_becomes_json() {
        let folders = Folders::new();
        folders.pair("a.png", Size::new(2, 2), 1, 3);
        let json = serde_json::to_value(folders.evaluate(None).unwrap()).unwrap();
        assert_eq!((&json["pairs"], &json["scores"]["miou"]), (&1.into(), &0.0.into()));
        assert_eq!(json["scores"]["matrix"]["counts"], serde_json::json!([[0, 0], [4, 0]]));
    }
}
