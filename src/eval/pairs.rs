//! Pairs of a mask and its truth, counted one after the other, row by row: memory is some rows of each side and the counts, beside the
//! rows that boundaries want remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::boundary::{Areas, Boundaries, BoundaryRows, LEFT_OUT};
use super::calibration::Reliability;
use super::geotiff::Rasters;
use super::labels::{Opener, Row};
use super::{Confusion, Distance, EvalError, Scores, hints, palette};
use crate::config::classes::ClassTable;
use crate::dataset::LabelRule;

/// What is compared with what.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// Masks with their truth.
    pub pairs: Vec<PairFiles>,
    /// Truth without a mask, by name.
    pub missing: Vec<String>,
    /// Masks without truth, by name.
    pub extra: Vec<String>,
    /// Files that are not looked at: a PNG of the same name is taken.
    pub beside: Vec<String>,
    /// Labelled scenes that are none of the run.
    pub elsewhere: u64,
}

/// A mask with its truth.
#[derive(Clone, Debug)]
pub struct PairFiles {
    /// What the pair is called.
    pub name: String,
    /// The file whose values are scored.
    pub mask: PathBuf,
    /// Class values, or whatever a rule makes them of.
    pub truth: PathBuf,
    /// How probable the mask's classes are, as runs write it; for calibration.
    pub scores: Option<PathBuf>,
}

/// How pairs are compared.
#[derive(Clone, Copy, Debug)]
pub struct Measures<'a> {
    /// What the values mean, where it is known.
    pub classes: Option<&'a ClassTable>,
    /// What truth is made of, where it does not hold the values themselves; with it there are classes.
    pub rule: Option<&'a Arc<LabelRule>>,
    /// Values of the truth that are left out. Under a rule they are what it makes of the truth.
    pub ignore: &'a [u16],
    /// Values that count as others, on both sides: each with the one that takes its place.
    pub remap: &'a BTreeMap<u16, u16>,
    /// For boundary IoU, if that is wanted.
    pub boundary: Option<Distance>,
}

/// Masks compared with their truth.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Over all pixels of all pairs that could be compared.
    pub scores: Scores,
    /// Number of these pairs.
    pub pairs: u64,
    /// Each of them alone.
    pub scenes: Vec<SceneScores>,
    /// How boundary IoU was taken, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Boundaries>,
    /// Truth without a mask, by relative path.
    pub missing: Vec<String>,
    /// Masks without truth, by relative path.
    pub extra: Vec<String>,
    /// Pairs that could not be compared: no pixel of them counts.
    pub mismatched: Vec<Mismatch>,
    /// Files that were not looked at: a PNG of the same name was taken.
    pub beside: Vec<String>,
    /// Labelled scenes that are none of the run.
    #[serde(skip_serializing_if = "is_none")]
    pub elsewhere: u64,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_none(n: &u64) -> bool {
    *n == 0
}

/// Scores of one pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SceneScores {
    /// Name that mask and truth have in common.
    pub name: String,
    /// Over its pixels.
    #[serde(flatten)]
    pub scores: Scores,
}

/// A pair that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Relative path.
    pub name: String,
    /// Why it cannot be compared.
    pub cause: String,
}

/// Compared files whose values are indices of a palette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Palettes {
    /// Number of such masks.
    pub masks: u64,
    /// Number of such files of the truth.
    pub truth: u64,
}

