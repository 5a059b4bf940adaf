//! From raw pixels to a network's input: bands, scaling, normalisation, padding.

use super::batch::RawBatch;
use crate::config::{Band, InputSpec};
use crate::geom::Size;
use crate::raster::{PixelType, with_held};
use crate::tensor::{Affine, InputRule};
use crate::tiler::Border;
use crate::zoo::spec::SizeRule;

/// Prepares one member's input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InputPlan {
    rule: InputRule,
    size: SizeRule,
}

impl InputPlan {
    /// `read` are the bands that a raw batch holds, ascending; it must hold all of the member's.
    pub(super) fn new(spec: &InputSpec, read: &[Band], rule: SizeRule, border: Border) -> Self {
        let planes = spec.bands.iter().filter_map(|b| read.iter().position(|r| r == b)).collect();
        let affine = spec.divide.iter().map(|(dtype, divide)| {
            let bands = spec.mean.iter().zip(&spec.std);
            (*dtype, bands.map(|(mean, std)| affine(*divide, *mean, *std)).collect())
        });
        Self { rule: InputRule { planes, affine: affine.collect(), border }, size: rule }
    }

    /// What is done to the pixels.
    #[cfg(feature = "torch")]
    pub(super) fn rule(&self) -> &InputRule {
        &self.rule
    }

    /// The size of the network's input for a crop.
    pub(super) fn padded(&self, crop: Size) -> Size {
        self.size.padded(crop)
    }

    /// Fills `into` with `[tile][band][row][column]`, f32, of the padded size: `(pixel / divide - mean) / std`, 0 where there is no
    /// data; what the padding adds at the right and bottom follows the border rule.
    pub(super) fn fill(&self, batch: &RawBatch, into: &mut Vec<f32>) {
        with_held!(batch.pixels.dtype(), T => self.fill_as::<T>(batch, into));
    }

    fn fill_as<T: bytemuck::Pod + Into<f32>>(&self, batch: &RawBatch, into: &mut Vec<f32>) {
        let (crop, padded) = (batch.crop, self.padded(batch.crop));
        let (area, n_planes) = (crop.len(), self.rule.planes.len());
        into.clear();
        into.resize(batch.len() * n_planes * padded.len(), 0.0);
        let values: &[T] = batch.pixels.values();
        for (tile, planes) in into.chunks_exact_mut((n_planes * padded.len()).max(1)).enumerate() {
            if batch.blank[tile] {
                continue;
            }
            let valid = batch.valid_of(tile);
            for (idx, plane) in planes.chunks_exact_mut(padded.len().max(1)).enumerate() {
                let start = (tile * batch.n_bands + self.rule.planes[idx]) * area;
                let affine = self.affine(idx, batch.pixels.dtype());
                fill_plane(&values[start..start + area], valid, crop, padded, plane, |v| {
                    v.into() * affine.scale + affine.offset
                });
                self.pad_plane(idx, batch.pixels.dtype(), crop, padded, plane);
            }
        }
    }

    /// Types without a divisor are refused when a run is planned.
    fn affine(&self, idx: usize, dtype: PixelType) -> Affine {
        self.rule.affine.get(&dtype).map_or(Affine { scale: 1.0, offset: 0.0 }, |bands| bands[idx])
    }

    /// Extends the crop to the padded size: mirrored values, or what a pixel value of 0 becomes.
    fn pad_plane(&self, idx: usize, dtype: PixelType, crop: Size, padded: Size, plane: &mut [f32]) {
        if crop == padded {
            return;
        }
        let zero = self.affine(idx, dtype).offset;
        let width = padded.width as usize;
        let source = |at: u32, length: u32| self.rule.border.resolve(i64::from(at), length);
        for row in plane.chunks_exact_mut(width).take(crop.height as usize) {
            for x in crop.width..padded.width {
                row[x as usize] = source(x, crop.width).map_or(zero, |from| row[from as usize]);
            }
        }
        for y in crop.height..padded.height {
            let to = y as usize * width;
            match source(y, crop.height) {
                Some(from) => plane.copy_within(from as usize * width..(from as usize + 1) * width, to),
                None => plane[to..to + width].fill(zero),
            }
        }
    }
}

