//! What is done to a whole label map: small holes are filled, row by row.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::Board;
use super::message::{Rows, SceneRows, StitchedScene};
use crate::flow::{Outbox, Stage};
use crate::post::FillHoles;

/// One worker. All rows of a scene come to the same one, in order.
pub struct Post {
    board: Arc<Board>,
    open: BTreeMap<u32, FillHoles>,
}

impl Post {
    /// A worker.
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, open: BTreeMap::new() }
    }

    fn fill(&mut self, rows: &SceneRows) -> Vec<Vec<crate::config::classes::ClassId>> {
        let plan = self.board.plan();
        let size = plan.scenes[rows.scene as usize].header.size;
        let begin = || FillHoles::new(size, plan.pipeline.n_classes(), plan.pipeline.post.fill_holes);
        let mut filter = self.open.remove(&rows.scene).unwrap_or_else(begin);
        let mut ready = Vec::new();
        for y in 0..rows.rows.len() {
            let mut row = Vec::with_capacity(size.width as usize);
            rows.rows.row(y, &mut row);
            filter.push(row, &mut ready);
        }
        if rows.last {
            filter.finish(&mut ready);
        } else {
            self.open.insert(rows.scene, filter);
        }
        ready
    }
}

impl Stage for Post {
    type In = StitchedScene;
    type Out = StitchedScene;
    type Error = Infallible;

    fn process(&mut self, stitched: StitchedScene, out: &Outbox<'_, StitchedScene>) -> Result<(), Infallible> {
        match stitched {
            StitchedScene::Rows(rows) if !self.board.is_dropped(rows.scene) => {
                let ready = self.fill(&rows);
                let SceneRows { scene, last, rows } = rows;
                // As many rows leave as came, give or take those the filter holds: the credit of the one covers the other.
                let rows = Rows::Plain { rows: ready, tickets: rows.into_tickets() };
                out.put(StitchedScene::Rows(SceneRows { scene, rows, last }));
            }
            other @ (StitchedScene::Rows(_) | StitchedScene::Abandoned { .. }) => {
                self.open.remove(&other.scene());
                out.put(other);
            }
        }
        Ok(())
    }
}
