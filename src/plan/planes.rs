//! The planes of a tile, in an order that the plan fixes.

use super::Plan;
pub use crate::outputs::Plane;

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
