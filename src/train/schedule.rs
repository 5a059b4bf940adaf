//! The learning rate over time.

use std::f64::consts::PI;

pub use crate::config::train::Schedule;

impl Schedule {
    /// The share of the starting rate at a time.
    pub fn share(&self, epoch: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::WarmRestarts { period, stretch, least } => {
                let (mut since, mut period) = (epoch, *period);
                while since >= period {
                    since -= period;
                    period *= stretch;
                }
                cosine(1.0, *least, since / period)
            }
            Self::Cosine { warm_up, .. } if epoch < *warm_up => epoch / warm_up,
            Self::Cosine { epochs, warm_up, least } => cosine(1.0, *least, part(epoch - warm_up, epochs - warm_up)),
            Self::Poly { epochs, power } => (1.0 - part(epoch, *epochs)).powf(*power),
            Self::OneCycle { epochs, rising, first, last } => match epochs * rising {
                top if epoch < top => cosine(*first, 1.0, epoch / top),
                top => cosine(1.0, *last, part(epoch - top, epochs - top)),
            },
            Self::Steps { at, factor } => at.iter().filter(|at| **at <= epoch).map(|_| factor).product(),
        }
    }
}

/// From one value to another along half a cosine.
fn cosine(from: f64, to: f64, part: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * part).cos()) / 2.0
}

/// How much of `whole` is over.
fn part(of: f64, whole: f64) -> f64 {
    if whole > 0.0 { (of / whole).clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares<const N: usize>(schedule: &Schedule, at: [f64; N]) -> [f64; N] {
        at.map(|epoch| (schedule.share(epoch) * 1e6).round() / 1e6)
    }

    #[test]
    fn each_goes_as_its_source_says() {
        let restarts = Schedule::WarmRestarts { period: 2.0, stretch: 2.0, least: 0.0 };
        assert_eq!(shares(&restarts, [0.0, 1.0, 2.0, 4.0, 6.0]), [1.0, 0.5, 1.0, 0.5, 1.0]);
        let cosine = Schedule::Cosine { epochs: 5.0, warm_up: 1.0, least: 0.1 };
        assert_eq!(shares(&cosine, [0.0, 0.5, 1.0, 3.0, 5.0, 9.0]), [0.0, 0.5, 1.0, 0.55, 0.1, 0.1]);
        let poly = Schedule::Poly { epochs: 4.0, power: 2.0 };
        assert_eq!(shares(&poly, [0.0, 2.0, 4.0, 5.0]), [1.0, 0.25, 0.0, 0.0]);
        let cycle = Schedule::OneCycle { epochs: 10.0, rising: 0.2, first: 0.2, last: 0.0 };
        assert_eq!(shares(&cycle, [0.0, 1.0, 2.0, 6.0, 10.0]), [0.2, 0.6, 1.0, 0.5, 0.0]);
        let steps = Schedule::Steps { at: vec![2.0, 3.0], factor: 0.5 };
        assert_eq!(shares(&steps, [1.9, 2.0, 3.0]), [1.0, 0.5, 0.25]);
        assert_eq!(Schedule::Constant.share(7.0).to_bits(), 1.0_f64.to_bits());
    }
}
