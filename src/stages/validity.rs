//! What becomes of pixels without data.

use super::message::Ticket;
use crate::infer::{RawBatch, TileResult};
use crate::plan::{Plane, TilePlanes};

/// Marks the pixels without data in every plane, whatever the networks made of them.
pub(super) fn mark_nodata(batch: &RawBatch, planes: &[Plane], tiles: &mut [TileResult]) {
    let width = batch.crop.width as usize;
    for (tile, result) in tiles.iter_mut().enumerate() {
        let (Some(valid), Ok(TilePlanes(pixels))) = (batch.valid_of(tile), result) else { continue };
        let kept = batch.kept[tile];
        for (plane, pixels) in planes.iter().zip(pixels) {
            for (y, row) in (kept.y as usize..).zip(pixels.chunks_exact_mut((kept.size.width as usize).max(1))) {
                let valid = &valid[y * width + kept.x as usize..][..row.len()];
                row.iter_mut().zip(valid).filter(|(_, ok)| **ok == 0).for_each(|(pixel, _)| *pixel = plane.void());
            }
        }
    }
}

/// Marks the pixels outside the plan's area in every plane of some of a unit's tiles.
pub(super) fn mark_outside(ticket: &Ticket, first_tile: usize, planes: &[Plane], tiles: &mut [TileResult]) {
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
