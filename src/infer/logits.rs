//! What a forward pass returns.

use crate::geom::Size;
use crate::zoo::spec::Upsample;

/// Logits of a batch at the network's own resolution, never up-sampled: `[tile][class][row][column]`, f32.
#[derive(Clone, Debug)]
pub struct Logits {
    /// The values.
    pub values: Vec<f32>,
    /// Number of tiles.
    pub n_tiles: usize,
    /// Number of classes.
    pub n_classes: usize,
    /// Rows and columns of the values.
    pub size: Size,
    /// Size of the network's input: the padded crop.
    pub full: Size,
    /// The way from the one to the other; `None` where they are equal.
    pub upsample: Option<Upsample>,
}

impl Logits {
    /// One tile's values, `[class][row][column]`.
    pub fn tile(&self, tile: usize) -> &[f32] {
        let len = self.n_classes * self.size.len();
        &self.values[tile * len..(tile + 1) * len]
    }

    /// Whether a tile's values are all finite.
    pub fn is_finite(&self, tile: usize) -> bool {
        // A sum of absolute bit patterns would vectorise; so does this, and it is plain.
        self.tile(tile).iter().fold(true, |ok, v| ok & v.is_finite())
    }

    /// Whether both can be summed before up-sampling.
    pub fn same_grid(&self, other: &Self) -> bool {
        self.size == other.size && self.full == other.full && self.upsample == other.upsample
    }
}
