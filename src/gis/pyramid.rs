//! Rows of labels to rows of blocks, of the raster and of its overviews.

use crate::geom::Size;

/// Width and height of a block.
pub(crate) const BLOCK: u32 = 256;

/// A raster and its overviews, of which each is half as large as the one before, rounded up, until one fits into a block.
pub(crate) struct Pyramid {
    levels: Vec<Level>,
    halving: Halving,
}

/// What an overview makes of four pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Halving {
    /// The most frequent label; of equally frequent ones that which is first, row by row.
    Mode,
    /// The mean of those that are not this value, which stands for no data.
    MeanWithout(u8),
}

struct Level {
    size: Size,
    /// Rows that a row of blocks has so far.
    rows: Vec<u8>,
    /// Rows so far.
    n_rows: u32,
    /// The row whose neighbour below is not there yet.
    above: Vec<u8>,
}

/// A whole row of blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockRow<'a> {
    /// 0 for the raster itself.
    pub(crate) level: usize,
    /// Which of the level's rows of blocks it is.
    pub(crate) index: u32,
    /// Width of the level.
    pub(crate) width: u32,
    /// Its labels, row by row; the last row of blocks may have fewer rows.
    pub(crate) labels: &'a [u8],
}

/// Sizes of all levels, the raster's first.
fn sizes(size: Size) -> impl Iterator<Item = Size> {
    let half = |size: &Size| Size::new(size.width.div_ceil(2), size.height.div_ceil(2));
    let fits = |size: &Size| size.width <= BLOCK && size.height <= BLOCK;
    std::iter::successors(Some(size), move |size| (!fits(size)).then(|| half(size)))
}

impl Pyramid {
    /// That of a raster of this size.
    pub(crate) fn new(size: Size, halving: Halving) -> Self {
        let level = |size| Level { size, rows: Vec::new(), n_rows: 0, above: Vec::new() };
        Self { levels: sizes(size).map(level).collect(), halving }
    }

    pub(crate) fn n_overviews(&self) -> usize {
        self.levels.len() - 1
    }

    /// Bytes that it holds at most: of each level a row of blocks and a row.
    pub(crate) fn max_bytes(size: Size) -> u64 {
        sizes(size).map(|size| u64::from(size.width) * u64::from(BLOCK.min(size.height) + 1)).sum()
    }

    /// Blocks of all levels.
    pub(crate) fn n_blocks(size: Size) -> u64 {
        sizes(size).map(|size| u64::from(size.width.div_ceil(BLOCK)) * u64::from(size.height.div_ceil(BLOCK))).sum()
    }

    /// Adds a row; `full` is given what has become whole.
    pub(crate) fn push<E>(&mut self, row: &[u8], mut full: impl FnMut(BlockRow<'_>) -> Result<(), E>) -> Result<(), E> {
        let (mut row, n_levels) = (row.to_vec(), self.levels.len());
        for (idx, level) in self.levels.iter_mut().enumerate() {
            level.rows.extend_from_slice(&row);
            level.n_rows += 1;
            let is_last = level.n_rows == level.size.height;
            if is_last || level.n_rows.is_multiple_of(BLOCK) {
                let (index, width) = ((level.n_rows - 1) / BLOCK, level.size.width);
                full(BlockRow { level: idx, index, width, labels: &level.rows })?;
                level.rows.clear();
            }
            if idx + 1 == n_levels || (level.above.is_empty() && !is_last) {
                level.above = row;
                break;
            }
            // A last row without a partner stands for both.
            let above = if level.above.is_empty() { &row } else { &level.above };
            let halved = self.halving.halve(above, &row);
            level.above.clear();
            row = halved;
        }
        Ok(())
    }
}

impl Halving {
    /// Two rows as one of half the width.
    fn halve(self, above: &[u8], below: &[u8]) -> Vec<u8> {
        let pair = |row: &[u8]| (row[0], row[row.len() - 1]);
        let four = |(above, below): (&[u8], &[u8])| {
            let ((a, b), (c, d)) = (pair(above), pair(below));
            match self {
                Self::Mode => match () {
                    () if a == b || a == c || a == d => a,
                    () if b == c || b == d => b,
                    () if c == d => c,
                    () => a,
                },
                Self::MeanWithout(void) => {
                    let data = [a, b, c, d].into_iter().filter(|pixel| *pixel != void);
                    let (sum, n) = data.fold((0, 0), |(sum, n), pixel| (sum + u16::from(pixel), n + 1));
                    (sum + n / 2).checked_div(n).and_then(|mean: u16| u8::try_from(mean).ok()).unwrap_or(void)
                }
            }
        };
        above.chunks(2).zip(below.chunks(2)).map(four).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_label_stays_and_the_first_of_equals() {
        assert_eq!(Halving::Mode.halve(&[1, 2, 1, 2, 5], &[2, 2, 2, 1, 6]), [2, 1, 5]);
        assert_eq!(Halving::Mode.halve(&[1, 2, 7, 9, 3, 4], &[3, 3, 8, 8, 5, 6]), [3, 8, 3]);
    }

    #[test]
    fn a_mean_is_of_what_is_data_alone() {
        let means = Halving::MeanWithout(0).halve(&[1, 4, 0, 0, 255, 255, 7], &[1, 4, 9, 0, 255, 255, 0]);
        assert_eq!(means, [3, 9, 255, 7]);
        assert_eq!(Halving::MeanWithout(255).halve(&[255, 255, 0], &[255, 255, 255]), [255, 0]);
    }

    #[test]
    fn every_block_row_of_every_level_comes_once_with_what_a_picture_halved_as_a_whole_holds() {
        for size in [Size::new(1, 1), Size::new(256, 256), Size::new(257, 3), Size::new(700, 1301), Size::new(1, 900)] {
            let label = |x: u32, y: u32| u8::try_from((x / 3 * 7 + y / 5 * 3 + x * y % 2) % 11).unwrap();
            let mut level: Vec<Vec<u8>> =
                (0..size.height).map(|y| (0..size.width).map(|x| label(x, y)).collect()).collect();
            let (mut pyramid, mut came) = (Pyramid::new(size, Halving::Mode), Vec::new());
            let mut held = 0;
            for row in &level {
                let full = |blocks: BlockRow<'_>| {
                    came.push((blocks.level, blocks.index, blocks.width, blocks.labels.to_vec()));
                    Ok::<_, ()>(())
                };
                pyramid.push(row, full).unwrap();
                held = held.max(pyramid.levels.iter().map(|l| l.rows.len() + l.above.len()).sum::<usize>());
            }
            assert!(held as u64 <= Pyramid::max_bytes(size), "{size}");
            came.sort();
            let mut expected = Vec::new();
            for idx in 0..=pyramid.n_overviews() {
                let width = u32::try_from(level[0].len()).unwrap();
                expected.extend((0..).zip(level.chunks(256)).map(|(block, rows)| (idx, block, width, rows.concat())));
                level = level.chunks(2).map(|rows| Halving::Mode.halve(&rows[0], &rows[rows.len() - 1])).collect();
            }
            assert!(came == expected, "{size}");
            assert_eq!(
                expected.iter().map(|(_, _, width, _)| u64::from(width.div_ceil(256))).sum::<u64>(),
                Pyramid::n_blocks(size)
            );
        }
    }
}
