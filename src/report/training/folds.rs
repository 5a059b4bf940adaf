//! What trainings came to that leave out one fold after the other.

use std::path::PathBuf;

use serde::Serialize;

use super::summary::TrainingSummary;
use crate::eval::Scores;
use crate::report::show::{Page, Tone};
use crate::words::{count, time};

/// The end of several trainings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FoldsSummary {
    /// Why they ended.
    pub end: String,
    /// Whether the same command goes on from here.
    pub goes_on: bool,
    /// What the value is that decides.
    pub metric: String,
    /// Each training.
    pub folds: Vec<TrainingSummary>,
    /// How many there shall be.
    pub of_folds: u32,
    /// Of the masks of all scenes, each by the network that had not seen it, after post-processing.
    pub scores: Option<Scores>,
    /// The post-processing.
    pub post: Option<PostChoice>,
    /// The pipeline file of all networks together.
    pub ensemble: Option<PathBuf>,
    /// The masks.
    pub masks: Option<PathBuf>,
    /// Where the page is.
    pub page: Option<PathBuf>,
    /// Seconds of training.
    pub seconds: f64,
}

/// The post-processing of an ensemble.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PostChoice {
    /// What it does, in the order in which it does it.
    pub words: Vec<String>,
    /// Whether the pipeline says it: then no other was tried.
    pub is_given: bool,
    /// The value that decides, without what was chosen and with it.
    pub without: f64,
    /// The same with it.
    pub with: f64,
}

impl FoldsSummary {
    /// Of trainings so far; what they are together is for the caller to add.
    pub fn of(folds: Vec<TrainingSummary>, of_folds: u32, metric: &str, end: String) -> Self {
        let seconds = folds.iter().map(|fold| fold.seconds).sum();
        let goes_on = folds.iter().any(|fold| fold.goes_on);
        Self { end, goes_on, metric: metric.to_owned(), folds, of_folds, seconds, ..Self::default() }
    }

    /// What the ensemble's file says of itself, as comments.
    pub fn remarks(&self) -> String {
        let lines = [format!("Each network: {}.", self.each()), self.together()];
        lines.map(|line| format!("# {line}")).join("\n")
    }

    fn each(&self) -> String {
        let value = |fold: &TrainingSummary| fold.best.as_ref().map_or("-".into(), |best| format!("{:.4}", best.value));
        format!("{} {}", self.metric, self.folds.iter().map(value).collect::<Vec<_>>().join(", "))
    }

    fn together(&self) -> String {
        let Some(PostChoice { words, is_given, without, with }) = &self.post else { return String::new() };
        let value = format!("All scenes, each by the network that had not seen it: {} {with:.4}", self.metric);
        match (words.join(", "), is_given) {
            (words, _) if words.is_empty() => format!("{value}; no post-processing made it better."),
            (words, true) => format!("{value}, with the pipeline's post-processing ({words})."),
            (words, false) => format!("{value}, {without:.4} before post-processing ({words})."),
        }
    }
}

/// The summary of several trainings as text.
pub fn folds_summary(summary: &FoldsSummary, page: Page) -> String {
    let mut text = String::new();
    let mut add = |tone, label, words: &str| text += &page.line(tone, label, words);
    let tone = if summary.goes_on { Tone::Warning } else { Tone::Good };
    let go_on = if summary.goes_on { "; the same command goes on" } else { "" };
    let done = format!("{} of {}: {}{go_on}", summary.folds.len(), count(summary.of_folds.into(), "fold"), summary.end);
    add(tone, "training", &done);
    add(Tone::Plain, "folds", &summary.each());
    if summary.post.is_some() {
        add(Tone::Plain, "unseen", &summary.together());
    }
    add(Tone::Plain, "time", &time(summary.seconds));
    for (label, path) in [("ensemble", &summary.ensemble), ("masks", &summary.masks), ("page", &summary.page)] {
        path.iter().for_each(|path| add(Tone::Plain, label, &path.display().to_string()));
    }
    text
}
