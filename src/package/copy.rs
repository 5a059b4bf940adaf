//! Copies a mask and checks it in the same pass.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{PackageError, Rules};
use crate::config::MaskDepth;
use crate::geom::Size;
use crate::outputs::MaskReader;

/// Checks masks against the rules of an archive.
pub(super) struct Checker {
    depth: MaskDepth,
    allowed: Box<[bool; 1 << 16]>,
    row: Vec<u16>,
}

/// Gives what it reads to a writer too.
struct Tee<'a, R, W> {
    from: R,
    to: &'a mut W,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.to.write_all(&buf[..n])?;
        Ok(n)
    }
}

impl Checker {
    pub(super) fn new(rules: &Rules<'_>) -> Self {
        let mut allowed = Box::new([false; 1 << 16]);
        let values = rules.classes.classes().iter().map(|c| c.value);
        for value in values.chain(rules.classes.nodata().map(|n| n.value)) {
            allowed[usize::from(value)] = true;
        }
        Self { depth: rules.depth, allowed, row: Vec::new() }
    }

    /// Copies the whole `file`, called `path`, if it is a mask of `size` with allowed values.
    ///
    /// A failure of `to` comes back as one of the mask: the caller knows better.
    pub(super) fn copy(
        &mut self,
        file: File,
        path: &Path,
        size: Size,
        to: &mut impl Write,
    ) -> Result<(), PackageError> {
        let mut tee = Tee { from: file, to };
        self.check(&mut tee, path, size)?;
        // The decoder stops behind the last chunk.
        let rest = io::copy(&mut tee, &mut io::sink());
        rest.map_err(|source| PackageError::Read { path: path.to_owned(), source })?;
        Ok(())
    }

    fn check(&mut self, from: impl Read, path: &Path, size: Size) -> Result<(), PackageError> {
        let damaged = |source| PackageError::Mask { path: path.to_owned(), source };
        let mut mask = MaskReader::from_reader(from, path).map_err(damaged)?;
        if mask.is_palette() || mask.depth() != self.depth {
            let kind = |depth| format!("grey values of {} bits", u8::from(depth));
            let found = if mask.is_palette() { "palette indices".to_owned() } else { kind(mask.depth()) };
            return Err(PackageError::Kind { path: path.to_owned(), found, wanted: kind(self.depth) });
        }
        if mask.size() != size {
            return Err(PackageError::Extent { path: path.to_owned(), found: mask.size(), wanted: size });
        }
        for y in 0.. {
            if !mask.next_row(&mut self.row).map_err(damaged)? {
                break;
            }
            // Without an early way out, so that the common case is a plain loop over the row.
            if !self.row.iter().fold(true, |good, value| good & self.allowed[usize::from(*value)]) {
                return Err(self.value_error(path, y));
            }
        }
        Ok(())
    }

    fn value_error(&self, path: &Path, y: u32) -> PackageError {
        let wrong = (0..).zip(&self.row).find(|(_, value)| !self.allowed[usize::from(**value)]);
        let (x, value) = wrong.map_or((0, 0), |(x, value)| (x, *value));
        PackageError::Value { path: path.to_owned(), value, x, y }
    }
}
