//! How far the probabilities of chosen classes can be believed: of pixels with a probability of 0.8 four in five should be right.
//!
//! The expected calibration error (Guo et al., On Calibration of Modern Neural Networks, ICML 2017) is the mean distance of accuracy and mean
//! probability over bins of equal width, weighted by their pixels. Probabilities come as bytes, so counts by byte lose nothing.

use serde::Serialize;

use crate::outputs::Plane;

/// Bins, as in the paper.
const BINS: usize = 15;

/// Pixels by the byte of their probability, and those of them that are right.
#[derive(Clone, Debug)]
pub(super) struct Reliability(Box<[[u64; 2]; 256]>);

/// How far probabilities can be believed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error, 0 to 1.
    pub ece: f64,
    /// Pixels with a probability.
    pub pixels: u64,
    /// Counted pixels without one: post-processing has given them another class.
    pub unscored: u64,
    /// From improbable to probable.
    pub bins: Vec<ReliabilityBin>,
}

/// Pixels whose probability lies above one bound and not above the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// The probability that all of its pixels exceed.
    pub from: f64,
    /// The probability that none exceeds.
    pub to: f64,
    /// Number of its pixels.
    pub pixels: u64,
    /// Their mean probability; `None` without pixels.
    pub confidence: Option<f64>,
    /// The share of them that is right.
    pub accuracy: Option<f64>,
}

impl Default for Reliability {
    fn default() -> Self {
        Self(Box::new([[0; 2]; 256]))
    }
}

impl Reliability {
    /// Counts a pixel by the byte of its score.
    pub(super) fn add(&mut self, score: u8, is_right: bool) {
        let [all, right] = &mut self.0[usize::from(score)];
        *all += 1;
        *right += u64::from(is_right);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let own = self.0.as_flattened_mut().iter_mut();
        own.zip(other.0.as_flattened()).for_each(|(sum, n)| *sum += n);
    }

    /// `None` where no pixel has a probability.
    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 pixels lose nothing that a score shows")]
    pub(super) fn calibration(&self) -> Option<Calibration> {
        // Pixels, right ones, and the sum of probabilities.
        let mut sums = [(0_u64, 0_u64, 0.0); BINS];
        for (level, [all, right]) in self.0[1..].iter().enumerate() {
            let share = level as f64 / f64::from(Plane::STEPS);
            let above = (1..BINS).filter(|bin| share > *bin as f64 / BINS as f64).count();
            let (n, n_right, confidence) = &mut sums[above];
            *n += all;
            *n_right += right;
            *confidence += share * *all as f64;
        }
        let pixels: u64 = sums.iter().map(|(n, ..)| n).sum();
        let gap = |(n, right, sum): &(u64, u64, f64)| if *n == 0 { 0.0 } else { (*right as f64 - sum).abs() };
        let ece = sums.iter().map(gap).sum::<f64>() / pixels as f64;
        let bin = |(at, (n, right, sum)): (usize, (u64, u64, f64))| {
            let mean = |sum: f64| (n > 0).then(|| sum / n as f64);
            let (from, to) = (at as f64 / BINS as f64, (at + 1) as f64 / BINS as f64);
            ReliabilityBin { from, to, pixels: n, confidence: mean(sum), accuracy: mean(right as f64) }
        };
        let bins = sums.into_iter().enumerate().map(bin).collect();
        (pixels > 0).then_some(Calibration { ece, pixels, unscored: self.0[0][0], bins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_computed_by_hand() {
        let mut counts = Reliability::default();
        // Probability 1: 8 of 10 right. Probability 127 / 254 = 0.5: 3 of 10. 5 without any.
        (0..10).for_each(|i| counts.add(255, i < 8));
        (0..10).for_each(|i| counts.add(128, i < 3));
        (0..5).for_each(|i| counts.add(0, i < 5));
        let found = counts.calibration().unwrap();
        assert!((found.ece - (10.0 * 0.2 + 10.0 * 0.2) / 20.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.pixels, found.unscored, found.bins.len()), (20, 5, 15));
        // 0.5 lies between 7/15 and 8/15.
        assert_eq!(
            (found.bins[7].pixels, found.bins[7].accuracy, found.bins[7].confidence),
            (10, Some(0.3), Some(0.5))
        );
        assert_eq!((found.bins[14].pixels, found.bins[14].accuracy), (10, Some(0.8)));
        assert_eq!(found.bins[0].confidence, None);
        let mut twice = counts.clone();
        twice.merge(&counts);
        assert_eq!(twice.calibration().map(|c| (c.ece, c.pixels)), Some((found.ece, 40)));
        assert!(Reliability::default().calibration().is_none());
    }
}
