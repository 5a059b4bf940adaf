//! Two folders, file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::geotiff::Rasters;
use super::labels::{Labels, Row};
use super::listing::listings;
use super::{Confusion, EvalError, Scores, hints, palette};
use crate::config::classes::ClassTable;

/// What is compared, and how.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// A folder of masks, or one.
    pub masks: &'a Path,
    /// A folder of true masks, or one.
    pub truth: &'a Path,
    /// Values of the truth that are left out.
    pub ignore: &'a [u16],
    /// What the values mean, where it is known.
    pub classes: Option<&'a ClassTable>,
    /// Values that count as others, on both sides: each with the one that takes its place.
    pub remap: &'a BTreeMap<u16, u16>,
}

/// Masks compared with their truth.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// Files that were not looked at: a PNG of the same name was taken.
    pub beside: Vec<String>,
    /// Values that files of the truth declare to be no data, which leaves them out.
    pub nodata: Vec<u16>,
    /// Values that count as others, each with the one that takes its place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remap: BTreeMap<u16, u16>,
    /// Values that occur and have no entry in the class table, where there is one.
    pub unknown: Vec<u16>,
    /// Files whose values are indices of a palette.
    pub palettes: Palettes,
    /// What is likely to be amiss, in words.
    pub hints: Vec<String>,
}

/// A pair that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Relative path.
    pub name: String,
    /// Why.
    pub cause: String,
}

/// Compared files whose values are indices of a palette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Palettes {
    /// Among the masks.
    pub masks: u64,
    /// Among the truth.
    pub truth: u64,
}

/// Compares the PNGs and GeoTIFFs below two folders that have the same relative path, extensions aside, or two files. Hidden ones are no
/// masks.
///
/// Memory is some rows of each side and the counts.
///
/// # Errors
/// When a folder cannot be listed, no pair can be compared, or the files hold more values than there can be classes.
pub fn evaluate(comparison: &Comparison<'_>) -> Result<Evaluation, EvalError> {
    let (mut masks, truth) = listings(comparison.masks, comparison.truth)?;
    let (n_masks, n_truth) = (masks.files.len(), truth.files.len());
    let (mut pooled, mut found) = (Confusion::new(), Evaluation::default());
    let mut reader = Reader { comparison, masks: Rasters::new(), truth: Rasters::new() };
    let mut nodata = BTreeSet::new();
    for (stem, (name, file)) in truth.files {
        let Some((_, mask)) = masks.files.remove(&stem) else {
            found.missing.push(name);
            continue;
        };
        match reader.compare(&mask, &file) {
            Ok(pair) => {
                pooled.merge(&pair.counts)?;
                nodata.extend(pair.nodata);
                found.pairs += 1;
                found.palettes.masks += u64::from(pair.has_palette[0]);
                found.palettes.truth += u64::from(pair.has_palette[1]);
            }
            Err(cause) => found.mismatched.push(Mismatch { name, cause }),
        }
    }
    found.extra = masks.files.into_values().map(|(name, _)| name).collect();
    found.beside = [masks.beside, truth.beside].concat();
    match found.mismatched.first() {
        Some(Mismatch { name, cause }) if found.pairs == 0 => {
            let (n, name, cause) = (found.mismatched.len(), name.clone(), cause.clone());
            return Err(EvalError::NoComparison { n, name, cause });
        }
        None if found.pairs == 0 => {
            let (masks, truth) = (comparison.masks.into(), comparison.truth.into());
            return Err(EvalError::NoPair { masks, n_masks, truth, n_truth });
        }
        _ => {}
    }
    (found.scores, found.nodata) = (pooled.scores(), nodata.into_iter().collect());
    found.remap.clone_from(comparison.remap);
    hints::add(&mut found, comparison.classes);
    Ok(found)
}

/// Reads pairs.
struct Reader<'a> {
    comparison: &'a Comparison<'a>,
    masks: Rasters,
    truth: Rasters,
}

/// A pair that was compared.
struct Pair {
    counts: Confusion,
    /// The value that the truth declares to be no data.
    nodata: Option<u16>,
    /// Whether the mask, and the truth, have palettes.
    has_palette: [bool; 2],
}

impl Reader<'_> {
    /// Counts of one pair. On their own, because a file that turns out to be damaged must not leave half its pixels behind.
    fn compare(&mut self, mask: &Path, truth: &Path) -> Result<Pair, String> {
        let mut masks = Labels::open(mask, &mut self.masks)?;
        let mut truths = Labels::open(truth, &mut self.truth)?;
        if masks.size() != truths.size() {
            return Err(format!("the mask has {} pixels and the truth {}", masks.size(), truths.size()));
        }
        let palettes = [masks.palette(), truths.palette()];
        for (palette, file) in palettes.iter().zip([mask, truth]) {
            refuse_picture(palette.as_deref(), self.comparison.classes, file)?;
        }
        let mut counts = Confusion::new();
        truths.nodata().into_iter().for_each(|value| counts.no_class(value));
        let (mut mask_row, mut truth_row) = (Row::default(), Row::default());
        loop {
            // Both are read to their end, so that both are known to be whole.
            let more = [masks.next_row(&mut mask_row)?, truths.next_row(&mut truth_row)?];
            if more == [false, false] {
                let has_palette = palettes.map(|palette| palette.is_some());
                return Ok(Pair { counts, nodata: truths.nodata(), has_palette });
            }
            without_nodata(&mut truth_row, &mut mask_row, &mut counts);
            let Comparison { remap, ignore, .. } = *self.comparison;
            if !remap.is_empty() {
                // What is left out goes by the name that the truth has for it.
                let values = truth_row.values.iter_mut().filter(|value| !ignore.contains(value));
                let meant = |value: &mut u16| *value = *remap.get(value).unwrap_or(value);
                values.chain(&mut mask_row.values).for_each(meant);
            }
            counts.add(&truth_row.values, &mask_row.values, ignore).map_err(|e| e.to_string())?;
        }
    }
}

