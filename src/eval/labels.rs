//! Class masks of either format, row by row.

use std::path::Path;

use super::geotiff::{RasterLabels, Rasters};
use super::ruled::RuledLabels;
use crate::config::classes::ClassTable;
use crate::dataset::Masks;
use crate::geom::Size;
use crate::outputs::MaskReader;
use crate::words::explain;

/// Extensions of class masks, the preferred one first.
pub(crate) const EXTENSIONS: [&str; 3] = ["png", "tif", "tiff"];

/// A class mask being read.
pub(super) enum Labels<'a> {
    Png(Box<MaskReader>),
    Raster(Box<RasterLabels<'a>>),
    Ruled(Box<RuledLabels<'a>>),
}

/// A row of a class mask.
#[derive(Default)]
pub(super) struct Row {
    /// Its values.
    pub(super) values: Vec<u16>,
    /// Which of them hold no data by the file's own word; empty where the format has no word for it.
    pub(super) is_nodata: Vec<bool>,
}

impl<'a> Labels<'a> {
    /// Opens a file by its extension.
    pub(super) fn open(path: &Path, rasters: &'a mut Rasters) -> Result<Self, String> {
        let is_png = path.extension().is_none_or(|e| e.eq_ignore_ascii_case(EXTENSIONS[0]));
        match is_png {
            true => MaskReader::open(path).map(|png| Self::Png(Box::new(png))).map_err(|e| explain(&e)),
            false => rasters.open(path).map(|raster| Self::Raster(Box::new(raster))),
        }
    }

    /// Opens a file that a rule makes class values of.
    pub(super) fn by_rule(path: &Path, masks: &'a mut Masks, classes: &ClassTable) -> Result<Self, String> {
        RuledLabels::open(path, masks, classes).map(|ruled| Self::Ruled(Box::new(ruled)))
    }

    pub(super) fn size(&self) -> Size {
        match self {
            Self::Png(png) => png.size(),
            Self::Raster(raster) => raster.size(),
            Self::Ruled(ruled) => ruled.size(),
        }
    }

    /// The colours of its palette, if its values are indices.
    pub(super) fn palette(&self) -> Option<Vec<[u8; 3]>> {
        match self {
            Self::Png(png) => png.palette(),
            Self::Raster(_) => None,
            Self::Ruled(ruled) => ruled.palette.clone(),
        }
    }

    /// The value that it declares to be no data.
    pub(super) fn nodata(&self) -> Option<u16> {
        match self {
            Self::Png(_) | Self::Ruled(_) => None,
            Self::Raster(raster) => raster.nodata(),
        }
    }

    /// Replaces the row by the next one; `false` behind the last one, and then the file is known to be whole.
    pub(super) fn next_row(&mut self, into: &mut Row) -> Result<bool, String> {
        match self {
            Self::Png(png) => png.next_row(&mut into.values).map_err(|e| explain(&e)),
            Self::Raster(raster) => raster.next_row(&mut into.values, &mut into.is_nodata),
            Self::Ruled(ruled) => ruled.next_row(&mut into.values, &mut into.is_nodata),
        }
    }
}
