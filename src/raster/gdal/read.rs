//! Windowed reads that decode each block once.

use gdal::raster::{GdalType, RasterBand};
use gdal::{Dataset, Metadata};

use super::errors;
use crate::geom::{PixelRect, Span};
use crate::raster::{PixelType, RasterError, ReadReply, ReadRequest};

/// Fills the caller's buffer with the window.
pub(super) fn window(dataset: &Dataset, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError> {
    errors::clear();
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
    match request.dtype {
        PixelType::U8 => planes_of::<u8>(&bands, request, planes)?,
        PixelType::U16 => planes_of::<u16>(&bands, request, planes)?,
        PixelType::I16 => planes_of::<i16>(&bands, request, planes)?,
        PixelType::F32 => planes_of::<f32>(&bands, request, planes)?,
    }
    if let (true, Some((idx, band))) = (request.mask, bands.first()) {
        let fail = |detail| RasterError::Read { band: *idx, window: request.window, detail };
        let plane = band.open_mask_band().map_err(|e| fail(errors::explain(&e)))?;
        rows_of::<u8>(&plane, request, request.window.ys(), mask).map_err(fail)?;
    }
    let blank = request.probes.iter().map(|probe| is_blank(&bands, *probe)).collect();
    Ok(ReadReply { blank, blocks: blocks_touched(&bands, request.window) })
}

/// Reads block row by block row, all bands of each: with interleaved bands the first decodes the block and the others find it in
/// GDAL's cache, which therefore needs to hold one row of blocks and not the window.
fn planes_of<T: GdalType + Copy + bytemuck::Pod>(
    bands: &[(u32, RasterBand<'_>)],
    request: &ReadRequest,
    planes: &mut [u8],
) -> Result<(), RasterError> {
    let Some((_, first)) = bands.first() else { return Ok(()) };
    let block_height = u32::try_from(first.block_size().1).unwrap_or(1).max(1);
    let row_bytes = request.window.size.width as usize * request.dtype.bytes();
    let window = request.window;
    let mut y = window.y;
    while y < window.ys().end {
        let rows = Span::new(y, (y / block_height + 1).saturating_mul(block_height).min(window.ys().end));
        let at = (rows.start - window.y) as usize * row_bytes;
        let len = rows.len() as usize * row_bytes;
        for ((idx, band), plane) in bands.iter().zip(planes.chunks_exact_mut(request.plane_bytes())) {
            rows_of::<T>(band, request, rows, &mut plane[at..at + len]).map_err(|detail| RasterError::Read {
                band: *idx,
                window: PixelRect::from_spans(window.xs(), rows),
                detail,
            })?;
        }
        y = rows.end;
    }
    Ok(())
}

/// Reads some rows of the window's columns.
fn rows_of<T: GdalType + Copy + bytemuck::Pod>(
    band: &RasterBand<'_>,
    request: &ReadRequest,
    rows: Span,
    into: &mut [u8],
) -> Result<(), String> {
    let values: &mut [T] = bytemuck::try_cast_slice_mut(into).map_err(|e| format!("buffer: {e}"))?;
    let extent = (request.window.size.width as usize, rows.len() as usize);
    let corner = (request.window.x as isize, rows.start as isize);
    let read = band.read_into_slice(corner, extent, extent, values, None);
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

fn blocks_touched(bands: &[(u32, RasterBand<'_>)], window: PixelRect) -> u64 {
    let count = |(_, band): &(u32, RasterBand<'_>)| {
        let (cols, rows) = blocks_of(band, window);
        u64::from(cols.len()) * u64::from(rows.len())
    };
    bands.first().map_or(0, count)
}

/// Whether the file stores none of the blocks that the rectangle touches, in any of the bands.
fn is_blank(bands: &[(u32, RasterBand<'_>)], rect: PixelRect) -> bool {
    bands.iter().all(|(_, band)| {
        let (cols, rows) = blocks_of(band, rect);
        let stored = |col, row| band.metadata_item(&format!("BLOCK_OFFSET_{col}_{row}"), "TIFF").is_some();
        !(rows.start..rows.end).any(|row| (cols.start..cols.end).any(|col| stored(col, row)))
    })
}
