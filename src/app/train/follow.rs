//! From where a training stands to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::data::{Data, look};
use super::interrupts::Interrupts;
use super::page::write_page;
use super::standing::{BEST, Best, Identity, Kept, LAST, Place, Progress, SNAPSHOTS, Standing, snapshot};
use super::teacher::teachers;
use super::validate::{Validator, Verdict, by_class, metadata, value};
use super::{TrainEnd, TrainRequest, Trained};
use crate::app::Error;
use crate::app::run::usual_memory;
use crate::atomic;
use crate::config::train::Train;
use crate::config::{Pipeline, Reading, Weights, bundle};
use crate::dataset::{Crop, Drawer, Feed, LoadError, Loader};
use crate::eval::{Evaluation, Scores};
use crate::flow::{Stall, watch_over};
use crate::lifecycle::{Clock, machine};
use crate::process::raise_file_limit;
use crate::raster::Drivers;
use crate::report::{
    self, BestMetric, Event, MetricsLog, MetricsRecord, NoteRecord, StepRecord, StepTime, TrainingBars,
    TrainingSummary, ValidationRecord, ValidationTime,
};
use crate::train::{Batch, Moment, StepReport, Teacher, Trainer, set_threads};
use crate::words::count;

/// Time between two generations where an epoch takes longer.
const KEEP_AFTER: Duration = Duration::from_secs(300);

/// So many times in a row it goes back because the loss is no number.
const MOST_DETOURS: u32 = 3;

/// Records of steps in a log: of longer trainings, every so many steps have one.
const RECORDS: u64 = 20_000;

/// What a bundle says of its training. Nothing that two equal trainings have different.
#[derive(Serialize)]
struct Facts<'a> {
    step: u64,
    epoch: f64,
    metric: &'static str,
    value: Option<f64>,
    iou: &'a [Option<f64>],
    data: &'a Identity,
    recipe: &'a Train,
}

/// A training under way.
pub(super) struct Training<'a> {
    request: &'a TrainRequest,
    recipe: Train,
    pipeline: Pipeline,
    data: Data,
    identity: Identity,
    trainer: Trainer,
    standing: Standing,
    progress: Progress,
    validator: Validator,
    log: MetricsLog,
    bars: TrainingBars,
    interrupts: &'a Interrupts,
    epoch_steps: u64,
    threads: usize,
    /// When this process began to train, and what was trained before.
    began: Instant,
    before: f64,
    kept: Instant,
    /// Crops, and time for them, of this process; validations left out.
    pace: Pace,
    /// Files whose decoder warned, as somebody was told.
    doubtful: BTreeSet<PathBuf>,
    /// The last validation of this process, and its step.
    last: Option<(u64, Box<Evaluation>)>,
}

#[derive(Default)]
struct Pace {
    crops: u64,
    time: Duration,
    waited: Duration,
}

impl Pace {
    fn per_second(&self) -> f64 {
        self.crops as f64 / self.time.as_secs_f64().max(1e-9)
    }

    fn wait_share(&self) -> f64 {
        self.waited.as_secs_f64() / self.time.as_secs_f64().max(1e-9)
    }
}

/// What a step left.
enum Stepped {
    Taken,
    /// The loss is no number.
    Lost(f64),
}

