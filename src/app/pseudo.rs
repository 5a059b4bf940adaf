//! `swath pseudo-label`: what networks are sure of becomes labels to train on.
//!
//! ```text
//! masks and scores of a run -> counts of scores by class -> the least score of each class -> masks without the rest, and a list
//! ```

use std::path::{Path, PathBuf};

use super::interrupt::interruptible;
use super::masks::{MaskedRun, Masks};
use super::{Error, Output};
use crate::atomic;
use crate::config::Pipeline;
use crate::config::classes::{Class, ClassId};
use crate::dataset::{Found, IGNORED, LabelRule, Pair, Part, find, listed};
use crate::eval::{Opener, Row, listing};
use crate::flow::Stop;
use crate::outputs::mask::create;
use crate::report::{PseudoClass, PseudoReport, Undrawn};
use crate::words::explain;

/// The list of what was made, and of what it was joined with.
const LIST: &str = "pairs.tsv";

/// Scores of a byte: 0 is none, and 1 to 255 are probabilities of 0 to 1.
const SCORES: usize = 256;
const STEPS: f64 = 254.0;

/// What `swath pseudo-label` is asked.
#[derive(Clone, Debug)]
pub struct PseudoRequest {
    /// A run directory with scores.
    pub run: PathBuf,
    /// The folder for masks and the list.
    pub out: Output,
    /// What networks are sure of.
    pub sure: Sure,
    /// How much these labels count against others.
    pub weight: f64,
    /// Labelled scenes that the list has as well.
    pub with: Option<PathBuf>,
}

/// What networks are sure of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sure {
    /// A class of at least this probability.
    Probability(f64),
    /// Of each class this share of its pixels, the most probable ones.
    Share(f64),
}

/// Writes masks of what networks are sure of, and a list of them.
///
/// # Errors
/// When the run has no scores or its pipeline no value for pixels that nobody knows, files are there already or cannot be written, or
/// somebody stops it. Scenes that cannot be read are in the report.
pub fn pseudo_label(request: &PseudoRequest) -> Result<PseudoReport, Error> {
    let masks = Masks::open(&request.run, None, &[])?;
    let maker = Maker::new(request, &masks)?;
    let list = request.out.path.join(LIST);
    let scenes = maker.scenes(&masks.path)?;
    let files: Vec<&PathBuf> = scenes.iter().map(|scene| &scene.pair.mask).chain([&list]).collect();
    request.out.check(&files, &[&request.run])?;
    let mut pairs = match &request.with {
        None => Vec::new(),
        Some(with) => with_parts(find(with, &maker.pipeline.data)?, with)?,
    };
    let mut report = interruptible(|stop| maker.make(&scenes, stop))?;
    let failed: Vec<&str> = report.failed.iter().map(|scene| scene.name.as_str()).collect();
    let made = scenes.into_iter().filter(|scene| !failed.contains(&scene.pair.name.as_str()));
    pairs.extend(made.map(|scene| scene.pair));
    if report.scenes == 0 {
        return Err(Error::Usage(format!("no scene of `{}` can be used: {}", request.run.display(), report.causes())));
    }
    atomic::write(&list, listed(&pairs).map_err(Error::Usage)?.as_bytes())?;
    report.list = list.display().to_string();
    report.pairs = pairs.len() as u64;
    Ok(report)
}

/// Labelled scenes that are to be joined need parts: what is made is trained on.
fn with_parts(found: Found, from: &Path) -> Result<Vec<Pair>, Error> {
    match found.pairs.iter().any(|pair| pair.part == Part::All) {
        false => Ok(found.pairs),
        true => Err(Error::Usage(format!(
            "--with `{}` has no parts, so that nobody knows what is to validate with; share it out with `swath data split`, and give that list",
            from.display()
        ))),
    }
}

/// A scene of the run.
struct Scene {
    /// What is made of it.
    pair: Pair,
    mask: PathBuf,
    scores: PathBuf,
}

