//! `swath data clean`: labelled scenes whose masks networks do not believe, for somebody to look at. Nothing is deleted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::eval::named;
use super::masks::{Masks, Truth};
use super::page::{Judged, beside_truth};
use super::train::FoldsLayout;
use super::{Error, Output};
use crate::atomic;
use crate::config::data::Data;
use crate::dataset::{LabelRule, Pair, Part, find};
use crate::eval::PairFiles;
use crate::journal::JOURNAL_FILE;
use crate::outputs::OutputKind;
use crate::outputs::mask::Mask;
use crate::report::{self, CleanReport, Suspect, TrainingExample};
use crate::words::absolute;

/// Scenes that a contact sheet shows at most.
const SHOWN: usize = 60;

/// What `swath data clean` is asked.
#[derive(Clone, Debug)]
pub struct CleanRequest {
    /// What `swath train --folds` left, a run directory, or a folder of masks.
    pub masks: PathBuf,
    /// Labelled scenes.
    pub input: PathBuf,
    /// Of those only this part.
    pub part: Option<Part>,
    /// A pipeline file in place of the one that is known of the masks.
    pub pipeline: Option<PathBuf>,
    /// Values of it that are changed.
    pub settings: Vec<String>,
    /// Which scenes are suspects.
    pub suspicion: Suspicion,
    /// The list of them.
    pub list: Output,
    /// The contact sheet, if one is wanted.
    pub sheet: Option<Output>,
}

/// Which scenes are suspects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Suspicion {
    /// This share of them, the worst.
    Worst(f64),
    /// Those with less mean IoU.
    Below(f64),
}

/// Holds masks against the labels, and lists the scenes that agree least.
///
/// # Errors
/// When the masks or the labels cannot be read, no scene has both, or a file may not or cannot be written.
pub fn clean_data(request: &CleanRequest) -> Result<CleanReport, Error> {
    let inputs = [request.masks.as_path(), &request.input];
    for output in [Some(&request.list), request.sheet.as_ref()].into_iter().flatten() {
        output.check(&[&output.path], &inputs)?;
    }
    let predicted = Predicted::open(request)?;
    let Predicted { without, .. } = predicted;
    let truth = Truth { path: request.input.clone(), part: request.part, without, ignore: Vec::new() };
    let mut paired = predicted.masks.paired(&truth)?;
    let data = predicted.masks.pipeline.as_ref().map(|pipeline| pipeline.data.clone()).unwrap_or_default();
    let names = names(&request.input, &data)?;
    for pair in &mut paired.pairs.pairs {
        names.get(&pair.truth).iter().for_each(|name| pair.name.clone_from(name));
    }
    let files: BTreeMap<String, PairFiles> =
        paired.pairs.pairs.iter().map(|pair| (pair.name.clone(), pair.clone())).collect();
    let rule = paired.rule.clone();
    let found = predicted.masks.scored(paired, None)?;
    let scored = found.scenes.iter().filter_map(|scene| Some((scene.name.clone(), scene.scores.miou?)));
    let suspects = suspects(scored.collect(), request.suspicion);
    let mut report = CleanReport {
        scenes: found.pairs,
        missing: found.missing.len() as u64,
        mismatched: found.mismatched.iter().map(|pair| format!("{}: {}", pair.name, pair.cause)).collect(),
        miou: found.scores.miou,
        suspects,
        list: request.list.path.display().to_string(),
        sheet: None,
    };
    if let Some(sheet) = &request.sheet {
        let examples = predicted.pictures(&report.suspects, &files, rule.as_ref())?;
        let lead = report.lead();
        let page = report::suspects_page(&request.masks, lead, &named(predicted.masks.classes()), &examples);
        let page = page.map_err(|e| Error::Internal(e.to_string()))?;
        atomic::write(&sheet.path, page.as_bytes())?;
        report.sheet = Some(sheet.path.display().to_string());
    }
    atomic::write(&request.list.path, text(&report, request).as_bytes())?;
    Ok(report)
}

/// Masks, and the runs that they are from.
struct Predicted {
    masks: Masks,
    runs: Vec<PathBuf>,
    /// The part that no mask was made of.
    without: Option<Part>,
}

