//! Rows of labels to a PNG of samples.

use std::io::Write;
use std::path::{Path, PathBuf};

use png::EncodingError;

use super::OutputError;
use super::rows::{CHUNK, FileRows, PixelFormat};
use super::setting::PngSetting;
use crate::atomic::WrittenFile;
use crate::config::MaskDepth;
use crate::config::classes::{ClassId, NODATA_LABEL};
use crate::geom::Size;
use crate::outputs::RowWriter;

/// What a label becomes.
#[derive(Clone, Copy, Default)]
struct Sample {
    /// Big-endian; where a sample is one byte, the second one.
    bytes: [u8; 2],
    known: bool,
}

/// A PNG of labels being written: each label becomes a sample. Dropped, it leaves nothing behind.
pub struct LabelPng {
    rows: FileRows,
    samples: Box<[Sample; 256]>,
    wide: bool,
    row: Vec<u8>,
}

impl LabelPng {
    /// Starts a file that will be called `path`. Labels without a sample are refused.
    ///
    /// # Errors
    /// When the file cannot be created, or PNG has no such size.
    pub(in crate::outputs) fn create(
        path: &Path,
        size: Size,
        format: &PixelFormat,
        values: [Option<u16>; 256],
    ) -> Result<Self, OutputError> {
        let sample = |v: Option<u16>| Sample { bytes: v.unwrap_or(0).to_be_bytes(), known: v.is_some() };
        let rows = FileRows::create(path, size, format)?;
        let row = vec![0; size.width as usize * format.bytes()];
        Ok(Self { rows, samples: Box::new(values.map(sample)), wide: format.bytes() == 2, row })
    }

