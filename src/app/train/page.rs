//! report.html and report.json of a training: what is gathered for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::Error;
use crate::app::eval::named;
use crate::app::page::{Judged, beside_truth, best_and_worst};
use crate::config::Pipeline;
use crate::dataset::LabelRule;
use crate::eval::{Evaluation, PairFiles, Scores};
use crate::outputs::OutputLayout;
use crate::report::{self, TrainingPage, TrainingSummary};

/// A validation of the best weights: the run directory whose masks were held against truth, and what was found.
pub(super) struct Judgement<'a> {
    /// The run directory.
    pub(super) run: &'a Path,
    /// Its scenes with their truth.
    pub(super) scenes: &'a [PairFiles],
    /// What is what in truth.
    pub(super) rule: &'a Arc<LabelRule>,
    /// The scores.
    pub(super) found: &'a Evaluation,
    /// The value that decides, of scores.
    pub(super) value: &'a dyn Fn(&Scores) -> f64,
}

impl Judgement<'_> {
    fn judged(&self) -> Vec<Judged> {
        let judged = |PairFiles { name, mask, truth, .. }: &PairFiles| {
            let own = self.found.scenes.iter().find(|scene| scene.name == *name)?;
            let value = (self.value)(&own.scores);
            Some(Judged { name: name.clone(), value, mask: mask.clone(), truth: truth.clone() })
        };
        self.scenes.iter().filter_map(judged).collect()
    }
}

/// Writes both into the directory of a training, and returns where the page is. Nothing of it is a judgement of the training: what cannot
/// be read has no picture.
///
/// # Errors
/// When `metrics.jsonl` cannot be read, or one of them cannot be written.
pub(super) fn write_page(
    dir: &Path,
    pipeline: &Pipeline,
    facts: Vec<(String, String)>,
    summary: TrainingSummary,
    judgement: Option<&Judgement<'_>>,
) -> Result<PathBuf, Error> {
    let examples = judgement
        .map(|own| beside_truth(own.run, own.rule, best_and_worst(own.judged())))
        .transpose()?
        .unwrap_or_default();
    let text = |of: Result<String, toml::ser::Error>| of.map_err(|e| Error::Internal(e.to_string()));
    let recipe = BTreeMap::from([("train", &pipeline.train)]);
    let recipe = format!("{}\n{}", text(toml::to_string_pretty(&recipe))?, text(toml::to_string_pretty(pipeline))?);
    let page = TrainingPage {
        summary,
        facts,
        classes: named(Some(&pipeline.classes)),
        scores: judgement.map(|own| own.found.scores.clone()),
        examples,
        recipe,
    };
    report::write_training_page(dir, &page)?;
    Ok(OutputLayout { dir: dir.to_owned() }.page())
}
