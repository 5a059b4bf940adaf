//! How a training stands, by what it has recorded.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::BestMetric;
use super::log::{MetricsLog, records};
use super::records::{MetricsRecord, NoteRecord, StepRecord, ValidationRecord};
use crate::atomic::WriteError;
use crate::words::time;

/// What the directory of a training says of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrainingStanding {
    /// The last step that was recorded.
    pub step: u64,
    /// Passes over the training data that these are.
    pub epoch: f64,
    /// The loss of that step.
    pub loss: Option<f64>,
    /// Seconds of training, those before an interruption included.
    pub seconds: f64,
    /// The value of the last validation, and its step.
    pub last: Option<BestMetric>,
    /// The same of the best one.
    pub best: Option<BestMetric>,
    /// What was noted on the way.
    pub notes: Vec<NoteRecord>,
    /// Who is at work in it.
    pub running: Option<String>,
}

impl TrainingStanding {
    /// What is recorded in a directory.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn of(dir: &Path, running: Option<String>) -> Result<Self, WriteError> {
        let path = dir.join(MetricsLog::FILE);
        let mut standing = Self { running, ..Self::default() };
        for record in records(&path)? {
            let record = record.map_err(|source| WriteError { operation: "read", path: path.clone(), source })?;
            standing.add(record);
        }
        Ok(standing)
    }

    fn add(&mut self, record: MetricsRecord) {
        match record {
            MetricsRecord::Step(StepRecord { step, epoch, loss, time, .. }) => {
                (self.step, self.epoch, self.loss, self.seconds) = (step, epoch, Some(loss), time.seconds);
            }
            MetricsRecord::Validation(ValidationRecord { step, metric, value, is_best, .. }) => {
                let found = BestMetric { metric, value, step };
                if is_best {
                    self.best = Some(found.clone());
                }
                self.last = Some(found);
            }
            MetricsRecord::Note(note) => self.notes.push(note),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |s: String| writeln!(text, "{s}").unwrap_or_default();
        line(format!("running     {}", self.running.as_deref().unwrap_or("no")));
        let loss = self.loss.map_or_else(String::new, |loss| format!(", loss {loss:.4}"));
        line(format!("step        {}, epoch {:.1}{loss}, {}", self.step, self.epoch, time(self.seconds)));
        for (label, found) in [("best", &self.best), ("last", &self.last)] {
            if let Some(BestMetric { metric, value, step }) = found {
                line(format!("{label:12}{metric} {value:.4} at step {step}"));
            }
        }
        for NoteRecord { step, text } in &self.notes {
            line(format!("note        step {step}: {text}"));
        }
        text
    }
}
