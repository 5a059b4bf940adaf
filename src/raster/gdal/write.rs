//! Writes sample scenes.

use std::path::Path;

use gdal::DriverManager;
use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;

use super::errors;
use crate::atomic::AtomicFile;
use crate::raster::{GdalError, GeoTiff};

/// Rows that are written at once: those of a block.
const ROWS: usize = 256;

/// Writes a georeferenced GeoTIFF of u8 bands.
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
    let n_bands = raster.planes.len() / raster.texture.len();
    let compress = format!("COMPRESS={}", raster.layout.compression);
    let mut options = RasterCreationOptions::from_iter([compress.as_str(), "INTERLEAVE=PIXEL", "BIGTIFF=IF_SAFER"]);
    if raster.layout.tiled {
        ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256"]
            .map(|option| options.add_string(option))
            .into_iter()
            .collect::<Result<(), _>>()?;
    }
    if raster.layout.compression != "NONE" {
        options.add_string("PREDICTOR=2")?;
    }
    let driver = DriverManager::get_driver_by_name("GTiff")?;
    let mut dataset = driver.create_with_band_type_with_options::<u8, _>(path, width, height, n_bands, &options)?;
    dataset.set_geo_transform(&raster.transform.0)?;
    dataset.set_spatial_ref(&SpatialRef::from_epsg(raster.epsg)?)?;
    let (texture_width, texture_height) = (raster.texture.width as usize, raster.texture.height as usize);
    for y in (0..height).step_by(ROWS) {
        let n_rows = ROWS.min(height - y);
        for (idx, plane) in raster.planes.chunks_exact(raster.texture.len()).enumerate() {
            let row = |y: usize| &plane[y % texture_height * texture_width..][..texture_width];
            let rows = (y..y + n_rows).flat_map(|y| row(y).iter().copied().cycle().take(width)).collect();
            let mut buffer = Buffer::new((width, n_rows), rows);
            dataset.rasterband(idx + 1)?.write(
                (0, isize::try_from(y).unwrap_or(isize::MAX)),
                (width, n_rows),
                &mut buffer,
            )?;
        }
    }
    dataset.close()
}
