//! Which pixels of a scene hold data.

use crate::config::NodataRule;
use crate::geom::PixelRect;
use crate::raster::{Held, PixelBuf, SceneHeader, with_held};

/// One byte per pixel of the window, 0 where there is no data; `None` when all is data.
///
/// A pixel has no data when the mask says so, when the bands that are read hold their nodata values, all or any as the rule says, or when
/// some band is not finite. Without a nodata entry in the class table there is no rule: every finite pixel is data, and one that is not
/// is an error.
pub(crate) fn validity(
    header: &SceneHeader,
    bands: &[u32],
    window: PixelRect,
    pixels: &PixelBuf,
    mask: Vec<u8>,
    rule: Option<NodataRule>,
) -> Result<Option<Vec<u8>>, String> {
    if mask.is_empty() && !header.can_lack_data() {
        return Ok(None);
    }
    let area = window.size.len();
    let mut valid = if mask.is_empty() { vec![1u8; area] } else { mask };
    valid.iter_mut().for_each(|ok| *ok = u8::from(*ok != 0));
    if pixels.dtype().held() == Held::F32 {
        for plane in pixels.values::<f32>().chunks_exact(area) {
            valid.iter_mut().zip(plane).for_each(|(ok, v)| *ok &= u8::from(v.is_finite()));
        }
    }
    let Some(rule) = rule else {
        return match valid.iter().position(|ok| *ok == 0) {
            Some(at) => Err(non_finite(window, at)),
            None => Ok(None),
        };
    };
    // The tag is text: 0.1 means the nearest f32.
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the pixel's own type is the point")]
    let held = |value: f64| if pixels.dtype().held() == Held::F32 { f64::from(value as f32) } else { value };
    let of_band = |band: &u32| header.nodata.get(*band as usize - 1).copied().flatten().map(held);
    let nodata: Vec<Option<f64>> = bands.iter().map(of_band).collect();
    let can_lack = match rule {
        NodataRule::All => nodata.iter().all(Option::is_some),
        NodataRule::Any => nodata.iter().any(Option::is_some),
    };
    if can_lack {
        with_held!(pixels.dtype(), T => clear_nodata::<T>(pixels, &nodata, &mut valid, rule));
    }
    Ok(valid.contains(&0).then_some(valid))
}

/// Whether some value is not finite.
pub(crate) fn has_non_finite(pixels: &PixelBuf) -> bool {
    pixels.dtype().held() == Held::F32 && pixels.values::<f32>().iter().any(|value| !value.is_finite())
}

/// Clears the pixels where all bands hold their nodata value, or one of them does.
fn clear_nodata<T: bytemuck::Pod + Into<f64>>(
    pixels: &PixelBuf,
    nodata: &[Option<f64>],
    valid: &mut [u8],
    rule: NodataRule,
) {
    let (planes, area) = (pixels.values::<T>(), valid.len());
    // Piece by piece: a plane of its own would be memory that nobody has counted.
    let mut lacking = [0u8; 4096];
    for (piece, valid) in valid.chunks_mut(lacking.len()).enumerate() {
        let start = piece * lacking.len();
        let lacking = &mut lacking[..valid.len()];
        lacking.fill(u8::from(rule == NodataRule::All));
        for (plane, nodata) in planes.chunks_exact(area.max(1)).zip(nodata) {
            let Some(nodata) = nodata else { continue };
            let values = plane[start..start + valid.len()].iter().map(|v| u8::from((*v).into() == *nodata));
            match rule {
                NodataRule::All => lacking.iter_mut().zip(values).for_each(|(lacks, is_it)| *lacks &= is_it),
                NodataRule::Any => lacking.iter_mut().zip(values).for_each(|(lacks, is_it)| *lacks |= is_it),
            }
        }
        valid.iter_mut().zip(lacking.iter()).for_each(|(ok, lacks)| *ok &= 1 - lacks);
    }
}

pub(crate) fn non_finite(window: PixelRect, at: usize) -> String {
    let width = window.size.width as usize;
    let (x, y) = (window.x as usize + at % width, window.y as usize + at / width);
    format!(
        "the pixel at column {x}, row {y} is not a finite number and the class table has no [nodata] entry; add one to the pipeline"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;
    use crate::raster::{MemoryRaster, PixelType};

    fn check<T: bytemuck::Pod>(dtype: PixelType, values: &[T], nodata: Option<f64>, mask: &[u8]) -> Option<Vec<u8>> {
        let size = Size::new(3, 1);
        let mut raster = MemoryRaster::new(size, 2, PixelBuf::from_slice(dtype, values));
        raster.header.nodata = vec![nodata; 2];
        validity(&raster.header, &[1, 2], PixelRect::whole(size), &raster.pixels, mask.to_vec(), Some(NodataRule::All))
            .unwrap()
    }

    #[test]
    fn all_bands_must_hold_the_nodata_value() {
        let values = [-9999i16, -9999, 5, -9999, 7, 5];
        assert_eq!(check(PixelType::I16, &values, Some(-9999.0), &[]), Some(vec![0, 1, 1]));
        assert_eq!(check(PixelType::I16, &values, None, &[]), None);
    }

    #[test]
    fn one_band_that_is_not_finite_suffices() {
        let values = [1.0f32, f32::NAN, 1.0, 0.1, 1.0, 0.1];
        assert_eq!(check(PixelType::F32, &values, None, &[]), Some(vec![1, 0, 1]));
        let values = [0.1f32, 1.0, 1.0, 0.1, 1.0, 0.1];
        assert_eq!(check(PixelType::F32, &values, Some(0.1), &[]), Some(vec![0, 1, 1]), "the tag's text is a f64");
    }

    #[test]
    fn a_mask_decides_alone() {
        assert_eq!(check(PixelType::U8, &[1u8; 6], None, &[255, 0, 255]), Some(vec![1, 0, 1]));
    }

    #[test]
    fn without_a_nodata_entry_a_nan_costs_the_scene_and_a_value_does_not() {
        let size = Size::new(2, 2);
        let values = [1.0f32, 2.0, 3.0, f32::INFINITY];
        let mut raster = MemoryRaster::new(size, 1, PixelBuf::from_slice(PixelType::F32, &values));
        raster.header.nodata = vec![Some(2.0)];
        let run = |raster: &MemoryRaster| {
            validity(&raster.header, &[1], PixelRect::whole(size), &raster.pixels, Vec::new(), None)
        };
        let error = run(&raster).unwrap_err();
        assert!(error.contains("column 1, row 1"), "{error}");
        raster.pixels = PixelBuf::from_slice(PixelType::F32, &[1.0f32, 2.0, 3.0, 4.0]);
        assert_eq!(run(&raster), Ok(None));
    }
}