/// Compares pairs. What cannot be compared is named, and counts nothing.
///
/// Who has masks that a run wrote, and labelled scenes, gives these as pairs, with a rule and the class table, and finds counts by class in
/// [`super::Matrix::by_class`] of all and of each scene.
///
/// # Errors
/// When there are pairs and none can be compared, or the files hold more values than there can be classes.
pub fn evaluate(listed: Pairs, how: &Measures<'_>) -> Result<Evaluation, EvalError> {
    let Pairs { pairs, missing, extra, beside, elsewhere } = listed;
    let mut found = Evaluation { missing, extra, beside, elsewhere, remap: how.remap.clone(), ..Evaluation::default() };
    let mut boundary = how.boundary.map(|d| Boundaries { distance: d.to_string(), ..Boundaries::default() });
    let (mut pooled, mut nodata) = (Counts::default(), BTreeSet::new());
    let mut reader = Reader::new(how);
    for files in &pairs {
        match reader.compare(files) {
            Ok(pair) => {
                pooled.merge(&pair.counts)?;
                found.scenes.push(SceneScores { name: files.name.clone(), scores: pair.counts.scores() });
                nodata.extend(pair.nodata);
                found.palettes.masks += u64::from(pair.has_palette[0]);
                found.palettes.truth += u64::from(pair.has_palette[1]);
                if let Some(boundary) = boundary.as_mut().filter(|_| pair.counts.boundary.is_none()) {
                    boundary.too_large.push(files.name.clone());
                }
            }
            Err(cause) => found.mismatched.push(Mismatch { name: files.name.clone(), cause }),
        }
    }
    found.pairs = found.scenes.len() as u64;
    if let Some(Mismatch { name, cause }) = found.mismatched.first().filter(|_| found.pairs == 0) {
        let (n, name, cause) = (found.mismatched.len(), name.clone(), cause.clone());
        return Err(EvalError::NoComparison { n, name, cause });
    }
    (found.scores, found.nodata, found.boundary) = (pooled.scores(), nodata.into_iter().collect(), boundary);
    hints::add(&mut found, how.classes);
    Ok(found)
}

/// What is counted, of a pair or of all.
#[derive(Clone, Debug, Default)]
struct Counts {
    confusion: Confusion,
    boundary: Option<Areas>,
    reliability: Option<Reliability>,
}

impl Counts {
    fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        self.confusion.merge(&other.confusion)?;
        for (value, areas) in other.boundary.iter().flatten() {
            let sums = self.boundary.get_or_insert_default().entry(*value).or_default();
            sums.iter_mut().zip(areas).for_each(|(sum, area)| *sum += area);
        }
        if let Some(other) = &other.reliability {
            self.reliability.get_or_insert_default().merge(other);
        }
        Ok(())
    }

    fn scores(&self) -> Scores {
        let scores = self.confusion.scores();
        let scores = self.boundary.iter().fold(scores, Scores::with_boundaries);
        Scores { calibration: self.reliability.as_ref().and_then(Reliability::calibration), ..scores }
    }
}

struct Reader<'a> {
    how: &'a Measures<'a>,
    masks: Opener,
    truth: Opener,
    planes: Rasters,
}

/// A pair that was compared.
struct Compared {
    counts: Counts,
    /// The value that the truth declares to be no data.
    nodata: Option<u16>,
    /// Whether the mask, and the truth, have palettes.
    has_palette: [bool; 2],
}

/// The rows at hand.
#[derive(Default)]
struct Rows {
    mask: Row,
    truth: Row,
    score: Row,
    is_left_out: Vec<bool>,
    /// Truth and mask as contours are sought in.
    regions: [Vec<u32>; 2],
}

impl<'a> Reader<'a> {
    fn new(how: &'a Measures<'a>) -> Self {
        let truth = Opener::by_rule(how.rule, how.classes);
        Self { how, masks: Opener::of_values(), truth, planes: Rasters::new() }
    }

