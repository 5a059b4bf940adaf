//! What both twins of the GDAL module share.

use crate::geom::{GeoTransform, Size};

/// How a TIFF stores pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TiffLayout {
    /// The compression's name in GDAL; LZW and DEFLATE are given the horizontal predictor.
    pub compression: &'static str,
    /// Whether it is cut into blocks of 256 x 256 pixels, or else into strips of a few rows.
    pub tiled: bool,
}

impl TiffLayout {
    /// What most programs for land images write today.
    pub const COMMON: Self = Self { compression: "DEFLATE", tiled: true };
}

/// A raster to be written as a GeoTIFF.
#[derive(Clone, Debug)]
pub struct GeoTiff<'a> {
    /// Extent.
    pub size: Size,
    /// Extent of the planes, which are laid side by side until the raster is full.
    pub texture: Size,
    /// Planes of u8 bands one after another.
    pub planes: &'a [u8],
    /// How they are stored.
    pub layout: TiffLayout,
    /// Pixel to ground.
    pub transform: GeoTransform,
    /// EPSG code of the coordinate reference system.
    pub epsg: u32,
}

/// What the GDAL of this build can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GdalReport {
    /// Version and date.
    pub version: String,
    /// Short names of the raster drivers that swath may open.
    pub drivers: Vec<String>,
    /// Compressions of the TIFF driver.
    pub tiff_codecs: Vec<String>,
}

/// GDAL is missing or refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GdalError {
    /// Built without the feature.
    #[error("this build of swath has no GDAL; build it with the feature `gdal`")]
    NotBuilt,
    /// A call failed.
    #[error("GDAL cannot {operation}: {detail}")]
    Call {
        /// The operation.
        operation: &'static str,
        /// What GDAL said.
        detail: String,
    },
}
