//! Learning rates.

use serde::Deserialize;

use super::take;
use crate::train::schedule::Schedule;
use crate::zoo::check::{Folder, Worst};

/// Share of a rate that rounding may take.
const TOLERANCE: f64 = 1e-9;

/// A sequence of rates.
#[derive(Deserialize)]
struct Record {
    /// What stepped, and when.
    mode: String,
    lr: f64,
    #[serde(rename = "T_0")]
    period: Option<f64>,
    #[serde(rename = "T_mult")]
    stretch: Option<f64>,
    eta_min: Option<f64>,
    lrs: Vec<f64>,
}

pub(super) fn check(folder: &Folder, name: &str) -> Result<Worst, String> {
    let mut worst = Worst::default();
    for record in folder.facts::<Vec<Record>>(name)? {
        let (schedule, per_epoch) = record.schedule().ok_or_else(|| format!("unknown schedule: {}", record.mode))?;
        for (step, reference) in record.lrs.iter().enumerate() {
            let rate = record.lr * schedule.share(step as f64 / per_epoch);
            take(&mut worst, [rate, *reference], TOLERANCE, || format!("{}, step {step}", record.mode));
        }
    }
    Ok(worst)
}

impl Record {
    /// The schedule, and how often it is asked in an epoch.
    fn schedule(&self) -> Option<(Schedule, f64)> {
        if let Some(rest) = self.mode.strip_prefix("MultiStepLR [") {
            let (at, factor) = rest.split_once(']')?;
            let at = at.split(',').map(|at| at.trim().parse()).collect::<Result<_, _>>().ok()?;
            return Some((Schedule::Steps { at, factor: factor.trim().parse().ok()? }, 1.0));
        }
        let per_epoch = match self.mode.strip_prefix("step(epoch + i/") {
            Some(n) => n.trim_end_matches(')').parse().ok()?,
            None if self.mode.contains("once per epoch") => 1.0,
            None => return None,
        };
        let least = self.eta_min? / self.lr;
        Some((Schedule::WarmRestarts { period: self.period?, stretch: self.stretch?, least }, per_epoch))
    }
}