/// `(value / divide - mean) / std` as one product and one sum.
#[expect(clippy::cast_possible_truncation, reason = "computed in f64, applied in f32")]
fn affine(divide: f64, mean: f64, std: f64) -> Affine {
    Affine { scale: (1.0 / (divide * std)) as f32, offset: (-mean / std) as f32 }
}

/// Normalises one plane of a crop into the upper left of a padded plane; 0 where there is no data.
fn fill_plane<T: Copy>(
    values: &[T],
    valid: Option<&[u8]>,
    crop: Size,
    padded: Size,
    plane: &mut [f32],
    normalise: impl Fn(T) -> f32,
) {
    let width = crop.width as usize;
    for (y, row) in plane.chunks_exact_mut(padded.width as usize).take(crop.height as usize).enumerate() {
        let source = &values[y * width..(y + 1) * width];
        match valid {
            None => row.iter_mut().zip(source).for_each(|(out, v)| *out = normalise(*v)),
            Some(valid) => {
                let valid = &valid[y * width..(y + 1) * width];
                for ((out, v), ok) in row.iter_mut().zip(source).zip(valid) {
                    *out = if *ok == 0 { 0.0 } else { normalise(*v) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::PixelRect;
    use crate::raster::PixelBuf;

    fn spec() -> InputSpec {
        let divide = [(PixelType::U8, 2.0), (PixelType::F32, 1.0)].into();
        InputSpec { bands: [3, 1].map(Band::Number).to_vec(), divide, mean: vec![1.0, 0.0], std: vec![0.5, 1.0] }
    }

    fn batch(pixels: PixelBuf, crop: Size, n_bands: usize, valid: Option<Vec<u8>>) -> RawBatch {
        let (name, kept) = (String::new(), vec![PixelRect::whole(crop)]);
        RawBatch { name, crop, n_bands, pixels, valid, kept, blank: vec![false] }
    }

    fn filled(rule: SizeRule, border: Border, raw: &RawBatch) -> Vec<f32> {
        let mut out = Vec::new();
        InputPlan::new(&spec(), &[1, 3].map(Band::Number), rule, border).fill(raw, &mut out);
        out
    }

    #[test]
    fn bands_are_picked_in_the_members_order_and_normalised() {
        let raw = batch(PixelBuf::from_slice(PixelType::U8, &[2u8, 4, 6, 8]), Size::new(2, 1), 2, None);
        let rule = SizeRule { multiple: 1, min_size: 1 };
        assert_eq!(filled(rule, Border::Reflect, &raw), [4.0, 6.0, 1.0, 2.0]);
    }

    #[test]
    fn nodata_is_zero_after_normalisation_and_never_nan() {
        let values = [1.0f32, f32::NAN, 5.0, -9999.0];
        let raw = batch(PixelBuf::from_slice(PixelType::F32, &values), Size::new(2, 1), 2, Some(vec![1, 0]));
        let rule = SizeRule { multiple: 1, min_size: 1 };
        assert_eq!(filled(rule, Border::Reflect, &raw), [8.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn padding_follows_the_border_rule() {
        let raw = batch(PixelBuf::from_slice(PixelType::U8, &[2u8, 4, 6, 2, 4, 6]), Size::new(3, 1), 2, None);
        let rule = SizeRule { multiple: 4, min_size: 2 };
        let reflected = filled(rule, Border::Reflect, &raw);
        assert_eq!(reflected[..4], [0.0, 2.0, 4.0, 2.0]);
        assert_eq!(reflected[12..16], [0.0, 2.0, 4.0, 2.0], "one row mirrors itself");
        let zero = filled(rule, Border::Zero, &raw);
        assert_eq!(zero[..8], [0.0, 2.0, 4.0, -2.0, -2.0, -2.0, -2.0, -2.0]);
    }
}
