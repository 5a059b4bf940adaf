//! Validation: `swath run` on whole scenes with the weights as they are, and its masks held against the truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TrainRequest;
use super::data::Data;
use super::page::Judgement;
use crate::app::Error;
use crate::app::run::{Origin, Reuse, RunOptions, StageName, execute, prepare};
use crate::app::{Assign, JobRequest, What};
use crate::config::train::Metric;
use crate::config::{Pipeline, bundle};
use crate::dataset::{LabelRule, Pair};
use crate::eval::{Evaluation, Measures, PairFiles, Pairs, Scores, evaluate};
use crate::flow::Stop;
use crate::plan::{BackendKind, Decode, DeviceId, ScanOptions};
use crate::train::Trainer;

/// Validates one training.
pub(super) struct Validator {
    dir: PathBuf,
    scenes: Vec<PairFiles>,
    list: PathBuf,
    rule: Arc<LabelRule>,
    pipeline: Pipeline,
    job: JobRequest,
    origin: Origin,
}

/// What a validation found.
pub(super) struct Verdict {
    /// Over all scenes, and of each.
    pub(super) found: Evaluation,
    /// By class of the table.
    pub(super) iou: Vec<Option<f64>>,
}

impl Validator {
    /// Lays the scenes out where runs find them by the names of their pairs.
    pub(super) fn new(
        request: &TrainRequest,
        gpu: Option<usize>,
        pipeline: &Pipeline,
        data: &Data,
        stop: &Stop,
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
                mask: dir.join("run/masks/scenes").join(format!("{}.png", pair.name)),
                truth: pair.mask.clone(),
                scores: None,
            });
        }
        let list = dir.join("scenes.txt");
        crate::atomic::write(&list, lines.as_bytes())?;
        let candidate = dir.join("candidate.safetensors");
        let scan = ScanOptions { inputs: vec![list.clone()], ..ScanOptions::default() };
        let job = JobRequest {
            what: What::Pipeline { file: candidate, settings: Vec::new(), scan },
            backend: BackendKind::Torch,
            devices: gpu.map(|gpu| vec![DeviceId::Cuda(gpu)]),
            assign: Assign::default(),
            readers: None,
            memory: request.memory,
            decode: Decode::Isolated { timeout: Decode::TIMEOUT },
            retune: false,
            machine: None,
        };
        let rule = Arc::new(LabelRule::of(pipeline).map_err(Error::Usage)?);
        let origin = Origin { part_of: Some(stop.clone()), ..request.origin.clone() };
        Ok(Self { dir, scenes, list, rule, pipeline: pipeline.clone(), job, origin })
    }

    /// Runs and compares; `None` when somebody stops it.
    pub(super) fn validate(&self, trainer: &Trainer, stop: &Stop) -> Result<Option<Verdict>, Error> {
        trainer.export(self.candidate()?, &metadata(&self.pipeline, None)?)?;
        self.judge(stop)
    }

    /// The same with the weights of a bundle.
    pub(super) fn validate_bundle(&self, bundle: &Path, stop: &Stop) -> Result<Option<Verdict>, Error> {
        let bytes =
            std::fs::read(bundle).map_err(|e| Error::Usage(format!("cannot read `{}`: {e}", bundle.display())))?;
        crate::atomic::write(self.candidate()?, &bytes)?;
        self.judge(stop)
    }

    /// What a page shows of the validation that was last.
    pub(super) fn judgement<'a>(&'a self, found: &'a Evaluation, value: &'a dyn Fn(&Scores) -> f64) -> Judgement<'a> {
        Judgement { run: self.dir.join("run"), scenes: &self.scenes, rule: &self.rule, found, value }
    }

    fn candidate(&self) -> Result<&Path, Error> {
        match &self.job.what {
            What::Pipeline { file, .. } => Ok(file),
            What::Plan(_) => Err(Error::Internal("validation has no pipeline".to_owned())),
        }
    }

    fn judge(&self, stop: &Stop) -> Result<Option<Verdict>, Error> {
        let job = prepare(&self.job)?;
        let options = RunOptions {
            reuse: Reuse::Nothing,
            until: Some(StageName::Encode),
            overwrite: true,
            origin: self.origin.clone(),
            ..RunOptions::into(self.dir.join("run"))
        };
        let ended = execute(job, &options)?;
        if stop.is_cut() {
            return Ok(None);
        }
        if let Some(failed) = ended.report.failed.first() {
            return Err(Error::Usage(format!(
                "the validation scene `{}` of `{}` has no mask: {}; mend it, or leave its pair out (--exclude)",
                failed.scene,
                self.list.display(),
                failed.cause
            )));
        }
        let pairs = Pairs { pairs: self.scenes.clone(), ..Pairs::default() };
        let remap = BTreeMap::new();
        let how = Measures {
            classes: Some(&self.pipeline.classes),
            rule: Some(&self.rule),
            ignore: &[],
            remap: &remap,
            boundary: None,
        };
        let found = evaluate(pairs, &how)?;
        if let Some(pair) = found.mismatched.first() {
            return Err(Error::Usage(format!("the pair `{}` cannot be compared: {}", pair.name, pair.cause)));
        }
        let iou_of = |value: u16| found.scores.values.iter().find(|own| own.value == value).map(|own| own.iou);
        let iou = self.pipeline.classes.classes().iter().map(|class| iou_of(class.value)).collect();
        Ok(Some(Verdict { found, iou }))
    }
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
    let target = std::path::absolute(image).unwrap_or_else(|_| image.to_owned());
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