impl<'a> Training<'a> {
    /// Looks through the data, and goes on from the newest generation of the run directory or begins.
    pub(super) fn begin(
        request: &'a TrainRequest,
        pipeline: Pipeline,
        gpus: &[Option<usize>],
        interrupts: &'a Interrupts,
        clock: &Clock,
    ) -> Result<Self, Error> {
        // Some hundred are enough, and what cannot be raised may be.
        raise_file_limit().unwrap_or_default();
        let supervisor = &request.origin.supervisor;
        let recipe = pipeline.train.clone().ok_or_else(|| Error::Internal("there is no recipe".to_owned()))?;
        let data = look(request, &pipeline, &interrupts.stop)?.ok_or_else(|| interrupts.error())?;
        let threads = request.threads.unwrap_or_else(machine::cores).max(1);
        set_threads(threads);
        let member = pipeline.members.first().ok_or_else(|| Error::Internal("there is no member".to_owned()))?;
        let pixels = data.train.classes();
        let mut trainer = Trainer::new(&member.spec, &member.input, &recipe, &pixels, gpus).map_err(Error::Usage)?;
        let taught = teachers(&recipe, &pipeline)?;
        if let (Some((teachers, _)), Some(distill)) = (&taught, &recipe.distill) {
            let gpu = gpus.first().copied().flatten();
            let teacher = Teacher::load(teachers, &member.input.bands, distill, gpu);
            let file = distill.teacher.display();
            trainer.learn_from(teacher.map_err(|e| Error::Usage(format!("train.distill.teacher: `{file}`: {e}")))?);
        }
        let identity = identity(&pipeline, &recipe, taught.map(|(_, digest)| digest), &data)?;
        let name = |gpu: &Option<usize>| gpu.map_or_else(|| "the CPU".to_owned(), |gpu| format!("cuda:{gpu}"));
        let device = gpus.iter().map(name).collect::<Vec<_>>().join(" and ");
        let place = Place { swath: env!("CARGO_PKG_VERSION").to_owned(), device, threads };
        let fresh = request.fresh && !supervisor.attempt().begun;
        let (standing, told) = Standing::open(&request.out, identity.clone(), place, fresh)?;
        tell_all(request, &data, told.as_deref(), &pixels, &pipeline);
        let progress = resume(&standing, &mut trainer, start_of(&recipe, &member.weights))?;
        let validator = Validator::new(request, gpus, &pipeline, &data)?;
        let log = MetricsLog::open(&request.out, &names(&pipeline), standing.has_begun().then(|| progress.reached()))?;
        let area = u64::from(recipe.crop).pow(2) * u64::from(recipe.batch);
        let filled = pixels.iter().sum::<u64>().div_ceil(area).max(1);
        let epoch_steps = recipe.steps_per_epoch.map_or(filled, u64::from);
        let total = epoch_steps * u64::from(recipe.epochs);
        let bars = TrainingBars::new(total, recipe.epochs.into(), progress.step, request.show);
        clock.stop();
        let (before, now) = (progress.seconds, Instant::now());
        let mut training = Self {
            request,
            recipe,
            pipeline,
            data,
            identity,
            trainer,
            standing,
            progress,
            validator,
            log,
            bars,
            interrupts,
            epoch_steps,
            threads,
            began: now,
            before,
            kept: now,
            pace: Pace::default(),
            doubtful: BTreeSet::new(),
            last: None,
        };
        if !training.standing.has_begun() {
            training.keep()?;
        }
        supervisor.begun();
        Ok(training)
    }

    /// Trains to the end.
    pub(super) fn follow(mut self) -> Result<(Trained, Validator), Error> {
        let ended = self.steps();
        self.bars.finish();
        let end = ended?;
        if self.trainer.is_finite() {
            self.write_bundle(LAST, None)?;
        }
        self.write_snapshots()?;
        let best = self.progress.best.clone();
        let name = if best.is_some() { BEST } else { LAST };
        let mut summary = TrainingSummary {
            end: end.to_string(),
            goes_on: end == TrainEnd::OutOfTime,
            steps: self.progress.step,
            epochs: self.epoch(self.progress.step),
            best: best.as_ref().map(|best| BestMetric {
                metric: self.recipe.metric.name().to_owned(),
                value: best.value,
                step: best.step,
            }),
            bundle: Some(self.request.out.join(name)),
            page: None,
            seconds: self.progress.seconds,
            samples_per_second: self.pace.per_second(),
            loader_wait_share: self.pace.wait_share(),
            went_back: self.progress.detours.into(),
        };
        match self.page(best.as_ref(), end, summary.clone()) {
            Ok(page) => summary.page = Some(page),
            // It says nothing that is not elsewhere.
            Err(error) => {
                report::tell(&Event::Warning { text: &format!("no page: {}", crate::words::explain(&error)) })
            }
        }
        self.bars.tell(&Event::Trained { summary: &summary });
        Ok((Trained { summary, end, n_refused: self.data.refused.len() }, self.validator))
    }

