//! GeoTIFFs of class values: what a mask holds, where the scene lies, the classes' colours, and overviews.

use std::path::Path;

use super::tiff::{self, Beside, TiffRows};
use super::{OutputError, OutputKind, RowWriter, Subject};
use crate::atomic::WrittenFile;
use crate::config::Outputs;
use crate::journal::KeyHasher;

#[derive(Debug)]
pub(super) struct GeoTiff;

impl OutputKind for GeoTiff {
    fn folder(&self) -> &'static str {
        "geotiff"
    }

    fn title(&self) -> &'static str {
        "GeoTIFFs"
    }

    fn is_wanted(&self, outputs: &Outputs) -> bool {
        outputs.geotiff
    }

    fn files(&self, scene: &str) -> Vec<String> {
        tiff::names(self.folder(), scene)
    }

    fn gdal_driver(&self) -> Option<&'static str> {
        Some("GTiff")
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        subject.raster_key(key)
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        tiff::max_bytes(subject) + tiff::max_text_bytes(subject.pipeline)
    }

    fn held_bytes(&self, subject: &Subject<'_>) -> u64 {
        tiff::held_bytes(subject)
    }

    fn gdal_cache(&self, _: &Subject<'_>) -> Option<u64> {
        // Blocks do not go through it.
        Some(0)
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let names = self.files(subject.name);
        let rows = TiffRows::create(&dir.join(&names[0]), subject)?;
        Ok(Box::new(Writer { rows, beside: Beside::new(dir, &names, subject) }))
    }
}

struct Writer {
    rows: TiffRows,
    beside: Beside,
}

impl RowWriter for Writer {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        planes.iter().try_for_each(|labels| self.rows.push(labels))
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        let mut files = vec![self.rows.close()?.adopt()?];
        files.extend(self.beside.write()?);
        Ok(files)
    }
}
