//! Polygons of classes as GeoPackages, with the area of each and a style for QGIS. A scene without a transform has none.

use std::path::Path;

use super::tiff::{failed, max_text_bytes};
use super::{OutputError, OutputKind, Plane, RowWriter, Subject};
use crate::atomic::{AtomicFile, WrittenFile};
use crate::config::{Outputs, Pipeline};
use crate::geom::Size;
use crate::gis::{GpkgWriter, Layer, bytes_per_pixel};
use crate::journal::KeyHasher;

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

    fn planes(&self, pipeline: &Pipeline) -> Vec<Plane> {
        let scores = pipeline.outputs.vectors_score.then_some(Plane::Scores);
        [Plane::Labels].into_iter().chain(scores).collect()
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        let key = subject.raster_key(key);
        let distance = subject.pipeline.outputs.vectors_simplify;
        // Borders as they are need no word.
        if distance > 0.0 { key.value(&distance.to_bits()) } else { key }
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        subject.header.size.area().saturating_mul(DISK_PER_PIXEL) + (256 << 10) + max_text_bytes(subject.pipeline)
    }

    fn held_bytes(&self, subject: &Subject<'_>) -> u64 {
        let (size, outputs) = (subject.header.size, &subject.pipeline.outputs);
        let each = bytes_per_pixel(outputs.vectors_score, outputs.vectors_simplify > 0.0);
        u64::from(size.width) * u64::from(band_rows(size)) * each + CACHE
    }

    fn gdal_cache(&self, _: &Subject<'_>) -> Option<u64> {
        Some(0)
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let Some(transform) = subject.header.transform else { return Ok(Box::new(Nowhere)) };
        let (path, size) = (dir.join(&self.files(subject.name)[0]), subject.header.size);
        let file = AtomicFile::create(&path)?;
        let name = subject.name.rsplit('/').next().unwrap_or(subject.name);
        let Outputs { vectors_score, vectors_simplify: simplify, .. } = subject.pipeline.outputs;
        let layer = Layer { name, transform, score_steps: vectors_score.then_some(Plane::STEPS.into()), simplify };
        let gpkg = GpkgWriter::create(&file, &subject.raster(), layer).map_err(|e| failed(&path, e))?;
        Ok(Box::new(Writer { gpkg, file, size, band: Vec::new(), scores: Vec::new(), in_band: 0, rows: 0 }))
    }
}

struct Writer {
    // Before the file: dropped, it ends what it writes before that is removed.
    gpkg: GpkgWriter,
    file: AtomicFile,
    size: Size,
    /// Rows whose polygons are still to be made.
    band: Vec<u8>,
    /// Their scores, if these are wanted.
    scores: Vec<u8>,
    in_band: u32,
    /// Rows so far.
    rows: u32,
}

impl RowWriter for Writer {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        let Size { width, height } = self.size;
        for (plane, band) in planes.iter().zip([&mut self.band, &mut self.scores]) {
            if plane.len() != width as usize {
                return Err(OutputError::Width { path: self.file.target().to_owned(), labels: plane.len(), width });
            }
            band.extend_from_slice(plane);
        }
        self.in_band += 1;
        self.rows += 1;
        if self.in_band == band_rows(self.size) || self.rows == height {
            let pushed = self.gpkg.push(&self.band, &self.scores, self.in_band);
            pushed.map_err(|e| failed(self.file.target(), e))?;
            self.band.clear();
            self.scores.clear();
            self.in_band = 0;
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
