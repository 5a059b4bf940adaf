//! The part that all PNG files share: rows of sample bytes in, a complete file out.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use png::{BitDepth, ColorType, Encoder, EncodingError, StreamWriter};

use super::OutputError;
use super::setting::PngSetting;
use crate::atomic::{AtomicFile, Hashed, WriteError, WrittenFile};
use crate::config::MaskDepth;
use crate::geom::Size;

/// Bytes of an IDAT chunk. Each costs 12 bytes of frame, and a buffer of this length per open file.
pub(super) const CHUNK: usize = 1 << 15;

/// How pixels are stored.
#[derive(Clone, Debug)]
pub(in crate::outputs) enum PixelFormat {
    /// Grey.
    Grey(MaskDepth),
    /// One byte, an index into these colours.
    Palette(Vec<[u8; 3]>),
    /// Red, green and blue, a byte each.
    Rgb,
}

impl PixelFormat {
    /// Bytes of a pixel.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Grey(MaskDepth::Eight) | Self::Palette(_) => 1,
            Self::Grey(MaskDepth::Sixteen) => 2,
            Self::Rgb => 3,
        }
    }

    /// Starts a PNG: all before the pixels.
    pub(super) fn begin<W: Write>(&self, out: W, size: Size) -> Result<png::Writer<W>, EncodingError> {
        self.begin_with(out, size, PngSetting::USED)
    }

    /// The same with other settings than those of runs.
    pub(super) fn begin_with<W: Write>(
        &self,
        out: W,
        size: Size,
        setting: PngSetting,
    ) -> Result<png::Writer<W>, EncodingError> {
        let mut encoder = Encoder::new(out, size.width, size.height);
        setting.apply(&mut encoder);
        match self {
            Self::Grey(depth) => {
                encoder.set_color(ColorType::Grayscale);
                encoder.set_depth(match depth {
                    MaskDepth::Eight => BitDepth::Eight,
                    MaskDepth::Sixteen => BitDepth::Sixteen,
                });
            }
            Self::Palette(colors) => {
                encoder.set_color(ColorType::Indexed);
                encoder.set_depth(BitDepth::Eight);
                encoder.set_palette(colors.concat());
            }
            Self::Rgb => {
                encoder.set_color(ColorType::Rgb);
                encoder.set_depth(BitDepth::Eight);
            }
        }
        encoder.write_header()
    }
}

/// The file below a stream writer, which drops its writer when it ends: hence shared.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Hashed<AtomicFile>>>>);

impl Shared {
    fn new(file: AtomicFile) -> Self {
        Self(Arc::new(Mutex::new(Some(Hashed::new(file)))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Hashed<AtomicFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Hashed<AtomicFile>) -> io::Result<T>) -> io::Result<T> {
        self.lock().as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), act)
    }
}

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.with(|file| file.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(Write::flush)
    }
}

/// A PNG file being written.
pub(in crate::outputs) struct FileRows {
    path: PathBuf,
    size: Size,
    rows: u32,
    png: StreamWriter<'static, Shared>,
    file: Shared,
}

impl FileRows {
    pub(in crate::outputs) fn create(path: &Path, size: Size, format: &PixelFormat) -> Result<Self, OutputError> {
        let file = Shared::new(AtomicFile::create(path)?);
        let begun = format.begin(file.clone(), size).and_then(|png| png.into_stream_writer_with_size(CHUNK));
        let png = begun.map_err(|source| fault(path, size, &file, source))?;
        Ok(Self { path: path.to_owned(), size, rows: 0, png, file })
    }

    pub(in crate::outputs) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::outputs) fn size(&self) -> Size {
        self.size
    }

    /// Rows written so far.
    pub(in crate::outputs) fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether `n` more rows may come.
    pub(in crate::outputs) fn expect(&self, n: usize) -> Result<(), OutputError> {
        let got = u64::from(self.rows) + n as u64;
        if got > u64::from(self.size.height) { Err(self.row_error(got)) } else { Ok(()) }
    }

    fn row_error(&self, got: u64) -> OutputError {
        OutputError::Rows { path: self.path.clone(), expected: self.size.height, got }
    }

    /// Appends one row of sample bytes.
    pub(in crate::outputs) fn push(&mut self, row: &[u8]) -> Result<(), OutputError> {
        self.expect(1)?;
        self.png.write_all(row).map_err(|e| fault(&self.path, self.size, &self.file, e.into()))?;
        self.rows += 1;
        Ok(())
    }

    /// Ends the picture, syncs the file and reads it back.
    pub(in crate::outputs) fn finish(self) -> Result<WrittenFile, OutputError> {
        if self.rows != self.size.height {
            return Err(self.row_error(self.rows.into()));
        }
        let Self { path, size, png, file, .. } = self;
        png.finish().map_err(|source| fault(&path, size, &file, source))?;
        let gone = || WriteError { operation: "write", path: path.clone(), source: io::ErrorKind::BrokenPipe.into() };
        let hashed = file.lock().take().ok_or_else(gone)?;
        Ok(hashed.finish()?)
    }
}

/// What failed: the file, which knows best what the system said, or the encoder.
fn fault(path: &Path, size: Size, file: &Shared, source: EncodingError) -> OutputError {
    let write = |source| OutputError::Write(WriteError { operation: "write", path: path.to_owned(), source });
    let below = file.lock().as_mut().and_then(Hashed::take_fault);
    match (below, source) {
        (Some(below), _) => write(below),
        (None, EncodingError::IoError(e)) => write(e),
        (None, source) => OutputError::Encode { path: path.to_owned(), size, source },
    }
}
