//! Cuts the crops of a unit and batches them.

use std::convert::Infallible;
use std::sync::Arc;

use super::message::{PartPixels, PartTask, ReadUnit, Ticket, TileBatch};
use super::prior::PriorResults;
use super::scenes::Scenes;
use crate::flow::{Outbox, Stage};
use crate::geom::{PixelRect, Size};
use crate::infer::RawBatch;
use crate::plan::{Tile, UnitGeometry};
use crate::raster::{PixelBuf, PixelType};
use crate::tiler::Border;

/// The tiler's worker.
pub struct TileStage {
    scenes: Arc<Scenes>,
    prior: Arc<PriorResults>,
}

impl TileStage {
    /// A tiler.
    pub fn new(scenes: Arc<Scenes>, prior: Arc<PriorResults>) -> Self {
        Self { scenes, prior }
    }

    fn batches(&self, unit: &ReadUnit, out: &Outbox<'_, Arc<TileBatch>>) {
        let geometry = &unit.ticket.geometry;
        let mut first_tile = 0;
        for tiles in geometry.batches() {
            let raw = self.cut(&unit.ticket, first_tile, tiles, &unit.parts);
            if !out.put(Arc::new(TileBatch { ticket: Arc::clone(&unit.ticket), first_tile, raw: Arc::new(raw) })) {
                return;
            }
            first_tile += tiles.len();
        }
    }

    /// What a batch is called: by its first tile's place, or by its scenes where each is one tile.
    fn name(&self, geometry: &UnitGeometry, tiles: &[Tile]) -> String {
        let name = |tile: &Tile| {
            let scene = geometry.parts[tile.part as usize].scene;
            self.scenes.plan().scenes[scene as usize].name.as_str()
        };
        match tiles.first() {
            Some(first) if geometry.parts.len() == 1 => {
                format!("{} y{} x{}", name(first), first.centre.y, first.centre.x)
            }
            _ => tiles.iter().map(name).collect::<Vec<_>>().join(" "),
        }
    }

    fn cut(&self, ticket: &Ticket, first: usize, tiles: &[Tile], parts: &[Option<PartPixels>]) -> RawBatch {
        let (plan, geometry) = (self.scenes.plan(), &ticket.geometry);
        // Nobody will look at such tiles.
        let put_off = self.scenes.is_put_off(ticket.unit);
        let (crop, n_bands, border) = (geometry.crop, plan.bands.len(), plan.pipeline.tiling.border);
        let dtype = parts.iter().flatten().map(|p| p.pixels.dtype()).next().unwrap_or(PixelType::U8);
        let mut raw = RawBatch {
            name: self.name(geometry, tiles),
            crop,
            n_bands,
            pixels: PixelBuf::zeros(dtype, tiles.len() * n_bands * crop.len()),
            valid: None,
            kept: tiles.iter().map(|t| t.kept).collect(),
            blank: vec![false; tiles.len()],
        };
        let lacks = |t: &Tile| {
            let part = parts[t.part as usize].as_ref();
            part.is_some_and(|p| p.valid.is_some()) || ticket.tasks[t.part as usize] == PartTask::Combine
        };
        if tiles.iter().any(lacks) {
            raw.valid = Some(vec![1; tiles.len() * crop.len()]);
        }
        let tile_bytes = n_bands * crop.len() * dtype.bytes();
        for (idx, tile) in tiles.iter().enumerate() {
            let part = geometry.parts[tile.part as usize];
            let scene = plan.scenes[part.scene as usize].network_size();
            let stored = parts[tile.part as usize].as_ref().filter(|_| !put_off);
            let stored = stored.filter(|p| !p.blank[position_in_part(geometry, tile)]);
            let Some(stored) = stored else {
                let combine = !put_off && ticket.tasks[tile.part as usize] == PartTask::Combine;
                raw.blank[idx] = !combine || !self.recall_validity(ticket, first + idx, idx, &mut raw);
                continue;
            };
            let gather = Gather { tile, window: part.window, scene, crop, border };
            let bytes = &mut raw.pixels.bytes_mut()[idx * tile_bytes..(idx + 1) * tile_bytes];
            gather.planes(stored.pixels.bytes(), dtype.bytes(), bytes);
            if let (Some(valid), Some(from)) = (&mut raw.valid, &stored.valid) {
                let plane = &mut valid[idx * crop.len()..(idx + 1) * crop.len()];
                // Beyond a zero border there are zeros, which are pixels like any other.
                plane.fill(1);
                gather.planes(from, 1, plane);
                raw.blank[idx] = is_void(plane, crop, tile.kept);
            }
        }
        raw
    }
}

