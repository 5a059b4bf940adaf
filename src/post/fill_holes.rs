//! The chain of filters over all classes.

use super::class_filter::ClassFilter;
use crate::config::classes::{ClassId, NODATA_LABEL};
use crate::geom::Size;

/// Fills the small holes in the label map of one scene, by the rule that [`post`](super) states: rows go in from the top, and the
/// same buffers come out in the same order.
pub struct FillHoles {
    filters: Vec<ClassFilter>,
    width: u32,
}

impl FillHoles {
    /// For a scene of `size` with the labels 0 to `n_classes` - 1 and nodata: components of fewer than `smallest` pixels are
    /// filled. With `smallest` 0 or 1 there are none, and every row comes out as it goes in.
    pub fn new(size: Size, n_classes: usize, smallest: u32) -> Self {
        let limit = limit(size, smallest);
        let classes = (0..NODATA_LABEL).take(if limit > 1 { n_classes } else { 0 });
        let filters = classes.map(|class| ClassFilter::new(class, size.width, limit)).collect();
        Self { filters, width: size.width }
    }

    /// Takes the next row, of the scene's width, and appends the rows that are finished, none or many.
    pub fn push(&mut self, row: Vec<ClassId>, ready: &mut Vec<Vec<ClassId>>) {
        debug_assert_eq!(row.len(), self.width as usize);
        pass(&mut self.filters, row, ready);
    }

    /// Says that the scene has ended and appends the rows that are left: with those before as many as went in.
    pub fn finish(mut self, ready: &mut Vec<Vec<ClassId>>) {
        let mut filters = self.filters.as_mut_slice();
        while let Some((first, rest)) = filters.split_first_mut() {
            first.end();
            while let Some(row) = first.pop() {
                pass(rest, row, ready);
            }
            filters = rest;
        }
    }

    /// Rows that have gone in and not come out: after a push up to `n_classes` x (`smallest` - 1).
    pub fn rows_held(&self) -> usize {
        self.filters.iter().map(ClassFilter::rows_held).sum()
    }

    /// The most bytes that filling takes at any time for a scene of `size`, rows that have not come out included: whatever the
    /// labels are, so that most scenes take a small part of it.
    pub fn max_bytes(size: Size, n_classes: usize, smallest: u32) -> u64 {
        let limit = limit(size, smallest);
        if limit <= 1 {
            return 0;
        }
        Self::max_rows(size, n_classes, smallest) * u64::from(size.width)
            + n_classes as u64 * ClassFilter::overhead(size.width, size.height, limit)
    }

    /// The most rows that have not come out.
    pub fn max_rows(size: Size, n_classes: usize, smallest: u32) -> u64 {
        (n_classes as u64 * u64::from(limit(size, smallest).max(1) - 1) + 1).min(size.height.into())
    }
}

/// Components of fewer pixels are filled: of the whole scene never all.
fn limit(size: Size, smallest: u32) -> u32 {
    u32::try_from(size.area()).map_or(smallest, |area| smallest.min(area))
}

