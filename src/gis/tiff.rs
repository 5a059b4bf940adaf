//! TIFFs through GDAL.

use std::path::{Path, PathBuf};

use gdal::raster::{Buffer, ColorEntry, ColorTable, PaletteInterpretation, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DatasetOptions, DriverManager, Gcp, GdalOpenFlags, Metadata};

use super::pyramid::{BLOCK, BlockRow, Halving};
use super::{ClassRaster, Failure, Pyramid, ShareRaster, disk};
use crate::atomic::AtomicFile;
use crate::config::MaskDepth;
use crate::raster::{GroundPoint, SceneHeader, gdal_errors};

pub(super) type Said<T> = gdal::errors::Result<T>;

/// A TIFF of one byte or class value per pixel and band being written, rows from top to bottom.
pub(crate) struct TiffWriter {
    path: PathBuf,
    dataset: Dataset,
    /// Per band.
    pyramids: Vec<Pyramid>,
    samples: [u16; 256],
    block: Block,
}

/// A block on its way to the file.
enum Block {
    Eight(Buffer<u8>),
    Sixteen(Buffer<u16>),
}

impl TiffWriter {
    /// Begins one of class values in the place of `file`, which adopts it when it is closed.
    pub(crate) fn create(file: &AtomicFile, raster: &ClassRaster<'_>) -> Result<Self, Failure> {
        let samples = raster.classes.by_label().map(|entry| entry.map_or(0, |(value, _)| value));
        let (header, depth) = (raster.header, raster.depth);
        Self::begin(file, header, (1, depth), Halving::Mode, samples, |dataset| dress_classes(dataset, raster))
    }

    /// Begins one of shares.
    pub(crate) fn create_shares(file: &AtomicFile, raster: &ShareRaster<'_>) -> Result<Self, Failure> {
        let samples = std::array::from_fn(|byte| u16::try_from(byte).unwrap_or_default());
        let (halving, shape) = (Halving::MeanWithout(raster.void), (raster.bands.len(), MaskDepth::Eight));
        Self::begin(file, raster.header, shape, halving, samples, |dataset| dress_shares(dataset, raster))
    }

    /// `dress` tells what the bands are.
    fn begin(
        file: &AtomicFile,
        header: &SceneHeader,
        (n_bands, depth): (usize, MaskDepth),
        halving: Halving,
        samples: [u16; 256],
        dress: impl FnOnce(&mut Dataset) -> Said<()>,
    ) -> Result<Self, Failure> {
        begin(file.temp_path());
        let pyramids: Vec<Pyramid> = (0..n_bands).map(|_| Pyramid::new(header.size, halving)).collect();
        let n_overviews = pyramids.first().map_or(0, Pyramid::n_overviews);
        let created = create(&disk::named(file.temp_path()), header, n_bands, depth).and_then(|mut dataset| {
            dress(&mut dataset)?;
            add_overviews(&mut dataset, n_overviews)?;
            Ok(dataset)
        });
        let dataset = heard(created, file.target())?;
        let shape = (BLOCK as usize, BLOCK as usize);
        let block = match depth {
            MaskDepth::Eight => Block::Eight(Buffer::new(shape, vec![0; shape.0 * shape.1])),
            MaskDepth::Sixteen => Block::Sixteen(Buffer::new(shape, vec![0; shape.0 * shape.1])),
        };
        Ok(Self { path: file.target().to_owned(), dataset, pyramids, samples, block })
    }

    /// Appends a row to a band, counted from 0.
    pub(crate) fn push(&mut self, band: usize, row: &[u8]) -> Result<(), Failure> {
        begin(Path::new(""));
        let Self { path, dataset, pyramids, samples, block } = self;
        let written = pyramids[band].push(row, |row| write(dataset, band, row, samples, block));
        heard(written, path)
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        begin(Path::new(""));
        heard(self.dataset.close(), &self.path)
    }
}

