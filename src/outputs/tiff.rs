//! What TIFFs of class values have in common: rows that are checked, and the texts beside a raster.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{OutputError, Subject};
use crate::atomic::{AtomicFile, Hashed, WrittenFile};
use crate::config::classes::ClassId;
use crate::config::{MaskDepth, Pipeline};
use crate::geom::Size;
use crate::gis::{ClassRaster, Failure, Pyramid, TiffWriter, attributes, style};

/// A TIFF whose rows are coming.
pub(super) struct TiffRows {
    // Before the file: dropped, it ends what it writes before that is removed.
    tiff: TiffWriter,
    file: AtomicFile,
    size: Size,
    rows: u32,
    known: [bool; 256],
}

impl TiffRows {
    /// Begins one that is or becomes the file of this path.
    pub(super) fn create(path: &Path, subject: &Subject<'_>) -> Result<Self, OutputError> {
        let (classes, depth) = (&subject.pipeline.classes, subject.pipeline.outputs.mask_depth);
        if depth == MaskDepth::Eight && classes.max_value() > u16::from(u8::MAX) {
            return Err(OutputError::Depth { path: path.to_owned(), value: classes.max_value() });
        }
        Self::begin(path, &subject.raster())
    }

    /// The same of a raster whose values fit.
    pub(super) fn begin(path: &Path, raster: &ClassRaster<'_>) -> Result<Self, OutputError> {
        let file = AtomicFile::create(path)?;
        let tiff = TiffWriter::create(&file, raster).map_err(|e| failed(path, e))?;
        let known = raster.classes.by_label().map(|entry| entry.is_some());
        Ok(Self { tiff, file, size: raster.header.size, rows: 0, known })
    }

    pub(super) fn push(&mut self, labels: &[ClassId]) -> Result<(), OutputError> {
        let Size { width, height } = self.size;
        let path = || self.file.target().to_owned();
        if labels.len() != width as usize {
            return Err(OutputError::Width { path: path(), labels: labels.len(), width });
        }
        if self.rows == height {
            return Err(OutputError::Rows { path: path(), expected: height, got: u64::from(height) + 1 });
        }
        if let Some((x, label)) = (0..).zip(labels).find(|(_, label)| !self.known[usize::from(**label)]) {
            return Err(OutputError::Label { path: path(), label: *label, x, y: self.rows });
        }
        self.tiff.push(0, labels).map_err(|e| failed(self.file.target(), e))?;
        self.rows += 1;
        Ok(())
    }

    /// Ends the TIFF. The file has still to be adopted.
    pub(super) fn close(self) -> Result<AtomicFile, OutputError> {
        let Self { tiff, file, size, rows, .. } = self;
        if rows != size.height {
            return Err(OutputError::Rows { path: file.target().to_owned(), expected: size.height, got: rows.into() });
        }
        tiff.close().map_err(|e| failed(file.target(), e))?;
        Ok(file)
    }
}

/// What a failure means for the outputs.
pub(super) fn failed(path: &Path, failure: Failure) -> OutputError {
    match failure {
        Failure::Write(error) => error.into(),
        Failure::Refused(detail) => OutputError::Gdal { path: path.to_owned(), detail },
    }
}

/// Names of what a TIFF is made of, the TIFF first.
pub(super) fn names(folder: &str, scene: &str) -> Vec<String> {
    [".tif", ".tif.aux.xml", ".qml"].map(|ending| format!("{folder}/{scene}{ending}")).to_vec()
}

/// The texts beside a TIFF.
pub(super) struct Beside([(PathBuf, String); 2]);

impl Beside {
    pub(super) fn new(dir: &Path, names: &[String], subject: &Subject<'_>) -> Self {
        let raster = subject.raster();
        Self([(dir.join(&names[1]), attributes(&raster, false)), (dir.join(&names[2]), style(&raster))])
    }

    pub(super) fn write(self) -> Result<Vec<WrittenFile>, OutputError> {
        self.0.iter().map(|(path, text)| write_text(path, text)).collect()
    }
}

pub(super) fn write_text(path: &Path, text: &str) -> Result<WrittenFile, OutputError> {
    let mut file = Hashed::new(AtomicFile::create(path)?);
    file.write_all(text.as_bytes()).map_err(|e| file.fault(e))?;
    Ok(file.finish()?)
}

/// Most bytes of the texts beside a raster.
pub(super) fn max_text_bytes(pipeline: &Pipeline) -> u64 {
    let names: usize = pipeline.classes.classes().iter().map(|class| 400 + 18 * class.name.len()).sum();
    (8 << 10) + names as u64 + 32 * u64::from(pipeline.classes.max_value().min(1024))
}

/// Most bytes of a TIFF of these labels.
pub(super) fn max_bytes(subject: &Subject<'_>) -> u64 {
    band_bytes(subject.header.size, u64::from(u8::from(subject.pipeline.outputs.mask_depth)) / 8)
}

/// Most bytes of a band of so many bytes per pixel: blocks that cannot be compressed, overviews, and where each block is.
pub(super) fn band_bytes(size: Size, bytes: u64) -> u64 {
    let pixels = size.area().saturating_mul(bytes) / 3 * 4 + 2 * bytes * u64::from(size.width + size.height);
    pixels.saturating_add(pixels / 1000 + 64 * Pyramid::n_blocks(size) + (16 << 10))
}

/// Bytes that a writer holds.
pub(super) fn held_bytes(subject: &Subject<'_>) -> u64 {
    let size = subject.header.size;
    // A block before and behind its compression, and what libtiff and GDAL know of each.
    Pyramid::max_bytes(size) + 64 * Pyramid::n_blocks(size) + (1 << 20)
}
