//! Several rasters as one: the text of a VRT.

use std::path::{Component, Path, PathBuf};

use super::ClassRaster;
use super::beside::{categories, escaped, place};
use crate::config::MaskDepth;
use crate::config::classes::Color;
use crate::geom::{GeoTransform, Size};
use crate::words::absolute;

/// A raster of a mosaic, north up.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    pub(crate) size: Size,
    pub(crate) transform: GeoTransform,
}

/// Extent and place of a raster that holds all parts, which have one resolution; `None` where it has more pixels a side than GDAL counts.
pub(crate) fn extent(parts: &[Part]) -> Option<(Size, GeoTransform)> {
    let GeoTransform([_, dx, _, _, _, dy]) = parts.first()?.transform;
    let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
    let left = least(&mut parts.iter().map(|part| part.transform.0[0]));
    let top = -least(&mut parts.iter().map(|part| -part.transform.0[3]));
    let end = |offset: f64, n: u32| (offset + f64::from(n) - 1e-3).ceil().max(1.0);
    let columns = parts.iter().map(|part| end((part.transform.0[0] - left) / dx, part.size.width));
    let rows = parts.iter().map(|part| end((part.transform.0[3] - top) / dy, part.size.height));
    let (width, height) = (columns.fold(1.0, f64::max), rows.fold(1.0, f64::max));
    if width.max(height) > f64::from(i32::MAX) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and what GDAL counts")]
    let size = Size::new(width as u32, height as u32);
    Some((size, GeoTransform([left, dx, 0.0, top, 0.0, dy])))
}

/// A VRT of these parts that lies in this folder; where they overlap the later one is seen, but for its nodata.
pub(crate) fn vrt(raster: &ClassRaster<'_>, parts: &[Part], folder: &Path) -> String {
    let Size { width, height } = raster.header.size;
    let kind = match raster.depth {
        MaskDepth::Eight => "Byte",
        MaskDepth::Sixteen => "UInt16",
    };
    let mut text = format!("<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\">\n");
    text += &place(raster.header);
    text += &format!("  <VRTRasterBand dataType=\"{kind}\" band=\"1\">\n");
    let nodata = raster.classes.nodata().map(|nodata| nodata.value);
    if let Some(value) = nodata {
        text += &format!("    <NoDataValue>{value}</NoDataValue>\n");
    }
    if raster.depth == MaskDepth::Eight {
        text += "    <ColorInterp>Palette</ColorInterp>\n    <ColorTable>\n";
        let colors: Vec<(u16, Color)> = raster.classes.by_label().into_iter().flatten().collect();
        for value in 0..256 {
            let known = colors.iter().find(|(known, _)| *known == value);
            let Color([r, g, b]) = known.map_or(Color([0; 3]), |(_, color)| *color);
            text += &format!("      <Entry c1=\"{r}\" c2=\"{g}\" c3=\"{b}\" c4=\"255\"/>\n");
        }
        text += "    </ColorTable>\n";
    }
    text += &categories(raster);
    let GeoTransform([left, dx, _, top, _, dy]) =
        raster.header.transform.unwrap_or(GeoTransform::north_up(0.0, 0.0, 1.0));
    for Part { path, size: Size { width, height }, transform: GeoTransform(own) } in parts {
        let (relative, name) = relative(path, folder);
        // Parts lie on one grid, or nearly: what is left of a pixel is rounding.
        let at = |offset: f64| if (offset - offset.round()).abs() < 1e-3 { offset.round() } else { offset };
        let (x, y) = (at((own[0] - left) / dx), at((own[3] - top) / dy));
        text += &format!(
            "    <ComplexSource>\n      <SourceFilename relativeToVRT=\"{}\">{}</SourceFilename>\n      \
             <SourceBand>1</SourceBand>\n      <SourceProperties RasterXSize=\"{width}\" RasterYSize=\"{height}\" \
             DataType=\"{kind}\" BlockXSize=\"256\" BlockYSize=\"256\"/>\n      \
             <SrcRect xOff=\"0\" yOff=\"0\" xSize=\"{width}\" ySize=\"{height}\"/>\n      \
             <DstRect xOff=\"{x}\" yOff=\"{y}\" xSize=\"{width}\" ySize=\"{height}\"/>\n",
            u8::from(relative),
            escaped(&name),
        );
        if let Some(value) = nodata {
            text += &format!("      <NODATA>{value}</NODATA>\n");
        }
        text += "    </ComplexSource>\n";
    }
    text + "  </VRTRasterBand>\n</VRTDataset>\n"
}

/// A path as it is seen from a folder, if both are below one that is not the root.
fn relative(path: &Path, folder: &Path) -> (bool, String) {
    let (path, folder) = (absolute(path), absolute(folder));
    let common = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    if common < 2 {
        return (false, path.to_string_lossy().into_owned());
    }
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    let seen: PathBuf = up.chain(path.components().skip(common)).collect();
    (true, seen.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_holds_all_parts_and_no_pixel_more() {
        let part = |x: f64, y: f64, width, height| Part {
            path: "a.tif".into(),
            size: Size::new(width, height),
            transform: GeoTransform::north_up(x, y, 0.1),
        };
        let parts = [part(10.1, 50.3, 7, 5), part(9.8, 50.0, 3, 4), part(10.8, 50.4, 1, 1)];
        let (size, GeoTransform(t)) = extent(&parts).unwrap();
        assert_eq!((size, t), (Size::new(11, 8), [9.8, 0.1, 0.0, 50.4, 0.0, -0.1]));
        assert!(extent(&[part(0.0, 0.0, 1, 1), part(1e9, 0.0, 1, 1)]).is_none());
    }

    #[test]
    fn parts_are_named_as_seen_from_the_mosaic() {
        let seen = |path: &str, folder: &str| relative(Path::new(path), Path::new(folder));
        assert_eq!(seen("/a/run/geotiff/x.tif", "/a/maps"), (true, "../run/geotiff/x.tif".into()));
        assert_eq!(seen("/a/x.tif", "/a"), (true, "x.tif".into()));
        assert_eq!(seen("/a/x.tif", "/b"), (false, "/a/x.tif".into()));
    }
}
