//! The GDAL reader against real files of many kinds, and what its preflight refuses.
#![cfg(feature = "gdal")]

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use swath::geom::{PixelRect, Size, Span};
use swath::raster::{Gdal, Mask, OpenSource, PixelBuf, RasterSource, ReadRequest, SceneHeader};

use crate::support::{shared, skipped};

fn source() -> Box<dyn RasterSource> {
    Gdal::set_up().unwrap().open()
}

/// Reads all bands of a file window by window and puts them together again.
fn read_whole(
    source: &mut dyn RasterSource,
    path: &Path,
    header: &SceneHeader,
    step: (u32, u32),
) -> Result<Vec<u8>, String> {
    let (size, unit) = (header.size, header.dtype.bytes());
    let mut planes = vec![0; size.len() * unit * header.n_bands as usize];
    for y in (0..size.height).step_by(step.1 as usize) {
        for x in (0..size.width).step_by(step.0 as usize) {
            let spans = (Span::new(x, (x + step.0).min(size.width)), Span::new(y, (y + step.1).min(size.height)));
            let window = PixelRect::from_spans(spans.0, spans.1);
            let request = header.request(path.into(), None, window, (1..=header.n_bands).collect());
            let mut part = PixelBuf::zeros(header.dtype, window.size.len() * header.n_bands as usize);
            source.read(&request, part.bytes_mut()).map_err(|e| e.to_string())?;
            let row = window.size.width as usize * unit;
            for (i, from) in part.bytes().chunks_exact(row).enumerate() {
                let (band, line) = (i / window.size.height as usize, i % window.size.height as usize);
                let at = ((band * size.height as usize + y as usize + line) * size.width as usize + x as usize) * unit;
                planes[at..at + row].copy_from_slice(from);
            }
        }
    }
    Ok(planes)
}

/// The rows of a folder's index by column name.
fn index(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    lines.map(|l| columns.iter().map(|c| (*c).to_owned()).zip(l.split('\t').map(str::to_owned)).collect()).collect()
}

/// Whether a file that this GDAL can decode has these pixels, however it is read.
fn is_read_back(
    source: &mut dyn RasterSource,
    path: &Path,
    header: &SceneHeader,
    digest: &str,
    steps: &[(u32, u32)],
) -> bool {
    let name = path.display();
    for step in steps {
        let pixels = match read_whole(source, path, header, *step) {
            Ok(pixels) => pixels,
            Err(e) if e.contains("ompression") => {
                skipped(&format!("{name}: this GDAL lacks its codec: {e}"));
                return false;
            }
            Err(e) => panic!("{name}: {e}"),
        };
        let found: String = Sha256::digest(&pixels).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(&found[..32], digest, "{name} in windows of {step:?}");
    }
    true
}

#[test]
fn every_kind_of_file_is_read_as_it_was_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiff");
    let mut source = source();
    let rows = index(&folder.join("index.tsv"));
    assert_eq!(rows.len(), 10);
    for row in rows {
        let path = folder.join(&row["file"]);
        let header = source.inspect(&path, None).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let dtype = ["uint8", "uint16", "int16", "float32"].into_iter().zip(["u8", "u16", "i16", "f32"]);
        let dtype = dtype.into_iter().find(|(theirs, _)| *theirs == row["dtype"]).unwrap().1;
        let nodata = row["nodata"].parse::<f64>().ok();
        let mask = if row["mask"] == "dataset" { Mask::Dataset } else { Mask::None };
        assert_eq!(format!("{}x{}", header.size.width, header.size.height), row["WxH"], "{}", row["file"]);
        assert_eq!((header.n_bands.to_string(), header.dtype.to_string()), (row["bands"].clone(), dtype.to_owned()));
        assert!(header.nodata.iter().all(|value| *value == nodata) && header.mask == mask, "{header:?}");
        let transform = header.transform.map(|t| t.0.map(|v| v.to_string()).join(",")).unwrap_or_default();
        assert_eq!(transform, row["geotransform"], "{}", row["file"]);
        assert_eq!(header.crs.as_ref().is_some_and(|crs| crs.contains("32632")), !row["geotransform"].is_empty());
        let steps = [(u32::MAX >> 8, 37), (16, 16), (7, 5), (1, 64)];
        assert!(is_read_back(source.as_mut(), &path, &header, &row["pixels_sha256_32"], &steps), "{}", row["file"]);
    }
}

