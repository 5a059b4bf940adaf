//! The learning rate over time, as written and as meant.

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::within;

/// How the rate goes, as a share of the rate that training starts from. Time is in epochs; within an epoch it is a fraction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls along half a cosine and starts again (Loshchilov and Hutter 2017, arXiv:1608.03983).
    WarmRestarts {
        /// Epochs to the first restart.
        period: f64,
        /// Each period is so many times as long as the one before.
        stretch: f64,
        /// The share that it falls to.
        least: f64,
    },
    /// It falls along half a cosine once.
    Cosine {
        /// Epochs in all.
        epochs: f64,
        /// Epochs in which it first rises from 0.
        warm_up: f64,
        /// The share that it falls to.
        least: f64,
    },
    /// (1 - time / epochs) to a power.
    Poly {
        /// Epochs in all.
        epochs: f64,
        /// The power.
        power: f64,
    },
    /// It rises along half a cosine and falls along another (Smith and Topin 2018, arXiv:1708.07120).
    OneCycle {
        /// Epochs in all.
        epochs: f64,
        /// Share of them in which it rises.
        rising: f64,
        /// The share that it rises from.
        first: f64,
        /// The share that it falls to.
        last: f64,
    },
    /// It is multiplied at certain epochs.
    Steps {
        /// The epochs, in order.
        at: Vec<f64>,
        /// With what.
        factor: f64,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Constant,
    #[default]
    Poly,
    Cosine,
    WarmRestarts,
    OneCycle,
    Steps,
}

/// `[train.schedule]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScheduleTable {
    kind: Kind,
    power: Option<f64>,
    warm_up: Option<f64>,
    least: Option<f64>,
    period: Option<f64>,
    stretch: Option<f64>,
    rising: Option<f64>,
    first: Option<f64>,
    last: Option<f64>,
    at: Option<Vec<f64>>,
    factor: Option<f64>,
}

impl Schedule {
    /// The epochs at whose ends the rate starts again, the last one included, if all of them are whole.
    pub(super) fn restarts(&self, epochs: u32) -> Option<Vec<u32>> {
        let Self::WarmRestarts { period, stretch, .. } = self else { return None };
        let first = Some((*period, *period));
        let ends = std::iter::successors(first, |(end, period)| Some((end + period * stretch, period * stretch)));
        let within = ends.map(|(end, _)| end).take_while(|end| *end <= f64::from(epochs));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of epochs")]
        let whole: Option<Vec<u32>> = within.map(|end| (end.fract() == 0.0).then_some(end as u32)).collect();
        whole.filter(|ends| !ends.is_empty())
    }
}

impl ScheduleTable {
    pub(super) fn checked(mut self, epochs: u32) -> Result<Schedule, Fault> {
        let epochs = f64::from(epochs);
        let key = |key: &str| format!("train.schedule.{key}");
        let number = |name: &str, value: &mut Option<f64>, usual: f64, range: std::ops::RangeInclusive<f64>| {
            within(&key(name), value.take().unwrap_or(usual), range)
        };
        let schedule = match self.kind {
            Kind::Constant => Schedule::Constant,
            Kind::Poly => Schedule::Poly { epochs, power: number("power", &mut self.power, 0.9, 0.0..=10.0)? },
            Kind::Cosine => Schedule::Cosine {
                epochs,
                warm_up: number("warm_up", &mut self.warm_up, 0.0, 0.0..=epochs)?,
                least: number("least", &mut self.least, 0.0, 0.0..=1.0)?,
            },
            Kind::WarmRestarts => Schedule::WarmRestarts {
                // What the 2020 entry trained with.
                period: number("period", &mut self.period, 15.0, 1e-3..=1e6)?,
                stretch: number("stretch", &mut self.stretch, 1.0, 1.0..=100.0)?,
                least: number("least", &mut self.least, 0.0, 0.0..=1.0)?,
            },
            Kind::OneCycle => Schedule::OneCycle {
                epochs,
                rising: number("rising", &mut self.rising, 0.3, 0.0..=1.0)?,
                // As PyTorch has it: 1 / 25, and 1 / 10 000 of that.
                first: number("first", &mut self.first, 0.04, 0.0..=1.0)?,
                last: number("last", &mut self.last, 4e-6, 0.0..=1.0)?,
            },
            Kind::Steps => {
                let at = self.at.take().unwrap_or_default();
                if at.is_empty() || !at.is_sorted() {
                    return Err(Fault::value(key("at"), format_args!("{at:?}"), "one or more epochs in order"));
                }
                Schedule::Steps { at, factor: number("factor", &mut self.factor, 0.1, 0.0..=1.0)? }
            }
        };
        match self == (Self { kind: self.kind, ..Self::default() }) {
            true => Ok(schedule),
            false => Err(Fault::about("train.schedule", format!("it has keys that {:?} does not take", self.kind))),
        }
    }
}
