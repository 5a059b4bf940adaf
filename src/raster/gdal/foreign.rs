//! What a file is that is none of the formats which are read, by its first bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::raster::RasterError;

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
pub(super) fn explain(path: &Path) -> Option<RasterError> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(START).read_to_end(&mut start).ok()?;
    let reason = reason(&start)?;
    Some(RasterError::Refused { reason })
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
    let known: [&[u8]; 6] = [b"II*\0", b"II+\0", b"MM\0*", b"MM\0+", b"\x89PNG", b"\xff\xd8\xff"];
    let is_known = known.iter().any(|with| begins(0, with));
    match text.as_str() {
        _ if is_known => None,
        text if text.starts_with("<vrtdataset") => Some(raster("a VRT")),
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
            (b"  <VRTDataset rasterXSize=\"1\"", "it is a VRT, "),
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
