//! Writes sample scenes.

use std::path::Path;

use gdal::DriverManager;
use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;

use super::errors;
use crate::atomic::AtomicFile;
use crate::raster::{GdalError, GeoTiff};

/// Writes a deflate-compressed, tiled, georeferenced GeoTIFF of u8 bands.
///
/// # Errors
/// When GDAL or the file system refuses.
pub fn write_geotiff(path: &Path, raster: &GeoTiff<'_>) -> Result<(), GdalError> {
    errors::install();
    errors::begin(&path.to_string_lossy());
    let file = AtomicFile::create(path).map_err(|e| failed("create the file", &e))?;
    write_dataset(file.temp_path(), raster).map_err(|e| {
        let detail = errors::explain(&e);
        GdalError::Call { operation: "write a GeoTIFF", detail: format!("`{}`: {detail}", path.display()) }
    })?;
    let finished = file.finish().map_err(|e| failed("write a GeoTIFF", &e))?;
    finished.persist().map_err(|e| failed("write a GeoTIFF", &e))?;
    Ok(())
}

fn failed(operation: &'static str, error: &crate::atomic::WriteError) -> GdalError {
    GdalError::Call { operation, detail: format!("{error}: {}", error.source) }
}

fn write_dataset(path: &Path, raster: &GeoTiff<'_>) -> gdal::errors::Result<()> {
    let (width, height) = (raster.size.width as usize, raster.size.height as usize);
    let n_bands = raster.planes.len() / raster.size.len();
    let options = RasterCreationOptions::from_iter([
        "TILED=YES",
        "BLOCKXSIZE=256",
        "BLOCKYSIZE=256",
        "COMPRESS=DEFLATE",
        "PREDICTOR=2",
        "INTERLEAVE=PIXEL",
    ]);
    let driver = DriverManager::get_driver_by_name("GTiff")?;
    let mut dataset = driver.create_with_band_type_with_options::<u8, _>(path, width, height, n_bands, &options)?;
    dataset.set_geo_transform(&raster.transform.0)?;
    dataset.set_spatial_ref(&SpatialRef::from_epsg(raster.epsg)?)?;
    for (idx, plane) in raster.planes.chunks_exact(raster.size.len()).enumerate() {
        let mut buffer = Buffer::new((width, height), plane.to_vec());
        dataset.rasterband(idx + 1)?.write((0, 0), (width, height), &mut buffer)?;
    }
    dataset.close()
}
