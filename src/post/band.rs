//! The rows that a filter keeps.

use std::collections::VecDeque;

use crate::config::classes::{ClassId, NODATA_LABEL};

/// Consecutive rows of a label map, the first ones gone and the last ones to come.
#[derive(Default)]
pub(super) struct Band {
    rows: VecDeque<Vec<ClassId>>,
    /// Which row of the map is the first.
    first: u32,
    /// Work space: pixels whose neighbours are to be looked at, or all of a component.
    open: Vec<(u32, u32)>,
    /// Work space of [`Self::fill`]: pixels that are nodata again in the end.
    nodata: Vec<(u32, u32)>,
}

impl Band {
    /// One past the last row.
    pub(super) fn end(&self) -> u32 {
        self.first + u32::try_from(self.rows.len()).unwrap_or(u32::MAX)
    }

    #[cfg(test)]
    pub(super) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn push(&mut self, row: Vec<ClassId>) {
        self.rows.push_back(row);
    }

    /// Takes the first row if it lies above row `end`.
    pub(super) fn pop_above(&mut self, end: u32) -> Option<Vec<ClassId>> {
        let row = if self.first < end { self.rows.pop_front() } else { None }?;
        self.first += 1;
        Some(row)
    }

    /// Gives `class` to the component of other pixels that holds the one at (`x`, `y`); nodata stays nodata. All of it must be here.
    pub(super) fn fill(&mut self, class: ClassId, x: u32, y: u32) {
        self.take(class, x, y);
        while let Some((x, y)) = self.open.pop() {
            beside(x, y).into_iter().for_each(|(x, y)| self.take(class, x, y));
        }
        // Nodata has had the class in between, which is how it was passed only once.
        for (x, y) in self.nodata.drain(..) {
            self.rows[(y - self.first) as usize][x as usize] = NODATA_LABEL;
        }
    }

    /// Gives the component of `class` that holds the pixel at (`x`, `y`) the class that most sides of its border touch, the first one of
    /// those that as many touch; one that touches nodata alone keeps its own. All of it must be here, and all that lies beside it.
    pub(super) fn dissolve(&mut self, class: ClassId, x: u32, y: u32) {
        let mut sides = [0_u32; NODATA_LABEL as usize];
        // It is nodata in between, which has no vote and is not passed again.
        self.mark(class, x, y, &mut sides);
        let mut next = 0;
        while let Some((x, y)) = self.open.get(next).copied() {
            beside(x, y).into_iter().for_each(|(x, y)| self.mark(class, x, y, &mut sides));
            next += 1;
        }
        let most = sides.iter().copied().max().filter(|most| *most > 0);
        let of_most = (0..NODATA_LABEL).zip(sides).find(|(_, n)| Some(*n) == most);
        let heir = of_most.map_or(class, |(heir, _)| heir);
        for (x, y) in self.open.drain(..) {
            self.rows[(y - self.first) as usize][x as usize] = heir;
        }
    }

    fn mark(&mut self, class: ClassId, x: u32, y: u32, sides: &mut [u32]) {
        match label(&mut self.rows, x, y.wrapping_sub(self.first)) {
            Some(label) if *label == class => {
                *label = NODATA_LABEL;
                self.open.push((x, y));
            }
            Some(other) => {
                let other = usize::from(*other);
                sides.get_mut(other).into_iter().for_each(|n| *n += 1);
            }
            None => {}
        }
    }

    fn take(&mut self, class: ClassId, x: u32, y: u32) {
        let label = label(&mut self.rows, x, y.wrapping_sub(self.first)).filter(|label| **label != class);
        let Some(label) = label else { return };
        if *label == NODATA_LABEL {
            self.nodata.push((x, y));
        }
        *label = class;
        self.open.push((x, y));
    }

    /// The most bytes that a band takes besides its rows, if it keeps up to `n_rows` and changes fewer than `n_pixels` at once.
    pub(super) fn overhead(n_rows: u64, n_pixels: u64) -> u64 {
        // What grows by doubling has room for up to twice as many as it had to hold, and for 4 at least.
        let grown = |n: u64, item: usize| (2 * n).max(4) * item as u64;
        grown(n_rows, size_of::<Vec<ClassId>>()) + 2 * grown(n_pixels, size_of::<(u32, u32)>())
    }

    /// What it has allocated.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let rows = self.rows.iter().map(Vec::capacity).sum::<usize>();
        let work = self.open.capacity() + self.nodata.capacity();
        rows + self.rows.capacity() * size_of::<Vec<ClassId>>() + work * size_of::<(u32, u32)>()
    }
}

/// The pixels that share a side with one; what wraps is none.
fn beside(x: u32, y: u32) -> [(u32, u32); 4] {
    [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)]
}

/// A pixel of rows; what wraps is none.
fn label(rows: &mut VecDeque<Vec<ClassId>>, x: u32, y: u32) -> Option<&mut ClassId> {
    rows.get_mut(y as usize)?.get_mut(x as usize)
}
