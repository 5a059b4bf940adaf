//! What a forward pass returns.

use half::{bf16, f16};

use crate::config::Precision;
use crate::geom::{Size, View};
use crate::zoo::spec::{NetworkSpec, Upsample};

/// Logits of a batch at the network's own resolution, never up-sampled: `[tile][class][row][column]`.
#[derive(Clone, Debug)]
pub struct Logits {
    /// The values, widened to f32.
    pub values: Vec<f32>,
    /// Per tile: the type in which the engine gave them, and in which they are stored.
    pub precision: Vec<Precision>,
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
    /// Values that an engine gave in f32.
    pub(super) fn of_f32(
        values: Vec<f32>,
        n_tiles: usize,
        n_classes: usize,
        size: Size,
        full: Size,
        upsample: Option<Upsample>,
    ) -> Self {
        Self { values, precision: vec![Precision::F32; n_tiles], n_tiles, n_classes, size, full, upsample }
    }

    /// The most bytes of one tile's values as they are stored.
    pub fn stored_len(spec: &NetworkSpec, crop: Size) -> usize {
        spec.logit_size(crop).len() * spec.classes as usize * size_of::<f32>()
    }

    /// One tile's values as they are stored: `[class][row][column]`, in the type in which the engine gave them, little-endian.
    pub fn stored(&self, tile: usize) -> Vec<u8> {
        let values = self.tile(tile).iter();
        match self.precision[tile] {
            Precision::F16 => values.flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            Precision::BF16 => values.flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
            Precision::Auto | Precision::F32 | Precision::Tf32 => values.flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    /// Values of one tile as they were stored by a pass of this precision: in that type, or in f32 where the tile ran again. `None` if
    /// there are more or fewer, or one is not finite.
    pub fn from_stored(spec: &NetworkSpec, crop: Size, precision: Precision, bytes: &[u8]) -> Option<Self> {
        let mut logits = Self::zeros(spec, crop, 1);
        let n = logits.values.len();
        let halves = || bytes.as_chunks::<2>().0;
        let values: Vec<f32> = match precision {
            Precision::F16 if bytes.len() == 2 * n => halves().iter().map(|b| f16::from_le_bytes(*b).into()).collect(),
            Precision::BF16 if bytes.len() == 2 * n => {
                halves().iter().map(|b| bf16::from_le_bytes(*b).into()).collect()
            }
            Precision::F16 | Precision::BF16 | Precision::Auto | Precision::F32 | Precision::Tf32
                if bytes.len() == 4 * n =>
            {
                bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            Precision::F16 | Precision::BF16 | Precision::Auto | Precision::F32 | Precision::Tf32 => return None,
        };
        logits.precision = vec![if bytes.len() == 4 * n { Precision::F32 } else { precision }];
        logits.values = values;
        logits.is_finite(0).then_some(logits)
    }

    /// Zeros for `n_tiles` tiles of a network.
    pub fn zeros(spec: &NetworkSpec, crop: Size, n_tiles: usize) -> Self {
        let (size, full, n_classes) = (spec.logit_size(crop), spec.size_rule().padded(crop), spec.classes as usize);
        let values = vec![0.0; n_tiles * n_classes * size.len()];
        Self::of_f32(values, n_tiles, n_classes, size, full, spec.upsample())
    }

    /// The same of turned maps.
    pub(super) fn turned(self, view: View) -> Self {
        if view == View::Identity {
            return self;
        }
        let values = view.turn(&self.values, self.size);
        Self { values, size: view.of_size(self.size), full: view.of_size(self.full), ..self }
    }

    /// Replaces one tile's values by those of tile `at` of other logits on the same grid.
    pub fn copy_tile(&mut self, tile: usize, other: &Self, at: usize) {
        let len = self.n_classes * self.size.len();
        self.values[tile * len..(tile + 1) * len].copy_from_slice(other.tile(at));
        self.precision[tile] = other.precision[at];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::spec::{Network, SpecTable};

    #[test]
    fn logits_come_back_in_the_type_in_which_they_were_given() {
        let spec = SpecTable::new(Network::Identity).resolve(1, Some(2)).unwrap();
        let crop = Size::new(3, 1);
        let mut logits = Logits::zeros(&spec, crop, 1);
        logits.values = vec![0.5, -1.25, 3.0, 0.0, 65504.0, -0.125];
        for precision in [Precision::F16, Precision::F32] {
            logits.precision = vec![precision];
            let stored = logits.stored(0);
            assert_eq!(stored.len(), if precision == Precision::F16 { 12 } else { 24 });
            let back = Logits::from_stored(&spec, crop, precision, &stored).unwrap();
            assert_eq!((&back.values, &back.precision), (&logits.values, &logits.precision));
        }
        // A tile that ran again is in f32, whatever the pass was.
        let again = Logits::from_stored(&spec, crop, Precision::F16, &logits.stored(0)).unwrap();
        assert_eq!(again.precision, [Precision::F32]);
        assert!(Logits::from_stored(&spec, crop, Precision::F32, &[0; 12]).is_none());
    }
}
