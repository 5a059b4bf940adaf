//! What outputs are made of: planes of one byte per pixel.

use serde::{Deserialize, Serialize};

use super::kinds_of;
use crate::config::Pipeline;
use crate::config::classes::{ClassId, NODATA_LABEL};

/// A plane. It travels from the networks to the files and is kept in checkpoints, tile by tile.
///
/// Probabilities are those of all members and views together: the softmax of the summed logits, or the mean of the members' probabilities
/// where they are combined so. They are kept in 254 steps, `Plane::of_probability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// The class with the greatest sum.
    Labels,
    /// The probability of that class; 0 where post-processing has put another in its place.
    Scores,
    /// The share of the members' weight that is for another class than that one: 0 to 254, 255 without data. A member is for the class that it
    /// would choose alone, with all views of it that were run.
    Disagreement,
    /// The probability of a class, whatever post-processing does.
    Probability(ClassId),
}

impl Plane {
    /// Steps between a share of 0 and one of 1.
    pub const STEPS: f32 = 254.0;

    /// Its name in keys.
    pub fn name(self) -> String {
        match self {
            Self::Labels => "labels".into(),
            Self::Scores => "scores".into(),
            Self::Disagreement => "disagreement".into(),
            Self::Probability(class) => format!("probability-{class}"),
        }
    }

    /// What it holds where there is no data.
    pub const fn void(self) -> u8 {
        match self {
            Self::Labels => NODATA_LABEL,
            Self::Scores | Self::Probability(_) => 0,
            Self::Disagreement => u8::MAX,
        }
    }

    /// What it holds where post-processing has given a pixel another class; as before where there is nothing.
    pub const fn where_changed(self) -> Option<u8> {
        match self {
            Self::Scores => Some(0),
            Self::Labels | Self::Disagreement | Self::Probability(_) => None,
        }
    }

    /// Whether every one of these bytes can be in it.
    pub fn may_hold(self, bytes: &[u8], n_classes: usize) -> bool {
        match self {
            Self::Labels => bytes.iter().all(|label| usize::from(*label) < n_classes || *label == NODATA_LABEL),
            Self::Scores | Self::Disagreement | Self::Probability(_) => true,
        }
    }

    /// A probability as a byte of 1 to 255.
    pub(crate) fn of_probability(probability: f32) -> u8 {
        1 + Self::of_share(probability)
    }

    /// A share as a byte of 0 to 254, rounded as libtorch rounds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 254")]
    pub(crate) fn of_share(share: f32) -> u8 {
        (share.clamp(0.0, 1.0) * Self::STEPS).round_ties_even() as u8
    }
}

/// The planes that the outputs of a pipeline are made of, in order.
pub fn planes_of(pipeline: &Pipeline) -> Vec<Plane> {
    let mut planes: Vec<Plane> = kinds_of(pipeline).flat_map(|kind| kind.planes(pipeline)).collect();
    planes.sort_unstable();
    planes.dedup();
    planes
}
