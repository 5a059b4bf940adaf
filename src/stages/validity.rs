//! What becomes of pixels without data.

use super::message::Ticket;
use crate::infer::{RawBatch, TileResult};
use crate::plan::{Plane, TilePlanes};

/// Marks the pixels without data in every plane, whatever the networks made of them.
pub(super) fn mark_nodata(batch: &RawBatch, planes: &[Plane], tiles: &mut [TileResult]) {
    for (tile, result) in tiles.iter_mut().enumerate() {
        if let (Some(valid), Ok(pixels)) = (owned_validity(batch, tile), result) {
            mark(&valid, planes, pixels);
        }
    }
}

/// Which of the pixels that a tile owns hold data; `None` where all do.
pub(super) fn owned_validity(batch: &RawBatch, tile: usize) -> Option<Vec<u8>> {
    let (valid, kept, width) = (batch.valid_of(tile)?, batch.kept[tile], batch.crop.width as usize);
    let row = |y: u32| &valid[y as usize * width + kept.x as usize..][..kept.size.width as usize];
    let owned = (kept.y..kept.ys().end).flat_map(row).copied().collect::<Vec<u8>>();
    owned.contains(&0).then_some(owned)
}

/// Marks the pixels of a tile that are not `valid`.
pub(super) fn mark(valid: &[u8], planes: &[Plane], TilePlanes(pixels): &mut TilePlanes) {
    for (plane, pixels) in planes.iter().zip(pixels) {
        let lacking = pixels.iter_mut().zip(valid).filter(|(_, ok)| **ok == 0);
        lacking.for_each(|(pixel, _)| *pixel = plane.void());
    }
}

/// Marks the pixels outside the plan's area in every plane of some of a unit's tiles.
pub(super) fn mark_outside<E>(
    ticket: &Ticket,
    first_tile: usize,
    planes: &[Plane],
    tiles: &mut [Result<TilePlanes, E>],
) {
    for (tile, result) in ticket.geometry.tiles[first_tile..].iter().zip(tiles) {
        let (Some(within), Ok(TilePlanes(pixels))) = (&ticket.within[tile.part as usize], result) else { continue };
        let Some(owned) = ticket.geometry.owned_by(tile.part) else { continue };
        let (left, width) = ((tile.centre.x - owned.x) as usize, owned.size.width as usize);
        for (plane, pixels) in planes.iter().zip(pixels) {
            let rows = pixels.chunks_exact_mut((tile.centre.size.width as usize).max(1));
            for (y, row) in ((tile.centre.y - owned.y) as usize..).zip(rows) {
                let within = &within[y * width + left..][..row.len()];
                row.iter_mut()
                    .zip(within)
                    .filter(|(_, inside)| **inside == 0)
                    .for_each(|(pixel, _)| *pixel = plane.void());
            }
        }
    }
}
