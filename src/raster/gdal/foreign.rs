//! What a file is that is none of the formats which are read, by its first bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Gdal, Mosaics};
use crate::raster::{Driver, RasterError, is_mosaic};

/// Bytes that are looked at.
const START: u64 = 512;

/// Formats by how they begin, at the byte of that number.
const FORMATS: [(usize, &[u8], &str); 12] = [
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (4, b"jP  \r\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (8, b"WEBP", "a WebP"),
    (0, b"\x89HDF\r\n", "an HDF5 or netCDF file"),
    (0, b"\x0e\x03\x13\x01", "an HDF4 file"),
    (0, b"CDF", "a netCDF file"),
    (0, b"EHFA_HEADER_TAG", "an Erdas Imagine file"),
    (0, b"NITF", "a NITF file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"GRIB", "a GRIB file"),
];

/// What is wrong with a file that GDAL's drivers do not open because it is none of theirs; `None` where it is one, or cannot be read.
pub(super) fn explain(gdal: &Gdal, path: &Path) -> Option<RasterError> {
    let start = start_of(path)?;
    let allowed = gdal.drivers.names();
    let reason = match begins_as(&start).filter(|driver| !gdal.drivers.allow(*driver)) {
        Some(Driver::Vrt) => Some(format!(
            "it is a VRT, a mosaic of other files; input.drivers = [\"GTiff\", \"VRT\"] lets it be read, {ELSE}"
        )),
        Some(driver) => Some(format!(
            "it is a {}, and input.drivers allows {} alone; add that to it, or leave the file out (--exclude)",
            driver.name(),
            allowed.join(", ")
        )),
        None if is_vrt(path) => Some(of_mosaic(gdal, path)),
        None => reason(&start),
    };
    Some(RasterError::Refused { reason: reason? })
}

/// What else can be done with a mosaic.
const ELSE: &str = "or write it to a file: gdal_translate -of GTiff FILE NEW.tif";

/// Why a mosaic that may be read is not.
fn of_mosaic(gdal: &Gdal, path: &Path) -> String {
    match &gdal.mosaics {
        Mosaics::Unfenced(why) => format!(
            "it is a VRT, which may name any file, and the kernel does not confine its decoder to the input folder ({why}); run where Landlock \
             is switched on (Linux 5.13, lsm=landlock), {ELSE}"
        ),
        Mosaics::InProcess => format!(
            "it is a VRT, which may name any file: only a decoder that is a process of its own and can open no other is given such; leave \
             --decode in-process out, {ELSE}"
        ),
        Mosaics::ByName if !is_mosaic(path) => format!("it is a VRT and not called so: rename it to *.vrt, {ELSE}"),
        Mosaics::ByName | Mosaics::Below(_) => format!("it is a VRT that cannot be read here; {ELSE}"),
    }
}

fn start_of(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    // To open a pipe is to wait for whoever writes into it.
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).and_then(|_| File::open(path).ok());
    file?.take(START).read_to_end(&mut start).ok()?;
    Some(start)
}

/// Whether a file is a VRT, as GDAL tells: by what it begins with.
pub(super) fn is_vrt(path: &Path) -> bool {
    start_of(path).is_some_and(|start| begins_as(&start) == Some(Driver::Vrt))
}

/// The format of a file that begins so, where it is one that swath reads.
fn begins_as(start: &[u8]) -> Option<Driver> {
    const TIFF: [&[u8]; 4] = [b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"];
    let begins = |with: &[u8]| start.starts_with(with);
    let is_text = |text: &[u8]| start.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text));
    match () {
        () if TIFF.into_iter().any(begins) => Some(Driver::GTiff),
        () if begins(b"\x89PNG") => Some(Driver::Png),
        () if begins(b"\xff\xd8\xff") => Some(Driver::Jpeg),
        () if is_text(b"<VRTDataset") => Some(Driver::Vrt),
        () => None,
    }
}

fn reason(start: &[u8]) -> Option<String> {
    let begins = |at: usize, with: &[u8]| start.get(at..).is_some_and(|rest| rest.starts_with(with));
    let raster = |what: &str| {
        format!(
            "it is {what}, and swath reads GeoTIFF, PNG and JPEG; convert it: gdal_translate -of GTiff FILE NEW.tif"
        )
    };
    if let Some((_, _, what)) = FORMATS.iter().find(|(at, with, _)| begins(*at, with)) {
        return Some(raster(what));
    }
    let text = String::from_utf8_lossy(start).trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_lowercase();
    match text.as_str() {
        _ if begins_as(start).is_some() => None,
        text if text.starts_with("<!doctype html") || text.starts_with("<html") => {
            Some("it is a web page and no raster: fetch the file again".into())
        }
        text if text.starts_with("<?xml") || text.starts_with("<error") => {
            Some("it is an XML text and no GeoTIFF: fetch the file again, or convert it with gdal_translate".into())
        }
        text if text.starts_with("version https://git-lfs") => {
            Some("it is a Git LFS pointer and not the file itself: git lfs pull".into())
        }
        _ if begins(0, b"II") || begins(0, b"MM") => {
            Some("it begins like a TIFF and is none: the file is damaged; fetch or write it again".into())
        }
        _ if begins(0, b"PK\x03\x04") => Some("it is a ZIP archive: unpack it".into()),
        _ if begins(0, b"\x1f\x8b") => Some("it is compressed by gzip: unpack it".into()),
        _ => Some(
            "it is neither TIFF nor PNG nor JPEG; if GDAL reads it, convert it: gdal_translate -of GTiff FILE NEW.tif"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_content() {
        for (start, words) in [
            (&b"GIF89a"[..], "it is a GIF, and swath reads GeoTIFF, PNG and JPEG; convert it"),
            (b"\n<!DOCTYPE html><html>", "a web page"),
            (b"IM*\0", "it is neither TIFF"),
            (b"II\x2c\0", "begins like a TIFF and is none"),
            (b"", "it is neither TIFF"),
        ] {
            let reason = reason(start).unwrap();
            assert!(reason.contains(words), "{reason}");
        }
        assert!(
            reason(b"\x89PNG\r\n\x1a\n").is_none()
                && reason(b"II*\0\x08\0\0\0").is_none()
                && reason(b"MM\0+").is_none()
        );
    }
}
