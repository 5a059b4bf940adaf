//! Numbers that look random and follow from a key, the same on every machine (SplitMix64, Steele et al. 2014).

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

pub(crate) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[derive(Clone, Debug)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The sequence of several numbers, every one of which and their order make it another.
    pub(crate) fn keyed(key: &[u64]) -> Self {
        Self { state: key.iter().fold(0, |state: u64, word| mix(state.wrapping_add(GOLDEN) ^ word)) }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number from 0 to below 1.
    #[cfg(feature = "torch")]
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / 2f64.powi(53)
    }

    /// A number below `n`, which is at least 1; the high half of a product, so that the error is below n / 2^64.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(n);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_has_the_published_values() {
        // Of the reference implementation (Vigna), seed 1234567.
        let mut sequence = SplitMix64::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| sequence.next_u64()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn keys_are_told_apart_and_every_number_below_comes_up_as_often() {
        let first = |key: &[u64]| SplitMix64::keyed(key).next_u64();
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
        let others = [first(&[1, 3, 2]), first(&[0, 1, 2, 3]), first(&[1, 2]), first(&[1, 2, 3, 0])];
        assert!(others.iter().all(|other| *other != first(&[1, 2, 3])));
        let mut counts = [0_u32; 7];
        for step in 0..70_000 {
            counts[usize::try_from(SplitMix64::keyed(&[5, step]).below(7)).unwrap()] += 1;
        }
        // 10 000 each, with a standard deviation of 93.
        assert!(counts.iter().all(|n| n.abs_diff(10_000) < 465), "{counts:?}");
    }
}
