//! `swath decoder`: decodes for the process that started this one.

use super::Error;
use crate::raster::{Gdal, OpenSource, RasterSource, serve};

/// Decodes until the other process has no more questions.
///
/// # Errors
/// When no swath has started this one.
pub fn decoder() -> Result<(), Error> {
    let open = |cache: u64| -> Result<Box<dyn RasterSource>, String> {
        let gdal = Gdal::set_up().map_err(|e| e.to_string())?;
        gdal.limit_cache(cache).map_err(|e| e.to_string())?;
        Ok(gdal.open())
    };
    serve(open).map_err(|e| Error::Usage(format!("`swath decoder` serves another swath: {e}")))
}
