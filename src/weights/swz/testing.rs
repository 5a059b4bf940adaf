//! Values for tests.

/// `n` values of the standard normal distribution: SplitMix64, then the polar form of Box and Muller.
pub(super) fn gaussian(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut one = || {
        let (radius, angle) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), std::f64::consts::TAU * uniform());
        #[expect(clippy::cast_possible_truncation, reason = "values for tests")]
        let value = (radius * angle.cos()) as f32;
        value
    };
    (0..n).map(|_| one()).collect()
}
