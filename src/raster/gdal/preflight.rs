//! Opens a file and believes its header only as far as it can be true.

use std::path::Path;

use gdal::raster::{ColorInterpretation, GdalDataType, RasterBand};
use gdal::{Dataset, DatasetOptions, GdalOpenFlags, Metadata};

use super::directory::Directory;
use super::pages::{self, Page};
use super::{DRIVERS, Opened, errors, foreign, georef};
use crate::geom::{GeoTransform, Size};
use crate::raster::{Mask, PixelType, RasterError, SceneHeader};

/// libtiff reads a file that lists fewer strips or tiles than it has, up to so many of them.
const MOST_UNLISTED: u64 = 1_000_000;

/// GDAL reads no block of more bytes than this.
const MOST_BLOCK_BYTES: u64 = i32::MAX as u64;

/// Opens the only page of a file, or the one of this number, with the allowed drivers only; also returns what GDAL calls it.
pub(super) fn open(path: &Path, page: Option<u32>) -> Result<(Dataset, String), RasterError> {
    let Some(name) = path.to_str() else {
        return refuse("its path is not UTF-8, which GDAL cannot open; rename it");
    };
    let whole = open_named(name).map_err(|error| foreign::explain(path).unwrap_or(error))?;
    match pages::select(&whole, path, page)? {
        Page::First => Ok((whole, name.to_owned())),
        Page::Other(name) => Ok((open_named(&name)?, name)),
    }
}

/// Opens a file whose only strip is not stored: GDAL would hand that out row by row, and fail to.
pub(super) fn open_whole(name: &str) -> Result<Dataset, RasterError> {
    const OPTION: &str = "GDAL_ENABLE_TIFF_SPLIT";
    let failed = |e: gdal::errors::GdalError| RasterError::Open { detail: e.to_string() };
    gdal::config::set_thread_local_config_option(OPTION, "NO").map_err(failed)?;
    let dataset = open_named(name);
    gdal::config::clear_thread_local_config_option(OPTION).map_err(failed)?;
    dataset
}

/// Opens what GDAL calls so.
pub(super) fn open_named(name: &str) -> Result<Dataset, RasterError> {
    errors::begin(name);
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_READONLY
            | GdalOpenFlags::GDAL_OF_RASTER
            | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        allowed_drivers: Some(&DRIVERS),
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open_ex(name, options);
    dataset.map_err(|e| RasterError::Open { detail: errors::explain(&e) })
}

/// Reads the header of an open image whose file has `file_bytes` bytes.
pub(super) fn header(opened: &Opened, file_bytes: u64) -> Result<SceneHeader, RasterError> {
    let dataset = &opened.dataset;
    let size = scene_size(dataset)?;
    let n_bands = u32::try_from(dataset.raster_count()).unwrap_or(0);
    if n_bands == 0 {
        return refuse("the file has no raster band");
    }
    let first = band(dataset, 1)?;
    let dtype = pixel_type(first.band_type(), opened.directory.as_ref())?;
    check_sign(&first, dtype, opened.directory.as_ref())?;
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
        block: block_size(&first, dtype)?,
        interleaved: interleaved && n_bands > 1,
        transform: dataset.geo_transform().ok().map(GeoTransform),
        crs: georef::crs(dataset),
        ties: georef::ties(dataset),
    };
    if let Some(directory) = &opened.directory {
        check_claims(directory, file_bytes)?;
    }
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

fn pixel_type(dtype: GdalDataType, directory: Option<&Directory>) -> Result<PixelType, RasterError> {
    match TYPES.iter().find(|(gdal, _)| *gdal == dtype) {
        Some((_, known)) => Ok(*known),
        None => refuse(format!("its pixels are {}", unread(dtype, directory))),
    }
}

/// A type that swath does not read in words, and the one to convert it to.
fn unread(dtype: GdalDataType, directory: Option<&Directory>) -> String {
    let signed_byte = directory.is_some_and(|d| d.signed && d.bits == 8);
    // By name: which of them the enumeration has depends on the version of GDAL.
    let name = if signed_byte { "Int8".to_owned() } else { dtype.name() };
    let (words, to) = match name.as_str() {
        "Int8" => ("signed bytes (Int8)", "Int16"),
        "UInt32" => ("32-bit unsigned integers", "UInt16, or Float32 if they are larger"),
        "Int32" => ("32-bit integers", "Int16, or Float32 if they are larger"),
        "UInt64" => ("64-bit unsigned integers", "UInt16, or Float32 if they are larger"),
        "Int64" => ("64-bit integers", "Int16, or Float32 if they are larger"),
        "Float64" => ("64-bit floats", "Float32"),
        _ => {
            return "complex numbers or of another type that swath does not read; write what the pipeline means as Float32".into();
        }
    };
    format!("{words}, which swath does not read; convert the scene to {to} (gdal_translate -ot)")
}

