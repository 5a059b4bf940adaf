//! What a tile yields beside nothing: planes of one byte per pixel, named and in an order that the plan fixes.

use serde::Serialize;

use super::Plan;
use crate::config::classes::NODATA_LABEL;

/// A plane. It travels from the networks to the files and is kept in checkpoints, tile by tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

impl Plan {
    /// Where a plane is among the plan's.
    pub fn position(&self, plane: Plane) -> usize {
        self.planes.iter().position(|own| *own == plane).unwrap_or_default()
    }
}

/// One tile's planes in the plan's order, each row by row over what the tile owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilePlanes(pub Vec<Vec<u8>>);

impl TilePlanes {
    /// Where nothing is data: `area` pixels of each plane.
    pub fn void(planes: &[Plane], area: usize) -> Self {
        Self(planes.iter().map(|plane| vec![plane.void(); area]).collect())
    }

    /// The pixels `from..to` of a plane.
    pub fn pixels(&self, plane: usize, range: std::ops::Range<usize>) -> &[u8] {
        &self.0[plane][range]
    }
}
