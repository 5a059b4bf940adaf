//! Which place of which scene a crop is taken from: a function of seed, step, sample and what is labelled, and of nothing else.

use std::sync::Arc;

use super::Index;
use super::index::{Scene, Spot};
use crate::config::classes::ClassId;
use crate::config::data::Sampling;
use crate::geom::Size;
use crate::random::SplitMix64;

/// Draws places.
///
/// First a labelled pixel, and then one of the windows that hold it; so no crop is without labels, and pixels of a class that is wanted are
/// there. Windows lie in the scene as far as it is large enough.
#[derive(Clone, Debug)]
pub struct Drawer {
    pub(super) index: Arc<Index>,
    sampling: Sampling,
    pub(super) side: u32,
    seed: u64,
    /// Labelled pixels of the scenes up to each.
    labelled: Vec<u64>,
    /// The classes that are there, with their pixels in the scenes up to each.
    classes: Vec<(ClassId, Vec<u64>)>,
}

/// Where a crop lies: its upper left corner on the networks' grid of a scene, which it may hang over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the scene.
    pub scene: usize,
    /// Its first column: negative where it hangs over.
    pub x: i64,
    /// Its first row: negative where it hangs over.
    pub y: i64,
}

/// A labelled pixel and where in the window it is to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aim {
    pub(super) scene: usize,
    pub(super) class: ClassId,
    pub(super) spot: Spot,
    /// Numbers that say where.
    offset: [u64; 2],
}

impl Drawer {
    /// Of an index with at least one scene; crops have `side` pixels a side, at least 1.
    pub fn new(index: Arc<Index>, sampling: Sampling, side: u32, seed: u64) -> Self {
        let up_to = |pixels: &mut dyn Iterator<Item = u64>| -> Vec<u64> {
            let sum = |sum: &mut u64, n: u64| {
                *sum += n;
                Some(*sum)
            };
            pixels.scan(0, sum).collect()
        };
        let labelled = up_to(&mut index.scenes.iter().map(Scene::labelled));
        let of_class = |(class, total): (ClassId, u64)| {
            let pixels = &mut index.scenes.iter().map(|scene| scene.pixels[usize::from(class)]);
            (total > 0).then(|| (class, up_to(pixels)))
        };
        let classes = (0..=ClassId::MAX).zip(index.classes()).filter_map(of_class).collect();
        Self { index, sampling, side: side.max(1), seed, labelled, classes }
    }

    /// The aim of a crop, at the given attempt; `None` where there is nothing to aim at.
    pub(super) fn aim(&self, step: u64, sample: u64, attempt: u64) -> Option<Aim> {
        let mut numbers = SplitMix64::keyed(&[self.seed, step, sample, attempt]);
        let (scene, class, rank) = match self.sampling {
            Sampling::Area => {
                let (scene, rank) = pick(&self.labelled, &mut numbers)?;
                self.of_scene(scene, rank)?
            }
            Sampling::Scene => {
                let n_scenes = self.index.scenes.len() as u64;
                if n_scenes == 0 {
                    return None;
                }
                let scene = usize::try_from(numbers.below(n_scenes)).ok()?;
                let labelled = self.index.scenes.get(scene)?.labelled();
                self.of_scene(scene, numbers.below(labelled))?
            }
            Sampling::Class => {
                if self.classes.is_empty() {
                    return None;
                }
                let at = usize::try_from(numbers.below(self.classes.len() as u64)).ok()?;
                let (class, up_to) = &self.classes[at];
                let (scene, rank) = pick(up_to, &mut numbers)?;
                (scene, *class, rank)
            }
        };
        let offset = [numbers.next_u64(), numbers.next_u64()];
        let spot = self.index.scenes.get(scene)?.find(class, rank)?;
        Some(Aim { scene, class, spot, offset })
    }

    /// The class of a labelled pixel of a scene, and its rank among those of the class.
    fn of_scene(&self, scene: usize, mut rank: u64) -> Option<(usize, ClassId, u64)> {
        for (class, n) in (0..=ClassId::MAX).zip(&self.index.scenes.get(scene)?.pixels) {
            if rank < *n {
                return Some((scene, class, rank));
            }
            rank -= n;
        }
        None
    }

    /// The window of an aim whose pixel lies there.
    pub(super) fn place(&self, aim: &Aim, column: u32, row: u32) -> Place {
        let Size { width, height } = self.index.scenes[aim.scene].opened.grid;
        let side = self.side;
        let [x, y] = [(column, width, aim.offset[0]), (row, height, aim.offset[1])]
            .map(|(at, length, offset)| along(at, length, side, offset));
        Place { scene: aim.scene, x, y }
    }
}

/// Where a window begins that holds `at`, along one axis: each that lies in the scene is as likely as another. One that is drawn anyhow and moved
/// into the scene would lie at its edge most of the time where scenes are not much larger than windows.
fn along(at: u32, length: u32, side: u32, offset: u64) -> i64 {
    let (at, length, side) = (i64::from(at), i64::from(length), i64::from(side));
    let below = |n: i64| {
        let product = u128::from(offset) * u128::from(n.unsigned_abs());
        i64::try_from(product >> 64).unwrap_or(0)
    };
    if length < side {
        // It holds the whole scene.
        return length - side + below(side - length + 1);
    }
    let (first, last) = ((at - side + 1).max(0), at.min(length - side));
    first + below(last - first + 1)
}

/// One of several at odds of their parts of a sum, and how far into its part.
fn pick(up_to: &[u64], numbers: &mut SplitMix64) -> Option<(usize, u64)> {
    let rank = numbers.below(*up_to.last().filter(|total| **total > 0)?);
    let at = up_to.partition_point(|until| *until <= rank);
    let before = at.checked_sub(1).map_or(0, |before| up_to[before]);
    Some((at, rank - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_what_they_aim_at_and_are_not_drawn_to_edges() {
        let offsets = (0..64_u64).map(|n| n << 58 | n);
        for (length, side) in [(544, 256), (300, 256), (256, 256), (40, 256), (1, 1)] {
            let draws =
                (0..length).flat_map(|at| offsets.clone().map(move |offset| (at, along(at, length, side, offset))));
            let draws: Vec<(u32, i64)> = draws.collect();
            for (at, start) in &draws {
                assert!((*start..*start + i64::from(side)).contains(&i64::from(*at)), "{at} {start}");
                let inside = 0..=i64::from(length.saturating_sub(side));
                assert!(length < side || inside.contains(start), "{length}: {start}");
            }
            if length == 544 {
                let at_edge = draws.iter().filter(|(_, start)| [0, 288].contains(start)).count();
                assert!(at_edge * 30 < draws.len(), "{at_edge} of {}", draws.len());
            }
        }
    }
}
