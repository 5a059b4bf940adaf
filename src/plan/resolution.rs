//! The grid that the networks see of a scene, where a resolution is wanted.

use crate::config::Reading;
use crate::geom::Size;
use crate::raster::SceneHeader;

/// Pixels that differ from those wanted by less than this share of their size are taken as they are.
const ALIKE: f64 = 0.01;

/// A side may become so many times longer or shorter: beyond, somebody has a unit wrong.
const MOST: f64 = 64.0;

/// GDAL counts to here, and so does the arithmetic of two grids.
const MOST_PIXELS: f64 = i32::MAX as f64;

/// A header that says how large its pixels are where that matters, and the size of the grid on which they are as large as is wanted.
///
/// Both grids cover the same ground, edge to edge; so a side is a whole number of pixels that are as near to the wanted size as can be.
pub(crate) fn at_resolution(mut header: SceneHeader, reading: &Reading) -> Result<(SceneHeader, Size), String> {
    let Some(wanted) = reading.resolution else {
        header.pixel_metres = None;
        let size = header.size;
        return Ok((header, size));
    };
    let found = header.pixel_metres.or_else(|| reading.assume_resolution.map(|metres| [metres; 2]));
    let Some([x, y]) = found else { return Err(unknown(&header, wanted)) };
    header.pixel_metres = found;
    let size = Size::new(length(header.size.width, x, wanted)?, length(header.size.height, y, wanted)?);
    Ok((header, size))
}

/// Pixels along one axis.
fn length(own: u32, metres: f64, wanted: f64) -> Result<u32, String> {
    if (metres / wanted - 1.0).abs() < ALIKE {
        return Ok(own);
    }
    let far = |how: &str, by: f64| {
        format!(
            "its pixels are {metres} m long, {by:.0} times {how} than the {wanted} m of input.resolution, and {MOST} times is the most; set \
             input.resolution to metres that the scene comes near to, or leave the scene out (--exclude)"
        )
    };
    let ratio = metres / wanted;
    if ratio > MOST {
        return Err(far("longer", ratio));
    }
    if ratio < 1.0 / MOST {
        return Err(far("shorter", 1.0 / ratio));
    }
    let pixels = (f64::from(own) * ratio).round();
    if !(1.0..=MOST_PIXELS).contains(&pixels) {
        return Err(format!(
            "{own} pixels of {metres} m would become {pixels:.0} of {wanted} m (input.resolution), and a grid has 1 to {MOST_PIXELS}; set \
             another input.resolution, or leave the scene out (--exclude)"
        ));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 2^31 - 1")]
    Ok(pixels as u32)
}

/// Why nobody knows how large pixels are.
fn unknown(header: &SceneHeader, wanted: f64) -> String {
    let has_points = header.ties.as_ref().is_some_and(|ties| !ties.points.is_empty());
    let lacks = match (header.transform, &header.crs) {
        (None, _) if has_points => "has ground control points and no transform",
        (None, _) => "has no transform",
        (Some(_), None) => "has no coordinate system",
        (Some(_), Some(_)) => "has a transform that gives its pixels no length in metres",
    };
    format!(
        "it {lacks}, so nobody knows how large its pixels are, and input.resolution wants them {wanted} m long; set \
         input.assume_resolution to the metres per pixel of such scenes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::MemoryRaster;

    fn of(metres: Option<[f64; 2]>, wanted: f64, assume: Option<f64>) -> Result<Size, String> {
        let size = Size::new(300, 200);
        let header = SceneHeader { pixel_metres: metres, ..MemoryRaster::u8(size, 1, &vec![0; size.len()]).header };
        let reading = Reading { resolution: Some(wanted), assume_resolution: assume, ..Reading::default() };
        at_resolution(header, &reading).map(|(_, size)| size)
    }

    #[test]
    fn sides_become_as_many_pixels_as_are_as_long_as_wanted() {
        assert_eq!(of(Some([0.3, 0.3]), 0.5, None), Ok(Size::new(180, 120)));
        assert_eq!(of(Some([1.0, 0.5]), 0.5, Some(7.0)), Ok(Size::new(600, 200)), "each axis by itself");
        assert_eq!(of(Some([0.5049, 0.4951]), 0.5, None), Ok(Size::new(300, 200)), "less than a hundredth off");
        assert_eq!(of(Some([0.506, 0.494]), 0.5, None), Ok(Size::new(304, 198)));
        assert_eq!(of(None, 0.5, Some(0.25)), Ok(Size::new(150, 100)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_both_numbers() {
        let says = |said: Result<Size, String>, words: &[&str]| {
            let text = said.unwrap_err();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        };
        says(of(None, 0.5, None), &["no transform", "0.5 m", "input.assume_resolution"]);
        says(of(Some([30.0, 0.4]), 0.3, None), &["30 m", "100 times longer", "input.resolution"]);
        says(of(Some([0.3, 0.001]), 0.3, None), &["0.001 m", "300 times shorter"]);
        let (wide, one) = (Size::new(100_000_000, 1), Reading { resolution: Some(1.0), ..Reading::default() });
        let header = MemoryRaster::u8(Size::new(1, 1), 1, &[0]).header;
        let of_size =
            |size, metres| at_resolution(SceneHeader { size, pixel_metres: Some([metres; 2]), ..header.clone() }, &one);
        says(of_size(wide, 40.0).map(|(_, size)| size), &["4000000000 of 1 m", "1 to 2147483647"]);
        says(of_size(Size::new(1, 1), 0.3).map(|(_, size)| size), &["would become 0 of 1 m"]);
    }
}