/// A per-dataset mask or an alpha band; masks that merely repeat the nodata value are not asked for.
fn mask_kind(first: &RasterBand<'_>) -> Result<Mask, RasterError> {
    let flags = first.mask_flags().map_err(|e| RasterError::Open { detail: errors::explain(&e) })?;
    let own_alpha = first.color_interpretation() == ColorInterpretation::AlphaBand;
    Ok(if (flags.is_per_dataset() || flags.is_alpha()) && !own_alpha { Mask::Dataset } else { Mask::None })
}

fn block_size(first: &RasterBand<'_>, dtype: PixelType) -> Result<Size, RasterError> {
    let (width, height) = first.block_size();
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
        return refuse("its blocks have no size");
    };
    let block = Size::new(width, height);
    if block.is_empty() {
        return refuse("its blocks have no size");
    }
    if block.area().saturating_mul(dtype.bytes() as u64) > MOST_BLOCK_BYTES {
        return refuse(format!("its header claims blocks of {block} pixels, and GDAL reads none of 2 GiB or more"));
    }
    Ok(block)
}

/// Refuses integers whose sign GDAL does not pass on: they would arrive as other numbers.
fn check_sign(first: &RasterBand<'_>, dtype: PixelType, directory: Option<&Directory>) -> Result<(), RasterError> {
    let says = |key: &str| first.metadata_item(key, "IMAGE_STRUCTURE");
    let signed_byte = says("PIXELTYPE").is_some_and(|kind| kind == "SIGNEDBYTE");
    let bits = says("NBITS").and_then(|bits| bits.parse::<u64>().ok()).or(directory.map(|d| d.bits));
    let signed = signed_byte || dtype == PixelType::I16 || directory.is_some_and(|d| d.signed);
    match (dtype, bits) {
        (PixelType::U8, None | Some(8)) if signed => refuse(
            "its pixels are signed bytes (Int8), which swath does not read; convert the scene to Int16 (gdal_translate -ot Int16, of GDAL \
             3.7 or newer)",
        ),
        (PixelType::U8 | PixelType::U16 | PixelType::I16, Some(bits)) if signed && bits != 16 => refuse(format!(
            "its pixels are signed integers of {bits} bits, whose sign GDAL loses; write the scene as Int16"
        )),
        (PixelType::U8 | PixelType::U16 | PixelType::I16 | PixelType::F32, _) => Ok(()),
    }
}

/// Refuses what no file of this length can hold. Nothing that libtiff reads to the end is refused.
fn check_claims(directory: &Directory, file_bytes: u64) -> Result<(), RasterError> {
    let (blocks, kind) = (directory.n_blocks(), if directory.tiled { "tile" } else { "strip" });
    // A file says at least in a byte where each block is.
    if blocks > file_bytes.max(MOST_UNLISTED) {
        return refuse(format!(
            "its header claims {} pixels in {blocks} {kind}s, more than a file of {file_bytes} bytes can list",
            directory.size
        ));
    }
    let most = most_unpacked(directory).filter(|_| directory.is_stored(0));
    if most.is_some_and(|ratio| directory.block_bytes() > file_bytes.saturating_mul(ratio)) {
        return refuse(format!(
            "its header claims {kind}s of {} pixels, more than a file of {file_bytes} bytes can hold; it is cut short or damaged: \
             fetch or write it again",
            directory.block
        ));
    }
    Ok(())
}

/// How many bytes one stored byte can become at most; `None` where there is no such bound.
fn most_unpacked(directory: &Directory) -> Option<u64> {
    // Colour spaces beyond CMYK may store fewer samples than they have, or are read leniently.
    const CMYK: u64 = 5;
    match directory.compression {
        _ if directory.photometric > CMYK => None,
        // Stored as it is.
        1 => Some(1),
        // LZW: 9 bits at least for a string of 4096 bytes at most.
        5 => Some(4096),
        // Deflate: 1032 to 1 by its construction.
        8 | 32_946 => Some(1032),
        // PackBits: 2 bytes for 128.
        32_773 => Some(64),
        // Zstandard: blocks of 128 KiB at most, 3 bytes at least.
        50_000 => Some((128 << 10) / 3 + 1),
        _ => None,
    }
}
