//! Windowed reads that decode each block once.

use gdal::Metadata;
use gdal::raster::RasterBand;

use super::values::{self, Plane};
use super::vrt::Vrt;
use super::{Opened, errors, preflight};
use crate::geom::{PixelRect, Size, Span};
use crate::raster::{Palette, RasterError, ReadReply, ReadRequest};

/// Fills the caller's buffers with the window: the planes of the bands, and the mask where it is wanted.
pub(super) fn window(
    opened: &Opened,
    request: &ReadRequest,
    values: &mut [u8],
    mask: &mut [u8],
) -> Result<ReadReply, RasterError> {
    errors::begin(&opened.name);
    let dataset = &opened.dataset;
    let (width, height) = dataset.raster_size();
    let inside = request.window.xs().end as usize <= width && request.window.ys().end as usize <= height;
    if !inside {
        return Err(RasterError::Changed);
    }
    let planes = request.bands.iter().zip(&request.nodata);
    let planes: Vec<Plane<'_>> =
        planes.map(|(idx, nodata)| Plane::new(opened, request, *idx, *nodata)).collect::<Result<_, _>>()?;
    let size = Size::new(u32::try_from(width).unwrap_or(u32::MAX), u32::try_from(height).unwrap_or(u32::MAX));
    let is_hole = |vrt: &Vrt, probe: PixelRect| {
        let meet = |a: Span, b: Span| a.start.max(b.start) < a.end.min(b.end);
        let mut places = vrt.pieces.iter().map(|piece| piece.place(size));
        !vrt.hides_nodata && !places.any(|place| meet(place.xs(), probe.xs()) && meet(place.ys(), probe.ys()))
    };
    let is_blank = |probe: &PixelRect| match &opened.directory {
        Some(directory) if directory.is_one_strip() => {
            planes.iter().all(|plane| !directory.is_stored(plane.idx as usize - 1))
        }
        Some(_) => is_blank(&planes, *probe),
        // It may be of one strip.
        None => opened.vrt.as_ref().is_some_and(|vrt| is_hole(vrt, *probe)),
    };
    let blank = request.probes.iter().map(is_blank).collect();
    let mut reply = ReadReply { blank, ..ReadReply::default() };
    if request.skip_blank && reply.is_blank() {
        return Ok(reply);
    }
    for row in block_rows(&planes, dataset.raster_size().1, request.window) {
        let failed = |band: u32, detail| {
            let window = PixelRect::from_spans(request.window.xs(), row.of_blocks);
            RasterError::Read { band, window, detail }
        };
        for (plane, into) in planes.iter().zip(values.chunks_exact_mut(request.plane_bytes().max(1))) {
            let (rect, into) = rows_of(request, row.wanted, request.dtype.bytes(), into);
            plane.read(request.dtype, rect, into).map_err(|e| failed(plane.idx, e))?;
        }
        if let (true, Some(plane)) = (request.mask, planes.first()) {
            let (rect, into) = rows_of(request, row.wanted, 1, mask);
            read_mask(opened, plane, request.palette, rect, into).map_err(|e| failed(plane.idx, e))?;
        }
    }
    reply.warnings = errors::take_warnings();
    Ok(reply)
}

/// A row of blocks.
struct BlockRow {
    /// The scene's rows that it holds: what an error names, however much of it was asked for.
    of_blocks: Span,
    /// Those of them in the window.
    wanted: Span,
}

/// The rows of blocks of a window, top down. All bands of one are read before the next: with interleaved bands the first decodes the
/// block and the others find it in GDAL's cache, which therefore needs to hold one row of blocks and not the window.
fn block_rows(planes: &[Plane<'_>], scene_height: usize, window: PixelRect) -> Vec<BlockRow> {
    let Some(Plane { band: first, .. }) = planes.first() else { return Vec::new() };
    let block_height = u32::try_from(first.block_size().1).unwrap_or(1).max(1);
    let scene_height = u32::try_from(scene_height).unwrap_or(u32::MAX);
    let row = |idx: u32| {
        let (start, end) = (idx * block_height, (idx + 1).saturating_mul(block_height).min(scene_height));
        let wanted = Span::new(start.max(window.y), end.min(window.ys().end));
        BlockRow { of_blocks: Span::new(start, end), wanted }
    };
    (window.y / block_height..window.ys().end.div_ceil(block_height)).map(row).collect()
}

/// Some rows of a window, and their place in a plane of it.
fn rows_of<'a>(request: &ReadRequest, rows: Span, unit: usize, plane: &'a mut [u8]) -> (PixelRect, &'a mut [u8]) {
    let row_bytes = request.window.size.width as usize * unit;
    let at = (rows.start - request.window.y) as usize * row_bytes;
    let into = &mut plane[at..at + rows.len() as usize * row_bytes];
    (PixelRect::from_spans(request.window.xs(), rows), into)
}

/// Reads where there is data: by the file's mask, and by the entries of its palette.
fn read_mask(
    opened: &Opened,
    plane: &Plane<'_>,
    palette: Palette,
    rect: PixelRect,
    into: &mut [u8],
) -> Result<(), String> {
    if preflight::has_mask(&plane.band) {
        let mask = plane.band.open_mask_band().map_err(|e| errors::explain(&e))?;
        values::read_into(&mask, rect, into)?;
    } else {
        into.fill(u8::MAX);
    }
    if opened.palette.is_empty() {
        return Ok(());
    }
    let nodata = match palette {
        Palette::Colors { nodata } => nodata,
        Palette::None | Palette::Indices => None,
    };
    let is_data =
        |index: u16| Some(index) != nodata && opened.palette.get(usize::from(index)).is_none_or(|c| c[3] != 0);
    values::in_chunks(&plane.band, rect, into, |index, valid| *valid &= u8::from(is_data(index)).wrapping_neg())
}

/// Block columns and rows that a rectangle touches.
fn blocks_of(band: &RasterBand<'_>, rect: PixelRect) -> (Span, Span) {
    let (width, height) = band.block_size();
    let span = |span: Span, block: usize| {
        let block = u32::try_from(block).unwrap_or(1).max(1);
        Span::new(span.start / block, span.end.div_ceil(block))
    };
    (span(rect.xs(), width), span(rect.ys(), height))
}

/// Whether the file stores none of the blocks that the rectangle touches, in any of the bands. Not to be asked about files of one strip:
/// GDAL may hand that out row by row, and when it is asked about the rows it refuses to read them.
fn is_blank(planes: &[Plane<'_>], rect: PixelRect) -> bool {
    planes.iter().all(|Plane { band, .. }| {
        let (cols, rows) = blocks_of(band, rect);
        let stored = |col, row| band.metadata_item(&format!("BLOCK_OFFSET_{col}_{row}"), "TIFF").is_some();
        !(rows.start..rows.end).any(|row| (cols.start..cols.end).any(|col| stored(col, row)))
    })
}
