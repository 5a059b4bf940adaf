//! Stands in for the GDAL module in builds without it.

use std::path::Path;

use super::{
    Drivers, GdalError, GdalReport, GeoTiff, OpenSource, RasterError, RasterSource, ReadReply, ReadRequest,
    SceneHeader, Terms,
};

/// The decoder of a build without GDAL: it refuses every scene.
#[derive(Clone, Debug)]
pub struct Gdal;

impl Gdal {
    /// Fails: there is nothing to set up.
    ///
    /// # Errors
    /// Always.
    pub fn set_up() -> Result<Self, GdalError> {
        Err(GdalError::NotBuilt)
    }

    /// The same.
    pub fn allowing(self, _drivers: Drivers) -> Self {
        self
    }

    /// The same.
    pub fn under(self, _terms: &Terms) -> Self {
        self
    }

    /// Nothing to limit.
    ///
    /// # Errors
    /// Always.
    pub fn limit_cache(&self, _bytes: u64) -> Result<(), GdalError> {
        Err(GdalError::NotBuilt)
    }
}

impl OpenSource for Gdal {
    fn open(&self) -> Box<dyn RasterSource> {
        Box::new(self.clone())
    }
}

impl RasterSource for Gdal {
    fn inspect(&mut self, _path: &Path, _page: Option<u32>) -> Result<SceneHeader, RasterError> {
        Err(RasterError::Open { detail: GdalError::NotBuilt.to_string() })
    }

    fn read(&mut self, _request: &ReadRequest, _into: &mut [u8]) -> Result<ReadReply, RasterError> {
        Err(RasterError::Open { detail: GdalError::NotBuilt.to_string() })
    }
}

/// Nobody knows.
pub(crate) fn pixel_area(_header: &SceneHeader) -> Option<f64> {
    None
}

/// Nothing to report.
///
/// # Errors
/// Always.
pub fn gdal_report() -> Result<GdalReport, GdalError> {
    Err(GdalError::NotBuilt)
}

/// Fails: GeoTIFFs are written by GDAL.
///
/// # Errors
/// Always.
pub fn write_geotiff(_path: &Path, _raster: &GeoTiff<'_>) -> Result<(), GdalError> {
    Err(GdalError::NotBuilt)
}
