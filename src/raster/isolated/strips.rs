//! A window in strips of whole rows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::protocol::Ask;
use crate::geom::{PixelRect, Span};
use crate::raster::ReadRequest;

/// The strips of a window, top down, and where each lies in the shared memory.
pub(super) struct Strips<'a> {
    request: &'a ReadRequest,
    /// Rows per strip; the last one may have fewer.
    rows: u32,
    /// Bytes of a half of the shared memory.
    half: u64,
}

impl<'a> Strips<'a> {
    /// Strips of at most so many bytes, and of at least a row.
    pub(super) fn new(request: &'a ReadRequest, bytes: u64) -> Self {
        let per_pixel = request.bands.len() * request.dtype.bytes() + usize::from(request.mask);
        let row = u64::from(request.window.size.width) * per_pixel as u64;
        let rows = u32::try_from(bytes / row.max(1)).unwrap_or(u32::MAX);
        Self { request, rows: rows.clamp(1, request.window.size.height.max(1)), half: bytes.max(row) }
    }

    /// How many there are, at least one.
    pub(super) fn len(&self) -> usize {
        (self.request.window.size.height.div_ceil(self.rows) as usize).max(1)
    }

    /// Asks for one of them. The first asks what the whole window asks beside pixels.
    pub(super) fn ask(&self, idx: usize) -> Ask {
        let window = self.window(idx);
        let probes = if idx == 0 { self.request.probes.clone() } else { Vec::new() };
        let strip = ReadRequest { window, probes, ..self.request.clone() };
        Ask::Read { strip, at: self.place(idx) }
    }

    /// Copies one that has arrived to its place in the window's buffer.
    pub(super) fn copy(&self, idx: usize, from: &File, into: &mut [u8]) -> io::Result<()> {
        let (window, strip) = (self.request.window, self.window(idx));
        let (rows, width) = (strip.size.height as usize, window.size.width as usize);
        let mut at = self.place(idx);
        let (planes, mask) = into.split_at_mut(self.request.plane_bytes() * self.request.bands.len());
        let value_planes = planes.chunks_exact_mut(self.request.plane_bytes().max(1));
        let values = value_planes.map(|plane| (plane, self.request.dtype.bytes()));
        let masks = (!mask.is_empty()).then_some((mask, 1));
        for (plane, unit) in values.chain(masks) {
            let start = (strip.y - window.y) as usize * width * unit;
            let rows = &mut plane[start..start + rows * width * unit];
            from.read_exact_at(rows, at)?;
            at += rows.len() as u64;
        }
        Ok(())
    }

    fn window(&self, idx: usize) -> PixelRect {
        let window = self.request.window;
        let skipped = u32::try_from(idx).unwrap_or(u32::MAX).saturating_mul(self.rows);
        let start = window.y.saturating_add(skipped).min(window.ys().end);
        PixelRect::from_spans(window.xs(), Span::new(start, start.saturating_add(self.rows).min(window.ys().end)))
    }

    fn place(&self, idx: usize) -> u64 {
        if idx.is_multiple_of(2) { 0 } else { self.half }
    }
}
