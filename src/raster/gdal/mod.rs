//! Rasters through GDAL: the only folder that knows the `gdal` crate.
//!
//! One dataset handle per source, hence per thread. Errors that GDAL raises without failing the call are failures too. Only the
//! allowed drivers are opened: a text VRT named `.tif` would otherwise read another file.

mod area;
mod color;
mod directory;
pub(crate) mod errors;
mod fence;
mod foreign;
mod georef;
mod mosaic;
mod pages;
mod picture;
mod preflight;
mod rasterise;
mod read;
mod values;
mod vrt;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gdal::Dataset;

use directory::Directory;
use rasterise::Loaded;
use vrt::Vrt;

use super::{
    BurnRequest, Burned, Drivers, GdalError, GdalReport, OpenSource, RasterError, RasterSource, ReadReply, ReadRequest,
    SceneHeader, Terms,
};

pub(crate) use area::{PixelArea, pixel_area};
pub use write::write_geotiff;

/// Sets GDAL up and opens sources.
#[derive(Clone, Debug)]
pub struct Gdal {
    /// Formats that may be opened, whatever a file is called.
    drivers: Drivers,
    mosaics: Mosaics,
}

/// What becomes of mosaics, which name other files.
#[derive(Clone, Debug)]
enum Mosaics {
    /// This process can do more than read scenes.
    InProcess,
    /// This process is for files that are not called so.
    ByName,
    /// This process is for them, and cannot be confined.
    Unfenced(Arc<str>),
    /// This process can open nothing outside of these folders.
    Below(Arc<[PathBuf]>),
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
        Ok(Self { drivers: Drivers::default(), mosaics: Mosaics::InProcess })
    }

    /// The same for these formats.
    pub fn allowing(self, drivers: Drivers) -> Self {
        Self { drivers, ..self }
    }

    /// The same in a process that serves another one under these terms. One for mosaics can open nothing else from here on.
    pub fn under(self, terms: &Terms) -> Self {
        let mosaics = match terms.mosaics.then(|| fence::close(&terms.allowed)) {
            None => Mosaics::ByName,
            Some(Ok(())) => Mosaics::Below(terms.allowed.roots.as_slice().into()),
            Some(Err(why)) => Mosaics::Unfenced(why.into()),
        };
        Self { drivers: terms.allowed.drivers, mosaics }
    }

    /// The folders below which parts of mosaics lie, where this process can open nothing else.
    fn roots(&self) -> Option<&[PathBuf]> {
        match &self.mosaics {
            Mosaics::Below(roots) => Some(roots),
            Mosaics::InProcess | Mosaics::ByName | Mosaics::Unfenced(_) => None,
        }
    }

    /// What GDAL calls the formats that are opened here.
    fn names(&self) -> Vec<&'static str> {
        if self.roots().is_some() { self.drivers } else { self.drivers.of_files() }.names()
    }

    /// What a file says as a mosaic, where it is one that is read here.
    fn vrt(&self, path: &Path) -> Result<Option<Vrt>, RasterError> {
        let vrt = if self.roots().is_some() { Vrt::read(path)? } else { None };
        match vrt.as_ref().and_then(|vrt| vrt.fault.clone()) {
            Some(reason) => Err(RasterError::Refused { reason }),
            None => Ok(vrt),
        }
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
        Box::new(GdalSource { gdal: self.clone(), open: Vec::new(), most: 1, shapes: None })
    }
}

/// One thread's reader.
struct GdalSource {
    gdal: Gdal,
    /// What it read last, at the end.
    open: Vec<Opened>,
    /// How many it keeps open: the files of one scene.
    most: usize,
    /// The shapes that it burned last.
    shapes: Option<Loaded>,
}

/// An image that is open.
struct Opened {
    path: PathBuf,
    /// What GDAL calls it.
    name: String,
    page: Option<u32>,
    dataset: Dataset,
    /// What the file itself says of the image, where that can be understood.
    directory: Option<Directory>,
    /// The colours of the first band's palette, with their opacity; empty where it has none.
    palette: Vec<[u8; 4]>,
    /// What it says, where it is a mosaic.
    vrt: Option<Vrt>,
}

impl Opened {
    fn new(gdal: &Gdal, path: &Path, page: Option<u32>) -> Result<Self, RasterError> {
        if let Some(roots) = gdal.roots() {
            vrt::inside(path, "it", roots).map_err(|reason| RasterError::Refused { reason })?;
        }
        let vrt = gdal.vrt(path)?;
        let names = gdal.names();
        let opened = preflight::open(&names, path, page);
        let (dataset, name) = opened.map_err(|error| foreign::explain(gdal, path).unwrap_or(error))?;
        if vrt.is_some() != (dataset.driver().short_name() == "VRT") {
            return Err(RasterError::Refused { reason: "it is a VRT and something else at once".into() });
        }
        let directory = pages::offset_of(&dataset).and_then(|offset| Directory::read(path, offset));
        let (width, height) = dataset.raster_size();
        let is_it = |d: &Directory| (d.size.width as usize, d.size.height as usize) == (width, height);
        let lacks_its_strip = directory.as_ref().is_some_and(|d| d.is_one_strip() && !d.is_all_stored());
        let dataset = if lacks_its_strip { preflight::open_whole(&names, &name)? } else { dataset };
        let palette = preflight::palette(&dataset);
        Ok(Self { path: path.to_owned(), name, page, dataset, directory: directory.filter(is_it), palette, vrt })
    }
}