struct Maker<'a> {
    request: &'a PseudoRequest,
    run: &'a MaskedRun,
    pipeline: &'a Pipeline,
    rule: LabelRule,
}

impl<'a> Maker<'a> {
    fn new(request: &'a PseudoRequest, masks: &'a Masks) -> Result<Self, Error> {
        let path = request.run.display();
        let (Some(run), Some(pipeline)) = (&masks.run, &masks.pipeline) else {
            return Err(Error::Usage(format!("`{path}` is no run directory: its networks' scores are needed")));
        };
        if !pipeline.outputs.scores {
            return Err(Error::Usage(format!(
                "`{path}` has no scores: run the same again with --set outputs.scores=true (stored logits are not computed anew)"
            )));
        }
        if pipeline.classes.nodata().is_none() {
            return Err(Error::Usage(format!(
                "the pipeline of `{path}` has no [nodata], whose value a mask would have where networks are not sure"
            )));
        }
        let rule = LabelRule::of(pipeline).map_err(Error::Usage)?;
        let own = pipeline.classes.by_label().into_iter();
        let is_read = |(label, entry): (ClassId, Option<(u16, _)>)| {
            entry.is_none_or(|(value, _)| rule.of_value(value) == Some(label))
        };
        if !(0..=IGNORED).zip(own).all(is_read) {
            let text = "[data] of the run's pipeline reads other values than masks of `swath run` hold: masks would not be trained on as they \
                        are meant; run it with --set data.labels=value, and without that data.remap";
            return Err(Error::Usage(text.to_owned()));
        }
        Ok(Self { request, run, pipeline, rule })
    }

    fn scenes(&self, masks: &Path) -> Result<Vec<Scene>, Error> {
        let plan = &self.run.planned.plan;
        let scene = |(stem, (name, mask)): (PathBuf, (String, PathBuf))| {
            let images = plan.scenes.iter().position(|scene| scene.name == stem.to_string_lossy());
            let images = images.map(|scene| plan.paths_of(scene)).unwrap_or_default();
            let mut own = self.request.out.path.join("masks").join(&stem).into_os_string();
            own.push(".png");
            let weight = self.request.weight;
            let pair = Pair { name, images, mask: own.into(), part: Part::Train, weight };
            Scene { pair, scores: self.run.scores_of(&stem), mask }
        };
        Ok(listing(masks)?.files.into_iter().map(scene).collect())
    }

    fn make(&self, scenes: &[Scene], stop: &Stop) -> Result<PseudoReport, Error> {
        let mut report = PseudoReport::default();
        let mut counts = vec![[0; SCORES]; self.pipeline.n_classes()];
        let mut usable = Vec::new();
        for scene in scenes.iter().take_while(|_| !stop.is_cut()) {
            // Of a file that turns out to be damaged nothing counts.
            let mut own = counts.clone();
            let count = |labels: &[ClassId], scores: &[u8]| {
                for (label, score) in labels.iter().zip(scores) {
                    own.get_mut(usize::from(*label))
                        .into_iter()
                        .for_each(|of_class| of_class[usize::from(*score)] += 1);
                }
                Ok(())
            };
            match self.rows(scene, count) {
                Ok(()) => {
                    counts = own;
                    usable.push(scene);
                }
                Err(cause) => report.failed.push(Undrawn { name: scene.pair.name.clone(), cause }),
            }
        }
        let least: Vec<u8> = counts.iter().map(|counts| self.request.sure.least(counts)).collect();
        for scene in usable.iter().take_while(|_| !stop.is_cut()) {
            self.write(scene, &least)?;
        }
        report.scenes = usable.len() as u64;
        let row = |((class, counts), least): ((&Class, &[u64; SCORES]), &u8)| PseudoClass {
            name: class.name.clone(),
            pixels: counts.iter().sum(),
            kept: counts[usize::from(*least).max(1)..].iter().sum(),
            probability: (f64::from(*least) - 1.0).max(0.0) / STEPS,
        };
        report.classes = self.pipeline.classes.classes().iter().zip(&counts).zip(&least).map(row).collect();
        Ok(report)
    }

