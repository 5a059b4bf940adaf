//! GeoTIFFs through GDAL: the only folder that knows the `gdal` crate.
//!
//! One dataset handle per source, hence per thread. Errors that GDAL raises without failing the call are failures too. Only the
//! allowed drivers are opened: a text VRT named `.tif` would otherwise read another file.

mod errors;
mod preflight;
mod read;
mod write;

use std::path::{Path, PathBuf};

use gdal::Dataset;
use gdal::raster::GdalDataType;

use super::{GdalError, GdalReport, OpenSource, RasterError, RasterSource, ReadReply, ReadRequest, SceneHeader};

pub use write::write_geotiff;

/// Formats that may be opened, whatever a file is called.
const DRIVERS: [&str; 1] = ["GTiff"];

/// Sets GDAL up and opens sources.
#[derive(Clone, Debug)]
pub struct Gdal {
    _set_up: (),
}

impl Gdal {
    /// Sets the process-wide options.
    ///
    /// # Errors
    /// When GDAL refuses an option.
    pub fn set_up() -> Result<Self, GdalError> {
        errors::install();
        // A folder of 10 000 scenes would be listed at each open; with TRUE the few possible sidecars are asked for by name.
        set_option("GDAL_DISABLE_READDIR_ON_OPEN", "TRUE")?;
        Ok(Self { _set_up: () })
    }

    /// Holds the block cache of all threads together to `bytes`. GDAL looks once: at the first block it decodes.
    ///
    /// # Errors
    /// When GDAL refuses the option.
    pub fn limit_cache(&self, bytes: u64) -> Result<(), GdalError> {
        set_option("GDAL_CACHEMAX", &cache_megabytes(bytes))
    }
}

fn set_option(key: &str, value: &str) -> Result<(), GdalError> {
    gdal::config::set_config_option(key, value)
        .map_err(|e| GdalError::Call { operation: "set an option", detail: e.to_string() })
}

/// GDAL reads values below 100 000 as megabytes.
fn cache_megabytes(bytes: u64) -> String {
    bytes.div_ceil(1 << 20).clamp(1, 99_999).to_string()
}

impl OpenSource for Gdal {
    fn open(&self) -> Box<dyn RasterSource> {
        Box::new(GdalSource { current: None })
    }
}

/// One thread's reader.
struct GdalSource {
    current: Option<(PathBuf, Dataset)>,
}

impl GdalSource {
    fn dataset(&mut self, path: &Path) -> Result<&Dataset, RasterError> {
        if self.current.as_ref().is_none_or(|(open, _)| open != path) {
            self.current = None;
            self.current = Some((path.to_owned(), preflight::open(path)?));
        }
        match &self.current {
            Some((_, dataset)) => Ok(dataset),
            None => Err(RasterError::Open { detail: "no dataset".into() }),
        }
    }
}

impl RasterSource for GdalSource {
    fn inspect(&mut self, path: &Path) -> Result<SceneHeader, RasterError> {
        let bytes = super::check_regular_file(path)?;
        let header = preflight::header(self.dataset(path)?, bytes);
        self.current = None;
        header
    }

    fn read(&mut self, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError> {
        let reply = self.dataset(&request.path).and_then(|dataset| read::window(dataset, request, into));
        if reply.is_err() {
            // A handle that failed once is not asked again.
            self.current = None;
        }
        reply
    }
}

/// What this GDAL can do, for `swath doctor`.
///
/// # Errors
/// When the TIFF driver is missing.
pub fn gdal_report() -> Result<GdalReport, GdalError> {
    use gdal::Metadata;
    let tiff = gdal::DriverManager::get_driver_by_name("GTiff")
        .map_err(|e| GdalError::Call { operation: "find its TIFF driver", detail: e.to_string() })?;
    let options = tiff.metadata_item("DMD_CREATIONOPTIONLIST", "").unwrap_or_default();
    Ok(GdalReport {
        version: gdal::version::version_info("--version"),
        drivers: DRIVERS.map(str::to_owned).to_vec(),
        tiff_codecs: compressions(&options),
    })
}

/// The values of the option COMPRESS in the driver's XML list of creation options.
fn compressions(options: &str) -> Vec<String> {
    let list = options.split("<Option").find(|o| o.contains("name='COMPRESS'")).unwrap_or_default();
    list.split("<Value").skip(1).filter_map(|v| v.split('>').nth(1)?.split('<').next()).map(str::to_owned).collect()
}

/// GDAL's name of a type, for messages.
fn type_name(dtype: GdalDataType) -> String {
    format!("{dtype:?}")
}
