//! Validation: `swath run` on whole scenes with the weights as they are, and its masks held against the truth.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TrainRequest;
use super::data::Data;
use super::page::Judgement;
use crate::app::Error;
use crate::app::run::{Reuse, RunOptions, execute, prepare};
use crate::app::{JobRequest, Saved, What};
use crate::config::train::Metric;
use crate::config::{Checkpoint, Pipeline, Post, Reading, bundle};
use crate::dataset::{LabelRule, Pair};
use crate::eval::{Evaluation, Measures, PairFiles, Pairs, Scores, evaluate};
use crate::flow::Stop;
use crate::lifecycle::SupervisorLink;
use crate::plan::{DeviceId, ScanOptions};
use crate::report::FailedScene;
use crate::train::Trainer;
use crate::words::absolute;

/// Validates one training.
pub(super) struct Validator {
    dir: PathBuf,
    /// The run directory.
    run: PathBuf,
    scenes: Vec<PairFiles>,
    list: PathBuf,
    /// Folders below which parts of mosaics lie.
    homes: Vec<PathBuf>,
    rule: Arc<LabelRule>,
    pipeline: Pipeline,
    job: JobRequest,
    supervisor: SupervisorLink,
}

/// What a validation came to.
pub(super) enum Verdict {
    /// Over all scenes, and of each.
    Found(Box<Evaluation>),
    /// The network gave what is no number.
    Lost(String),
    /// Somebody has stopped it.
    Stopped,
}

impl Validator {
    /// Lays the scenes out where runs find them by the names of their pairs.
    pub(super) fn new(
        request: &TrainRequest,
        gpus: &[Option<usize>],
        pipeline: &Pipeline,
        data: &Data,
    ) -> Result<Self, Error> {
        let dir = request.out.join("validation");
        let mut lines = String::new();
        let mut scenes = Vec::new();
        for pair in &data.val {
            for image in &pair.images {
                lines += &format!("{}\n", link(&dir, pair, image)?.display());
            }
            scenes.push(PairFiles {
                name: pair.name.clone(),
                mask: mask(&dir.join("run"), &pair.name),
                truth: pair.mask.clone(),
                scores: None,
            });
        }
        let list = dir.join("scenes.txt");
        crate::atomic::write(&list, lines.as_bytes())?;
        let job = JobRequest {
            // On the CPU a worker for each core.
            devices: gpus.iter().map(|gpu| gpu.map(DeviceId::Cuda)).collect(),
            memory: request.memory,
            ..JobRequest::of(What::Plan(Saved { file: PathBuf::new(), root: None }))
        };
        let rule = Arc::new(LabelRule::of(pipeline).map_err(Error::Usage)?);
        let supervisor = request.origin.supervisor.clone();
        let homes = data.homes.clone();
        Ok(Self { run: dir.join("run"), dir, scenes, list, homes, rule, pipeline: pipeline.clone(), job, supervisor })
    }

    /// Runs the weights as they are, and compares.
    pub(super) fn validate(&self, trainer: &Trainer, stop: &Stop) -> Result<Verdict, Error> {
        let candidate = self.dir.join("candidate.safetensors");
        trainer.export(&candidate, &metadata(&self.pipeline, None)?)?;
        self.judge(&candidate, stop)
    }

    /// Runs a bundle, and compares.
    pub(super) fn judge(&self, bundle: &Path, stop: &Stop) -> Result<Verdict, Error> {
        let pipeline = Pipeline::load(bundle, &[])?;
        let options = RunOptions::masks_into(&self.run, &self.supervisor, stop);
        let failed = self.run(pipeline, &options)?;
        if stop.is_cut() {
            return Ok(Verdict::Stopped);
        }
        match failed {
            Some(failed) if failed.stage == "infer" => Ok(Verdict::Lost(failed.cause)),
            Some(failed) => Err(self.without_mask(&failed)),
            None => self.compare(self.scenes.clone()).map(|found| Verdict::Found(Box::new(found))),
        }
    }

    /// Runs a bundle with another post-processing into a directory of its own, which keeps the labels: they are made once. When it is stopped,
    /// that is for the caller to see.
    pub(super) fn predict(&self, bundle: &Path, post: &Post, run: &Path, stop: &Stop) -> Result<(), Error> {
        let pipeline = Pipeline::load(bundle, &[])?.masks_alone();
        let pipeline = Pipeline { post: post.clone(), checkpoints: vec![Checkpoint::Labels], ..pipeline };
        let again = RunOptions::masks_into(run, &self.supervisor, stop);
        let failed = self.run(pipeline, &RunOptions { reuse: Reuse::Everything, ..again })?;
        failed.map_or(Ok(()), |failed| Err(self.without_mask(&failed)))
    }

