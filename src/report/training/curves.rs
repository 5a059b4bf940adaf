//! What `metrics.jsonl` says, thinned to what a picture can show.

use std::collections::BTreeMap;
use std::path::Path;

use super::MetricsLog;
use super::log::records;
use super::records::{MetricsRecord, NoteRecord, ValidationRecord};
use crate::atomic::WriteError;

/// Points of a curve at most: a chart has about as many pixels.
const POINTS: usize = 512;

/// Notes that are kept.
const NOTES: usize = 50;

/// The curves of a training, by the names that TensorBoard has them under.
#[derive(Debug, Default)]
pub(in crate::report) struct Curves {
    pub(in crate::report) by_name: BTreeMap<String, Curve>,
    pub(in crate::report) best: Option<ValidationRecord>,
    pub(in crate::report) notes: Vec<NoteRecord>,
    pub(in crate::report) n_notes: usize,
    pub(in crate::report) last_step: u64,
}

/// A value by step, on the average of as many steps each as fit.
#[derive(Debug)]
pub(in crate::report) struct Curve {
    steps_per_bin: u64,
    bins: Vec<Bin>,
}

#[derive(Clone, Copy, Debug)]
struct Bin {
    n: f64,
    steps: f64,
    sum: f64,
    low: f64,
    high: f64,
}

/// A place of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Point {
    pub(in crate::report) step: f64,
    pub(in crate::report) mean: f64,
    pub(in crate::report) low: f64,
    pub(in crate::report) high: f64,
}

impl Curves {
    /// Reads what the log of a run directory has, a line at a time.
    ///
    /// # Errors
    /// When it cannot be read, or has a line that is no record.
    pub(in crate::report) fn read(run: &Path, classes: &[String]) -> Result<Self, WriteError> {
        let path = run.join(MetricsLog::FILE);
        let mut curves = Self::default();
        for record in records(&path)? {
            let record = record.map_err(|source| WriteError { operation: "read", path: path.clone(), source })?;
            curves.add(record, classes);
        }
        Ok(curves)
    }

    fn add(&mut self, record: MetricsRecord, classes: &[String]) {
        let step = record.step();
        self.last_step = self.last_step.max(step);
        for (name, value) in record.scalars(classes).into_iter().filter(|(_, value)| value.is_finite()) {
            self.by_name.entry(name).or_default().add(step, value);
        }
        match record {
            MetricsRecord::Validation(record) if record.is_best => self.best = Some(record),
            MetricsRecord::Step(_) | MetricsRecord::Validation(_) => {}
            MetricsRecord::Note(note) => {
                self.n_notes += 1;
                self.notes.extend((self.notes.len() < NOTES).then_some(note));
            }
        }
    }
}

impl Default for Curve {
    fn default() -> Self {
        Self { steps_per_bin: 1, bins: Vec::new() }
    }
}

impl Curve {
    fn add(&mut self, step: u64, value: f64) {
        let place = |width: u64| usize::try_from(step / width).unwrap_or(usize::MAX);
        while place(self.steps_per_bin) >= POINTS {
            self.bins =
                self.bins.chunks(2).map(|pair| pair[1..].iter().fold(pair[0], |bin, own| bin.with(own))).collect();
            self.steps_per_bin *= 2;
        }
        let place = place(self.steps_per_bin);
        self.bins.resize(self.bins.len().max(place + 1), Bin::EMPTY);
        self.bins[place] =
            self.bins[place].with(&Bin { n: 1.0, steps: step as f64, sum: value, low: value, high: value });
    }

    /// In the order of their steps.
    pub(in crate::report) fn points(&self) -> impl Iterator<Item = Point> {
        let point = |bin: &Bin| Point { step: bin.steps / bin.n, mean: bin.sum / bin.n, low: bin.low, high: bin.high };
        self.bins.iter().filter(|bin| bin.n > 0.0).map(point)
    }
}

impl Bin {
    const EMPTY: Self = Self { n: 0.0, steps: 0.0, sum: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY };

    fn with(self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            steps: self.steps + other.steps,
            sum: self.sum + other.sum,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_of_any_length_has_few_points_and_loses_no_extreme() {
        let mut curve = Curve::default();
        (1..=100_000).for_each(|step| curve.add(step, if step == 77_777 { 9.0 } else { 1.0 }));
        let points: Vec<Point> = curve.points().collect();
        assert!((POINTS / 2..=POINTS).contains(&points.len()), "{}", points.len());
        let highest = points.iter().max_by(|a, b| a.high.total_cmp(&b.high)).unwrap();
        assert!((highest.step - 77_777.0).abs() < 256.0 && highest.high == 9.0 && highest.low == 1.0, "{highest:?}");
        // All steps are in it, each once.
        let (n, steps) = curve.bins.iter().fold((0.0, 0.0), |(n, steps), bin| (n + bin.n, steps + bin.steps));
        assert_eq!((n, steps), (1e5, 1e5 * 100_001.0 / 2.0));

        let mut few = Curve::default();
        [(5, 2.0), (9, 4.0)].into_iter().for_each(|(step, value)| few.add(step, value));
        let point = |step, mean| Point { step, mean, low: mean, high: mean };
        assert_eq!(few.points().collect::<Vec<_>>(), [point(5.0, 2.0), point(9.0, 4.0)]);
    }
}
