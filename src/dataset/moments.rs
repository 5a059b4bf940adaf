//! Mean and standard deviation of many values.

use serde::{Deserialize, Serialize};

/// Count, mean and sum of squared deviations, in f64; parts join in any order to the same, but for rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    n: u64,
    mean: f64,
    deviations: f64,
}

impl Moments {
    /// Those of some values.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (n, sum) = values.clone().fold((0_u64, 0.0), |(n, sum), value| (n + 1, sum + value));
        let mean = if n == 0 { 0.0 } else { sum / n as f64 };
        Self { n, mean, deviations: values.map(|value| (value - mean).powi(2)).sum() }
    }

    /// Joins others (Chan et al. 1979).
    pub fn join(&mut self, other: Self) {
        let n = self.n + other.n;
        if n == 0 {
            return;
        }
        let apart = other.mean - self.mean;
        let share = other.n as f64 / n as f64;
        self.deviations += other.deviations + apart * apart * self.n as f64 * share;
        self.mean += apart * share;
        self.n = n;
    }

    /// The mean; `None` of no values.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// The standard deviation; `None` of no values.
    pub fn std(&self) -> Option<f64> {
        (self.n > 0).then(|| (self.deviations / self.n as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_to_the_whole() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i * i % 97) + 1e6).collect();
        let whole = Moments::of(values.iter().copied());
        let mut joined = Moments::default();
        for part in values.chunks(7) {
            joined.join(Moments::of(part.iter().copied()));
        }
        joined.join(Moments::default());
        let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-6;
        assert!(close(joined.mean(), whole.mean()) && close(joined.std(), whole.std()));
        let mean = values.iter().sum::<f64>() / 1000.0;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1000.0).sqrt();
        assert!(close(whole.mean(), Some(mean)) && close(whole.std(), Some(std)));
        assert_eq!((Moments::default().mean(), Moments::default().std()), (None, None));
    }
}
