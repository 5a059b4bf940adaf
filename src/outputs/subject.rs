//! What a kind of output is told of a scene.

use crate::config::Pipeline;
use crate::gis::ClassRaster;
use crate::journal::KeyHasher;
use crate::raster::SceneHeader;

/// A scene of a run, as far as its outputs depend on it beside their planes.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Name of its outputs without extension, with `/` between folders.
    pub name: &'a str,
    /// Its extent, and where it lies.
    pub header: &'a SceneHeader,
    /// The pipeline, which says what is written and how.
    pub pipeline: &'a Pipeline,
}

impl<'a> Subject<'a> {
    /// It as a raster of class values.
    pub(super) fn raster(self) -> ClassRaster<'a> {
        let Pipeline { classes, outputs, .. } = self.pipeline;
        ClassRaster { header: self.header, classes, depth: outputs.mask_depth }
    }

    /// Whether its file says where it lies.
    pub(super) fn is_placed(self) -> bool {
        let ties = self.header.ties.as_deref();
        self.header.transform.is_some() || ties.is_some_and(|ties| !ties.points.is_empty() || !ties.rpc.is_empty())
    }

    /// Adds all that a raster of class values holds beside its pixels, and what lies beside it.
    pub(super) fn raster_key(self, key: KeyHasher) -> KeyHasher {
        let Pipeline { classes, outputs, .. } = self.pipeline;
        self.place_key(key.value(classes).value(&outputs.mask_depth))
    }

    /// Adds where it lies.
    pub(super) fn place_key(self, key: KeyHasher) -> KeyHasher {
        let SceneHeader { transform, crs, ties, .. } = self.header;
        // JSON has no NaN.
        let transform = transform.map(|transform| transform.0.map(f64::to_bits));
        key.value(&transform).value(crs).value(ties)
    }
}
