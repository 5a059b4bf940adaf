//! `swath train --folds`: a training for each of several parts, which validates with it and learns from the others.
//!
//! ```text
//! pairs -> folds -> a training each (foldN) -> runs of each over what it never saw (out-of-fold/foldN)
//!       -> post-processing that makes these masks better -> out-of-fold/masks, report.html, ensemble.toml
//! ```
//!
//! Everything is kept where the same command finds it again: trainings as single ones do, and runs with the labels of their tiles, so that
//! another post-processing costs no forward pass.

use std::path::{Path, PathBuf};

use super::follow::Training;
use super::interrupts::Interrupts;
use super::standing::forget;
use super::start::Begun;
use super::validate::{Validator, value};
use super::{FoldsLayout, FoldsTrained, Parts, TrainEnd, TrainRequest};
use crate::app::Error;
use crate::app::eval::named;
use crate::atomic;

use crate::config::train::Metric;
use crate::config::{Area, Pipeline, Post, bundle};
use crate::eval::{Evaluation, PairFiles};
use crate::journal::TRAINING_FILE;
use crate::lifecycle::Clock;
use crate::outputs::OutputLayout;
use crate::report::{self, Detail, Event, FoldsSummary, PostChoice};
use crate::words::count;

/// What post-processing is tried, kind after kind in the order in which they are done, each on top of what was found good before.
const MAJORITIES: [u32; 3] = [3, 5, 7];
const HOLES: [u32; 3] = [16, 64, 256];
const ISLANDS: [u32; 3] = [16, 64, 256];

/// What a kind has to add to the metric: with nine of them tried on one set, less than that is luck.
const LEAST_GAIN: f64 = 0.001;

/// Trains so many networks, or goes on; with all of them trained, writes what they are together.
///
/// # Errors
/// As for one training.
pub fn train_folds(request: &TrainRequest, n: u32) -> Result<FoldsTrained, Error> {
    let clock = Clock::start(request.limits.begun, request.limits.deadline);
    let trained = Folds::begin(request, n).and_then(|folds| folds.follow(&clock));
    clock.stop();
    trained
}

/// Networks that are trained one after the other.
struct Folds {
    request: TrainRequest,
    layout: FoldsLayout,
    n: u32,
    begun: Begun,
    interrupts: Interrupts,
}

/// What was made of one fold: its best weights, and the scenes that these have not seen.
struct Fold {
    number: u32,
    bundle: PathBuf,
    validator: Validator,
}

impl Folds {
    fn begin(request: &TrainRequest, n: u32) -> Result<Self, Error> {
        let budget = request.budget.map(|budget| budget / n);
        let request = TrainRequest { parts: Parts::FoldOf(0, n), budget, ..request.clone() };
        own(&request.out)?;
        let begun = Begun::at(&request)?;
        let interrupts = Interrupts::begin(&request)?;
        if request.fresh && !request.origin.supervisor.attempt().begun {
            forget_all(&request.out)?;
        }
        let request = TrainRequest { input: begun.input.clone(), fresh: false, ..request };
        let layout = FoldsLayout { dir: request.out.clone() };
        Ok(Self { request, layout, n, begun, interrupts })
    }

    fn follow(self, clock: &Clock) -> Result<FoldsTrained, Error> {
        let (mut folds, mut summaries) = (Vec::new(), Vec::new());
        let (mut end, mut n_refused) = (TrainEnd::Done, 0);
        for number in 0..self.n {
            let name = FoldsLayout::name(number);
            self.tell(&format!("{name}: {} of {}", number + 1, count(self.n.into(), "fold")));
            let request = TrainRequest {
                out: self.request.out.join(&name),
                parts: Parts::FoldOf(number, self.n),
                ..self.request.clone()
            };
            let pipeline = self.begun.pipeline.clone();
            let training = Training::begin(&request, pipeline, &self.begun.gpus, &self.interrupts, clock)?;
            let (trained, validator) = training.follow()?;
            n_refused = n_refused.max(trained.n_refused);
            let bundle = trained.summary.bundle.clone();
            summaries.push(trained.summary);
            if trained.end == TrainEnd::OutOfTime {
                end = trained.end;
                break;
            }
            folds.extend(bundle.map(|bundle| Fold { number, bundle, validator }));
        }
        let metric = self.metric();
        let mut summary = FoldsSummary::of(summaries, self.n, metric.name(), end.to_string());
        if end != TrainEnd::OutOfTime {
            self.join(&folds, &mut summary)?;
        }
        Ok(FoldsTrained { summary, end, n_refused })
    }

