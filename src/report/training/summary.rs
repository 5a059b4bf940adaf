//! What a training came to, in a few lines.

use std::path::PathBuf;

use serde::Serialize;

use crate::report::show::{Page, Tone};
use crate::words::{count, percent, plural, time};

/// The end of a training.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrainingSummary {
    /// Why it ended: "all steps are done", "no better for 10 validations", ...
    pub end: String,
    /// Whether the same command goes on from here.
    pub goes_on: bool,
    /// Optimiser steps that were done.
    pub steps: u64,
    /// Passes over the training data that these are.
    pub epochs: f64,
    /// The best validation.
    pub best: Option<BestMetric>,
    /// Where its weights are.
    pub bundle: Option<PathBuf>,
    /// Where the page is.
    pub page: Option<PathBuf>,
    /// Seconds of training, those before an interruption included.
    pub seconds: f64,
    /// Crops per second, validations and checkpoints left out.
    pub samples_per_second: f64,
    /// The share of that time in which the trainer had to wait for crops.
    pub loader_wait_share: f64,
    /// How often it went back because a loss was not finite.
    pub went_back: u64,
}

/// A metric at its best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestMetric {
    /// Its name.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// The step of that validation.
    pub step: u64,
}

/// A share of waiting that is worth a word: more threads for the loader would make the training faster.
const MUCH_WAITING: f64 = 0.1;

/// The summary of a training as text.
pub fn training_summary(summary: &TrainingSummary, page: Page) -> String {
    let mut text = String::new();
    let mut add = |tone, label, words: &str| text += &page.line(tone, label, words);
    let tone = if summary.goes_on { Tone::Warning } else { Tone::Good };
    let go_on = if summary.goes_on { "; the same command goes on" } else { "" };
    let done = format!("{}, {:.1} epochs: {}{go_on}", count(summary.steps, "step"), summary.epochs, summary.end);
    add(tone, "training", &done);
    match &summary.best {
        Some(best) => add(Tone::Plain, "best", &format!("{} {:.4} at step {}", best.metric, best.value, best.step)),
        None => add(Tone::Warning, "best", "nothing was validated"),
    }
    if summary.went_back > 0 {
        let words = format!(
            "{}, since the loss was not finite",
            plural(summary.went_back, "return to an earlier step", "returns to earlier steps")
        );
        add(Tone::Warning, "went back", &words);
    }
    let waited = summary.loader_wait_share;
    let hint = if waited > MUCH_WAITING { ": more loader threads would help" } else { "" };
    let (tone, waited) = (if hint.is_empty() { Tone::Plain } else { Tone::Warning }, percent(waited));
    let pace = format!("{}, {:.1} samples/s", time(summary.seconds), summary.samples_per_second);
    add(tone, "speed", &format!("{pace}, {waited} of it waiting for crops{hint}"));
    for (label, path) in [("bundle", &summary.bundle), ("page", &summary.page)] {
        path.iter().for_each(|path| add(Tone::Plain, label, &path.display().to_string()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_best_and_what_to_do() {
        let summary = TrainingSummary {
            end: "SIGTERM".into(),
            goes_on: true,
            steps: 900,
            epochs: 7.5,
            best: Some(BestMetric { metric: "mean-iou".into(), value: 0.621_37, step: 800 }),
            bundle: Some("run/best.safetensors".into()),
            page: None,
            seconds: 1145.0,
            samples_per_second: 6.25,
            loader_wait_share: 0.125,
            went_back: 1,
        };
        let text = training_summary(&summary, Page { width: None, color: false });
        let lines = [
            "training    900 steps, 7.5 epochs: SIGTERM; the same command goes on",
            "best        mean-iou 0.6214 at step 800",
            "went back   1 return to an earlier step, since the loss was not finite",
            "speed       19m 05s, 6.2 samples/s, 12.5 % of it waiting for crops: more loader threads would help",
            "bundle      run/best.safetensors",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }
}
