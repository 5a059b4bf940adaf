//! What outputs are made of: planes of one byte per pixel.

use serde::{Deserialize, Serialize};

use super::kinds_of;
use crate::config::Pipeline;
use crate::config::classes::NODATA_LABEL;

/// A plane. It travels from the networks to the files and is kept in checkpoints, tile by tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// The class with the greatest sum.
    Labels,
}

impl Plane {
    /// Its name in keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
        }
    }

    /// What it holds where there is no data.
    pub const fn void(self) -> u8 {
        match self {
            Self::Labels => NODATA_LABEL,
        }
    }

    /// Whether every one of these bytes can be in it.
    pub fn may_hold(self, bytes: &[u8], n_classes: usize) -> bool {
        match self {
            Self::Labels => bytes.iter().all(|label| usize::from(*label) < n_classes || *label == NODATA_LABEL),
        }
    }
}

/// The planes that the outputs of a pipeline are made of, in order.
pub fn planes_of(pipeline: &Pipeline) -> Vec<Plane> {
    let mut planes: Vec<Plane> = kinds_of(pipeline).flat_map(|kind| kind.planes()).copied().collect();
    planes.sort_unstable();
    planes.dedup();
    planes
}
