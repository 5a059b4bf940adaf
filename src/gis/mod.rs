//! Files that geographic information systems open: TIFFs and GeoPackages through GDAL, and the small texts that lie beside rasters.
//!
//! [`TiffWriter`] takes rows of labels and writes whole rows of blocks, overviews with them ([`Pyramid`]): every block once, in an order
//! that follows from the size alone, so that equal labels give equal bytes and memory is a row of blocks of each level. Where a raster lies
//! comes from the scene's header and is not computed with.
//!
//! GDAL writes through files of ours (`disk`): it does not always tell that a write has failed, and never why.

mod beside;
#[cfg(feature = "gdal")]
mod disk;
#[cfg_attr(not(feature = "gdal"), expect(dead_code, reason = "nothing is written through GDAL"))]
mod failure;
#[cfg(feature = "gdal")]
mod gpkg;
#[cfg(feature = "gdal")]
mod ground;
mod mosaic;
#[cfg_attr(
    not(any(feature = "gdal", test)),
    expect(dead_code, reason = "what polygons take is asked for, and none are made")
)]
mod polygons;
#[cfg_attr(
    not(any(feature = "gdal", test)),
    expect(dead_code, reason = "its sizes are asked for, and nothing goes through it")
)]
mod pyramid;
mod simplify;

// Twins with one surface: GDAL, or a stub that says the build has none.
#[cfg(not(feature = "gdal"))]
#[path = "stub.rs"]
mod tiff;
#[cfg(feature = "gdal")]
mod tiff;

pub(crate) use beside::{attributes, share_style, style, world_file};
pub(crate) use failure::Failure;
#[cfg(feature = "gdal")]
pub(crate) use gpkg::GpkgWriter;
#[cfg(feature = "gdal")]
pub(crate) use ground::Ground;
pub(crate) use mosaic::{Part, extent, vrt};
pub(crate) use polygons::bytes_per_pixel;
pub(crate) use pyramid::Pyramid;
#[cfg(not(feature = "gdal"))]
pub(crate) use tiff::{GpkgWriter, Ground};
pub(crate) use tiff::{TiffWriter, copy_as_cog, esri_wkt, has_driver, read_rows};

use crate::config::MaskDepth;
use crate::config::classes::ClassTable;
use crate::geom::GeoTransform;
use crate::raster::SceneHeader;

/// What a raster of bytes that stand for shares of 1 is, beside its pixels.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "gdal"), expect(dead_code, reason = "nothing is written through GDAL"))]
pub(crate) struct ShareRaster<'a> {
    /// Extent and place: those of the scene.
    pub(crate) header: &'a SceneHeader,
    /// What its bands are called.
    pub(crate) bands: Vec<&'a str>,
    /// The byte that stands for no data.
    pub(crate) void: u8,
    /// A share is a byte times this ...
    pub(crate) scale: f64,
    /// ... and this.
    pub(crate) offset: f64,
}

/// What a layer of polygons is beside their borders.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "gdal"), expect(dead_code, reason = "polygons are written through GDAL"))]
pub(crate) struct Layer<'a> {
    pub(crate) name: &'a str,
    pub(crate) transform: GeoTransform,
    /// In how many steps scores go from 0 to 1, where polygons have some.
    pub(crate) score_steps: Option<f64>,
    /// How far borders may lie from those of the pixels, in units of the reference system; 0: not at all.
    pub(crate) simplify: f64,
}

/// What a raster of class values is, beside its pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassRaster<'a> {
    /// Extent and place: those of the scene.
    pub(crate) header: &'a SceneHeader,
    /// What the values mean.
    pub(crate) classes: &'a ClassTable,
    pub(crate) depth: MaskDepth,
}
