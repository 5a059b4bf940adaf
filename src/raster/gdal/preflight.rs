//! Opens a file and believes its header only as far as it can be true.

use std::path::Path;

use gdal::raster::{ColorInterpretation, RasterBand};
use gdal::{Dataset, DatasetOptions, GdalOpenFlags, Metadata};

use super::color::color;
use super::directory::Directory;
use super::pages::{self, Page};
use super::{Opened, errors, georef, picture};
use crate::geom::Size;
use crate::raster::{Mask, Palette, PixelType, RasterError, Scale, SceneHeader};

/// libtiff reads a file that lists fewer strips or tiles than it has, up to so many of them.
const MOST_UNLISTED: u64 = 1_000_000;

/// The code of colours for print among those of TIFF.
const SEPARATED: u64 = 5;

/// GDAL reads no block of more bytes than this.
const MOST_BLOCK_BYTES: u64 = i32::MAX as u64;

/// Opens the only page of a file, or the one of this number, with these drivers only; also returns what GDAL calls it.
pub(super) fn open(drivers: &[&str], path: &Path, page: Option<u32>) -> Result<(Dataset, String), RasterError> {
    let Some(name) = path.to_str() else {
        return refuse("its path is not UTF-8, which GDAL cannot open; rename it");
    };
    let whole = open_named(drivers, name)?;
    match pages::select(&whole, path, page)? {
        Page::First => Ok((whole, name.to_owned())),
        Page::Other(name) => Ok((open_named(drivers, &name)?, name)),
    }
}

/// Opens a file whose only strip is not stored: GDAL would hand that out row by row, and fail to.
pub(super) fn open_whole(drivers: &[&str], name: &str) -> Result<Dataset, RasterError> {
    const OPTION: &str = "GDAL_ENABLE_TIFF_SPLIT";
    let failed = |e: gdal::errors::GdalError| RasterError::Open { detail: e.to_string() };
    gdal::config::set_thread_local_config_option(OPTION, "NO").map_err(failed)?;
    let dataset = open_named(drivers, name);
    gdal::config::clear_thread_local_config_option(OPTION).map_err(failed)?;
    dataset
}

/// Opens what GDAL calls so.
pub(super) fn open_named(drivers: &[&str], name: &str) -> Result<Dataset, RasterError> {
    errors::begin(name);
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_READONLY
            | GdalOpenFlags::GDAL_OF_RASTER
            | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        allowed_drivers: Some(drivers),
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
    let dtype = pixel_type(&first, opened.directory.as_ref())?;
    let driver = dataset.driver().short_name();
    check_picture(opened, &driver)?;
    let Bands { nodata, names, scale } = bands(opened, dtype)?;
    let has_mask = has_mask(&first) || opened.palette.iter().any(|color| color[3] == 0);
    let interleaved = dataset.metadata_item("INTERLEAVE", "IMAGE_STRUCTURE").is_some_and(|v| v == "PIXEL");
    let transform = georef::transform(dataset);
    let header = SceneHeader {
        order: picture::order(&driver, &opened.path),
        driver,
        size,
        n_bands,
        dtype,
        nodata,
        mask: if has_mask { Mask::Dataset } else { Mask::None },
        palette: if opened.palette.is_empty() { Palette::None } else { Palette::Indices },
        scale,
        names,
        block: block_size(&first, dtype)?,
        sparse: opened.directory.as_ref().is_some_and(|directory| directory.lacks_blocks(&opened.path)),
        interleaved: interleaved && n_bands > 1,
        transform,
        crs: georef::crs(dataset),
        pixel_metres: transform.and_then(|transform| georef::pixel_metres(dataset, transform, size)),
        ties: georef::ties(dataset),
        mosaic: None,
    };
    if let Some(directory) = &opened.directory {
        check_claims(directory, file_bytes)?;
    }
    if picture::claimed_bytes(&opened.path).is_some_and(|bytes| bytes > file_bytes.saturating_mul(DEFLATE)) {
        return refuse(format!(
            "its header claims {size} pixels, more than a file of {file_bytes} bytes can hold; it is cut short or damaged: fetch or write \
             it again"
        ));
    }
    match errors::take() {
        Some(detail) => Err(RasterError::Open { detail }),
        None => Ok(header),
    }
}