    fn tell(&self, text: &str) {
        if self.request.show.detail != Detail::Quiet {
            report::tell(&Event::Note { text });
        }
    }

    fn metric(&self) -> Metric {
        self.begun.pipeline.train.as_ref().map(|recipe| recipe.metric).unwrap_or_default()
    }

    /// Masks of all scenes by networks that had not seen them, what makes these better, and the ensemble.
    fn join(&self, folds: &[Fold], summary: &mut FoldsSummary) -> Result<(), Error> {
        let out = &self.request.out;
        let (post, found) = self.chosen(folds, summary)?;
        let masks = self.layout.masks();
        for fold in folds {
            for scene in fold.validator.scenes_in(&self.layout.run(fold.number)) {
                let bytes = std::fs::read(&scene.mask).map_err(|e| unreadable(&scene.mask, &e))?;
                atomic::write(&masks.join(format!("{}.png", scene.name)), &bytes)?;
            }
        }
        let pipeline = Pipeline { post, ..self.begun.pipeline.clone() };
        let ensemble = self.layout.ensemble();
        atomic::write(&ensemble, self.ensemble(folds, &pipeline, summary)?.as_bytes())?;
        // What is told to be a pipeline file has been read as one.
        Pipeline::load(&ensemble, &[])?;
        let page = report::scores_page(&found, &named(Some(&pipeline.classes)), [&masks, &self.request.input]);
        let layout = OutputLayout { dir: out.clone() };
        atomic::write(&layout.page(), page.map_err(|e| Error::Internal(e.to_string()))?.as_bytes())?;
        summary.page = Some(layout.page());
        summary.ensemble = Some(ensemble);
        summary.masks = Some(masks);
        summary.scores = Some(found.scores);
        let text = serde_json::to_vec_pretty(&summary).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(atomic::write(&layout.report(), &text)?)
    }

    /// The post-processing that the masks of unseen scenes are best with, and how good they are then. The pipeline's own stays.
    fn chosen(&self, folds: &[Fold], summary: &mut FoldsSummary) -> Result<(Post, Box<Evaluation>), Error> {
        let given = self.begun.pipeline.post.clone();
        let metric = self.metric();
        self.tell("all scenes, each by the network that has not seen it");
        let mut best = (given.clone(), self.unseen(folds, &given)?);
        let without = value(metric, &best.1.scores);
        if given.is_nothing() {
            let classes = self.begun.pipeline.classes.classes().len();
            for kind in candidates(classes) {
                let before = value(metric, &best.1.scores);
                let mut better: Option<(Post, Box<Evaluation>)> = None;
                for change in kind {
                    let post = change.on(&best.0);
                    let found = self.unseen(folds, &post)?;
                    let now = value(metric, &found.scores);
                    let words = post.words(&self.begun.pipeline.classes).join(", ");
                    self.tell(&format!("{words}: {} {now:.4}, {before:.4} without", metric.name()));
                    let least = better.as_ref().map_or(before + LEAST_GAIN, |(_, best)| value(metric, &best.scores));
                    if now > least {
                        better = Some((post, found));
                    }
                }
                best = better.unwrap_or(best);
            }
            // The masks that lie there are those of what was tried last.
            best.1 = self.unseen(folds, &best.0)?;
        }
        summary.post = Some(PostChoice {
            words: best.0.words(&self.begun.pipeline.classes),
            is_given: !given.is_nothing(),
            without,
            with: value(metric, &best.1.scores),
        });
        Ok(best)
    }

