//! What is done to a whole label map, row by row.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use super::message::{Rows, SceneRows, StitchedScene};
use super::scenes::Scenes;
use crate::config::classes::ClassId;
use crate::flow::{Outbox, Stage};
use crate::plan::Plane;
use crate::post::Chain;

/// One worker. All rows of a scene come to the same one, in order.
pub struct Post {
    scenes: Arc<Scenes>,
    open: BTreeMap<u32, Open>,
}

/// A scene at hand.
struct Open {
    chain: Chain,
    /// Rows of every plane whose labels the chain holds. Where there are other planes, the labels are there as they came.
    held: VecDeque<Vec<Vec<u8>>>,
}

impl Post {
    /// A worker that no scene has reached yet.
    pub fn new(scenes: Arc<Scenes>) -> Self {
        Self { scenes, open: BTreeMap::new() }
    }

    fn change(&mut self, rows: &SceneRows) -> Vec<Vec<Vec<u8>>> {
        let plan = self.scenes.plan();
        let scene = &plan.scenes[rows.scene as usize];
        let begin = || Open { chain: plan.steps_of(scene).open(), held: VecDeque::new() };
        let Open { mut chain, mut held } = self.open.remove(&rows.scene).unwrap_or_else(begin);
        let (labels, mut ready) = (plan.position(Plane::Labels), Vec::new());
        let width = scene.header.size.width as usize;
        for y in 0..rows.rows.len() {
            let mut row = vec![Vec::with_capacity(width); plan.planes.len()];
            row.iter_mut().enumerate().for_each(|(plane, into)| rows.rows.row(plane, y, into));
            let alone = plan.planes.len() == 1;
            let own = if alone { std::mem::take(&mut row[labels]) } else { row[labels].clone() };
            chain.push(own, &mut ready);
            held.push_back(row);
        }
        if rows.last {
            chain.finish(&mut ready);
            ready.into_iter().zip(held).map(|(after, row)| changed(row, &plan.planes, after)).collect()
        } else {
            let n_ready = ready.len();
            let whole = ready.into_iter().zip(held.drain(..n_ready));
            let whole = whole.map(|(after, row)| changed(row, &plan.planes, after)).collect();
            self.open.insert(rows.scene, Open { chain, held });
            whole
        }
    }
}

/// The pixels of a row whose labels have become these; where there are other planes, the labels are there as they came.
fn changed(mut row: Vec<Vec<u8>>, planes: &[Plane], after: Vec<ClassId>) -> Vec<Vec<u8>> {
    let Some(labels) = planes.iter().position(|plane| *plane == Plane::Labels) else { return row };
    let before = std::mem::take(&mut row[labels]);
    for (pixels, value) in row.iter_mut().zip(planes).filter_map(|(row, plane)| Some((row, plane.where_changed()?))) {
        let others = before.iter().zip(&after).map(|(before, after)| before != after);
        pixels.iter_mut().zip(others).filter(|(_, is_other)| *is_other).for_each(|(pixel, _)| *pixel = value);
    }
    row[labels] = after;
    row
}

impl Stage for Post {
    type In = StitchedScene;
    type Out = StitchedScene;
    type Error = Infallible;

    fn process(&mut self, stitched: StitchedScene, out: &Outbox<'_, StitchedScene>) -> Result<(), Infallible> {
        match stitched {
            StitchedScene::Rows(rows) if !self.scenes.is_dropped(rows.scene) => {
                let ready = self.change(&rows);
                let SceneRows { scene, last, rows } = rows;
                // As many rows leave as came, give or take those that the chain holds: the credit of the one covers the other.
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
