//! A device that does no work: it takes raw crops and gives planes back at once. With it a run shows what the machine can feed.
//!
//! What a host does for any device it does too: crops are copied into a buffer that stays, as into pinned memory, and planes are
//! copied out of one. The planes hold patches of the sizes that land has, so that what is made of them costs what masks cost.

use std::collections::VecDeque;

use super::DeviceError;
use super::device::{Device, Done, PassRan, Work};
use crate::config::classes::ClassId;
use crate::geom::PixelRect;
use crate::plan::{Plan, Plane, TilePlanes};

/// Side of the square that is repeated over every tile.
const SIDE: usize = 1024;

/// Side of the cells of that square, each with one patch of some class around a point in it.
const CELL: usize = 64;

pub(super) struct NullDevice {
    planes: Vec<Plane>,
    labels: Vec<ClassId>,
    staged: Vec<u8>,
    done: VecDeque<Done>,
    depth: usize,
}

impl NullDevice {
    /// A device that asks for `depth` batches in flight.
    pub(super) fn new(plan: &Plan, depth: usize) -> Self {
        let labels = patches(plan.pipeline.n_classes());
        Self { planes: plan.planes.clone(), labels, staged: Vec::new(), done: VecDeque::new(), depth: depth.max(1) }
    }

    fn planes(&self, kept: PixelRect) -> TilePlanes {
        let plane = |plane: &Plane| match plane {
            Plane::Labels => self.cut(kept),
            Plane::Scores => self.cut(kept).iter().map(|label| u8::MAX - label / 2).collect(),
            Plane::Disagreement => self.cut(kept).iter().map(|label| label / 2).collect(),
            Plane::Probability(class) => self.cut(kept).iter().map(|l| 1 + 254 * u8::from(l == class)).collect(),
        };
        TilePlanes(self.planes.iter().map(plane).collect())
    }

    /// What a tile owns, out of the repeated square.
    fn cut(&self, kept: PixelRect) -> Vec<ClassId> {
        let (width, mut labels) = (kept.size.width as usize, Vec::with_capacity(kept.size.len()));
        for y in kept.ys().start..kept.ys().end {
            let row = &self.labels[y as usize % SIDE * SIDE..][..SIDE];
            let mut x = kept.x as usize % SIDE;
            let end = labels.len() + width;
            while labels.len() < end {
                let n = (SIDE - x).min(end - labels.len());
                labels.extend_from_slice(&row[x..x + n]);
                x = 0;
            }
        }
        labels
    }
}

impl Device for NullDevice {
    fn depth(&self) -> usize {
        self.depth
    }

    fn submit(&mut self, work: Work) -> Result<(), DeviceError> {
        let Work { batch, passes, faults, may_begin, .. } = work;
        if !passes.iter().all(|_| may_begin()) {
            return Err(DeviceError::Halted);
        }
        self.staged.clear();
        self.staged.extend_from_slice(batch.pixels.bytes());
        std::hint::black_box(&self.staged);
        let tile = |(fault, kept): (&Option<_>, &PixelRect)| fault.clone().map_or_else(|| Ok(self.planes(*kept)), Err);
        let tiles = faults.iter().zip(&batch.kept).map(tile).collect();
        let ran = vec![PassRan::default(); passes.len()];
        self.done.push_back(Done { tiles, logits: Vec::new(), faults, ran });
        Ok(())
    }

    fn is_ready(&self) -> bool {
        !self.done.is_empty()
    }

    fn collect(&mut self) -> Result<Option<Done>, DeviceError> {
        Ok(self.done.pop_front())
    }

    fn abandon(&mut self) {
        self.done.clear();
    }
}

/// A square of labels that can be laid side by side: every pixel has the class of the nearest of some points, one in each cell.
fn patches(n_classes: usize) -> Vec<ClassId> {
    let cells = SIDE / CELL;
    let scattered = |n: usize| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let point = |x: usize, y: usize| {
        let cell = y % cells * cells + x % cells;
        let offset = |salt: usize| scattered(cell * 3 + salt) % CELL;
        let class = scattered(cell * 3 + 2) % n_classes.max(1);
        (x * CELL + offset(0), y * CELL + offset(1), ClassId::try_from(class).unwrap_or_default())
    };
    let mut labels = vec![0; SIDE * SIDE];
    for (at, label) in labels.iter_mut().enumerate() {
        // One period further, so that the cells around it have no negative place.
        let (x, y) = (at % SIDE + SIDE, at / SIDE + SIDE);
        let around = (0..9).map(|n| point(x / CELL + n % 3 - 1, y / CELL + n / 3 - 1));
        let distance = |(px, py, _): &(usize, usize, ClassId)| px.abs_diff(x).pow(2) + py.abs_diff(y).pow(2);
        *label = around.min_by_key(distance).map_or(0, |(_, _, class)| class);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_join_where_the_square_is_repeated_and_hold_many_classes() {
        let labels = patches(7);
        let changes =
            |pairs: &mut dyn Iterator<Item = (usize, usize)>| pairs.filter(|(a, b)| labels[*a] != labels[*b]).count();
        let inside = changes(&mut (0..SIDE).map(|y| (y * SIDE + 500, y * SIDE + 501)));
        let across = changes(&mut (0..SIDE).map(|y| (y * SIDE + SIDE - 1, y * SIDE)));
        assert!((1..SIDE / 8).contains(&inside) && (1..SIDE / 8).contains(&across), "{inside} {across}");
        assert!((0..7).all(|class| labels.contains(&class)) && labels.iter().all(|label| *label < 7));
    }
}
