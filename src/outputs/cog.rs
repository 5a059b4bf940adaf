//! Cloud-optimised GeoTIFFs, made by GDAL from a GeoTIFF that is gone afterwards.

use std::path::{Path, PathBuf};

use super::tiff::{self, Beside, TiffRows, failed};
use super::{OutputError, OutputKind, RowWriter, Subject};
use crate::atomic::{AtomicFile, WrittenFile};
use crate::config::Outputs;
use crate::gis::copy_as_cog;
use crate::journal::KeyHasher;

#[derive(Debug)]
pub(super) struct Cog;

/// Rows of a block of a cloud-optimised file; those of the file that it is made of are half as many.
const BLOCK_ROWS: u64 = 512;

/// Bytes of GDAL's cache however narrow a scene is.
const LEAST_CACHE: u64 = 8 << 20;

impl OutputKind for Cog {
    fn folder(&self) -> &'static str {
        "cog"
    }

    fn title(&self) -> &'static str {
        "COGs"
    }

    fn is_wanted(&self, outputs: &Outputs) -> bool {
        outputs.cog
    }

    fn files(&self, scene: &str) -> Vec<String> {
        tiff::names(self.folder(), scene)
    }

    fn gdal_driver(&self) -> Option<&'static str> {
        Some("COG")
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        subject.raster_key(key)
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        // The file that it is made of is there until it is whole.
        2 * tiff::max_bytes(subject) + tiff::max_text_bytes(subject.pipeline)
    }

    fn held_bytes(&self, subject: &Subject<'_>) -> u64 {
        tiff::held_bytes(subject)
    }

    fn gdal_cache(&self, subject: &Subject<'_>) -> Option<u64> {
        let bytes = u64::from(u8::from(subject.pipeline.outputs.mask_depth)) / 8;
        // A row of blocks of each of the two files.
        Some(2 * BLOCK_ROWS * u64::from(subject.header.size.width) * bytes + LEAST_CACHE)
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let names = self.files(subject.name);
        let path = dir.join(&names[0]);
        let rows = TiffRows::create(&path, subject)?;
        Ok(Box::new(Writer { path, rows, beside: Beside::new(dir, &names, subject) }))
    }
}

struct Writer {
    path: PathBuf,
    rows: TiffRows,
    beside: Beside,
}

impl RowWriter for Writer {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        planes.iter().try_for_each(|labels| self.rows.push(labels))
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        let Self { path, rows, beside } = *self;
        let tiff = rows.close()?;
        let file = AtomicFile::create(&path)?;
        copy_as_cog(tiff.temp_path(), &file).map_err(|e| failed(&path, e))?;
        tiff.discard()?;
        let mut files = vec![file.adopt()?];
        files.extend(beside.write()?);
        Ok(files)
    }
}