/// What bands say of themselves.
struct Bands {
    nodata: Vec<Option<f64>>,
    names: Vec<Vec<String>>,
    scale: Scale,
}

/// Asks all bands, which must be of one type.
fn bands(Opened { dataset, directory, .. }: &Opened, dtype: PixelType) -> Result<Bands, RasterError> {
    let mut bands = Bands { nodata: Vec::new(), names: Vec::new(), scale: Scale::None };
    for idx in 1..=dataset.raster_count() {
        let band = band(dataset, idx)?;
        let other = pixel_type(&band, directory.as_ref())?;
        if other != dtype {
            return refuse(format!(
                "its bands have different pixel types ({dtype} and {other}); write those that the pipeline reads to a file of one type \
                 (gdal_translate -b)"
            ));
        }
        bands.nodata.push(nodata(&band, dtype));
        bands.names.push(names_of(&band));
        if band.scale().is_some_and(|scale| scale != 1.0) || band.offset().is_some_and(|offset| offset != 0.0) {
            bands.scale = Scale::Ignored;
        }
    }
    Ok(bands)
}

/// Refuses pictures for print, and those that are stored otherwise than they are shown.
fn check_picture(opened: &Opened, driver: &str) -> Result<(), RasterError> {
    let (dataset, directory) = (&opened.dataset, opened.directory.as_ref());
    // Those of a JPEG are made red, green and blue by a rule of thumb.
    let stored_as = dataset.metadata_item("SOURCE_COLOR_SPACE", "IMAGE_STRUCTURE").unwrap_or_default();
    if directory.is_some_and(|d| d.photometric == SEPARATED) || ["CMYK", "YCbCrK"].contains(&stored_as.as_str()) {
        return refuse(
            "its colours are cyan, magenta, yellow and black (CMYK), which is for print; swath reads red, green and blue: convert it \
             (magick FILE -colorspace sRGB NEW.tif)",
        );
    }
    let turn = dataset.metadata_item("EXIF_Orientation", "").filter(|turn| driver == "JPEG" && turn.trim() != "1");
    match turn {
        None => Ok(()),
        Some(turn) => refuse(format!(
            "it is stored turned or mirrored (EXIF orientation {}), and its mask would not lie as it is shown; write it upright: \
             magick FILE -auto-orient NEW.jpg",
            turn.trim()
        )),
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

/// The types that swath reads, by GDAL's names for them: which of them its enumeration has depends on its version.
const TYPES: [(&str, PixelType); 10] = [
    ("Byte", PixelType::U8),
    ("Int8", PixelType::I8),
    ("UInt16", PixelType::U16),
    ("Int16", PixelType::I16),
    ("UInt32", PixelType::U32),
    ("Int32", PixelType::I32),
    ("UInt64", PixelType::U64),
    ("Int64", PixelType::I64),
    ("Float32", PixelType::F32),
    ("Float64", PixelType::F64),
];

/// The type of a band's values in the file.
pub(super) fn pixel_type(band: &RasterBand<'_>, directory: Option<&Directory>) -> Result<PixelType, RasterError> {
    let name = band.band_type().name();
    let Some((_, dtype)) = TYPES.iter().find(|(gdal, _)| *gdal == name) else {
        return refuse(
            "its pixels are complex numbers, or of another type than the integers and floats that swath reads (u8 to f64); if it is their \
             amplitude that counts: gdal_translate DERIVED_SUBDATASET:AMPLITUDE:FILE NEW.tif",
        );
    };
    let says = |key: &str| band.metadata_item(key, "IMAGE_STRUCTURE");
    let bits = says("NBITS").and_then(|bits| bits.parse::<u64>().ok()).or(directory.map(|d| d.bits));
    let is_signed = directory.is_some_and(|d| d.signed) || says("PIXELTYPE").is_some_and(|kind| kind == "SIGNEDBYTE");
    match (*dtype, bits) {
        (PixelType::U8, None | Some(8)) if is_signed => Ok(PixelType::I8),
        // They would arrive as other numbers.
        (dtype, Some(bits)) if is_signed && !dtype.is_float() && bits != 8 * dtype.stored_bytes() as u64 => {
            refuse(format!(
                "its pixels are signed integers of {bits} bits, whose sign GDAL loses; write the scene as Int16 or Int32"
            ))
        }
        (dtype, _) => Ok(dtype),
    }
}

/// The nodata value of a band.
fn nodata(band: &RasterBand<'_>, dtype: PixelType) -> Option<f64> {
    match dtype {
        PixelType::U64 => band.no_data_value_u64().map(|value| value as f64),
        PixelType::I64 => band.no_data_value_i64().map(|value| value as f64),
        PixelType::U8
        | PixelType::I8
        | PixelType::U16
        | PixelType::I16
        | PixelType::U32
        | PixelType::I32
        | PixelType::F32
        | PixelType::F64 => band.no_data_value(),
    }
}

/// The colours of a file's only band, with their opacity; empty where it has no palette.
pub(super) fn palette(dataset: &Dataset) -> Vec<[u8; 4]> {
    let band = dataset.rasterband(1).ok().filter(|_| dataset.raster_count() == 1);
    let Some(table) = band.as_ref().and_then(RasterBand::color_table) else { return Vec::new() };
    let byte = |value: i16| u8::try_from(value.clamp(0, 255)).unwrap_or(0);
    let color = |idx| table.entry_as_rgb(idx).map_or([0; 4], |c| [c.r, c.g, c.b, c.a].map(byte));
    (0..table.entry_count()).map(color).collect()
}

/// Characters of a band's description that are looked at.
const MOST_OF_A_NAME: usize = 64;

/// What a band is called: its description, the first word of it, and its colour.
fn names_of(band: &RasterBand<'_>) -> Vec<String> {
    let description =
        band.description().unwrap_or_default().to_lowercase().chars().take(MOST_OF_A_NAME).collect::<String>();
    let is_end = |c: char| c.is_whitespace() || [',', ';', ':'].contains(&c);
    let word = description.split(is_end).next().unwrap_or_default().to_owned();
    let color = color(band).map(|color| color.name().to_lowercase()).unwrap_or_default();
    let mut names = vec![description, word, color];
    names.retain(|name| !name.is_empty());
    names.dedup();
    names
}

/// Whether the file has a mask or an alpha band; masks that merely repeat the nodata value are none.
pub(super) fn has_mask(first: &RasterBand<'_>) -> bool {
    first.mask_flags().is_ok_and(|flags| flags.is_per_dataset() || flags.is_alpha())
        && color(first) != Some(ColorInterpretation::AlphaBand)
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
    if block.area().saturating_mul(dtype.stored_bytes() as u64) > MOST_BLOCK_BYTES {
        return refuse(format!("its header claims blocks of {block} pixels, and GDAL reads none of 2 GiB or more"));
    }
    Ok(block)
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

/// How many bytes one byte of Deflate can become, by its construction.
const DEFLATE: u64 = 1032;

/// How many bytes one stored byte can become at most; `None` where there is no such bound.
fn most_unpacked(directory: &Directory) -> Option<u64> {
    match directory.compression {
        // Colour spaces beyond CMYK may store fewer samples than they have, or are read leniently.
        _ if directory.photometric > SEPARATED => None,
        // Stored as it is.
        1 => Some(1),
        // LZW: 9 bits at least for a string of 4096 bytes at most.
        5 => Some(4096),
        8 | 32_946 => Some(DEFLATE),
        // PackBits: 2 bytes for 128.
        32_773 => Some(64),
        // Zstandard: blocks of 128 KiB at most, 3 bytes at least.
        50_000 => Some((128 << 10) / 3 + 1),
        _ => None,
    }
}
