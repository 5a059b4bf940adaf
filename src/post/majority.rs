//! The majority filter.

use std::collections::VecDeque;

use super::RowFilter;
use crate::config::classes::ClassId;

/// Gives each pixel the class that most pixels of a window around it have. What it costs does not depend on the window: the counts of a
/// column gain a pixel and lose one from row to row, and those of a window gain a column and lose one from pixel to pixel.
pub(super) struct Majority {
    /// Pixels of the window on each side of its centre.
    radius: usize,
    n_classes: usize,
    /// The rows that are counted, as they came.
    rows: VecDeque<Vec<ClassId>>,
    /// Which of them is decided next.
    next: usize,
    has_ended: bool,
    /// Of each column the pixels of each class in the rows at hand.
    columns: Vec<u8>,
    /// Of each class the pixels in the window.
    window: Vec<u16>,
    /// A row that is not needed any more.
    spare: Vec<ClassId>,
}

impl Majority {
    /// With a window of `side` pixels, an odd number up to 255: the counts of a column are bytes.
    pub(super) fn new(side: u32, width: u32, n_classes: usize) -> Self {
        let n_classes = n_classes.max(1);
        Self {
            radius: side as usize / 2,
            n_classes,
            rows: VecDeque::new(),
            next: 0,
            has_ended: false,
            columns: vec![0; width as usize * n_classes],
            window: vec![0; n_classes],
            spare: Vec::new(),
        }
    }

    /// The most bytes that a filter takes in a map of `height` rows of `width`, rows included.
    pub(super) fn max_bytes(side: u32, width: u32, height: u32, n_classes: usize) -> u64 {
        let n_rows = u64::from(side.min(height));
        // One row more is in the making.
        let rows = (n_rows + 1) * u64::from(width) + (2 * n_rows).max(4) * size_of::<Vec<ClassId>>() as u64;
        let n_classes = n_classes.max(1) as u64;
        size_of::<Self>() as u64 + rows + n_classes * (u64::from(width) + size_of::<u16>() as u64)
    }

    /// Counts a row, or takes it out of the counts. What is no class, nodata that is, has no vote.
    fn count(&mut self, row: &[ClassId], step: fn(u8, u8) -> u8) {
        for (column, label) in self.columns.chunks_exact_mut(self.n_classes).zip(row) {
            column.get_mut(usize::from(*label)).into_iter().for_each(|n| *n = step(*n, 1));
        }
    }

    /// The row that is next, as the votes have it.
    fn decided(&mut self) -> Vec<ClassId> {
        let mut decided = std::mem::take(&mut self.spare);
        decided.clear();
        decided.reserve_exact(self.rows[self.next].len());
        let window = &mut self.window;
        window.fill(0);
        let mut coming = self.columns.chunks_exact(self.n_classes);
        let mut going = coming.clone();
        let add = |window: &mut [u16], column: &[u8]| {
            window.iter_mut().zip(column).for_each(|(sum, n)| *sum += u16::from(*n));
        };
        coming.by_ref().take(self.radius).for_each(|column| add(window, column));
        for (x, label) in self.rows[self.next].iter().enumerate() {
            coming.next().into_iter().for_each(|column| add(window, column));
            if x > self.radius {
                let column = going.next().unwrap_or_default();
                window.iter_mut().zip(column).for_each(|(sum, n)| *sum -= u16::from(*n));
            }
            decided.push(elected(window, *label));
        }
        decided
    }
}

/// The class with the most votes: where several have them the pixel's own if it is one of these, or else the first. What is no class
/// stays.
fn elected(votes: &[u16], own: ClassId) -> ClassId {
    let (Some(of_own), Some(most)) = (votes.get(usize::from(own)), votes.iter().max()) else { return own };
    let first = || (0..ClassId::MAX).zip(votes).find(|(_, n)| *n == most).map_or(own, |(class, _)| class);
    if of_own == most { own } else { first() }
}

impl RowFilter for Majority {
    fn push(&mut self, row: Vec<ClassId>) {
        self.count(&row, u8::wrapping_add);
        self.rows.push_back(row);
    }

    fn end(&mut self) {
        self.has_ended = true;
    }

    fn pop(&mut self) -> Option<Vec<ClassId>> {
        let below = self.rows.len().checked_sub(self.next + 1)?;
        if below < self.radius && !self.has_ended {
            return None;
        }
        let decided = self.decided();
        if self.next == self.radius {
            let gone = self.rows.pop_front().unwrap_or_default();
            self.count(&gone, u8::wrapping_sub);
            self.spare = gone;
        } else {
            self.next += 1;
        }
        Some(decided)
    }

    #[cfg(test)]
    fn rows_held(&self) -> usize {
        self.rows.len() - self.next
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        let rows = self.rows.iter().map(Vec::capacity).sum::<usize>() + self.spare.capacity();
        let tables = self.columns.capacity() + self.window.capacity() * size_of::<u16>();
        size_of::<Self>() + rows + self.rows.capacity() * size_of::<Vec<ClassId>>() + tables
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any};
    use proptest::{prop_assert_eq, proptest};

    use crate::config::Post;
    use crate::geom::Size;
    use crate::post::maps::{Map, drawn, streamed};

    fn of_side(side: u32) -> Post {
        Post { majority: side, ..Post::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn rows_come_out_as_the_whole_map_would(
            width in 1u32..40, height in 1u32..40, radius in 0u32..24, seed in any::<u64>(),
        ) {
            let map = drawn(Size::new(width, height), seed);
            prop_assert_eq!(streamed(&map, &of_side(2 * radius + 1), 6), map.voted(2 * radius + 1));
        }

        #[test]
        fn narrow_and_flat_maps_too(
            side in 1u32..4, length in 1u32..300, radius in 0u32..128, is_flat in any::<bool>(), seed in any::<u64>(),
        ) {
            let map = drawn(if is_flat { Size::new(length, side) } else { Size::new(side, length) }, seed);
            prop_assert_eq!(streamed(&map, &of_side(2 * radius + 1), 6), map.voted(2 * radius + 1));
        }
    }

    #[test]
    fn the_widest_window_counts_all_of_one_class() {
        let speck = |(x, y)| if (x, y) == (150, 150) { 254 } else { 253 };
        let map = Map::new(Size::new(300, 300), speck);
        let out = streamed(&map, &of_side(255), 255);
        assert!(out.labels.iter().all(|label| *label == 253));
    }

    #[test]
    fn of_equal_votes_the_pixels_own_counts_and_else_the_first_class() {
        let map = Map::parse(&["2211"]);
        assert_eq!(streamed(&map, &of_side(3), 3), map);
        assert_eq!(streamed(&Map::parse(&["201"]), &of_side(3), 3), Map::parse(&["201"]));
        // Two 2 and two 1 around a 0.
        assert_eq!(streamed(&Map::parse(&["22011"]), &of_side(5), 3), Map::parse(&["22111"]));
        assert_eq!(streamed(&Map::parse(&["2.011"]), &of_side(5), 3), Map::parse(&["2.111"]));
    }
}