    /// Runs every fold's network over the scenes that it has not seen, and holds the masks of all of them against the truth.
    fn unseen(&self, folds: &[Fold], post: &Post) -> Result<Box<Evaluation>, Error> {
        let mut pairs: Vec<PairFiles> = Vec::new();
        for fold in folds {
            let run = self.layout.run(fold.number);
            fold.validator.predict(&fold.bundle, post, &run, &self.interrupts.stop)?;
            if self.interrupts.stop.is_cut() {
                return Err(self.interrupts.error());
            }
            pairs.extend(fold.validator.scenes_in(&run));
        }
        let Some(first) = folds.first() else { return Err(Error::Internal("there is no fold".to_owned())) };
        first.validator.compare(pairs).map(Box::new)
    }

    /// The pipeline file of all networks: their mean, with the post-processing that was chosen.
    fn ensemble(&self, folds: &[Fold], pipeline: &Pipeline, summary: &FoldsSummary) -> Result<String, Error> {
        let relative = |fold: &Fold| {
            let file = fold.bundle.strip_prefix(&self.request.out).unwrap_or(&fold.bundle);
            (FoldsLayout::name(fold.number), file.display().to_string())
        };
        let files: Vec<(String, String)> = folds.iter().map(relative).collect();
        let text = bundle::ensemble(pipeline, &files).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(format!("# Written by `swath train --folds {}`.\n{}\n{text}", self.n, summary.remarks()))
    }
}

/// One value of one kind of post-processing.
#[derive(Clone, Copy)]
enum Change {
    Majority(u32),
    Holes(u32),
    Islands(u32, usize),
}

impl Change {
    fn on(self, post: &Post) -> Post {
        match self {
            Self::Majority(majority) => Post { majority, ..post.clone() },
            Self::Holes(fill_holes) => Post { fill_holes, ..post.clone() },
            Self::Islands(pixels, classes) => {
                Post { drop_islands: vec![Area::Pixels(pixels); classes], ..post.clone() }
            }
        }
    }
}

fn candidates(classes: usize) -> [[Change; 3]; 3] {
    [MAJORITIES.map(Change::Majority), HOLES.map(Change::Holes), ISLANDS.map(|pixels| Change::Islands(pixels, classes))]
}

/// Refuses a directory that holds something else.
fn own(dir: &Path) -> Result<(), Error> {
    if dir.join(TRAINING_FILE).exists() {
        return Err(Error::Usage(format!("`{}` holds the training of one network; name another -o", dir.display())));
    }
    let layout = OutputLayout { dir: dir.to_owned() };
    let left = [FoldsLayout { dir: dir.to_owned() }.ensemble(), layout.page(), layout.report()];
    let first = dir.join(FoldsLayout::name(0)).join(TRAINING_FILE);
    match left.iter().find(|file| file.exists()).filter(|_| !first.exists()) {
        None => Ok(()),
        Some(file) => {
            let file = file.display();
            Err(Error::Usage(format!("`{file}` was not written by --folds; name another -o, or move it away")))
        }
    }
}

/// Forgets the trainings of all folds, and before that what came of them: a directory without its first fold is somebody else's.
fn forget_all(dir: &Path) -> Result<(), Error> {
    let (layout, output) = (FoldsLayout { dir: dir.to_owned() }, OutputLayout { dir: dir.to_owned() });
    for path in [layout.unseen(), layout.ensemble(), output.page(), output.report()] {
        let done = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match done {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Usage(format!("cannot remove `{}`: {e}", path.display())));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let folds = (0..).map(|fold| dir.join(FoldsLayout::name(fold)));
    folds.take_while(|fold| fold.join(TRAINING_FILE).exists()).try_for_each(|fold| forget(&fold))
}

fn unreadable(file: &Path, e: &std::io::Error) -> Error {
    Error::Usage(format!("cannot read `{}`: {e}", file.display()))
}