/// Copies a TIFF to a cloud-optimised one in the place of `file`, overviews as they are.
pub(crate) fn copy_as_cog(tiff: &Path, file: &AtomicFile) -> Result<(), Failure> {
    begin(tiff);
    let options =
        ["COMPRESS=DEFLATE", "PREDICTOR=NO", "BIGTIFF=IF_SAFER", "OVERVIEWS=AUTO", "OVERVIEW_RESAMPLING=MODE"];
    let options = RasterCreationOptions::from_iter(options.into_iter().chain(["NUM_THREADS=1"]));
    let copy = || {
        let open_flags = GdalOpenFlags::GDAL_OF_READONLY | GdalOpenFlags::GDAL_OF_RASTER;
        let source = DatasetOptions { open_flags, allowed_drivers: Some(&["GTiff"]), ..DatasetOptions::default() };
        let source = Dataset::open_ex(tiff, source)?;
        source.create_copy(&DriverManager::get_driver_by_name("COG")?, disk::named(file.temp_path()), &options)?.close()
    };
    heard(copy(), file.target())
}

/// Reads a VRT of GeoTIFFs row by row.
pub(crate) fn read_rows<E>(
    vrt: &Path,
    mut each: impl FnMut(&[u16]) -> Result<(), E>,
) -> Result<Result<(), E>, Failure> {
    begin(vrt);
    let mut taken = Ok(());
    let mut read = || -> Said<()> {
        let open_flags = GdalOpenFlags::GDAL_OF_READONLY | GdalOpenFlags::GDAL_OF_RASTER;
        let options =
            DatasetOptions { open_flags, allowed_drivers: Some(&["VRT", "GTiff"]), ..DatasetOptions::default() };
        let dataset = Dataset::open_ex(vrt, options)?;
        let ((width, height), side) = (dataset.raster_size(), BLOCK as usize);
        let band = dataset.rasterband(1)?;
        for y in (0..height).step_by(side) {
            let window = (width, side.min(height - y));
            let rows = band.read_as::<u16>((0, isize::try_from(y).unwrap_or(isize::MAX)), window, window, None)?;
            taken = rows.data().chunks_exact(width).try_for_each(&mut each);
            if taken.is_err() {
                break;
            }
        }
        Ok(())
    };
    heard(read(), vrt)?;
    Ok(taken)
}

/// A reference system as ESRI's programs write it; nothing where it has no such form.
pub(crate) fn esri_wkt(crs: &str) -> Option<String> {
    begin(Path::new(""));
    let convert = || -> Said<String> {
        let crs = SpatialRef::from_definition(crs)?;
        crs.morph_to_esri()?;
        crs.to_wkt()
    };
    heard(convert(), Path::new("")).ok()
}

/// Whether GDAL can write files of a kind.
pub(crate) fn has_driver(name: &str) -> bool {
    DriverManager::get_driver_by_name(name).is_ok()
}

pub(super) fn begin(path: &Path) {
    gdal_errors::install();
    gdal_errors::begin(&path.to_string_lossy());
    disk::begin();
}

/// What the system refused counts, and what GDAL raised, whatever the call says.
pub(super) fn heard<T>(said: Said<T>, path: &Path) -> Result<T, Failure> {
    match (disk::fault(), gdal_errors::take_causes(), said) {
        (Some(fault), _, _) => Err(Failure::write(path, fault)),
        (None, None, Ok(done)) => Ok(done),
        (None, Some(raised), _) => Err(Failure::Refused(raised)),
        (None, None, Err(e)) => Err(Failure::Refused(e.to_string())),
    }
}

/// The file without its pixels and what they mean. All that is said of it is said before the first block, so that its directory is written
/// once.
fn create(path: &Path, header: &SceneHeader, n_bands: usize, depth: MaskDepth) -> Said<Dataset> {
    let (width, height) = (header.size.width as usize, header.size.height as usize);
    let sides = [format!("BLOCKXSIZE={BLOCK}"), format!("BLOCKYSIZE={BLOCK}")];
    let mut options = RasterCreationOptions::from_iter(["TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"]);
    sides.iter().try_for_each(|side| options.add_string(side))?;
    if n_bands > 1 {
        options.add_string("INTERLEAVE=BAND")?;
    }
    let driver = DriverManager::get_driver_by_name("GTiff")?;
    let mut dataset = match depth {
        MaskDepth::Eight => {
            driver.create_with_band_type_with_options::<u8, _>(path, width, height, n_bands, &options)?
        }
        MaskDepth::Sixteen => {
            driver.create_with_band_type_with_options::<u16, _>(path, width, height, n_bands, &options)?
        }
    };
    place(&mut dataset, header)?;
    Ok(dataset)
}

fn dress_classes(dataset: &mut Dataset, raster: &ClassRaster<'_>) -> Said<()> {
    let mut band = dataset.rasterband(1)?;
    if raster.depth == MaskDepth::Eight {
        band.set_color_table(&palette(raster));
    }
    match raster.classes.nodata() {
        Some(nodata) => band.set_no_data_value(Some(nodata.value.into())),
        None => Ok(()),
    }
}

