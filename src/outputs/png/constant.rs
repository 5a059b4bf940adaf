//! Masks of one value: what stands in the place of a scene that failed.

use std::io::Write;
use std::path::Path;

use png::EncodingError;

use super::OutputError;
use super::rows::{CHUNK, FileRows, PixelFormat};
use crate::atomic::{Hashed, WriteError, WrittenFile};
use crate::config::MaskDepth;
use crate::geom::Size;

/// Writes a mask that holds `value` everywhere, whether or not a class table has it.
///
/// # Errors
/// When the value does not fit the depth, PNG has no such size, or the file system refuses.
pub fn constant(path: &Path, size: Size, depth: MaskDepth, value: u16) -> Result<WrittenFile, OutputError> {
    let row = row_of(path, size, depth, value)?;
    let mut rows = FileRows::create(path, size, &PixelFormat::Grey(depth))?;
    for _ in 0..size.height {
        rows.push(&row)?;
    }
    rows.finish()
}

/// Writes the bytes of the same file into `out`, whose failures are reported under the name `path`.
pub(crate) fn constant_into<W: Write>(
    out: &mut Hashed<W>,
    path: &Path,
    size: Size,
    depth: MaskDepth,
    value: u16,
) -> Result<(), OutputError> {
    let row = row_of(path, size, depth, value)?;
    let encoded = encode(&mut *out, size, depth, &row);
    if let Some(source) = out.take_fault() {
        return Err(WriteError { operation: "write", path: path.to_owned(), source }.into());
    }
    encoded.map_err(|source| OutputError::Encode { path: path.to_owned(), size, source })
}

fn encode<W: Write>(out: W, size: Size, depth: MaskDepth, row: &[u8]) -> Result<(), EncodingError> {
    let mut png = PixelFormat::Grey(depth).begin(out, size)?;
    let mut rows = png.stream_writer_with_size(CHUNK)?;
    for _ in 0..size.height {
        rows.write_all(row)?;
    }
    rows.finish()?;
    png.finish()
}

fn row_of(path: &Path, size: Size, depth: MaskDepth, value: u16) -> Result<Vec<u8>, OutputError> {
    let width = size.width as usize;
    match (depth, u8::try_from(value)) {
        (MaskDepth::Sixteen, _) => Ok(value.to_be_bytes().repeat(width)),
        (MaskDepth::Eight, Ok(byte)) => Ok(vec![byte; width]),
        (MaskDepth::Eight, Err(_)) => Err(OutputError::Depth { path: path.to_owned(), value }),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::outputs::MaskReader;

    fn bytes(size: Size, depth: MaskDepth, value: u16) -> Vec<u8> {
        let mut out = Hashed::new(Vec::new());
        constant_into(&mut out, Path::new("x.png"), size, depth, value).unwrap();
        out.into_parts().0
    }

    #[test]
    fn one_value_stands_everywhere() {
        let dir = tempfile::tempdir().unwrap();
        for (depth, value) in [(MaskDepth::Eight, 7), (MaskDepth::Sixteen, 800)] {
            let size = Size::new(1000, 301);
            let path = constant(&dir.path().join("sub/a.png"), size, depth, value).unwrap().file.persist().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes(size, depth, value));
            let mut reader = MaskReader::open(&path).unwrap();
            assert_eq!((reader.size(), reader.depth()), (size, depth));
            let (mut row, mut rows) = (Vec::new(), 0);
            while reader.next_row(&mut row).unwrap() {
                assert!(row.len() == 1000 && row.iter().all(|v| *v == value));
                rows += 1;
            }
            assert_eq!(rows, 301);
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = constant(&dir.path().join("a.png"), Size::new(1, 1), MaskDepth::Eight, 256).unwrap_err();
        assert!(matches!(error, OutputError::Depth { value: 256, .. }));
    }

    /// Takes so many bytes, fails once, and takes more again, as a disk does when room is made.
    struct Hiccup {
        left: usize,
        failed: bool,
    }

    impl Write for Hiccup {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            if self.left < buf.len() && !self.failed {
                self.failed = true;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.left = self.left.saturating_sub(buf.len());
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_write_that_fails_anywhere_is_reported() {
        let (size, depth) = (Size::new(40, 30), MaskDepth::Sixteen);
        for left in 0..bytes(size, depth, 300).len() {
            let mut out = Hashed::new(Hiccup { left, failed: false });
            let error = constant_into(&mut out, Path::new("x.png"), size, depth, 300).unwrap_err();
            assert!(matches!(error, OutputError::Write(_)), "after {left} bytes: {error}");
        }
    }
}
