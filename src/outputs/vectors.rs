//! Polygons of classes as GeoPackages, with the area of each and a style for QGIS. A scene without a transform has none.

use std::path::Path;

use super::tiff::{failed, max_text_bytes};
use super::{OutputError, OutputKind, RowWriter, Subject};
use crate::atomic::{AtomicFile, WrittenFile};
use crate::config::Outputs;
use crate::geom::Size;
use crate::gis::{BYTES_PER_PIXEL, GpkgWriter};
use crate::journal::KeyHasher;

/// The kind.
#[derive(Debug)]
pub(super) struct Vectors;

/// Polygons are made of so many pixels at a time: those of a larger scene are cut where one band of rows ends and the next begins, and
/// their pieces share the number of their object.
const BAND_PIXELS: u32 = 1 << 22;

/// Bytes of a pixel on disk, in maps that are noise; real ones take a hundredth.
const DISK_PER_PIXEL: u64 = 32;

/// What SQLite holds.
const CACHE: u64 = 8 << 20;

/// Rows of a band.
fn band_rows(size: Size) -> u32 {
    (BAND_PIXELS / size.width.max(1)).clamp(1, size.height.max(1))
}

impl OutputKind for Vectors {
    fn folder(&self) -> &'static str {
        "vectors"
    }

    fn title(&self) -> &'static str {
        "vectors"
    }

    fn is_wanted(&self, outputs: &Outputs) -> bool {
        outputs.vectors
    }

    fn files(&self, scene: &str) -> Vec<String> {
        vec![format!("{}/{scene}.gpkg", self.folder())]
    }

    fn gdal_driver(&self) -> Option<&'static str> {
        Some("GPKG")
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        subject.raster_key(key)
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        subject.header.size.area().saturating_mul(DISK_PER_PIXEL) + (256 << 10) + max_text_bytes(subject.pipeline)
    }

    fn held_bytes(&self, subject: &Subject<'_>) -> u64 {
        let size = subject.header.size;
        u64::from(size.width) * u64::from(band_rows(size)) * BYTES_PER_PIXEL + CACHE
    }

    fn gdal_cache(&self, _: &Subject<'_>) -> Option<u64> {
        Some(0)
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let Some(transform) = subject.header.transform else { return Ok(Box::new(Nowhere)) };
        let (path, size) = (dir.join(&self.files(subject.name)[0]), subject.header.size);
        let file = AtomicFile::create(&path)?;
        let layer = subject.name.rsplit('/').next().unwrap_or(subject.name);
        let gpkg = GpkgWriter::create(&file, &subject.raster(), transform, layer).map_err(|e| failed(&path, e))?;
        Ok(Box::new(Writer { gpkg, file, size, band: Vec::new(), in_band: 0, rows: 0 }))
    }
}

struct Writer {
    // Before the file: dropped, it ends what it writes before that is removed.
    gpkg: GpkgWriter,
    file: AtomicFile,
    size: Size,
    /// Rows whose polygons are still to be made.
    band: Vec<u8>,
    in_band: u32,
    /// Rows so far.
    rows: u32,
}

impl RowWriter for Writer {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        let Size { width, height } = self.size;
        for labels in planes {
            if labels.len() != width as usize {
                return Err(OutputError::Width { path: self.file.target().to_owned(), labels: labels.len(), width });
            }
            self.band.extend_from_slice(labels);
            self.in_band += 1;
            self.rows += 1;
            if self.in_band == band_rows(self.size) || self.rows == height {
                self.gpkg.push(&self.band, self.in_band).map_err(|e| failed(self.file.target(), e))?;
                self.band.clear();
                self.in_band = 0;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        let Self { gpkg, file, size, rows, .. } = *self;
        if rows != size.height {
            return Err(OutputError::Rows { path: file.target().to_owned(), expected: size.height, got: rows.into() });
        }
        gpkg.close().map_err(|e| failed(file.target(), e))?;
        Ok(vec![file.adopt()?])
    }
}

/// That of a scene that lies nowhere.
struct Nowhere;

impl RowWriter for Nowhere {
    fn push(&mut self, _: &[&[u8]]) -> Result<(), OutputError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        Ok(Vec::new())
    }
}