fn dress_shares(dataset: &mut Dataset, raster: &ShareRaster<'_>) -> Said<()> {
    for (at, name) in raster.bands.iter().enumerate() {
        let mut band = dataset.rasterband(at + 1)?;
        band.set_description(name)?;
        band.set_no_data_value(Some(raster.void.into()))?;
        band.set_scale(raster.scale)?;
        band.set_offset(raster.offset)?;
    }
    Ok(())
}

/// Overviews whose pixels come with the raster's own.
fn add_overviews(dataset: &mut Dataset, n_overviews: usize) -> Said<()> {
    let factors: Vec<i32> = (1..=n_overviews).map(|level| 1 << level).collect();
    if factors.is_empty() {
        return Ok(());
    }
    gdal::config::set_thread_local_config_option("GDAL_TIFF_OVR_BLOCKSIZE", &BLOCK.to_string())?;
    dataset.build_overviews("NONE", &factors, &[])
}

fn place(dataset: &mut Dataset, header: &SceneHeader) -> Said<()> {
    let ties = header.ties.as_deref().cloned().unwrap_or_default();
    if ties.pixel_is_point {
        dataset.set_metadata_item("AREA_OR_POINT", "Point", "")?;
    }
    for (name, value) in &ties.rpc {
        dataset.set_metadata_item(name, value, "RPC")?;
    }
    let crs = header.crs.as_ref().map(|crs| SpatialRef::from_definition(crs)).transpose()?;
    if let Some(crs) = &crs {
        dataset.set_spatial_ref(crs)?;
    }
    if let Some(transform) = &header.transform {
        dataset.set_geo_transform(&transform.0)?;
    } else if !ties.points.is_empty() {
        let point = |point: GroundPoint| {
            let ([pixel, line], [x, y, z]) = (point.pixel, point.ground);
            Gcp { id: String::new(), info: String::new(), pixel, line, x, y, z }
        };
        dataset.set_gcps(ties.points.into_iter().map(point).collect(), &crs.map_or_else(SpatialRef::new, Ok)?)?;
    }
    Ok(())
}

/// The classes' colours by value.
fn palette(raster: &ClassRaster<'_>) -> ColorTable<'static> {
    let mut table = ColorTable::new(PaletteInterpretation::Rgba);
    let opaque = |[r, g, b]: [u8; 3]| ColorEntry::rgba(r.into(), g.into(), b.into(), 255);
    (0..=255).for_each(|value| table.set_color_entry(value, &opaque([0; 3])));
    for (value, color) in raster.classes.by_label().into_iter().flatten() {
        table.set_color_entry(value, &opaque(color.0));
    }
    table
}

/// Writes a row of blocks of a band, counted from 0.
fn write(dataset: &Dataset, band: usize, row: BlockRow<'_>, samples: &[u16; 256], block: &mut Block) -> Said<()> {
    let band = dataset.rasterband(band + 1)?;
    let mut band = if row.level == 0 { band } else { band.overview(row.level - 1)? };
    let (width, side) = (row.width as usize, BLOCK as usize);
    for x in 0..width.div_ceil(side) {
        let span = x * side..width.min((x + 1) * side);
        let rows = row.labels.chunks_exact(width).map(|labels| &labels[span.clone()]);
        let at = (x, row.index as usize);
        match block {
            Block::Eight(buffer) => {
                #[expect(clippy::cast_possible_truncation, reason = "values of 8-bit masks were checked to fit")]
                fill(buffer.data_mut(), rows, |label| samples[usize::from(label)] as u8);
                band.write_block(at, buffer)?;
            }
            Block::Sixteen(buffer) => {
                fill(buffer.data_mut(), rows, |label| samples[usize::from(label)]);
                band.write_block(at, buffer)?;
            }
        }
    }
    Ok(())
}

/// Fills a block with samples of rows of labels; what lies outside the raster is 0.
fn fill<'a, T: Default + Clone>(block: &mut [T], rows: impl Iterator<Item = &'a [u8]>, sample: impl Fn(u8) -> T) {
    block.fill(T::default());
    for (into, labels) in block.chunks_exact_mut(BLOCK as usize).zip(rows) {
        into.iter_mut().zip(labels).for_each(|(into, label)| *into = sample(*label));
    }
}
