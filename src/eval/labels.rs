//! Class masks of either format, row by row.

use std::path::Path;
use std::sync::Arc;

use super::geotiff::{RasterLabels, Rasters};
use super::ruled::RuledLabels;
use crate::config::classes::ClassTable;
use crate::dataset::{LabelRule, Masks};
use crate::geom::Size;
use crate::outputs::MaskReader;
use crate::words::explain;

/// Extensions of class masks, the preferred one first.
pub(crate) const EXTENSIONS: [&str; 3] = ["png", "tif", "tiff"];

/// Opens the class masks of one side, one after the other.
pub(crate) struct Opener {
    rasters: Rasters,
    /// What makes class values of what they hold, where they do not hold these themselves, and the value of each class.
    ruled: Option<(Masks, Vec<u16>)>,
}

impl Opener {
    /// Masks that hold class values.
    pub(crate) fn of_values() -> Self {
        Self { rasters: Rasters::new(), ruled: None }
    }

    /// Masks that hold what a rule makes classes of, if there is one.
    pub(crate) fn by_rule(rule: Option<&Arc<LabelRule>>, classes: Option<&ClassTable>) -> Self {
        let values = |classes: &ClassTable| classes.classes().iter().map(|class| class.value).collect();
        let ruled = rule.zip(classes).map(|(rule, classes)| (Masks::new(rule), values(classes)));
        Self { ruled, ..Self::of_values() }
    }

    /// Opens a file by its extension.
    pub(crate) fn open(&mut self, path: &Path) -> Result<Labels<'_>, String> {
        if let Some((masks, values)) = &mut self.ruled {
            return RuledLabels::open(path, masks, values).map(|ruled| Labels::Ruled(Box::new(ruled)));
        }
        let is_png = path.extension().is_none_or(|e| e.eq_ignore_ascii_case(EXTENSIONS[0]));
        match is_png {
            true => MaskReader::open(path).map(|png| Labels::Png(Box::new(png))).map_err(|e| explain(&e)),
            false => self.rasters.open(path).map(|raster| Labels::Raster(Box::new(raster))),
        }
    }
}

/// A class mask being read.
pub(crate) enum Labels<'a> {
    Png(Box<MaskReader>),
    Raster(Box<RasterLabels<'a>>),
    Ruled(Box<RuledLabels<'a>>),
}

/// A row of a class mask.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) values: Vec<u16>,
    /// Which of them hold no data by the file's own word; empty where the format has no word for it.
    pub(crate) is_nodata: Vec<bool>,
}

impl Labels<'_> {
    pub(crate) fn size(&self) -> Size {
        match self {
            Self::Png(png) => png.size(),
            Self::Raster(raster) => raster.size(),
            Self::Ruled(ruled) => ruled.size(),
        }
    }

    /// The colours of its palette, if its values are indices.
    pub(crate) fn palette(&self) -> Option<Vec<[u8; 3]>> {
        match self {
            Self::Png(png) => png.palette(),
            Self::Raster(_) | Self::Ruled(_) => None,
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
    pub(crate) fn next_row(&mut self, into: &mut Row) -> Result<bool, String> {
        match self {
            Self::Png(png) => png.next_row(&mut into.values).map_err(|e| explain(&e)),
            Self::Raster(raster) => raster.next_row(&mut into.values, &mut into.is_nodata),
            Self::Ruled(ruled) => ruled.next_row(&mut into.values, &mut into.is_nodata),
        }
    }
}
