//! What a forward pass returns.

use crate::geom::Size;
use crate::zoo::spec::{NetworkSpec, Upsample};

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
    /// Bytes of one tile's values as they are stored.
    pub fn stored_len(spec: &NetworkSpec, crop: Size) -> usize {
        spec.logit_size(crop).len() * spec.classes as usize * size_of::<f32>()
    }

    /// Values of one tile as they were stored: `[class][row][column]`, f32 in the machine's order. `None` if there are more or fewer.
    pub fn from_stored(spec: &NetworkSpec, crop: Size, bytes: &[u8]) -> Option<Self> {
        let values = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_ne_bytes(*b)).collect();
        let (size, full, n_classes) = (spec.logit_size(crop), spec.size_rule().padded(crop), spec.classes as usize);
        let logits = Self { values, n_tiles: 1, n_classes, size, full, upsample: spec.upsample() };
        (logits.values.len() == n_classes * size.len() && logits.is_finite(0)).then_some(logits)
    }

    /// Zeros for `n_tiles` tiles of a network.
    pub fn zeros(spec: &NetworkSpec, crop: Size, n_tiles: usize) -> Self {
        let (size, full, n_classes) = (spec.logit_size(crop), spec.size_rule().padded(crop), spec.classes as usize);
        let values = vec![0.0; n_tiles * n_classes * size.len()];
        Self { values, n_tiles, n_classes, size, full, upsample: spec.upsample() }
    }

    /// Replaces one tile's values by those of tile `at` of other logits on the same grid.
    pub fn copy_tile(&mut self, tile: usize, other: &Self, at: usize) {
        let len = self.n_classes * self.size.len();
        self.values[tile * len..(tile + 1) * len].copy_from_slice(other.tile(at));
    }

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