impl Predicted {
    fn open(request: &CleanRequest) -> Result<Self, Error> {
        let layout = FoldsLayout { dir: request.masks.clone() };
        let given = request.pipeline.clone();
        if layout.masks().is_dir() && layout.ensemble().is_file() {
            let pipeline = given.unwrap_or_else(|| layout.ensemble());
            let masks = Masks::open(&layout.masks(), Some(&pipeline), &request.settings)?;
            let runs = (0..).map(|fold| layout.run(fold)).take_while(|run| run.is_dir()).collect();
            // Folds leave that to the end.
            return Ok(Self { masks, runs, without: Some(Part::Test).filter(|_| request.part.is_none()) });
        }
        let masks = Masks::open(&request.masks, given.as_deref(), &request.settings)?;
        let is_run = request.masks.join(JOURNAL_FILE).is_file();
        Ok(Self { masks, runs: is_run.then(|| request.masks.clone()).into_iter().collect(), without: None })
    }

    /// Suspects beside their labels, in their order. Without a run nobody knows the scenes themselves.
    fn pictures(
        &self,
        suspects: &[Suspect],
        files: &BTreeMap<String, PairFiles>,
        rule: Option<&Arc<LabelRule>>,
    ) -> Result<Vec<TrainingExample>, Error> {
        let Some(rule) = rule.filter(|_| !self.runs.is_empty()) else {
            let text = "--sheet shows scenes as a run has read them: give the directory of that run, or of `swath train --folds`";
            return Err(Error::Usage(text.to_owned()));
        };
        let mut all = Vec::new();
        for run in &self.runs {
            let judged = (1..).zip(suspects).take(SHOWN).filter_map(|(place, suspect)| {
                let PairFiles { mask, truth, .. } = files.get(&suspect.name)?;
                let mask = self.in_run(run, mask)?;
                let judged = Judged { name: suspect.name.clone(), value: suspect.miou, mask, truth: truth.clone() };
                Some((place.to_string(), judged))
            });
            all.extend(beside_truth(run, rule, judged.collect())?);
        }
        all.sort_by(|a, b| a.value.total_cmp(&b.value).then_with(|| a.scene.cmp(&b.scene)));
        Ok(all)
    }

    /// A mask as a run has it, if that is the one it is from.
    fn in_run(&self, run: &Path, mask: &Path) -> Option<PathBuf> {
        let inside = mask.strip_prefix(&self.masks.path).ok()?;
        let folder = run.join(Mask.folder());
        [folder.join(inside), folder.join("scenes").join(inside)].into_iter().find(|mask| mask.is_file())
    }
}

/// What `--exclude` finds each pair by, by its mask.
fn names(input: &Path, data: &Data) -> Result<BTreeMap<PathBuf, String>, Error> {
    let pairs = find(input, data)?.pairs;
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    pairs.iter().for_each(|pair| *times.entry(pair.name.clone()).or_default() += 1);
    let name = |pair: &Pair| if times[&pair.name] == 1 { pair.name.clone() } else { pair.full_name() };
    Ok(pairs.iter().map(|pair| (pair.mask.clone(), name(pair))).collect())
}

/// The worst first; of equal ones the first by name.
fn suspects(mut scored: Vec<(String, f64)>, suspicion: Suspicion) -> Vec<Suspect> {
    scored.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    let n = match suspicion {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        Suspicion::Worst(share) => (share * scored.len() as f64).ceil() as usize,
        Suspicion::Below(least) => scored.partition_point(|(_, miou)| *miou < least),
    };
    scored.truncate(n);
    scored.into_iter().map(|(name, miou)| Suspect { name, miou }).collect()
}

/// The list, as `--exclude` reads it.
fn text(report: &CleanReport, request: &CleanRequest) -> String {
    let mut text = format!("# {} For `swath train --exclude`, once somebody has looked.\n", report.lead());
    let (masks, input) = (absolute(&request.masks), absolute(&request.input));
    // Writing to a text cannot fail.
    writeln!(text, "# Masks: {}\n# Labels: {}", masks.display(), input.display()).unwrap_or_default();
    for Suspect { name, miou } in &report.suspects {
        writeln!(text, "# {miou:.4}\n{name}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_are_the_worst_or_those_below_a_value() {
        let scored =
            || [("c", 0.5), ("a", 0.1), ("d", 0.9), ("b", 0.1)].map(|(name, miou)| (name.to_owned(), miou)).to_vec();
        let names = |suspicion| suspects(scored(), suspicion).into_iter().map(|own| own.name).collect::<Vec<_>>();
        assert_eq!(names(Suspicion::Worst(0.3)), ["a", "b"]);
        assert_eq!(names(Suspicion::Worst(0.25)), ["a"]);
        assert_eq!(names(Suspicion::Below(0.5)), ["a", "b"], "half is not less than half");
        assert!(names(Suspicion::Below(0.1)).is_empty() && names(Suspicion::Worst(0.0)).is_empty());
    }
}
