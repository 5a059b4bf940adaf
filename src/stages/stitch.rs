//! Puts tiles back together and lets rows go as soon as they are whole, on the scene's own grid.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::message::{Classified, RowTile, Rows, SceneRows, StitchedScene};
use super::scenes::Scenes;
use crate::flow::{Outbox, Stage};
use crate::geom::Span;
use crate::plan::{Plan, Scene};

/// The stitcher: holds the rows of tiles that are begun, never a scene.
pub struct Stitch {
    scenes: Arc<Scenes>,
    open: BTreeMap<u32, OpenScene>,
}

/// A scene of which some tiles have arrived.
struct OpenScene {
    tiles_left: u64,
    next_row: u32,
    rows: BTreeMap<u32, TileRow>,
}

/// One row of tiles, filling up.
struct TileRow {
    tiles: Vec<RowTile>,
    tiles_left: u32,
}

impl Stitch {
    /// The one stitcher: a row of tiles may arrive in several units.
    pub fn new(scenes: Arc<Scenes>) -> Self {
        Self { scenes, open: BTreeMap::new() }
    }

    /// Places one tile; gives the rows that are whole now, or the end of a scene that is dropped.
    fn place(&mut self, classified: &Arc<Classified>, at: usize, out: &Outbox<'_, StitchedScene>) {
        let geometry = &classified.ticket.geometry;
        let tile = &geometry.tiles[classified.tiles[at].0];
        let scene = geometry.parts[tile.part as usize].scene;
        let planned = &self.scenes.plan().scenes[scene as usize];
        let grid = planned.grid;
        let n_planned = |row| planned.planned_of(row).map(Span::len).sum();
        let dropped = self.scenes.is_dropped(scene);
        let open = self.open.entry(scene).or_insert_with(|| OpenScene {
            tiles_left: planned.n_tiles(),
            next_row: 0,
            rows: BTreeMap::new(),
        });
        open.tiles_left -= 1;
        if dropped {
            open.rows.clear();
        } else {
            let row_idx = grid.y.tile_at(tile.centre.y);
            let row = open
                .rows
                .entry(row_idx)
                .or_insert_with(|| TileRow { tiles: Vec::new(), tiles_left: n_planned(row_idx) });
            row.tiles.push(RowTile { xs: tile.centre.xs(), planes: Some((Arc::clone(classified), at)) });
            row.tiles_left -= 1;
            open.release(scene, self.scenes.plan(), out);
        }
        if open.tiles_left == 0 {
            self.open.remove(&scene);
            if dropped {
                out.put(StitchedScene::Abandoned { scene });
            }
        }
    }
}

impl OpenScene {
    /// Lets go of the rows that are whole, top down, those in which no tile is planned among them.
    fn release(&mut self, idx: u32, plan: &Plan, out: &Outbox<'_, StitchedScene>) {
        let scene = &plan.scenes[idx as usize];
        while self.next_row < scene.grid.y.n_tiles() {
            let is_planned = scene.planned_of(self.next_row).next().is_some();
            if is_planned && self.rows.get(&self.next_row).is_none_or(|row| row.tiles_left > 0) {
                return;
            }
            let mut tiles = self.rows.remove(&self.next_row).map_or(Vec::new(), |row| row.tiles);
            tiles.sort_unstable_by_key(|t| t.xs.start);
            let ys = scene.grid.y.centre(self.next_row);
            self.next_row += 1;
            let tiles = with_gaps(tiles, scene);
            let void: Vec<u8> = plan.planes.iter().map(|plane| plane.void()).collect();
            let last = ys.end == scene.network_size().height;
            let Some(resampling) = scene.resampling() else {
                let rows = Rows::Tiles { height: ys.len(), tiles, void };
                out.put(StitchedScene::Rows(SceneRows { scene: idx, rows, last }));
                continue;
            };
            let (tiles, mut pieces) = (Arc::new(tiles), resampling.rows_back(ys).peekable());
            // The last row of tiles may hold the centre of no pixel; that it was the last is to be told all the same.
            if last && pieces.peek().is_none() {
                let rows = Rows::Plain { rows: Vec::new(), tickets: Vec::new() };
                out.put(StitchedScene::Rows(SceneRows { scene: idx, rows, last }));
            }
            while let Some(piece) = pieces.next() {
                let (tiles, void) = (Arc::clone(&tiles), void.clone());
                let rows = Rows::Resampled { rows: piece, top: ys.start, resampling, tiles, void };
                out.put(StitchedScene::Rows(SceneRows { scene: idx, rows, last: last && pieces.peek().is_none() }));
            }
        }
    }
}

/// The tiles of a row from its first column to its last, with what stands for those that are not planned.
fn with_gaps(tiles: Vec<RowTile>, scene: &Scene) -> Vec<RowTile> {
    let (mut all, mut next) = (Vec::with_capacity(tiles.len() + 1), 0);
    let gap = |from: u32, to: u32| (from < to).then(|| RowTile { xs: Span::new(from, to), planes: None });
    for tile in tiles {
        all.extend(gap(next, tile.xs.start));
        next = tile.xs.end;
        all.push(tile);
    }
    all.extend(gap(next, scene.network_size().width));
    all
}

impl Stage for Stitch {
    type In = Arc<Classified>;
    type Out = StitchedScene;
    type Error = Infallible;

    fn process(&mut self, classified: Arc<Classified>, out: &Outbox<'_, StitchedScene>) -> Result<(), Infallible> {
        for at in 0..classified.tiles.len() {
            self.place(&classified, at, out);
        }
        Ok(())
    }
}