    /// Appends whole rows, one or more.
    ///
    /// # Errors
    /// When the labels are no whole rows or too many, one has no sample, or the write fails.
    pub fn push(&mut self, labels: &[ClassId]) -> Result<(), OutputError> {
        let width = self.rows.size().width;
        // An empty picture is refused at its creation.
        if !labels.len().is_multiple_of(width as usize) {
            return Err(OutputError::Width { path: self.rows.path().to_owned(), labels: labels.len(), width });
        }
        self.rows.expect(labels.len() / width as usize)?;
        for row in labels.chunks_exact(width as usize) {
            if !self.convert(row) {
                return Err(self.label_error(row));
            }
            self.rows.push(&self.row)?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When rows are missing, or the write or the sync fails.
    pub fn finish(self) -> Result<WrittenFile, OutputError> {
        self.rows.finish()
    }

    /// Fills the row buffer; whether all labels have an entry.
    fn convert(&mut self, labels: &[ClassId]) -> bool {
        let mut known = true;
        if self.wide {
            for (out, label) in self.row.as_chunks_mut().0.iter_mut().zip(labels) {
                let sample = self.samples[usize::from(*label)];
                *out = sample.bytes;
                known &= sample.known;
            }
        } else {
            for (out, label) in self.row.iter_mut().zip(labels) {
                let sample = self.samples[usize::from(*label)];
                *out = sample.bytes[1];
                known &= sample.known;
            }
        }
        known
    }

    fn label_error(&self, row: &[ClassId]) -> OutputError {
        let unknown = (0..).zip(row).find(|(_, label)| !self.samples[usize::from(**label)].known);
        let (x, label) = unknown.map_or((0, NODATA_LABEL), |(x, label)| (x, *label));
        OutputError::Label { path: self.rows.path().to_owned(), label, x, y: self.rows.rows() }
    }
}

/// Labels as a grey PNG of 8 bits in memory, with any setting, row by row as files are written.
pub(crate) fn encode_labels(labels: &[ClassId], size: Size, setting: PngSetting) -> Result<Vec<u8>, OutputError> {
    let mut out = Vec::new();
    let mut encode = || -> Result<(), EncodingError> {
        let mut png = PixelFormat::Grey(MaskDepth::Eight).begin_with(&mut out, size, setting)?;
        let mut rows = png.stream_writer_with_size(CHUNK)?;
        for row in labels.chunks_exact(size.width as usize) {
            rows.write_all(row)?;
        }
        rows.finish()?;
        png.finish()
    };
    encode().map_err(|source| OutputError::Encode { path: PathBuf::from("memory"), size, source })?;
    Ok(out)
}

impl RowWriter for LabelPng {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        planes.iter().try_for_each(|labels| Self::push(self, labels))
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        Ok(vec![Self::finish(*self)?])
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::config::classes::{Class, ClassTable, Color, Nodata};
    use crate::outputs::{color, mask};

    fn table(values: &[u16], nodata: Option<u16>) -> ClassTable {
        let class = |(i, value): (usize, &u16)| {
            let id = u8::try_from(i).unwrap();
            Class { id, name: format!("c{i}"), value: *value, color: Color([id, 100, 200]) }
        };
        let nodata = nodata.map(|value| Nodata { value, color: Color([9, 8, 7]) });
        ClassTable::new(values.iter().enumerate().map(class).collect(), nodata).unwrap()
    }

    fn labels(size: Size, n: u8) -> Vec<ClassId> {
        let label = |i: u64| u8::try_from((i / 7 + i % 5) % u64::from(n)).unwrap();
        (0..size.area()).map(|i| if i % 11 == 3 { NODATA_LABEL } else { label(i) }).collect()
    }

    fn read(path: &Path) -> image::DynamicImage {
        image::ImageReader::open(path).unwrap().with_guessed_format().unwrap().decode().unwrap()
    }

    #[test]
    fn another_decoder_reads_the_values_that_were_written() {
        let dir = tempfile::tempdir().unwrap();
        for (depth, values, nodata) in [(MaskDepth::Eight, [1, 7, 17], 255), (MaskDepth::Sixteen, [100, 800, 65535], 0)]
        {
            let classes = table(&values, Some(nodata));
            for size in [Size::new(1, 1), Size::new(37, 23), Size::new(300, 200)] {
                let labels = labels(size, 3);
                let mut mask = mask::create(&dir.path().join("a.png"), size, depth, &classes).unwrap();
                // One row, then the rest at once.
                let (first, rest) = labels.split_at(size.width as usize);
                mask.push(first).unwrap();
                mask.push(rest).unwrap();
                let written = mask.finish().unwrap();
                assert_eq!(
                    written.sha256,
                    crate::hex(&Sha256::digest(std::fs::read(written.file.temp_path()).unwrap()))
                );
                let picture = read(&written.file.persist().unwrap());
                let wanted = labels.iter().map(|l| classes.by_label()[usize::from(*l)].unwrap().0);
                let held: Vec<u16> = match (&picture, depth) {
                    (image::DynamicImage::ImageLuma8(p), MaskDepth::Eight) => p.iter().map(|v| u16::from(*v)).collect(),
                    (image::DynamicImage::ImageLuma16(p), MaskDepth::Sixteen) => p.to_vec(),
                    _ => panic!("{:?} at {depth:?}", picture.color()),
                };
                assert_eq!((picture.width(), picture.height()), (size.width, size.height));
                assert!(held.into_iter().eq(wanted), "{size} {depth:?}");
            }
        }
    }

    #[test]
    fn every_setting_writes_the_same_picture() {
        let size = Size::new(120, 90);
        let labels: Vec<u8> =
            (0..90_u32).flat_map(|y| (0..120_u32).map(move |x| u8::from((x / 17 + y / 13) % 3 == 0))).collect();
        assert!(PngSetting::ALL.iter().any(|setting| setting.name == PngSetting::USED.name));
        for setting in PngSetting::ALL {
            let bytes = encode_labels(&labels, size, setting).unwrap();
            let mut reader = crate::outputs::MaskReader::from_reader(bytes.as_slice(), Path::new("x.png")).unwrap();
            let (mut row, mut all) = (Vec::new(), Vec::new());
            while reader.next_row(&mut row).unwrap() {
                all.extend(row.iter().map(|value| u8::try_from(*value).unwrap()));
            }
            assert!(all == labels, "{}", setting.name);
        }
    }

    #[test]
    fn the_colour_picture_shows_the_table_with_nodata_last() {
        let dir = tempfile::tempdir().unwrap();
        let classes = table(&[5, 6], Some(0));
        let path = dir.path().join("c.png");
        let mut color = color::create(&path, Size::new(3, 1), &classes).unwrap();
        color.push(&[1, NODATA_LABEL, 0]).unwrap();
        color.finish().unwrap().file.persist().unwrap();
        assert_eq!(read(&path).to_rgb8().into_raw(), [1, 100, 200, 9, 8, 7, 0, 100, 200]);
        let mut reader = crate::outputs::MaskReader::open(&path).unwrap();
        let mut row = Vec::new();
        assert!(reader.is_palette() && reader.next_row(&mut row).unwrap());
        assert_eq!(row, [1, 2, 0]);
    }

    #[test]
    fn the_largest_table_fills_a_palette() {
        let dir = tempfile::tempdir().unwrap();
        let classes = table(&(0..255).collect::<Vec<_>>(), Some(255));
        let mut color = color::create(&dir.path().join("c.png"), Size::new(2, 1), &classes).unwrap();
        color.push(&[254, NODATA_LABEL]).unwrap();
        let file = color.finish().unwrap().file.persist().unwrap();
        assert_eq!(read(&file).to_rgb8().into_raw(), [254, 100, 200, 9, 8, 7]);
    }

    #[test]
    fn a_label_without_an_entry_is_refused_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let mut mask = mask::create(&path, Size::new(2, 3), MaskDepth::Eight, &table(&[1, 2], None)).unwrap();
        mask.push(&[0, 1]).unwrap();
        let error = mask.push(&[0, 0, 1, NODATA_LABEL]).unwrap_err();
        assert!(matches!(error, OutputError::Label { label: NODATA_LABEL, x: 1, y: 2, .. }), "{error}");
        assert!(error.to_string().contains("a.png"));
        let mut mask = mask::create(&path, Size::new(2, 1), MaskDepth::Sixteen, &table(&[1, 2], Some(0))).unwrap();
        assert!(matches!(mask.push(&[2, 0]), Err(OutputError::Label { label: 2, x: 0, y: 0, .. })));
    }

    #[test]
    fn rows_must_be_whole_and_as_many_as_the_picture_has() {
        let dir = tempfile::tempdir().unwrap();
        let classes = table(&[1, 2], None);
        let new = || mask::create(&dir.path().join("a.png"), Size::new(3, 2), MaskDepth::Eight, &classes).unwrap();
        assert!(matches!(new().push(&[0; 4]), Err(OutputError::Width { labels: 4, width: 3, .. })));
        assert!(matches!(new().push(&[0; 9]), Err(OutputError::Rows { expected: 2, got: 3, .. })));
        let mut short = new();
        short.push(&[0; 3]).unwrap();
        let error = short.finish().err().unwrap();
        assert!(matches!(error, OutputError::Rows { expected: 2, got: 1, .. }), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_a_mask_is_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let wide = mask::create(&path, Size::new(3, 2), MaskDepth::Eight, &table(&[1, 256], None));
        assert!(matches!(wide.err().unwrap(), OutputError::Depth { value: 256, .. }));
        let empty = mask::create(&path, Size::new(0, 2), MaskDepth::Eight, &table(&[1], None)).err().unwrap();
        assert!(matches!(empty, OutputError::Encode { .. }), "{empty}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_output_fault() {
        let dir = tempfile::tempdir().unwrap();
        let blocker = dir.path().join("file");
        crate::atomic::write(&blocker, b"x").unwrap();
        let error = mask::create(&blocker.join("a.png"), Size::new(1, 1), MaskDepth::Eight, &table(&[1], None));
        assert!(matches!(error.err().unwrap(), OutputError::Write(_)));
    }
}
