//! Seeded weights: values for every tensor of a network that follow from a number and the tensor's name alone.
//!
//! Nothing is stored and nothing depends on the order in which tensors are filled, so two programs that agree on the names
//! get the same network, bit for bit. Networks filled this way stand in for trained ones wherever only the arithmetic
//! matters: comparisons with a reference implementation, timings, tests of the dataflow.
//!
//! The rule (`NAIC-HASH-1` in the parity fixtures): the text `seed/name` is hashed with 64-bit FNV-1a; the hash starts a
//! SplitMix64 sequence; the upper 24 bits of its i-th number make the i-th element, scaled by what the name says the tensor
//! is, so that activations neither vanish nor explode.

use crate::random::SplitMix64;

/// 2^24: how many values an element can take.
const LEVELS: f64 = 16_777_216.0;

/// What a tensor is for, told from its name and number of dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A batch counter, 0.
    Counter,
    /// A running mean.
    Mean,
    /// A running variance.
    Variance,
    /// A kernel or matrix.
    Kernel,
    /// The scale of a normalisation.
    Scale,
    /// A bias.
    Bias,
    /// A learned scalar.
    Other,
}

impl Role {
    fn of(key: &str, shape: &[usize]) -> Self {
        if key.ends_with("num_batches_tracked") {
            Self::Counter
        } else if key.ends_with("running_mean") {
            Self::Mean
        } else if key.ends_with("running_var") {
            Self::Variance
        } else if shape.len() >= 2 {
            Self::Kernel
        } else if key.ends_with(".weight") {
            Self::Scale
        } else if key.ends_with(".bias") {
            Self::Bias
        } else {
            Self::Other
        }
    }
}

/// The values of the tensor `key` of shape `shape`, in row-major order.
///
/// `exponent_k` scales kernels by `2^exponent_k`; 0 unless a fixture says otherwise. All values are finite.
pub fn fill(seed: u64, key: &str, shape: &[usize], exponent_k: i32) -> Vec<f32> {
    let n_elements = shape.iter().product();
    let fan_in: usize = shape.iter().skip(1).product();
    let bound = (6.0 / fan_in.max(1) as f64).sqrt();
    let scale = 2f64.powi(exponent_k);
    let role = Role::of(key, shape);
    Fractions::new(seed, key)
        .take(n_elements)
        .map(|r| {
            let s = 2.0 * r - 1.0;
            let value = match role {
                Role::Counter => 0.0,
                Role::Mean => 0.2 * s,
                Role::Variance => 0.6 + 0.8 * r,
                Role::Kernel => (bound * s) * scale,
                Role::Scale => 0.75 + 0.5 * r,
                Role::Bias => 0.1 * s,
                Role::Other => 0.5 + 0.25 * s,
            };
            narrow(value)
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the rule ends in one rounding to f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// FNV-1a, 64 bit.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The endless sequence of fractions in (0, 1) that belongs to a seed and a name.
#[derive(Debug)]
pub(crate) struct Fractions {
    numbers: SplitMix64,
}

impl Fractions {
    pub(crate) fn new(seed: u64, key: &str) -> Self {
        Self { numbers: SplitMix64::new(fnv1a(format!("{seed}/{key}").as_bytes())) }
    }

    /// The next number below 2^24.
    fn next_level(&mut self) -> u64 {
        self.numbers.next_u64() >> 40
    }
}

impl Iterator for Fractions {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        Some((self.next_level() as f64 + 0.5) / LEVELS)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn the_hash_and_the_sequence_have_the_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"7/conv1.weight"), 0xec03_7f18_7652_8b9e);
        let mut sequence = Fractions::new(7, "conv1.weight");
        let levels: Vec<u64> = (0..8).map(|_| sequence.next_level()).collect();
        assert_eq!(levels, [10_843_528, 12_421_196, 954_994, 9_613_033, 12_557_445, 2_568_630, 6_307_755, 6_509_817]);
    }

    #[test]
    fn tensors_have_the_published_bits() {
        let kernel = fill(7, "conv1.weight", &[64, 3, 7, 7], 0);
        let expected =
            [0x3d72_2c1b, 0x3dc6_e71f, 0xbe37_53c6, 0x3cf1_92d4, 0x3dcd_9f86, 0xbe0f_8828, 0xbd4d_4576, 0xbd39_56a0];
        assert_eq!(bits(&kernel[..8]), expected);
        let scale = fill(7, "bn1.weight", &[64], 0);
        assert_eq!(bits(&scale[..4]), [0x3f8b_cb26, 0x3f5e_cfa8, 0x3f49_25b3, 0x3f84_85ee]);
        let variance = fill(7, "bn1.running_var", &[64], 0);
        assert_eq!(bits(&variance[..4]), [0x3f29_afe3, 0x3fa8_eea1, 0x3f93_d565, 0x3f71_be44]);

        let bytes: Vec<u8> = kernel.iter().flat_map(|v| v.to_le_bytes()).collect();
        let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest, "91df5e63c9f89572d14738e353f8e3df16acc4e42c871642a850877a6277e7b5");
    }

    #[test]
    fn the_exponent_scales_kernels_only() {
        let (plain, scaled) = (fill(1, "a.weight", &[2, 3], 0), fill(1, "a.weight", &[2, 3], -2));
        assert!(plain.iter().zip(&scaled).all(|(p, s)| p * 0.25 == *s));
        assert_eq!(fill(1, "a.bias", &[3], 0), fill(1, "a.bias", &[3], 5));
    }
}