    /// Writes the pipeline file of the snapshots there are.
    fn write_snapshots(&self) -> Result<(), Error> {
        let taken = self.recipe.snapshots.iter().filter(|epoch| **epoch <= self.epochs());
        let files: Vec<(String, String)> = taken.map(|epoch| (format!("epoch{epoch}"), snapshot(*epoch))).collect();
        if files.is_empty() {
            return Ok(());
        }
        let text = bundle::ensemble(&self.pipeline, &files).map_err(|e| Error::Internal(e.to_string()))?;
        let text = format!("# The snapshots of one training together, written by `swath train`.\n\n{text}");
        Ok(atomic::write(&self.request.out.join(SNAPSHOTS), text.as_bytes())?)
    }

    /// Writes report.html and report.json, with the masks of the best weights.
    fn page(&mut self, best: Option<&Best>, end: TrainEnd, summary: TrainingSummary) -> Result<PathBuf, Error> {
        let last = self.last.take().filter(|(step, _)| best.is_some_and(|best| best.step == *step));
        let found = match (last, best) {
            (Some((_, found)), _) => Some(found),
            // Those of later weights lie there, or nothing: time for one more look, if there is any.
            (None, Some(_)) if end != TrainEnd::OutOfTime => {
                match self.validator.judge(&self.request.out.join(BEST), &self.interrupts.stop)? {
                    Verdict::Found(found) => Some(found),
                    Verdict::Lost(_) | Verdict::Stopped => None,
                }
            }
            (None, _) => None,
        };
        let value = |scores: &Scores| value(self.recipe.metric, scores);
        let judgement = found.as_ref().map(|found| self.validator.judgement(found, &value));
        write_page(&self.request.out, &self.pipeline, self.facts(), summary, judgement.as_ref())
    }