#[test]
fn real_files_decode_to_their_published_pixels() {
    let Some(folder) = shared("data/geotiffs") else { return };
    let mut source = source();
    let (mut compared, mut refused) = (0, Vec::new());
    for row in index(&folder.join("index.tsv")) {
        let (name, digest) = (&row["file"], &row["pixels_sha256_32"]);
        let path = folder.join(name);
        let supported = row["dtype"] != "complex_int16" && row["photometric"] != "SEPARATED";
        // Lossy files decode differently in every build, and two are too large for a test.
        let comparable = !["JPEG", "WEBP"].contains(&row["compression"].as_str()) && !digest.starts_with('(');
        let header = match source.inspect(&path, None) {
            Ok(header) => header,
            Err(e) => {
                refused.push(format!("{name}: {e}"));
                assert!(!supported, "{name}: {e}");
                continue;
            }
        };
        assert!(supported, "{name} is {}", row["dtype"]);
        assert_eq!(format!("{}x{}", header.size.width, header.size.height), row["WxH"], "{name}");
        assert_eq!(header.n_bands.to_string(), row["bands"], "{name}");
        // Digests are those of the values as they are stored.
        if !comparable || header.dtype.stored_bytes() != header.dtype.bytes() {
            continue;
        }
        compared += u32::from(is_read_back(source.as_mut(), &path, &header, digest, &[(u32::MAX >> 8, 37), (100, 64)]));
    }
    assert!(compared > 30 && refused.len() == 2, "{compared} compared, refused: {refused:#?}");
    let says_what_to_do =
        |text: &String| ["gdal_translate DERIVED", "magick FILE"].iter().any(|way| text.contains(way));
    assert!(refused.iter().all(says_what_to_do), "{refused:#?}");
}

#[test]
fn no_broken_file_crashes_the_header_check_or_claims_memory() {
    let Some(folder) = shared("data/broken") else { return };
    let mut source = source();
    for row in index(&folder.join("index.tsv")) {
        let path = folder.join(&row["file"]);
        if let Ok(header) = source.inspect(&path, None) {
            let bytes = std::fs::metadata(&path).unwrap().len();
            let planes = if header.interleaved { 1 } else { u64::from(header.n_bands) };
            let across = |side: u32, block: u32| u64::from(side.div_ceil(block));
            let blocks =
                across(header.size.width, header.block.width) * across(header.size.height, header.block.height);
            assert!(blocks * planes * 2 <= bytes, "{}: {blocks} blocks", path.display());
        }
    }
}

#[test]
fn a_sparse_file_of_forty_gigapixels_has_blank_holes() {
    let Some(path) = shared("data/geotiffs/made__sparse_huge_200k.tif") else { return };
    let mut source = source();
    let header = source.inspect(&path, None).unwrap();
    assert_eq!(header.size, Size::new(200_000, 200_000));
    let mut probes = Vec::new();
    for y in (0..200_000).step_by(20_480) {
        probes.extend((0..200_000).step_by(20_480).map(|x| PixelRect { x, y, size: Size::new(16, 16) }));
    }
    let window = PixelRect { x: 0, y: 0, size: Size::new(16, 16) };
    let request = ReadRequest { probes: probes.clone(), ..header.request(path, None, window, vec![1]) };
    let reply = source.read(&request, &mut vec![0; 256]).unwrap();
    assert_eq!(reply.blank.len(), probes.len());
    assert!(reply.blank.iter().any(|b| *b));
}
