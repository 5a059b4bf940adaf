//! What the networks say beside the class, as GeoTIFFs of one byte per pixel: how probable the class is that was chosen, or each class, and
//! how many of the members are for another. Scale and offset in the file make shares of 0 to 1 of the bytes; overviews are means.

use std::path::{Path, PathBuf};

use super::tiff::{band_bytes, failed, write_text};
use super::{OutputError, OutputKind, Plane, RowWriter, Subject};
use crate::atomic::{AtomicFile, WrittenFile};
use crate::config::classes::Color;
use crate::config::{Outputs, Pipeline};
use crate::geom::Size;
use crate::gis::{Pyramid, ShareRaster, TiffWriter, share_style};
use crate::journal::KeyHasher;

#[derive(Clone, Copy, Debug)]
pub(super) enum Shares {
    /// The probability of the class that was chosen.
    Scores,
    /// The probability of every class, a band for each.
    Probabilities,
    /// The share of the members that are for another class than the one that was chosen.
    Disagreement,
}

/// From improbable to probable, and from agreement to the lack of it: viridis, and yellow to red.
const PROBABLE: [Color; 5] =
    [Color([68, 1, 84]), Color([59, 82, 139]), Color([33, 145, 140]), Color([94, 201, 98]), Color([253, 231, 37])];
const DISAGREEING: [Color; 5] =
    [Color([255, 255, 204]), Color([254, 217, 118]), Color([253, 141, 60]), Color([227, 26, 28]), Color([128, 0, 38])];

impl Shares {
    fn bands(self, pipeline: &Pipeline) -> Vec<&str> {
        match self {
            Self::Scores => vec!["probability of the class"],
            Self::Probabilities => pipeline.classes.classes().iter().map(|class| class.name.as_str()).collect(),
            Self::Disagreement => vec!["share of members for another class"],
        }
    }

    /// A style for QGIS, which shows one band by it: of several the first, until somebody chooses another.
    fn style(self) -> String {
        match self {
            Self::Scores | Self::Probabilities => share_style(&PROBABLE),
            Self::Disagreement => share_style(&DISAGREEING),
        }
    }
}

impl OutputKind for Shares {
    fn folder(&self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Probabilities => "probabilities",
            Self::Disagreement => "disagreement",
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Probabilities => "probability",
            Self::Disagreement => "dissent",
        }
    }

    fn is_wanted(&self, outputs: &Outputs) -> bool {
        match self {
            Self::Scores => outputs.scores,
            Self::Probabilities => outputs.probabilities,
            Self::Disagreement => outputs.disagreement,
        }
    }

    fn files(&self, scene: &str) -> Vec<String> {
        [".tif", ".qml"].into_iter().map(|ending| format!("{}/{scene}{ending}", self.folder())).collect()
    }

    fn gdal_driver(&self) -> Option<&'static str> {
        Some("GTiff")
    }

    fn planes(&self, pipeline: &Pipeline) -> Vec<Plane> {
        match self {
            Self::Scores => vec![Plane::Scores],
            Self::Probabilities => {
                pipeline.classes.classes().iter().map(|class| Plane::Probability(class.id)).collect()
            }
            Self::Disagreement => vec![Plane::Disagreement],
        }
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        let bands = self.bands(subject.pipeline);
        let key = match self {
            Self::Scores | Self::Disagreement => key.value(&bands),
            // They had no style once.
            Self::Probabilities => key.value(&(bands, "styled")),
        };
        subject.place_key(key)
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        let bands = self.bands(subject.pipeline);
        let names: usize = bands.iter().map(|name| 512 + 6 * name.len()).sum();
        band_bytes(subject.header.size, 1).saturating_mul(bands.len() as u64) + names as u64 + (4 << 10)
    }

    fn held_bytes(&self, subject: &Subject<'_>) -> u64 {
        let (size, n_bands) = (subject.header.size, self.bands(subject.pipeline).len() as u64);
        // Two copies of the row of each band beside the rows of blocks.
        n_bands * (Pyramid::max_bytes(size) + 64 * Pyramid::n_blocks(size) + 2 * u64::from(size.width)) + (1 << 20)
    }

    fn gdal_cache(&self, _: &Subject<'_>) -> Option<u64> {
        // Blocks do not go through it.
        Some(0)
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let mut paths = self.files(subject.name).into_iter().map(|name| dir.join(name));
        let path = paths.next().unwrap_or_default();
        let file = AtomicFile::create(&path)?;
        let planes = self.planes(subject.pipeline);
        let void = planes.first().map_or(0, |plane| plane.void());
        let scale = 1.0 / f64::from(Plane::STEPS);
        // Where 0 stands for no data, 1 is a share of 0.
        let offset = if void == 0 { -scale } else { 0.0 };
        let raster = ShareRaster { header: subject.header, bands: self.bands(subject.pipeline), void, scale, offset };
        let tiff = TiffWriter::create_shares(&file, &raster).map_err(|e| failed(&path, e))?;
        let style = (paths.next().unwrap_or_default(), self.style());
        Ok(Box::new(Writer { tiff, file, size: subject.header.size, rows: 0, style }))
    }
}

struct Writer {
    // Before the file: dropped, it ends what it writes before that is removed.
    tiff: TiffWriter,
    file: AtomicFile,
    size: Size,
    rows: u32,
    style: (PathBuf, String),
}

impl RowWriter for Writer {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        let (path, Size { width, height }) = (|| self.file.target().to_owned(), self.size);
        if self.rows == height {
            return Err(OutputError::Rows { path: path(), expected: height, got: u64::from(height) + 1 });
        }
        for (band, row) in planes.iter().enumerate() {
            if row.len() != width as usize {
                return Err(OutputError::Width { path: path(), labels: row.len(), width });
            }
            self.tiff.push(band, row).map_err(|e| failed(self.file.target(), e))?;
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        let Self { tiff, file, size, rows, style } = *self;
        if rows != size.height {
            return Err(OutputError::Rows { path: file.target().to_owned(), expected: size.height, got: rows.into() });
        }
        tiff.close().map_err(|e| failed(file.target(), e))?;
        Ok(vec![file.adopt()?, write_text(&style.0, &style.1)?])
    }
}