fn refuse_picture(palette: Option<&[[u8; 3]]>, classes: Option<&ClassTable>, file: &Path) -> Result<(), String> {
    match (palette, classes) {
        (Some(palette), Some(classes)) if palette::is_picture(palette, classes) => Err(format!(
            "`{}` is a picture of a mask: its palette has the colours of the class table, and not at the values of the classes; give the \
             mask itself, which `swath run` writes to the folder `masks`",
            file.display()
        )),
        _ => Ok(()),
    }
}

/// Takes the pixels out whose truth is no data by the file's own word.
fn without_nodata(truth: &mut Row, mask: &mut Row, counts: &mut Confusion) {
    if !truth.is_nodata.contains(&true) {
        return;
    }
    let left_out = truth.values.iter().zip(&mask.values).zip(&truth.is_nodata).filter(|(_, is_nodata)| **is_nodata);
    left_out.for_each(|((truth, mask), _)| counts.leave_out(truth == mask));
    for values in [&mut truth.values, &mut mask.values] {
        let mut is_nodata = truth.is_nodata.iter();
        values.retain(|_| !is_nodata.next().copied().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::MaskDepth;
    use crate::geom::Size;
    use crate::outputs::constant;

    fn mask(path: PathBuf, size: Size, depth: MaskDepth, value: u16) {
        constant(&path, size, depth, value).unwrap().file.persist().unwrap();
    }

    fn compared(masks: &Path, truth: &Path, ignore: &[u16]) -> Result<Evaluation, EvalError> {
        evaluate(&Comparison { masks, truth, ignore, classes: None, remap: &BTreeMap::new() })
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

        fn evaluate(&self, ignore: &[u16]) -> Result<Evaluation, EvalError> {
            compared(&self.masks, &self.truth, ignore)
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
        let e = folders.evaluate(&[0]).unwrap();
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
        let e = folders.evaluate(&[]).unwrap();
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
        let e = folders.evaluate(&[]).unwrap();
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
        let e = folders.evaluate(&[]).unwrap();
        assert_eq!((e.pairs, e.scores.counted), (1, 16));
        assert!(e.mismatched[0].cause.contains("more than 1024 different values"), "{}", e.mismatched[0].cause);
    }

    #[test]
    fn no_pair_at_all_is_an_error() {
        let folders = Folders::new();
        assert!(matches!(folders.evaluate(&[]), Err(EvalError::NoPair { n_masks: 0, n_truth: 0, .. })));
        mask(folders.masks.join("a.png"), Size::new(1, 1), MaskDepth::Eight, 1);
        let error = folders.evaluate(&[]).unwrap_err().to_string();
        assert!(error.contains("masks` (1 file) has the name of one of"), "{error}");
        mask(folders.truth.join("a.png"), Size::new(1, 2), MaskDepth::Eight, 1);
        let error = folders.evaluate(&[]).unwrap_err().to_string();
        assert!(error.contains("the only pair cannot be compared: `a.png`: the mask has"), "{error}");
        let gone = compared(&folders.masks.join("no"), &folders.truth, &[]).unwrap_err();
        assert!(matches!(gone, EvalError::List { .. }) && gone.to_string().contains("masks/no"), "{gone}");
    }

    #[test]
    fn two_files_are_a_pair_whatever_their_names() {
        let folders = Folders::new();
        let (a, b) = (folders.masks.join("a.png"), folders.truth.join("b.png"));
        mask(a.clone(), Size::new(3, 3), MaskDepth::Eight, 5);
        mask(b.clone(), Size::new(3, 3), MaskDepth::Eight, 5);
        let e = compared(&a, &b, &[]).unwrap();
        assert_eq!((e.pairs, e.scores.miou), (1, Some(1.0)));
    }

    #[test]
    fn the_evaluation_becomes_json() {
        let folders = Folders::new();
        folders.pair("a.png", Size::new(2, 2), 1, 3);
        let json = serde_json::to_value(folders.evaluate(&[]).unwrap()).unwrap();
        assert_eq!((&json["pairs"], &json["scores"]["miou"]), (&1.into(), &0.0.into()));
        assert_eq!(json["scores"]["matrix"]["counts"], serde_json::json!([[0, 0], [4, 0]]));
    }
}
