//! What is done to a whole label map: small holes are filled, row by row.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use super::message::{Rows, SceneRows, StitchedScene};
use super::scenes::Scenes;
use crate::flow::{Outbox, Stage};
use crate::plan::Plane;
use crate::post::FillHoles;

/// One worker. All rows of a scene come to the same one, in order.
pub struct Post {
    scenes: Arc<Scenes>,
    open: BTreeMap<u32, Open>,
}

/// A scene at hand.
struct Open {
    filter: FillHoles,
    /// Rows of every plane whose labels the filter holds.
    held: VecDeque<Vec<Vec<u8>>>,
}

impl Post {
    /// A worker.
    pub fn new(scenes: Arc<Scenes>) -> Self {
        Self { scenes, open: BTreeMap::new() }
    }

    fn fill(&mut self, rows: &SceneRows) -> Vec<Vec<Vec<u8>>> {
        let plan = self.scenes.plan();
        let size = plan.scenes[rows.scene as usize].header.size;
        let begin = || Open {
            filter: FillHoles::new(size, plan.pipeline.n_classes(), plan.pipeline.post.fill_holes),
            held: VecDeque::new(),
        };
        let Open { mut filter, mut held } = self.open.remove(&rows.scene).unwrap_or_else(begin);
        let (labels, mut ready) = (plan.position(Plane::Labels), Vec::new());
        let follows = |(at, plane): (usize, &Plane)| plane.where_changed().map(|value| (at, value));
        let followers: Vec<(usize, u8)> = plan.planes.iter().enumerate().filter_map(follows).collect();
        for y in 0..rows.rows.len() {
            let mut row = vec![Vec::with_capacity(size.width as usize); plan.planes.len()];
            row.iter_mut().enumerate().for_each(|(plane, into)| rows.rows.row(plane, y, into));
            // The filter has its labels until it is sure of them.
            let own = if followers.is_empty() { std::mem::take(&mut row[labels]) } else { row[labels].clone() };
            filter.push(own, &mut ready);
            held.push_back(row);
        }
        let kept = if rows.last {
            filter.finish(&mut ready);
            None
        } else {
            Some(filter)
        };
        let whole = |own: Vec<u8>| {
            let Some(mut row) = held.pop_front() else { return Vec::new() };
            for (plane, value) in &followers {
                let mut follower = std::mem::take(&mut row[*plane]);
                let changes = row[labels].iter().zip(&own).map(|(before, after)| before != after);
                follower
                    .iter_mut()
                    .zip(changes)
                    .filter(|(_, is_other)| *is_other)
                    .for_each(|(pixel, _)| *pixel = *value);
                row[*plane] = follower;
            }
            row[labels] = own;
            row
        };
        let whole = ready.into_iter().map(whole).collect();
        if let Some(filter) = kept {
            self.open.insert(rows.scene, Open { filter, held });
        }
        whole
    }
}

impl Stage for Post {
    type In = StitchedScene;
    type Out = StitchedScene;
    type Error = Infallible;

    fn process(&mut self, stitched: StitchedScene, out: &Outbox<'_, StitchedScene>) -> Result<(), Infallible> {
        match stitched {
            StitchedScene::Rows(rows) if !self.scenes.is_dropped(rows.scene) => {
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
