//! Cuts the crops of a unit and batches them.

use std::convert::Infallible;
use std::sync::Arc;

use super::message::{EmptyBatch, PartPixels, PartTask, ReadUnit, Ticket, TileBatch};
use super::prior::PriorResults;
use super::scenes::Scenes;
use crate::flow::{Outbox, Stage};
use crate::geom::{PixelRect, Size};
use crate::infer::RawBatch;
use crate::plan::{Tile, UnitGeometry};
use crate::raster::{PixelBuf, PixelType};
use crate::tiler::Border;

/// Cuts crops of what was read and groups them into batches, in the plan's order: there is one.
pub struct TileStage {
    scenes: Arc<Scenes>,
    prior: Arc<PriorResults>,
}

impl TileStage {
    /// A worker that asks the stored results what need not be cut.
    pub fn new(scenes: Arc<Scenes>, prior: Arc<PriorResults>) -> Self {
        Self { scenes, prior }
    }

    fn batches(&self, unit: &ReadUnit, out: &Outbox<'_, Arc<TileBatch>>) {
        let geometry = &unit.ticket.geometry;
        let mut first_tile = 0;
        for tiles in geometry.batches() {
            let raw = self.cut(&unit.ticket, first_tile, tiles, &unit.parts);
            let empty = self.empty(geometry, tiles, &unit.parts, &raw);
            let ticket = Arc::clone(&unit.ticket);
            if !out.put(Arc::new(TileBatch { ticket, first_tile, raw: Arc::new(raw), empty })) {
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
            match &stored.fill {
                // There are zeros already.
                Some(fill) if fill.bytes().iter().all(|byte| *byte == 0) => {}
                Some(fill) => gather.constant(fill.bytes(), dtype.bytes(), bytes),
                None => gather.planes(stored.pixels.bytes(), dtype.bytes(), bytes),
            }
            if let (Some(valid), Some(from)) = (&mut raw.valid, &stored.valid) {
                let plane = &mut valid[idx * crop.len()..(idx + 1) * crop.len()];
                // Beyond a zero border there are zeros, which are pixels like any other.
                plane.fill(1);
                gather.planes(from, 1, plane);
                raw.blank[idx] = is_void(plane, crop, geometry.used(tile, scene));
            }
        }
        raw
    }
}

impl TileStage {
    /// What a batch has in common with others, if all of its tiles are empty.
    fn empty(
        &self,
        geometry: &UnitGeometry,
        tiles: &[Tile],
        parts: &[Option<PartPixels>],
        raw: &RawBatch,
    ) -> Option<EmptyBatch> {
        let plan = self.scenes.plan();
        let (crop, unit) = (geometry.crop, raw.pixels.dtype().bytes());
        let of_tile = |(slot, tile): (usize, &Tile)| {
            let part = parts[tile.part as usize].as_ref()?;
            if raw.blank[slot] || !part.empty[position_in_part(geometry, tile)] {
                return None;
            }
            // All pixels are equal: any that it owns will do.
            let at = (tile.kept.y * crop.width + tile.kept.x) as usize;
            let pixel = |band| {
                let at = ((slot * raw.n_bands + band) * crop.len() + at) * unit;
                raw.pixels.bytes()[at..at + unit].iter().copied()
            };
            let scene = plan.scenes[geometry.parts[tile.part as usize].scene as usize].network_size();
            let over = match plan.pipeline.tiling.border {
                Border::Zero => {
                    let over = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
                    let right = tile.crop_x + i64::from(crop.width) - i64::from(scene.width);
                    let lower = tile.crop_y + i64::from(crop.height) - i64::from(scene.height);
                    [-tile.crop_x, -tile.crop_y, right, lower].map(over)
                }
                Border::Reflect => [0; 4],
            };
            Some(((0..raw.n_bands).flat_map(pixel).collect(), tile.kept, over))
        };
        let tiles = tiles.iter().enumerate().map(of_tile).collect::<Option<_>>()?;
        Some(EmptyBatch { crop, dtype: raw.pixels.dtype(), tiles })
    }

    /// What of a tile's crop comes to count somewhere.
    fn used(&self, geometry: &UnitGeometry, tile: usize) -> PixelRect {
        let tile = &geometry.tiles[tile];
        let scene = geometry.parts[tile.part as usize].scene as usize;
        geometry.used(tile, self.scenes.plan().scenes[scene].network_size())
    }

    /// Brings back which pixels of a tile are data. False where nothing is, or where it cannot be had: then its scene has failed.
    fn recall_validity(&self, ticket: &Ticket, tile: usize, slot: usize, raw: &mut RawBatch) -> bool {
        let geometry = &ticket.geometry;
        let len = raw.crop.len();
        let stored = self.prior.read(&self.prior.keys.validity(geometry, tile), len);
        match (stored, &mut raw.valid) {
            (Some(Ok(valid)), Some(planes)) if valid.len() == len => {
                planes[slot * len..(slot + 1) * len].copy_from_slice(&valid);
                !is_void(&valid, raw.crop, self.used(geometry, tile))
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

/// Whether nothing that comes to count of a tile is data, so that running it would be in vain.
fn is_void(valid: &[u8], crop: Size, used: PixelRect) -> bool {
    let row = |y: u32| &valid[(y * crop.width + used.x) as usize..][..used.size.width as usize];
    (used.y..used.ys().end).all(|y| row(y).iter().all(|ok| *ok == 0))
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

    /// The same where every pixel of the window is this one.
    fn constant(&self, pixel: &[u8], unit: usize, into: &mut [u8]) {
        let columns = self.columns();
        let row_into = self.crop.width as usize * unit;
        for (value, into) in pixel.chunks_exact(unit).zip(into.chunks_exact_mut((self.crop.len() * unit).max(1))) {
            for (y, into) in (0..).zip(into.chunks_exact_mut(row_into)) {
                if self.border.resolve(self.tile.crop_y + y, self.scene.height).is_none() {
                    continue;
                }
                for run in &columns {
                    let own = &mut into[run.to * unit..][..run.len * unit];
                    own.chunks_exact_mut(unit).for_each(|pixel| pixel.copy_from_slice(value));
                }
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