    /// The scenes with their truth, and with the masks of a run directory.
    pub(super) fn scenes_in<'a>(&'a self, run: &'a Path) -> impl Iterator<Item = PairFiles> + 'a {
        self.scenes.iter().map(|scene| PairFiles { mask: mask(run, &scene.name), ..scene.clone() })
    }

    /// The first scene that has no mask in the end.
    fn run(&self, pipeline: Pipeline, options: &RunOptions) -> Result<Option<FailedScene>, Error> {
        let (inputs, homes) = (vec![self.list.clone()], self.homes.clone());
        let scan = ScanOptions { inputs, homes, ..ScanOptions::default() };
        // What may be opened no bundle says.
        let reading = Reading { drivers: self.pipeline.reading.drivers, ..pipeline.reading };
        let pipeline = Pipeline { reading, ..pipeline };
        let what = What::Checked { pipeline: Box::new(pipeline), scan };
        let job = prepare(&JobRequest { what, ..self.job.clone() })?;
        Ok(execute(job, options)?.report.failed.into_iter().next())
    }

    fn without_mask(&self, failed: &FailedScene) -> Error {
        Error::Usage(format!(
            "the validation scene `{}` of `{}` has no mask: {}; mend it, or leave its pair out (--exclude)",
            failed.scene,
            self.list.display(),
            failed.cause
        ))
    }

    /// Holds masks against their truth.
    pub(super) fn compare(&self, pairs: Vec<PairFiles>) -> Result<Evaluation, Error> {
        let remap = self.pipeline.remapped_values();
        let how = Measures {
            classes: Some(&self.pipeline.classes),
            rule: Some(&self.rule),
            ignore: &[],
            remap: &remap,
            boundary: None,
        };
        let found = evaluate(Pairs { pairs, ..Pairs::default() }, &how)?;
        match found.mismatched.first() {
            None => Ok(found),
            Some(pair) => Err(Error::Usage(format!("the pair `{}` cannot be compared: {}", pair.name, pair.cause))),
        }
    }

    /// What the page of a training shows of a validation.
    pub(super) fn judgement<'a>(&'a self, found: &'a Evaluation, value: &'a dyn Fn(&Scores) -> f64) -> Judgement<'a> {
        Judgement { run: &self.run, scenes: &self.scenes, rule: &self.rule, found, value }
    }
}

/// Where a run directory has the mask of a scene.
fn mask(run: &Path, name: &str) -> PathBuf {
    run.join("masks/scenes").join(format!("{name}.png"))
}

/// Intersections over unions by class of the table.
pub(super) fn by_class(pipeline: &Pipeline, scores: &Scores) -> Vec<Option<f64>> {
    let of = |value: u16| scores.values.iter().find(|own| own.value == value).map(|own| own.iou);
    pipeline.classes.classes().iter().map(|class| of(class.value)).collect()
}

/// What a bundle of the one member says of itself.
pub(super) fn metadata(pipeline: &Pipeline, training: Option<&str>) -> Result<crate::weights::Metadata, Error> {
    let member = pipeline.members.first().ok_or_else(|| Error::Internal("there is no member".to_owned()))?;
    bundle::metadata(pipeline, member, training).map_err(|e| Error::Internal(e.to_string()))
}

/// The value that decides.
pub(super) fn value(metric: Metric, scores: &Scores) -> f64 {
    let value = match metric {
        Metric::MeanIou => scores.miou,
        Metric::WeightedIou => scores.fwiou,
        Metric::Accuracy => scores.accuracy,
    };
    value.unwrap_or_default()
}

/// A link to an image under the name of its pair, relative to the folder of the list.
fn link(dir: &Path, pair: &Pair, image: &Path) -> Result<PathBuf, Error> {
    let extension = image.extension().map(|own| own.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match pair.images.len() {
        1 => format!("{}.{extension}", pair.name),
        // The patterns of bands are those of files' own names.
        _ => {
            let file = image.file_name().map(|own| own.to_string_lossy().into_owned()).unwrap_or_default();
            pair.name.rsplit_once('/').map_or(file.clone(), |(folder, _)| format!("{folder}/{file}"))
        }
    };
    let relative = PathBuf::from("scenes").join(name);
    let at = dir.join(&relative);
    let target = absolute(image);
    let failed =
        |e: std::io::Error| Error::Usage(format!("cannot link `{}` to `{}`: {e}", at.display(), target.display()));
    std::fs::create_dir_all(at.parent().unwrap_or(dir)).map_err(failed)?;
    match std::fs::remove_file(&at) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        Ok(()) | Err(_) => {}
    }
    std::os::unix::fs::symlink(&target, &at).map_err(failed)?;
    Ok(relative)
}
