//! Opens a file and believes its header only as far as it can be true.

use std::path::Path;

use gdal::raster::{ColorInterpretation, GdalDataType, RasterBand};
use gdal::{Dataset, DatasetOptions, GdalOpenFlags, Metadata};

use super::{DRIVERS, errors, type_name};
use crate::geom::{GeoTransform, Size};
use crate::raster::{Mask, PixelType, RasterError, SceneHeader};

/// A TIFF needs at least this many bytes to say where a block lies (a 16-bit offset).
const MIN_BYTES_PER_BLOCK: u64 = 2;

/// A block side may exceed the scene's, tiles are padded; beyond this it is a lie that would cost memory.
const LARGE_BLOCK_SIDE: u32 = 8192;

/// Opens with the allowed drivers only.
pub(super) fn open(path: &Path) -> Result<Dataset, RasterError> {
    errors::clear();
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_READONLY
            | GdalOpenFlags::GDAL_OF_RASTER
            | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        allowed_drivers: Some(&DRIVERS),
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open_ex(path, options);
    dataset.map_err(|e| RasterError::Open { detail: errors::explain(&e) })
}

/// Reads the header of an open dataset whose file has `file_bytes` bytes.
pub(super) fn header(dataset: &Dataset, file_bytes: u64) -> Result<SceneHeader, RasterError> {
    let size = scene_size(dataset)?;
    let n_bands = u32::try_from(dataset.raster_count()).unwrap_or(0);
    if n_bands == 0 {
        return refuse("the file has no raster band");
    }
    let first = band(dataset, 1)?;
    let dtype = pixel_type(first.band_type())?;
    let mut nodata = Vec::new();
    for idx in 1..=dataset.raster_count() {
        let band = band(dataset, idx)?;
        if band.band_type() != first.band_type() {
            return refuse("its bands have different pixel types");
        }
        nodata.push(band.no_data_value());
    }
    let interleaved = dataset.metadata_item("INTERLEAVE", "IMAGE_STRUCTURE").is_some_and(|v| v == "PIXEL");
    let header = SceneHeader {
        driver: dataset.driver().short_name(),
        size,
        n_bands,
        dtype,
        nodata,
        mask: mask_kind(&first)?,
        block: block_size(&first, size)?,
        interleaved: interleaved && n_bands > 1,
        transform: dataset.geo_transform().ok().map(GeoTransform),
        crs: Some(dataset.projection()).filter(|wkt| !wkt.is_empty()),
    };
    check_block_count(&header, file_bytes)?;
    match errors::take() {
        Some(detail) => Err(RasterError::Open { detail }),
        None => Ok(header),
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, RasterError> {
    Err(RasterError::Refused { reason: reason.into() })
}

fn scene_size(dataset: &Dataset) -> Result<Size, RasterError> {
    let (width, height) = dataset.raster_size();
    match (u32::try_from(width), u32::try_from(height)) {
        (Ok(width), Ok(height)) if width > 0 && height > 0 => Ok(Size::new(width, height)),
        _ => refuse(format!("its header claims {width} x {height} pixels")),
    }
}

fn band(dataset: &Dataset, idx: usize) -> Result<RasterBand<'_>, RasterError> {
    dataset.rasterband(idx).map_err(|e| RasterError::Open { detail: errors::explain(&e) })
}

/// The types that swath reads.
const TYPES: [(GdalDataType, PixelType); 4] = [
    (GdalDataType::UInt8, PixelType::U8),
    (GdalDataType::UInt16, PixelType::U16),
    (GdalDataType::Int16, PixelType::I16),
    (GdalDataType::Float32, PixelType::F32),
];

fn pixel_type(dtype: GdalDataType) -> Result<PixelType, RasterError> {
    match TYPES.iter().find(|(gdal, _)| *gdal == dtype) {
        Some((_, known)) => Ok(*known),
        None => refuse(format!(
            "pixel type {} is not supported; convert the scene to Byte, UInt16, Int16 or Float32 (gdal_translate -ot)",
            type_name(dtype)
        )),
    }
}

/// A per-dataset mask or an alpha band; masks that merely repeat the nodata value are not asked for.
fn mask_kind(first: &RasterBand<'_>) -> Result<Mask, RasterError> {
    let flags = first.mask_flags().map_err(|e| RasterError::Open { detail: errors::explain(&e) })?;
    let own_alpha = first.color_interpretation() == ColorInterpretation::AlphaBand;
    Ok(if (flags.is_per_dataset() || flags.is_alpha()) && !own_alpha { Mask::Dataset } else { Mask::None })
}

fn block_size(first: &RasterBand<'_>, scene: Size) -> Result<Size, RasterError> {
    let (width, height) = first.block_size();
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
        return refuse("its blocks have no size");
    };
    if width == 0 || height == 0 {
        return refuse("its blocks have no size");
    }
    let lies = |block: u32, side: u32| block > LARGE_BLOCK_SIDE && u64::from(block) > 2 * u64::from(side);
    if lies(width, scene.width) || lies(height, scene.height) {
        return refuse(format!("its header claims blocks of {width} x {height} in a scene of {scene}"));
    }
    Ok(Size::new(width, height))
}

/// A file cannot say where more blocks lie than it has room for.
fn check_block_count(header: &SceneHeader, file_bytes: u64) -> Result<(), RasterError> {
    let across = |side: u32, block: u32| u64::from(side.div_ceil(block));
    let planes = if header.interleaved { 1 } else { u64::from(header.n_bands) };
    let blocks = across(header.size.width, header.block.width) * across(header.size.height, header.block.height);
    let blocks = blocks.saturating_mul(planes);
    if blocks.saturating_mul(MIN_BYTES_PER_BLOCK) > file_bytes {
        return refuse(format!(
            "its header claims {} pixels in {blocks} blocks, more than a file of {file_bytes} bytes can hold",
            header.size
        ));
    }
    Ok(())
}