/// Sends a row down the chain, and before it all that it settles.
fn pass(filters: &mut [ClassFilter], row: Vec<ClassId>, ready: &mut Vec<Vec<ClassId>>) {
    let Some((first, rest)) = filters.split_first_mut() else {
        ready.push(row);
        return;
    };
    first.push(row);
    while let Some(row) = first.pop() {
        pass(rest, row, ready);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any};
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    const NODATA: ClassId = NODATA_LABEL;

    /// A label map at once.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Map {
        size: Size,
        labels: Vec<ClassId>,
    }

    impl Map {
        fn new(size: Size, label: impl FnMut((u32, u32)) -> ClassId) -> Self {
            let pixels = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
            Self { size, labels: pixels.map(label).collect() }
        }

        /// One character per pixel, `.` for nodata.
        fn parse(rows: &[&str]) -> Self {
            let label = |b: u8| if b == b'.' { NODATA } else { b - b'0' };
            let size = Size::new(u32::try_from(rows[0].len()).unwrap(), u32::try_from(rows.len()).unwrap());
            Self { size, labels: rows.iter().flat_map(|r| r.bytes().map(label)).collect() }
        }

        fn rows(&self) -> impl Iterator<Item = Vec<ClassId>> {
            self.labels.chunks(self.size.width as usize).map(<[_]>::to_vec)
        }

        fn neighbours(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
            let (width, len) = (self.size.width as usize, self.labels.len());
            let x = at % width;
            let left = (x > 0).then(|| at - 1);
            let right = (x + 1 < width).then(|| at + 1);
            let up = at.checked_sub(width);
            let down = (at + width < len).then(|| at + width);
            [left, right, up, down].into_iter().flatten()
        }

        /// The components of pixels that are not of `class`.
        fn components(&self, class: ClassId) -> Vec<Vec<usize>> {
            let mut seen: Vec<bool> = self.labels.iter().map(|l| *l == class).collect();
            let mut components = Vec::new();
            for at in 0..self.labels.len() {
                let mut component = Vec::new();
                let mut open = vec![at];
                while let Some(at) = open.pop() {
                    if !std::mem::replace(&mut seen[at], true) {
                        component.push(at);
                        open.extend(self.neighbours(at));
                    }
                }
                components.push(component);
            }
            components.retain(|c| !c.is_empty());
            components
        }

        /// The rule, word by word.
        fn filled(&self, n_classes: ClassId, smallest: u32) -> Self {
            let mut map = self.clone();
            for class in 0..n_classes {
                let before = map.clone();
                for component in before.components(class) {
                    let is_beside_class =
                        component.iter().any(|at| before.neighbours(*at).any(|n| before.labels[n] == class));
                    if component.len() < smallest as usize && is_beside_class {
                        let data = component.iter().filter(|at| before.labels[**at] != NODATA);
                        data.for_each(|at| map.labels[*at] = class);
                    }
                }
            }
            map
        }

        /// The same through [`FillHoles`]; what must hold after every row is checked on the way.
        fn streamed(&self, n_classes: usize, smallest: u32) -> Self {
            let max_bytes = usize::try_from(FillHoles::max_bytes(self.size, n_classes, smallest)).unwrap();
            let mut fill = FillHoles::new(self.size, n_classes, smallest);
            let mut ready = Vec::new();
            for (y, row) in self.rows().enumerate() {
                fill.push(row, &mut ready);
                assert_eq!(ready.len() + fill.rows_held(), y + 1);
                assert!(fill.rows_held() <= n_classes * smallest.saturating_sub(1) as usize);
                assert!(fill.filters.iter().map(ClassFilter::bytes).sum::<usize>() <= max_bytes);
            }
            fill.finish(&mut ready);
            assert_eq!(ready.len(), self.size.height as usize);
            Self { size: self.size, labels: ready.concat() }
        }
    }

    /// Numbers that look random, below `n`.
    fn random(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed | 1;
        move |n| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) % n
        }
    }

    /// Noise, blobs, stripes, blocks or a spiral of up to five classes; then specks, and nodata as specks or as a margin.
    fn drawn(size: Size, seed: u64) -> Map {
        let mut random = random(seed);
        let n = 2 + random(4);
        let class = |v: u64| ClassId::try_from(v % n).unwrap();
        let period = 2 + random(6);
        let mut map = match random(5) {
            0 => Map::new(size, |_| class(random(n))),
            1 => {
                let (width, height) = (u64::from(size.width), u64::from(size.height));
                let seeds: Vec<_> = (0..1 + random(12)).map(|_| (random(width), random(height), random(n))).collect();
                let nearest = |(x, y): (u32, u32)| {
                    let away = |s: &&(u64, u64, u64)| s.0.abs_diff(x.into()).pow(2) + s.1.abs_diff(y.into()).pow(2);
                    class(seeds.iter().min_by_key(away).unwrap().2)
                };
                Map::new(size, nearest)
            }
            2 => {
                let (dx, dy) = (random(3), random(3));
                Map::new(size, |(x, y)| class((u64::from(x) * dx + u64::from(y) * dy) / period))
            }
            3 => Map::new(size, |(x, y)| class(u64::from(x) / period + u64::from(y) / period)),
            _ => spiral(size, class(random(n)), class(random(n)), random(200)),
        };
        for _ in 0..[0, 2, 20][usize::try_from(random(3)).unwrap()] {
            let at = usize::try_from(random(map.labels.len() as u64)).unwrap();
            map.labels[at] = class(random(n));
        }
        let one_in = [2, 5, 30][usize::try_from(random(3)).unwrap()];
        match random(4) {
            0 => map.labels.iter_mut().for_each(|l| *l = if random(one_in) == 0 { NODATA } else { *l }),
            1 => {
                let margin = u32::try_from(random(4)).unwrap();
                let inside = Map::new(size, |(x, y)| ClassId::from(x >= margin && x + y / 2 + margin < size.width));
                map.labels.iter_mut().zip(inside.labels).for_each(|(l, i)| *l = if i == 0 { NODATA } else { *l });
            }
            _ => {}
        }
        map
    }

    /// A path of `line` that winds inwards over `ground`, each turn one pixel away from the one before, up to `length` pixels.
    fn spiral(size: Size, ground: ClassId, line: ClassId, length: u64) -> Map {
        let mut map = Map::new(size, |_| ground);
        let (width, height) = (i64::from(size.width), i64::from(size.height));
        let (mut left, mut top, mut right, mut bottom) = (0, 0, width - 1, height - 1);
        let (mut x, mut y, mut dx, mut dy) = (0, 0, 1, 0);
        for _ in 0..length {
            map.labels[usize::try_from(y * width + x).unwrap()] = line;
            let fits = |x: i64, y: i64| (left..=right).contains(&x) && (top..=bottom).contains(&y);
            if !fits(x + dx, y + dy) {
                match (dx, dy) {
                    (1, 0) => top += 2,
                    (0, 1) => right -= 2,
                    (-1, 0) => bottom -= 2,
                    _ => left += 2,
                }
                (dx, dy) = (-dy, dx);
                if left > right || top > bottom {
                    break;
                }
            }
            (x, y) = ((x + dx).clamp(0, width - 1), (y + dy).clamp(0, height - 1));
        }
        map
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn rows_come_out_as_the_whole_map_would(
            width in 1u32..28, height in 1u32..28, smallest in 0u32..61, n_classes in 0u8..6, seed in any::<u64>(),
        ) {
            let map = drawn(Size::new(width, height), seed);
            prop_assert_eq!(map.streamed(n_classes.into(), smallest), map.filled(n_classes, smallest));
        }

        #[test]
        fn narrow_and_flat_maps_too(
            side in 1u32..4, length in 1u32..300, smallest in 0u32..61, is_flat in any::<bool>(), seed in any::<u64>(),
        ) {
            let map = drawn(if is_flat { Size::new(length, side) } else { Size::new(side, length) }, seed);
            prop_assert_eq!(map.streamed(5, smallest), map.filled(5, smallest));
        }

        #[test]
        fn a_row_leaves_as_soon_as_what_it_holds_is_decided(
            width in 1u32..28, height in 1u32..28, smallest in 2u32..61, seed in any::<u64>(),
        ) {
            let map = drawn(Size::new(width, height), seed);
            let mut fill = FillHoles::new(map.size, 1, smallest);
            let mut ready = Vec::new();
            for (end, row) in (1..).zip(map.rows()) {
                fill.push(row, &mut ready);
                let above = Map { size: Size::new(width, end), labels: map.labels[..(width * end) as usize].to_vec() };
                let reaches_end = |c: &Vec<usize>| c.iter().any(|at| *at >= (width * (end - 1)) as usize);
                let mut undecided = above.components(0);
                undecided.retain(|c| c.len() < limit(map.size, smallest) as usize && reaches_end(c));
                let first = undecided.iter().flatten().min().map_or(end as usize, |at| at / width as usize);
                prop_assert_eq!(ready.len(), first);
            }
        }
    }

    #[test]
    fn every_map_of_nine_pixels_comes_out_as_the_rule_says() {
        for number in 0..3usize.pow(9) {
            let mut rest = number;
            let map = Map::new(Size::new(3, 3), |_| {
                let label = [0, 1, NODATA][rest % 3];
                rest /= 3;
                label
            });
            for smallest in [2, 3, 5, 10] {
                assert_eq!(map.streamed(2, smallest), map.filled(2, smallest), "{map:?} {smallest}");
            }
        }
    }

    #[test]
    fn a_component_with_one_pixel_less_than_the_smallest_is_filled() {
        let map = Map::parse(&["00000", "01120", "00000"]);
        let filled = Map::parse(&["00000", "00000", "00000"]);
        assert_eq!((map.streamed(3, 4), map.filled(3, 4)), (filled.clone(), filled));
        // Three pixels are not fewer than three, and what is not 1, or not 2, is nearly the whole map.
        assert_eq!(map.streamed(3, 3), map);
    }

    #[test]
    fn classes_take_turns_in_the_order_of_the_table() {
        // The 0 in the middle is a hole in class 2, but class 1 comes first and takes all that it rings.
        let map = Map::parse(&["0000000", "0111110", "0122210", "0120210", "0122210", "0111110", "0000000"]);
        let filled = Map::parse(&["0000000", "0111110", "0111110", "0111110", "0111110", "0111110", "0000000"]);
        assert_eq!(map.streamed(3, 10), filled);
    }

    #[test]
    fn a_bay_at_the_border_of_the_scene_is_filled() {
        let map = Map::parse(&["0100", "0000", "0000", "0001"]);
        assert_eq!(map.streamed(1, 2), Map::parse(&["0000", "0000", "0000", "0000"]));
    }

    #[test]
    fn nodata_connects_and_counts_and_stays() {
        let map = Map::parse(&["000000", "01..10", "000000"]);
        assert_eq!(map.streamed(2, 4), map);
        assert_eq!(map.streamed(2, 5), Map::parse(&["000000", "00..00", "000000"]));
    }

    #[test]
    fn a_scene_of_few_pixels_takes_no_class_that_is_not_in_it() {
        for rows in [&["3333", "3333"], &["....", "...."], &["33..", "3333"]] {
            let map = Map::parse(rows);
            assert_eq!(map.streamed(5, 50), map);
        }
        assert_eq!(Map::parse(&["3333", "3313"]).streamed(5, 50), Map::parse(&["1111", "1111"]));
    }

    #[test]
    fn nothing_is_held_when_nothing_is_to_be_filled() {
        let map = drawn(Size::new(20, 20), 7);
        for smallest in [0, 1] {
            assert_eq!(FillHoles::max_bytes(map.size, 5, smallest), 0);
            assert_eq!(map.streamed(5, smallest), map);
        }
    }

    #[test]
    fn lines_and_chequers_stay_within_the_bound() {
        let size = Size::new(301, 900);
        let turn = |v: u32, n: u32| ClassId::try_from(v % n).unwrap();
        let maps = [
            // Lines one pixel wide, each as long as can be filled.
            Map::new(size, |(x, y)| if y % 50 == 49 { turn(y / 50, 15) } else { turn(x % 2 * (1 + y / 50), 15) }),
            Map::new(size, |(x, y)| turn(x + y, 2)),
            Map::new(size, |(x, _)| turn(x, 15)),
            Map::new(size, |(x, y)| turn(x / 7 + y / 7, 15)),
        ];
        for map in maps {
            assert_eq!(map.streamed(15, 50), map.filled(15, 50));
        }
    }

    #[test]
    fn the_bound_does_not_grow_with_the_height() {
        let bytes = |height| FillHoles::max_bytes(Size::new(100_000, height), 15, 50);
        assert_eq!(bytes(1_000), bytes(1_000_000));
        assert!(bytes(1_000_000) < 130 << 20, "{}", bytes(1_000_000));
        assert!(bytes(100) < bytes(1_000));
    }
}