    fn write(&self, scene: &Scene, least: &[u8]) -> Result<(), Error> {
        let size = Opener::of_values().open(&scene.mask).map_err(Error::Usage)?.size();
        let mut file = create(&scene.pair.mask, size, self.pipeline.outputs.mask_depth, &self.pipeline.classes)?;
        let mut row: Vec<ClassId> = Vec::new();
        let is_sure =
            |label: ClassId, score: u8| score > 0 && least.get(usize::from(label)).is_some_and(|least| score >= *least);
        let written = self.rows(scene, |labels, scores| {
            row.clear();
            let pixels = labels.iter().zip(scores);
            row.extend(pixels.map(|(label, score)| if is_sure(*label, *score) { *label } else { IGNORED }));
            file.push(&row).map_err(|e| explain(&e))
        });
        written.map_err(|cause| Error::Usage(format!("`{}`: {cause}", scene.mask.display())))?;
        file.finish()?.file.persist()?;
        Ok(())
    }

    /// Goes through the labels and scores of a scene, row by row.
    fn rows(&self, scene: &Scene, mut each: impl FnMut(&[ClassId], &[u8]) -> Result<(), String>) -> Result<(), String> {
        if scene.pair.images.len() != 1 {
            return Err(format!("it has {} files, and a list names one image", scene.pair.images.len()));
        }
        let (mut masks, mut planes) = (Opener::of_values(), Opener::of_values());
        let (mut mask, mut plane) = (masks.open(&scene.mask)?, planes.open(&scene.scores)?);
        if mask.size() != plane.size() {
            return Err(format!("the mask has {} pixels and its scores {}", mask.size(), plane.size()));
        }
        let (mut values, mut certain) = (Row::default(), Row::default());
        loop {
            match (mask.next_row(&mut values)?, plane.next_row(&mut certain)?) {
                (true, true) => {}
                (false, false) => return Ok(()),
                (_, _) => return Err("its mask or its scores are cut short".to_owned()),
            }
            let label =
                |value: &u16| self.rule.of_value(*value).ok_or_else(|| format!("the value {value} is no class"));
            let labels: Vec<ClassId> = values.values.iter().map(label).collect::<Result<_, _>>()?;
            let scores: Vec<u8> = certain.values.iter().map(|score| u8::try_from(*score).unwrap_or_default()).collect();
            each(&labels, &scores)?;
        }
    }
}

impl Sure {
    /// The least score of a class that is sure.
    fn least(self, counts: &[u64; SCORES]) -> u8 {
        match self {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 255")]
            Self::Probability(least) => (1.0 + (STEPS * least).round()).clamp(1.0, 255.0) as u8,
            Self::Share(share) => {
                let wanted = share * counts[1..].iter().sum::<u64>() as f64;
                let mut kept = 0;
                // As many of the most probable as there shall be at least: those of one score are all in or out.
                let least = (1..=u8::MAX).rev().find(|score| {
                    kept += counts[usize::from(*score)];
                    kept as f64 >= wanted
                });
                least.unwrap_or(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_score_is_a_probability_or_keeps_a_share() {
        let mut counts = [0; SCORES];
        counts[0] = 1000;
        counts[1..=100].fill(10);
        assert_eq!(Sure::Probability(0.0).least(&counts), 1);
        assert_eq!(Sure::Probability(0.5).least(&counts), 128);
        assert_eq!(Sure::Probability(1.0).least(&counts), 255);
        // What post-processing has changed, 0, is of no class.
        assert_eq!(Sure::Share(0.5).least(&counts), 51);
        assert_eq!(Sure::Share(0.495).least(&counts), 51);
        assert_eq!(Sure::Share(1.0).least(&counts), 1);
        assert_eq!(Sure::Share(0.5).least(&[0; SCORES]), 255, "nothing is kept of nothing");
    }
}
