//! Puts tiles back together and lets rows go as soon as they are whole, on the scene's own grid.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::message::{Classified, RowTile, Rows, SceneRows, StitchedScene};
use super::scenes::Scenes;
use crate::flow::{Outbox, Stage};
use crate::geom::{PixelRect, Span};
use crate::raster::Resampling;

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
    rect: PixelRect,
    tiles: Vec<RowTile>,
    tiles_left: u32,
}

impl Stitch {
    /// A stitcher.
    pub fn new(scenes: Arc<Scenes>) -> Self {
        Self { scenes, open: BTreeMap::new() }
    }

    /// Places one tile; gives the rows that are whole now, or the end of a scene that is dropped.
    fn place(&mut self, classified: &Arc<Classified>, at: usize, out: &Outbox<'_, StitchedScene>) {
        let geometry = &classified.ticket.geometry;
        let tile = &geometry.tiles[classified.tiles[at].0];
        let scene = geometry.parts[tile.part as usize].scene;
        let planned = &self.scenes.plan().scenes[scene as usize];
        let (grid, size) = (planned.grid, planned.network_size());
        let dropped = self.scenes.is_dropped(scene);
        let open = self.open.entry(scene).or_insert_with(|| OpenScene {
            tiles_left: grid.n_tiles(),
            next_row: 0,
            rows: BTreeMap::new(),
        });
        open.tiles_left -= 1;
        if dropped {
            open.rows.clear();
        } else {
            let row_idx = tile.centre.y / grid.y.centre;
            let row = open.rows.entry(row_idx).or_insert_with(|| {
                let rect = PixelRect::from_spans(Span::new(0, size.width), grid.y.centre(row_idx));
                TileRow { rect, tiles: Vec::new(), tiles_left: grid.x.n_tiles() }
            });
            row.tiles.push(RowTile { xs: tile.centre.xs(), classified: Arc::clone(classified), at });
            row.tiles_left -= 1;
            open.release(scene, (size.height, planned.resampling()), out);
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
    /// Lets go of the rows that are whole, top down.
    fn release(
        &mut self,
        scene: u32,
        (height, resampling): (u32, Option<Resampling>),
        out: &Outbox<'_, StitchedScene>,
    ) {
        while self.rows.get(&self.next_row).is_some_and(|r| r.tiles_left == 0) {
            let Some(row) = self.rows.remove(&self.next_row) else { return };
            self.next_row += 1;
            let last = row.rect.ys().end == height;
            let TileRow { rect, mut tiles, .. } = row;
            tiles.sort_unstable_by_key(|t| t.xs.start);
            let Some(resampling) = resampling else {
                let rows = Rows::Tiles { height: rect.size.height, tiles };
                out.put(StitchedScene::Rows(SceneRows { scene, rows, last }));
                continue;
            };
            let (tiles, mut pieces) = (Arc::new(tiles), resampling.rows_back(rect.ys()).peekable());
            // The last row of tiles may hold the centre of no pixel; that it was the last is to be told all the same.
            if last && pieces.peek().is_none() {
                let rows = Rows::Plain { rows: Vec::new(), tickets: Vec::new() };
                out.put(StitchedScene::Rows(SceneRows { scene, rows, last }));
            }
            while let Some(piece) = pieces.next() {
                let rows = Rows::Resampled { rows: piece, top: rect.y, resampling, tiles: Arc::clone(&tiles) };
                out.put(StitchedScene::Rows(SceneRows { scene, rows, last: last && pieces.peek().is_none() }));
            }
        }
    }
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