    /// Counts of one pair. On their own, because a file that turns out to be damaged must not leave half its pixels behind.
    fn compare(&mut self, files: &PairFiles) -> Result<Compared, String> {
        let (mut masks, mut truths) = (self.masks.open(&files.mask)?, self.truth.open(&files.truth)?);
        let mut planes = files.scores.as_ref().map(|plane| self.planes.open(plane)).transpose()?;
        if masks.size() != truths.size() {
            return Err(format!("the mask has {} pixels and the truth {}", masks.size(), truths.size()));
        }
        if let (Some(plane), Some(path)) = (planes.as_ref().filter(|plane| plane.size() != masks.size()), &files.scores)
        {
            return Err(format!("the mask has {} pixels and `{}` {}", masks.size(), path.display(), plane.size()));
        }
        let palettes = [masks.palette(), truths.palette()];
        for (palette, file) in palettes.iter().zip([&files.mask, &files.truth]) {
            refuse_picture(palette.as_deref(), self.how.classes, file)?;
        }
        let mut counts = Counts { reliability: planes.as_ref().map(|_| Reliability::default()), ..Counts::default() };
        // A rule makes no nodata of truth: where masks hold it they are wrong, and it is no class.
        let nodata = self.how.rule.and(self.how.classes).and_then(|classes| Some(classes.nodata()?.value));
        let none = truths.nodata().into_iter().chain(nodata).chain(self.how.ignore.iter().copied());
        none.for_each(|value| counts.confusion.no_class(value));
        let mut boundary = self.how.boundary.and_then(|distance| BoundaryRows::new(distance, masks.size()));
        let mut rows = Rows::default();
        loop {
            // All are read to their end, so that all are known to be whole.
            let more = [masks.next_row(&mut rows.mask)?, truths.next_row(&mut rows.truth)?];
            if let Some(plane) = &mut planes {
                plane.next_row(&mut rows.score.values, &mut rows.score.is_nodata)?;
            }
            if more == [false, false] {
                break;
            }
            rows.count(self.how, &mut counts, boundary.as_mut())?;
        }
        counts.boundary = boundary.map(|rows| rows.areas(&counts.confusion.scores().matrix));
        let has_palette = palettes.map(|palette| palette.is_some());
        Ok(Compared { counts, nodata: truths.nodata(), has_palette })
    }
}

impl Rows {
    fn count(
        &mut self,
        &Measures { ignore, remap, .. }: &Measures<'_>,
        counts: &mut Counts,
        boundary: Option<&mut BoundaryRows>,
    ) -> Result<(), String> {
        let Self { mask, truth, score, is_left_out, regions } = self;
        is_left_out.clear();
        let nodata = truth.is_nodata.iter().copied().chain(std::iter::repeat(false));
        is_left_out.extend(truth.values.iter().zip(nodata).map(|(value, nodata)| nodata || ignore.contains(value)));
        if !remap.is_empty() {
            // What is left out goes by the name that the truth has for it.
            let counted = truth.values.iter_mut().zip(&*is_left_out).filter(|(_, left_out)| !**left_out);
            let meant = |value: &mut u16| *value = *remap.get(value).unwrap_or(value);
            counted.map(|(value, _)| value).chain(&mut mask.values).for_each(meant);
        }
        counts.confusion.add_row(&truth.values, &mask.values, is_left_out).map_err(|e| e.to_string())?;
        if let Some(boundary) = boundary {
            for (region, values) in regions.iter_mut().zip([&truth.values, &mask.values]) {
                region.clear();
                let values = values.iter().zip(&*is_left_out);
                region.extend(values.map(|(value, left_out)| if *left_out { LEFT_OUT } else { u32::from(*value) }));
            }
            boundary.push(&regions[0], &regions[1]);
        }
        if let Some(reliability) = &mut counts.reliability {
            let pixels = score.values.iter().zip(truth.values.iter().zip(&mask.values)).zip(&*is_left_out);
            for ((score, (truth, mask)), _) in pixels.filter(|(_, left_out)| !**left_out) {
                reliability.add(u8::try_from(*score).unwrap_or(u8::MAX), truth == mask);
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::MaskDepth;
    use crate::eval::pairs_of;
    use crate::geom::Size;
    use crate::outputs::constant;

    fn mask(path: PathBuf, size: Size, depth: MaskDepth, value: u16) {
        constant(&path, size, depth, value).unwrap().file.persist().unwrap();
    }

    fn compared(masks: &Path, truth: &Path, ignore: &[u16]) -> Result<Evaluation, EvalError> {
        let how = Measures { classes: None, rule: None, ignore, remap: &BTreeMap::new(), boundary: None };
        evaluate(pairs_of(masks, truth)?, &how)
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