impl TileStage {
    /// Brings back which pixels of a tile are data. False where nothing is, or where it cannot be had: then its scene has failed.
    fn recall_validity(&self, ticket: &Ticket, tile: usize, slot: usize, raw: &mut RawBatch) -> bool {
        let geometry = &ticket.geometry;
        let len = raw.crop.len();
        let stored = self.prior.read(&self.prior.keys.validity(geometry, tile), len);
        match (stored, &mut raw.valid) {
            (Some(Ok(valid)), Some(planes)) if valid.len() == len => {
                planes[slot * len..(slot + 1) * len].copy_from_slice(&valid);
                !is_void(&valid, raw.crop, raw.kept[slot])
            }
            // An entry of no bytes says that all pixels are data.
            (Some(Ok(valid)), _) if valid.is_empty() => true,
            (Some(Err(e)), _) => {
                let scene = geometry.parts[geometry.tiles[tile].part as usize].scene;
                self.scenes.fail(scene, "tile", Some(ticket.unit), format!("{e}; run again with --from infer"));
                false
            }
            (_, _) => false,
        }
    }
}

/// Which of its part's tiles a tile is.
fn position_in_part(geometry: &UnitGeometry, tile: &Tile) -> usize {
    let first = geometry.tiles.partition_point(|t| t.part < tile.part);
    geometry.tiles[first..].iter().position(|t| t == tile).unwrap_or(0)
}

/// Whether nothing that the tile owns is data, so that running it would be in vain.
fn is_void(valid: &[u8], crop: Size, kept: PixelRect) -> bool {
    let row = |y: u32| &valid[(y * crop.width + kept.x) as usize..][..kept.size.width as usize];
    (kept.y..kept.ys().end).all(|y| row(y).iter().all(|ok| *ok == 0))
}

/// Copies one crop out of a window, filling what lies outside the scene by the border rule.
struct Gather<'a> {
    tile: &'a Tile,
    window: PixelRect,
    scene: Size,
    crop: Size,
    border: Border,
}

impl Gather<'_> {
    /// Copies each plane of the window that fits into `into`; positions that the border leaves empty keep what `into` holds.
    fn planes(&self, from: &[u8], unit: usize, into: &mut [u8]) {
        let columns = self.columns();
        let (plane_from, plane_into) = (self.window.size.len() * unit, self.crop.len() * unit);
        for (from, into) in from.chunks_exact(plane_from.max(1)).zip(into.chunks_exact_mut(plane_into.max(1))) {
            self.plane(from, unit, &columns, into);
        }
    }

    fn plane(&self, from: &[u8], unit: usize, columns: &[Run], into: &mut [u8]) {
        let (row_from, row_into) = (self.window.size.width as usize * unit, self.crop.width as usize * unit);
        for (y, into) in (0..).zip(into.chunks_exact_mut(row_into)) {
            let Some(row) = self.border.resolve(self.tile.crop_y + y, self.scene.height) else { continue };
            let row = &from[(row - self.window.y) as usize * row_from..][..row_from];
            for run in columns {
                run.copy(row, unit, into);
            }
        }
    }

    /// The columns of the crop as runs of the window's columns: long where the crop lies inside the scene, single ones mirrored.
    fn columns(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for x in 0..self.crop.width {
            let Some(column) = self.border.resolve(self.tile.crop_x + i64::from(x), self.scene.width) else { continue };
            let from = (column - self.window.x) as usize;
            match runs.last_mut() {
                Some(run) if run.to + run.len == x as usize && run.from + run.len == from => run.len += 1,
                _ => runs.push(Run { from, to: x as usize, len: 1 }),
            }
        }
        runs
    }
}

/// Neighbouring columns that stay neighbours.
struct Run {
    from: usize,
    to: usize,
    len: usize,
}

impl Run {
    fn copy(&self, row: &[u8], unit: usize, into: &mut [u8]) {
        let len = self.len * unit;
        into[self.to * unit..][..len].copy_from_slice(&row[self.from * unit..][..len]);
    }
}

impl Stage for TileStage {
    type In = ReadUnit;
    type Out = Arc<TileBatch>;
    type Error = Infallible;

    fn process(&mut self, unit: ReadUnit, out: &Outbox<'_, Arc<TileBatch>>) -> Result<(), Infallible> {
        self.batches(&unit, out);
        Ok(())
    }
}
