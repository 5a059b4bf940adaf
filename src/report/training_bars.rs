//! What a person sees of a training while it goes on.

use super::display::Display;
use super::show::Show;
use super::{Event, MetricsRecord, StepRecord};

/// Shows how a training goes on standard error.
#[derive(Debug)]
pub struct TrainingBars {
    display: Display,
    n_steps: u64,
    n_epochs: f64,
    loss: Option<f64>,
    is_finite: bool,
}

/// The share that a record has in the loss that is shown: single batches leap.
const SMOOTHING: f64 = 0.05;

impl TrainingBars {
    /// Starts watching a training of so many steps and epochs, of which earlier commands have done `known_steps`.
    pub fn new(n_steps: u64, n_epochs: f64, known_steps: u64, show: Show) -> Self {
        Self { display: Display::new(n_steps, known_steps, show), n_steps, n_epochs, loss: None, is_finite: true }
    }

    /// Shows what was recorded: steps if it is time to, the rest at once.
    pub fn show(&mut self, record: &MetricsRecord) {
        match record {
            MetricsRecord::Step(record) => {
                self.follow(record);
                let event = |eta_seconds| Event::Training {
                    step: record.step,
                    of_steps: self.n_steps,
                    epoch: record.epoch,
                    of_epochs: self.n_epochs,
                    loss: self.loss,
                    rate: record.rate,
                    samples_per_second: record.time.samples_per_second,
                    loader_wait_share: record.time.loader_wait_share,
                    eta_seconds,
                };
                self.display.show(record.step, || self.describe(record), event);
            }
            MetricsRecord::Validation(record) => self.tell(&Event::Validated { record }),
            MetricsRecord::Note(note) => {
                self.tell(&Event::Warning { text: &format!("step {}: {}", note.step, note.text) });
            }
        }
    }

    /// Shows that so many scenes are validated: the bar stands still meanwhile.
    pub fn validating(&self, n_scenes: usize, of_scenes: usize) {
        self.display.say(|| format!("validating: {n_scenes}/{of_scenes} scenes"));
    }

    /// Tells something about the training without tearing the bar.
    pub fn tell(&self, event: &Event<'_>) {
        self.display.tell(event);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.display.finish();
    }

    fn follow(&mut self, record: &StepRecord) {
        let is_finite = record.loss.is_finite();
        if is_finite {
            let before = self.loss.unwrap_or(record.loss);
            self.loss = Some(before + SMOOTHING * (record.loss - before));
        } else if self.is_finite {
            // Once for as long as it lasts.
            self.tell(&Event::Warning { text: &format!("step {}: the loss is {}", record.step, record.loss) });
        }
        self.is_finite = is_finite;
    }

    fn describe(&self, record: &StepRecord) -> String {
        format!(
            "epoch {:.1}/{:.1}, step {}/{}, loss {:.4}, rate {:.2e}, {:.1} samples/s",
            record.epoch,
            self.n_epochs,
            record.step,
            self.n_steps,
            self.loss.unwrap_or(f64::NAN),
            record.rate,
            record.time.samples_per_second
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::StepTime;

    fn record(step: u64, loss: f64) -> StepRecord {
        let time = StepTime { samples_per_second: 31.25, loader_wait_share: 0.0, seconds: 0.0 };
        StepRecord { step, epoch: 1.25, loss, parts: BTreeMap::new(), rate: 2.5e-4, gradient_norm: None, time }
    }

    #[test]
    fn the_loss_that_is_shown_is_smooth_and_never_stops_being_a_number() {
        let mut bars = TrainingBars::new(200, 10.0, 0, Show::NOTHING);
        bars.follow(&record(1, 2.0));
        bars.follow(&record(2, f64::NAN));
        bars.follow(&record(3, 4.0));
        let words = "epoch 1.2/10.0, step 3/200, loss 2.1000, rate 2.50e-4, 31.2 samples/s";
        assert_eq!(bars.describe(&record(3, 4.0)), words);
    }
}