impl GdalSource {
    fn opened(&mut self, path: &Path, page: Option<u32>) -> Result<&Opened, RasterError> {
        let is_it = |open: &Opened| open.path == path && open.page == page;
        let opened = match self.open.iter().position(is_it) {
            Some(kept) => self.open.remove(kept),
            None => {
                let surplus = (self.open.len() + 1).saturating_sub(self.most);
                self.open.drain(..surplus);
                Opened::new(&self.gdal, path, page)?
            }
        };
        self.open.push(opened);
        self.open.last().ok_or(RasterError::Changed)
    }

    /// Reads a window of bands that have a file of their own each.
    fn read_files(&mut self, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError> {
        let (values, mask) = into.split_at_mut(request.plane_bytes() * request.bands.len());
        let mut reply = ReadReply { blank: vec![true; request.probes.len()], ..ReadReply::default() };
        let mut own_mask = vec![0; mask.len()];
        mask.fill(u8::MAX);
        let planes = values.chunks_exact_mut(request.plane_bytes().max(1));
        for (((path, band), nodata), plane) in request.files.iter().zip(&request.bands).zip(&request.nodata).zip(planes)
        {
            let one = ReadRequest {
                path: path.clone(),
                files: Vec::new(),
                bands: vec![1],
                nodata: vec![*nodata],
                // Of the others something may be stored.
                skip_blank: false,
                ..request.clone()
            };
            let read = self.opened(path, None).and_then(|opened| read::window(opened, &one, plane, &mut own_mask));
            // Bands are told by their numbers in the scene.
            let said = read.map_err(|error| match error {
                RasterError::Read { window, detail, .. } => RasterError::Read { band: *band, window, detail },
                error @ (RasterError::Open { .. }
                | RasterError::Refused { .. }
                | RasterError::Vectors { .. }
                | RasterError::Changed
                | RasterError::Crashed { .. }
                | RasterError::NoDecoder { .. }) => error,
            })?;
            mask.iter_mut().zip(&own_mask).for_each(|(valid, own)| *valid = (*valid).min(*own));
            reply.blank.iter_mut().zip(said.blank).for_each(|(all, own)| *all &= own);
            reply.warnings.add_all(&said.warnings);
        }
        Ok(reply)
    }
}

impl RasterSource for GdalSource {
    fn inspect(&mut self, path: &Path, page: Option<u32>) -> Result<SceneHeader, RasterError> {
        let bytes = super::check_regular_file(path)?;
        let gdal = self.gdal.clone();
        let header = self.opened(path, page).and_then(|opened| {
            preflight::header(opened, bytes).and_then(|header| mosaic::completed(&gdal, opened, header))
        });
        self.open.clear();
        header
    }

    fn parts(&mut self, path: &Path) -> Result<Vec<PathBuf>, RasterError> {
        Ok(vrt::files_of(path))
    }

    fn read(&mut self, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError> {
        self.most = request.files.len().max(1);
        let n_planes = request.bands.len();
        let is_sound = into.len() == request.buffer_bytes() && [0, n_planes].contains(&request.files.len());
        let reply = match is_sound && request.nodata.len() == n_planes {
            false => Err(RasterError::Changed),
            true if request.files.is_empty() => {
                let (values, mask) = into.split_at_mut(request.plane_bytes() * n_planes);
                let opened = self.opened(&request.path, request.page);
                opened.and_then(|opened| read::window(opened, request, values, mask))
            }
            true => self.read_files(request, into),
        };
        if reply.is_err() {
            // A handle that failed once is not asked again.
            self.open.clear();
        }
        reply
    }

    fn rasterise(&mut self, request: &BurnRequest, into: &mut [u8]) -> Result<Burned, RasterError> {
        let kept = self.shapes.take().filter(|shapes| shapes.are_of(request));
        let shapes = kept.map_or_else(|| Loaded::new(request), Ok)?;
        let burned = shapes.burn(request, into);
        self.shapes = Some(shapes);
        burned
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
        // One inside the program decodes JPEG with a library of its own: it is another one than the system's of the same version.
        version: gdal::version::version_info("--version")
            + if cfg!(feature = "static-gdal") { ", built in" } else { "" },
        drivers: Drivers::default().names().into_iter().map(str::to_owned).collect(),
        tiff_codecs: compressions(&options),
    })
}

/// The values of the option COMPRESS in the driver's XML list of creation options.
fn compressions(options: &str) -> Vec<String> {
    let list = options.split("<Option").find(|o| o.contains("name='COMPRESS'")).unwrap_or_default();
    list.split("<Value").skip(1).filter_map(|v| v.split('>').nth(1)?.split('<').next()).map(str::to_owned).collect()
}
