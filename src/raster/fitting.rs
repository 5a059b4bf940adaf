//! A decoder for files of any size, one after the other: where one asks for more than is usual it gets a decoder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Allowed, DecoderLimits, Driver, Isolated, OpenSource, RasterError, RasterSource, ReadRequest, SceneHeader, Warnings,
};

/// Bytes of the decoder's cache for files whose row of blocks it holds twice, so that no block is decoded twice.
const CACHE: u64 = 64 << 20;

/// Bytes of the widest row of such files.
const ROW: u64 = 2 << 20;

/// Bytes that a decoder holds of the sources of usual mosaics beside their blocks.
const BESIDE: u64 = 64 << 20;

/// Reads files of any size.
pub struct Fitting {
    timeout: Duration,
    allowed: Allowed,
    usual: Box<dyn RasterSource>,
    large: Option<(u64, Box<dyn RasterSource>)>,
    warned: Warned,
}

/// What decoders warned of, by file.
pub type Warned = BTreeMap<PathBuf, Warnings>;

impl Fitting {
    /// A decoder of files that may take so long for an answer.
    pub fn new(timeout: Duration) -> Self {
        Self::allowing(timeout, Allowed::default())
    }

    /// A decoder of what is allowed.
    pub fn allowing(timeout: Duration, allowed: Allowed) -> Self {
        let beside = if allowed.drivers.allow(Driver::Vrt) { BESIDE } else { 0 };
        Self {
            usual: open(CACHE, ROW, timeout, (&allowed, beside)),
            timeout,
            allowed,
            large: None,
            warned: Warned::new(),
        }
    }

    /// The same over a source that is there.
    #[cfg(test)]
    pub(crate) fn over(usual: Box<dyn RasterSource>) -> Self {
        Self { timeout: Duration::ZERO, allowed: Allowed::default(), usual, large: None, warned: Warned::new() }
    }

    /// Looks at the header of a file.
    ///
    /// # Errors
    /// As [`RasterSource::inspect`].
    pub fn inspect(&mut self, path: &Path) -> Result<SceneHeader, RasterError> {
        self.usual.inspect(path, None)
    }

    /// Reads a window, with the one that has enough for it. What its decoder warns of is noted.
    ///
    /// # Errors
    /// As [`RasterSource::read`].
    pub fn read(&mut self, header: &SceneHeader, request: &ReadRequest, into: &mut [u8]) -> Result<(), RasterError> {
        let reply = self.for_request(header, request).read(request, into)?;
        if !reply.warnings.is_empty() {
            self.warned.entry(request.path.clone()).or_default().add_all(&reply.warnings);
        }
        Ok(())
    }

    /// What was noted since somebody last asked.
    pub fn take_warned(&mut self) -> Warned {
        std::mem::take(&mut self.warned)
    }

    /// The files that a mosaic is made of.
    ///
    /// # Errors
    /// As [`RasterSource::parts`].
    pub fn parts(&mut self, path: &Path) -> Result<Vec<PathBuf>, RasterError> {
        self.usual.parts(path)
    }

    /// The one that has enough for a request of a file.
    pub fn for_request(&mut self, header: &SceneHeader, request: &ReadRequest) -> &mut dyn RasterSource {
        let row = (request.buffer_bytes() as u64).div_ceil(u64::from(request.window.size.height.max(1)));
        let blocks = header.block_row_bytes(request.window.size, request.bands.len()).saturating_mul(2);
        let beside = header.mosaic.map_or(0, |mosaic| mosaic.beside);
        if row <= ROW && blocks <= CACHE && beside <= BESIDE {
            return self.usual.as_mut();
        }
        let (needed, cache) = (row.saturating_add(blocks).saturating_add(beside), CACHE.max(blocks));
        let fits = self.large.take().filter(|(has, _)| *has >= needed);
        let new = || (needed, open(cache, row, self.timeout, (&self.allowed, beside)));
        self.large.insert(fits.unwrap_or_else(new)).1.as_mut()
    }
}

/// A decoder of what is allowed, where mosaics hold so many bytes beside blocks.
fn open(cache: u64, row: u64, timeout: Duration, (allowed, beside): (&Allowed, u64)) -> Box<dyn RasterSource> {
    let limits = DecoderLimits::reading(cache, row, cache / 2, timeout).and_mosaics(beside);
    Isolated::allowing(limits, allowed.clone()).open()
}
