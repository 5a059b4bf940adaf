//! What both twins of the GDAL module share.

use crate::geom::{GeoTransform, Size};

/// A raster to be written as a GeoTIFF.
#[derive(Clone, Debug)]
pub struct GeoTiff<'a> {
    /// Extent.
    pub size: Size,
    /// Planes of u8 bands one after another.
    pub planes: &'a [u8],
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