    /// What a person should know beside the recipe.
    fn facts(&self) -> Vec<(String, String)> {
        let network = self.pipeline.members.first().map(|member| member.spec.to_string());
        let facts = [
            ("Network", network.unwrap_or_default()),
            ("Data", self.request.input.display().to_string()),
            ("Trained on", count(self.data.train.len() as u64, "scene")),
            ("Validated on", count(self.data.val.len() as u64, "scene")),
            ("Left out", count(self.data.refused.len() as u64, "pair")),
            ("A step", format!("{} of {1} x {1} pixels", count(self.recipe.batch.into(), "crop"), self.recipe.crop)),
            ("An epoch", count(self.epoch_steps, "step")),
        ];
        facts.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn total(&self) -> u64 {
        self.epoch_steps * u64::from(self.recipe.epochs)
    }

    /// The time in epochs when so many steps are done.
    fn epoch(&self, step: u64) -> f64 {
        step as f64 / self.epoch_steps as f64
    }

    fn steps(&mut self) -> Result<TrainEnd, Error> {
        let mut loader = self.loader()?;
        loop {
            let lost = if self.owes_validation() {
                let lost = self.validate()?;
                if lost.is_none() {
                    self.keep()?;
                }
                lost
            } else if let Some(end) = self.end() {
                self.keep_if_good()?;
                return Ok(end);
            } else {
                self.step_and_keep(&mut loader)?
            };
            if let Some(what) = lost {
                self.go_back(&what)?;
                loader = self.loader()?;
            }
        }
    }

    /// Takes one step, and keeps what came of it when it is time to. Says so where that is no number.
    fn step_and_keep(&mut self, loader: &mut Loader) -> Result<Option<String>, Error> {
        if let Stepped::Lost(loss) = self.step(loader)? {
            return Ok(Some(format!("the loss is {loss}")));
        }
        let is_end = self.progress.step.is_multiple_of(self.epoch_steps);
        let is_due = match self.request.keep_every {
            Some(every) => self.progress.step.is_multiple_of(every.max(1)),
            None => self.kept.elapsed() >= KEEP_AFTER,
        };
        if !is_end && !is_due {
            return Ok(None);
        }
        // What is kept is good.
        if !self.trainer.is_finite() {
            return Ok(Some("weights are no numbers".to_owned()));
        }
        if is_end {
            self.trainer.end_epoch(self.epochs().saturating_sub(1));
            if self.recipe.snapshots.contains(&self.epochs()) {
                self.write_bundle(&snapshot(self.epochs()), None)?;
            }
        }
        self.keep()?;
        Ok(None)
    }

    /// Epochs that are over.
    fn epochs(&self) -> u32 {
        u32::try_from(self.progress.step / self.epoch_steps).unwrap_or(u32::MAX)
    }

    /// Whether an epoch has ended that is to be validated.
    fn owes_validation(&self) -> bool {
        let (step, epochs) = (self.progress.step, self.epochs());
        let is_end = step > 0 && step.is_multiple_of(self.epoch_steps);
        let is_due = epochs.is_multiple_of(self.recipe.validate_every) || epochs == self.recipe.epochs;
        is_end && is_due && self.progress.validated != Some(step) && !self.is_late()
    }

    /// Why it is over, if it is.
    fn end(&self) -> Option<TrainEnd> {
        let is_over = |patience: &u32| self.progress.since_best >= *patience;
        match self.recipe.patience.filter(is_over) {
            Some(patience) => Some(TrainEnd::NoBetter(patience)),
            None if self.is_late() => Some(TrainEnd::OutOfTime),
            None => (self.progress.step >= self.total()).then_some(TrainEnd::Done),
        }
    }

    fn is_late(&self) -> bool {
        let limits = &self.request.limits;
        limits.deadline.is_some_and(|deadline| limits.begun.elapsed() >= deadline)
    }

    /// Crops from the next step on. What is drawn follows from the seed, and from how often it went back.
    fn loader(&self) -> Result<Loader, Error> {
        let memory = self.request.memory.map_or_else(|| usual_memory(machine::memory()), |memory| memory.0);
        let readers = self.request.readers.unwrap_or_else(|| Feed::usual_readers(machine::cores()));
        let side = self.recipe.augment.window(self.recipe.crop);
        let drawer = Drawer::new(self.data.train.clone(), self.recipe.sampling, side, self.seed());
        let feed = Feed { from_step: self.progress.step, batch: self.recipe.batch, readers, memory };
        Loader::start(&drawer, &feed, self.interrupts.stop.clone()).map_err(|e| self.not_loaded(e))
    }

    fn seed(&self) -> u64 {
        self.recipe.seed.wrapping_add(u64::from(self.progress.detours) << 32)
    }

    fn not_loaded(&self, error: LoadError) -> Error {
        if matches!(error, LoadError::Stopped) { self.interrupts.error() } else { error.into() }
    }

    /// The crops of a step on the device.
    fn batch(&self, crops: &[Crop]) -> Batch {
        let side = self.recipe.augment.window(self.recipe.crop);
        let image: Vec<f32> = crops.iter().flat_map(|crop| crop.image.iter().copied()).collect();
        let valid: Vec<u8> = crops.iter().flat_map(|crop| crop.valid.iter().copied()).collect();
        let labels: Vec<u8> = crops.iter().flat_map(|crop| crop.labels.iter().copied()).collect();
        let weights = crops.iter().map(|crop| crop.weight).collect();
        self.trainer.batch(crops.len(), side, &image, &valid, &labels).weighted(weights)
    }

    /// Takes one step.
    fn step(&mut self, loader: &mut Loader) -> Result<Stepped, Error> {
        let supervisor = self.request.origin.supervisor.clone();
        let stalled = |stall: &Stall| supervisor.give_up(stall);
        let (began, waited) = (Instant::now(), loader.waited());
        let step = self.progress.step;
        let at = Moment { step, epoch: self.epoch(step), seed: self.seed() };
        let done = watch_over("train", self.request.limits.stall, stalled, |_| {
            let crops = loader.next()?;
            let batch = self.batch(&crops);
            Ok::<_, LoadError>(self.trainer.step(&batch, at))
        });
        let report = match done {
            Ok(report) => report.map_err(|text| Error::Usage(refused(&text)))?,
            Err(LoadError::Stopped) => {
                self.keep_if_good()?;
                return Err(self.not_loaded(LoadError::Stopped));
            }
            Err(error) => return Err(self.not_loaded(error)),
        };
        self.tell_doubts(loader);
        let (time, waited) = (began.elapsed(), loader.waited().saturating_sub(waited));
        self.pace.crops += u64::from(self.recipe.batch);
        self.pace.time += time;
        self.pace.waited += waited;
        if !report.is_taken && !self.trainer.may_scale_less() {
            return Ok(Stepped::Lost(report.loss));
        }
        self.progress.step += 1;
        self.progress.seconds = self.before + self.began.elapsed().as_secs_f64();
        self.record(report, time, waited)?;
        Ok(Stepped::Taken)
    }

    /// Says which files' pixels may not be those that were meant, once of each.
    fn tell_doubts(&mut self, loader: &mut Loader) {
        for (file, warnings) in loader.take_warned() {
            let first = warnings.first().unwrap_or_default();
            let path = file.display();
            let text =
                format!("`{path}`: its decoder warns: {first}; what it gave is trained on (--exclude leaves it out)");
            if self.doubtful.insert(file) {
                self.bars.tell(&Event::Warning { text: &text });
            }
        }
    }

    fn record(&mut self, report: StepReport, time: Duration, waited: Duration) -> Result<(), Error> {
        let step = self.progress.step;
        let StepReport { loss, terms, gradient_norm, rate, .. } = report;
        let seconds = time.as_secs_f64().max(1e-9);
        let record = MetricsRecord::Step(StepRecord {
            step,
            epoch: self.epoch(step),
            loss,
            parts: terms.into_iter().collect(),
            rate,
            gradient_norm: Some(gradient_norm),
            time: StepTime {
                samples_per_second: f64::from(self.recipe.batch) / seconds,
                loader_wait_share: waited.as_secs_f64() / seconds,
                seconds: self.progress.seconds,
            },
        });
        if step.is_multiple_of(self.total().div_ceil(RECORDS).max(1)) {
            self.log.append(&record)?;
        }
        self.bars.show(&record);
        Ok(())
    }

    /// The loss is no number: goes on from the newest generation with other crops.
    fn go_back(&mut self, what: &str) -> Result<(), Error> {
        let at = self.progress.step;
        let (detours, in_a_row) = (self.progress.detours + 1, self.progress.detours_in_a_row + 1);
        if in_a_row > MOST_DETOURS {
            return Err(Error::Diverged(format!(
                "{what} at step {at}, after going back {MOST_DETOURS} times: try a lower train.optimiser.rate, train.clip = 1.0, \
                 or look at the data (swath data stats)"
            )));
        }
        // What was kept before its validation is what it is about.
        self.standing.discard(at);
        let Some(Kept { file, progress, .. }) = self.standing.newest() else {
            return Err(Error::Diverged(format!("{what} at step {at}, and no generation before that can be read")));
        };
        self.trainer.restore(&file, &progress.counters).map_err(Error::Usage)?;
        self.progress = Progress { detours, detours_in_a_row: in_a_row, troubled: at, ..progress };
        let text = format!("{what} at step {at}: back to step {}, with other crops", self.progress.step);
        self.log = MetricsLog::open(&self.request.out, &names(&self.pipeline), Some(self.progress.reached()))?;
        let note = MetricsRecord::Note(NoteRecord { step: self.progress.step, text });
        self.log.append(&note)?;
        self.bars.show(&note);
        // From here on this is its history, whatever happens to the process.
        self.keep()
    }

    /// Validates. Says so if the network gives what is no number.
    fn validate(&mut self) -> Result<Option<String>, Error> {
        let began = Instant::now();
        self.bars.validating(0, self.data.val.len());
        let verdict = self.validator.validate(&self.trainer, &self.interrupts.stop);
        // What ran the scenes may have chosen another number.
        set_threads(self.threads);
        let found = match verdict? {
            Verdict::Found(found) => found,
            Verdict::Lost(cause) => return Ok(Some(cause)),
            Verdict::Stopped => return Err(self.not_loaded(LoadError::Stopped)),
        };
        let iou = by_class(&self.pipeline, &found.scores);
        let value = value(self.recipe.metric, &found.scores);
        let is_best = self.progress.best.as_ref().is_none_or(|best| value > best.value);
        let step = self.progress.step;
        if is_best {
            self.write_bundle(BEST, Some((value, &iou)))?;
            self.progress.best = Some(Best { step, value });
            self.progress.since_best = 0;
        } else {
            self.progress.since_best += 1;
        }
        self.progress.validated = Some(step);
        let record = MetricsRecord::Validation(ValidationRecord {
            step,
            epoch: self.epoch(step),
            metric: self.recipe.metric.name().to_owned(),
            value,
            mean_iou: found.scores.miou.unwrap_or(f64::NAN),
            accuracy: found.scores.accuracy.unwrap_or(f64::NAN),
            iou,
            is_best,
            time: ValidationTime { seconds: began.elapsed().as_secs_f64() },
        });
        self.log.append(&record)?;
        self.bars.show(&record);
        self.last = Some((step, found));
        Ok(None)
    }

    /// Writes the weights as they are, with all that is needed to run them.
    fn write_bundle(&self, name: &str, of: Option<(f64, &[Option<f64>])>) -> Result<(), Error> {
        let facts = Facts {
            step: self.progress.step,
            epoch: self.epoch(self.progress.step),
            metric: self.recipe.metric.name(),
            value: of.map(|(value, _)| value),
            iou: of.map_or(&[], |(_, iou)| iou),
            data: &self.identity,
            recipe: &self.recipe,
        };
        let facts = serde_json::to_string(&facts).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(self.trainer.export(&self.request.out.join(name), &metadata(&self.pipeline, Some(&facts))?)?)
    }

    /// Keeps a generation where it is one to go on from; else the one before stays.
    fn keep_if_good(&mut self) -> Result<(), Error> {
        if self.trainer.is_finite() { self.keep() } else { Ok(()) }
    }

    /// Keeps a generation.
    fn keep(&mut self) -> Result<(), Error> {
        if self.progress.step > self.progress.troubled {
            self.progress.detours_in_a_row = 0;
        }
        self.log.sync()?;
        let trainer = &self.trainer;
        self.standing.keep(&mut self.progress, |path| Ok(trainer.save(path)?))?;
        self.kept = Instant::now();
        self.request.origin.supervisor.recorded();
        Ok(())
    }
}

/// What classes are called.
fn names(pipeline: &Pipeline) -> Vec<String> {
    pipeline.classes.classes().iter().map(|class| class.name.clone()).collect()
}

/// What libtorch said, and what may help.
fn refused(text: &str) -> String {
    let is_memory = text.contains("memory");
    let hint = if is_memory { "; try a smaller train.batch, a larger train.parts or a smaller train.crop" } else { "" };
    format!("cannot take a step: {text}{hint}")
}

/// The file that training starts from, if there is one.
fn start_of<'a>(recipe: &'a Train, weights: &'a Weights) -> Option<&'a Path> {
    match weights {
        _ if recipe.start.is_some() => recipe.start.as_deref(),
        Weights::File(file) => Some(file),
        Weights::Seed(_) => None,
    }
}

/// Puts the newest generation into the trainer; without one, what the pipeline starts from.
fn resume(standing: &Standing, trainer: &mut Trainer, start: Option<&Path>) -> Result<Progress, Error> {
    match (standing.newest(), start) {
        (Some(Kept { file, progress, damaged }), _) => {
            damaged
                .iter()
                .for_each(|text| report::tell(&Event::Warning { text: &format!("{text}; going on from one before") }));
            trainer.restore(&file, &progress.counters).map_err(Error::Usage)?;
            Ok(progress)
        }
        (None, _) if standing.has_begun() => {
            let text = "no generation of this training can be read; --fresh begins anew".to_owned();
            Err(Error::Usage(text))
        }
        (None, Some(file)) => {
            let (taken, fresh) = trainer.start_from(file).map_err(Error::Usage)?;
            let names = crate::words::listed(&fresh, 4);
            let fresh = if fresh.is_empty() { String::new() } else { format!("; fresh: {names}") };
            report::tell(&Event::Note { text: &format!("{taken} tensors from `{}`{fresh}", file.display()) });
            Ok(Progress::default())
        }
        (None, None) => Ok(Progress::default()),
    }
}

/// Says what a person should know before it starts.
fn tell_all(request: &TrainRequest, data: &Data, told: Option<&str>, pixels: &[u64], pipeline: &Pipeline) {
    if request.origin.restarted || request.show.detail == report::Detail::Quiet {
        return;
    }
    for pair in &data.refused {
        report::tell(&Event::Warning { text: &format!("`{}` is left out: {}", pair.name, pair.cause) });
    }
    let absent: Vec<&str> = pipeline
        .classes
        .classes()
        .iter()
        .zip(pixels)
        .filter(|(_, n)| **n == 0)
        .map(|(class, _)| class.name.as_str())
        .collect();
    if !absent.is_empty() {
        let text = format!("no pixel to train on is {}: the network will not learn it", absent.join(", "));
        report::tell(&Event::Warning { text: &text });
    }
    if let Some(text) = told {
        report::tell(&Event::Warning { text });
    }
    let (n, val) = (data.train.len(), data.val.len());
    let text = format!("training on {n} scenes, validating with {val}");
    report::tell(&Event::Note { text: &text });
}

/// What the directory goes on with and with nothing else.
fn identity(pipeline: &Pipeline, recipe: &Train, taught: Option<String>, data: &Data) -> Result<Identity, Error> {
    fn digest(of: &impl Serialize) -> Result<String, Error> {
        let text = serde_json::to_vec(of).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(crate::hex(&Sha256::digest(text)))
    }
    let member = &pipeline.members[0];
    let weights = start_of(recipe, &member.weights).map(crate::weights::digest).transpose()?;
    let remap: &BTreeMap<String, String> = &pipeline.data.remap;
    // What may be opened, the pixels do not depend on.
    let reading = Reading { drivers: Drivers::default(), ..pipeline.reading };
    let network = (&member.spec, &member.input, weights, &pipeline.classes, &reading, pipeline.data.labels, remap);
    let validation = (&data.val_digest, &pipeline.tiling, pipeline.combine, &pipeline.views, &pipeline.post);
    let recipe = Train { start: None, ..recipe.clone() };
    Ok(Identity {
        network: digest(&network)?,
        // Where it starts from is known by its contents.
        recipe: match taught {
            None => digest(&recipe)?,
            Some(taught) => digest(&(&recipe, taught))?,
        },
        train: data.train.digest().to_owned(),
        val: digest(&validation)?,
    })
}
