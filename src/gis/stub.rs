//! Stands in for the GDAL module in builds without it.

use std::path::Path;

use super::{ClassRaster, Failure, Layer, ShareRaster};
use crate::atomic::AtomicFile;
use crate::geom::{GeoTransform, Size};
use crate::raster::GdalError;

/// The writer of a build without GDAL: nobody gets one.
pub(crate) enum TiffWriter {}

impl TiffWriter {
    pub(crate) fn create(_file: &AtomicFile, _raster: &ClassRaster<'_>) -> Result<Self, Failure> {
        not_built()
    }

    pub(crate) fn create_shares(_file: &AtomicFile, _raster: &ShareRaster<'_>) -> Result<Self, Failure> {
        not_built()
    }

    pub(crate) fn push(&mut self, _band: usize, _row: &[u8]) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {}
    }
}

/// Nobody gets this one either.
pub(crate) enum GpkgWriter {}

impl GpkgWriter {
    pub(crate) fn create(_file: &AtomicFile, _raster: &ClassRaster<'_>, _layer: Layer<'_>) -> Result<Self, Failure> {
        not_built()
    }

    pub(crate) fn push(&mut self, _labels: &[u8], _scores: &[u8], _n_rows: u32) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {}
    }
}

/// Nor this.
pub(crate) enum Ground {}

impl Ground {
    pub(crate) fn of(_wkt: &str) -> Option<Self> {
        None
    }

    pub(crate) fn square_metres(&self, _transform: GeoTransform, _size: Size) -> Option<f64> {
        match *self {}
    }

    pub(crate) fn metres(&self) -> Option<f64> {
        match *self {}
    }

    pub(crate) fn degrees(&self, _points: [[f64; 2]; 4]) -> Option<[[f64; 2]; 4]> {
        match *self {}
    }
}

pub(crate) fn copy_as_cog(_tiff: &Path, _file: &AtomicFile) -> Result<(), Failure> {
    not_built()
}

pub(crate) fn read_rows<E>(_vrt: &Path, _each: impl FnMut(&[u16]) -> Result<(), E>) -> Result<Result<(), E>, Failure> {
    not_built()
}

pub(crate) fn has_driver(_name: &str) -> bool {
    false
}

pub(crate) fn esri_wkt(_crs: &str) -> Option<String> {
    None
}

fn not_built<T>() -> Result<T, Failure> {
    Err(Failure::Refused(GdalError::NotBuilt.to_string()))
}
