//! What comes of pixels that several tiles see.

use serde::{Deserialize, Serialize};

/// How the tiles that see a pixel make its logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blend {
    /// The tile in whose centre it lies does alone.
    #[default]
    None,
    /// Each that sees it, weighted by a Gaussian around the middle of its crop whose standard deviation is an eighth of the crop: the
    /// importance map of nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z) and of MONAI's sliding window.
    Gaussian,
}

impl Blend {
    /// Whether one tile alone makes a pixel.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// What a crop of this length counts at each of its positions along one axis. That of a pixel is the product of both axes'.
    pub fn weights(self, length: u32) -> Vec<f32> {
        // In f64: what two machines make of the last bit is rounded away.
        let (middle, deviation) = ((f64::from(length) - 1.0) / 2.0, f64::from(length) / 8.0);
        #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
        let weight = |at: u32| match self {
            Self::None => 1.0,
            Self::Gaussian => (-0.5 * ((f64::from(at) - middle) / deviation).powi(2)).exp() as f32,
        };
        (0..length).map(weight).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_most_in_its_middle_and_something_at_its_edge() {
        for length in [1, 2, 33, 256, 8192] {
            let weights = Blend::Gaussian.weights(length);
            let mirrored: Vec<f32> = weights.iter().rev().copied().collect();
            assert_eq!(weights, mirrored);
            // exp(-8) on either axis.
            assert!(weights.iter().all(|w| (3.3e-4..=1.0).contains(w)), "{length}: {:?}", weights[0]);
            assert!(length < 9 || weights[length as usize / 2] > 0.9);
        }
        assert_eq!(Blend::None.weights(3), [1.0; 3]);
    }
}
