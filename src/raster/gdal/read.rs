//! Windowed reads that decode each block once.

use gdal::Metadata;
use gdal::raster::{GdalType, RasterBand};

use super::{Opened, errors};
use crate::geom::{PixelRect, Span};
use crate::raster::{PixelType, RasterError, ReadReply, ReadRequest};

/// Fills the caller's buffer with the window.
pub(super) fn window(opened: &Opened, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError> {
    errors::begin(&opened.name);
    let dataset = &opened.dataset;
    let (width, height) = dataset.raster_size();
    let inside = request.window.xs().end as usize <= width && request.window.ys().end as usize <= height;
    if !inside || into.len() != request.buffer_bytes() {
        return Err(RasterError::Changed);
    }
    let mut bands = Vec::new();
    for &idx in &request.bands {
        let band = dataset.rasterband(idx as usize).map_err(|_| RasterError::Changed)?;
        bands.push((idx, band));
    }
    let (planes, mask) = into.split_at_mut(request.plane_bytes() * request.bands.len());
    for row in block_rows(&bands, dataset.raster_size().1, request.window) {
        let failed = |band: u32, detail| {
            let window = PixelRect::from_spans(request.window.xs(), row.of_blocks);
            RasterError::Read { band, window, detail }
        };
        for ((idx, band), plane) in bands.iter().zip(planes.chunks_exact_mut(request.plane_bytes().max(1))) {
            rows_into(band, request.dtype, request.window, row.wanted, plane).map_err(|e| failed(*idx, e))?;
        }
        if let (true, Some((idx, band))) = (request.mask, bands.first()) {
            let band = band.open_mask_band().map_err(|e| failed(*idx, errors::explain(&e)))?;
            rows_into(&band, PixelType::U8, request.window, row.wanted, mask).map_err(|e| failed(*idx, e))?;
        }
    }
    let is_blank = |probe: &PixelRect| match &opened.directory {
        Some(directory) if directory.is_one_strip() => {
            bands.iter().all(|(idx, _)| !directory.is_stored(*idx as usize - 1))
        }
        Some(_) => is_blank(&bands, *probe),
        // It may be of one strip.
        None => false,
    };
    let blank = request.probes.iter().map(is_blank).collect();
    Ok(ReadReply { blank, warnings: errors::take_warnings() })
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
fn block_rows(bands: &[(u32, RasterBand<'_>)], scene_height: usize, window: PixelRect) -> Vec<BlockRow> {
    let Some((_, first)) = bands.first() else { return Vec::new() };
    let block_height = u32::try_from(first.block_size().1).unwrap_or(1).max(1);
    let scene_height = u32::try_from(scene_height).unwrap_or(u32::MAX);
    let row = |idx: u32| {
        let (start, end) = (idx * block_height, (idx + 1).saturating_mul(block_height).min(scene_height));
        let wanted = Span::new(start.max(window.y), end.min(window.ys().end));
        BlockRow { of_blocks: Span::new(start, end), wanted }
    };
    (window.y / block_height..window.ys().end.div_ceil(block_height)).map(row).collect()
}

/// Reads some rows of a window into their place in the window's plane.
fn rows_into(
    band: &RasterBand<'_>,
    dtype: PixelType,
    window: PixelRect,
    rows: Span,
    plane: &mut [u8],
) -> Result<(), String> {
    let row_bytes = window.size.width as usize * dtype.bytes();
    let at = (rows.start - window.y) as usize * row_bytes;
    let into = &mut plane[at..at + rows.len() as usize * row_bytes];
    let rect = PixelRect::from_spans(window.xs(), rows);
    match dtype {
        PixelType::U8 => values_into::<u8>(band, rect, into),
        PixelType::U16 => values_into::<u16>(band, rect, into),
        PixelType::I16 => values_into::<i16>(band, rect, into),
        PixelType::F32 => values_into::<f32>(band, rect, into),
    }
}

fn values_into<T: GdalType + Copy + bytemuck::Pod>(
    band: &RasterBand<'_>,
    rect: PixelRect,
    into: &mut [u8],
) -> Result<(), String> {
    let values: &mut [T] = bytemuck::try_cast_slice_mut(into).map_err(|e| format!("buffer: {e}"))?;
    let extent = (rect.size.width as usize, rect.size.height as usize);
    let read = band.read_into_slice((rect.x as isize, rect.y as isize), extent, extent, values, None);
    match (read, errors::take()) {
        (Ok(()), None) => Ok(()),
        (_, Some(raised)) => Err(raised),
        (Err(e), None) => Err(e.to_string()),
    }
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
fn is_blank(bands: &[(u32, RasterBand<'_>)], rect: PixelRect) -> bool {
    bands.iter().all(|(_, band)| {
        let (cols, rows) = blocks_of(band, rect);
        let stored = |col, row| band.metadata_item(&format!("BLOCK_OFFSET_{col}_{row}"), "TIFF").is_some();
        !(rows.start..rows.end).any(|row| (cols.start..cols.end).any(|col| stored(col, row)))
    })
}
