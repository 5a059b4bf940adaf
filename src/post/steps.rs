//! The filters of one scene, one behind the other.

use super::RowFilter;
use super::class_filter::{ClassFilter, Rule};
use super::majority::Majority;
use crate::config::Post;
use crate::config::classes::{ClassId, NODATA_LABEL};
use crate::geom::Size;

/// What is done to the label map of one scene, in order.
#[derive(Clone, Debug)]
pub struct Steps {
    size: Size,
    n_classes: usize,
    /// What each label becomes before all else.
    renamed: Option<Box<[ClassId; 256]>>,
    steps: Vec<Step>,
}

/// A pass over the rows.
#[derive(Clone, Copy, Debug)]
enum Step {
    Majority {
        side: u32,
    },
    /// Components of fewer pixels than `limit`.
    Components {
        class: ClassId,
        rule: Rule,
        limit: u32,
    },
}

impl Step {
    fn open(self, Size { width, .. }: Size, n_classes: usize) -> Box<dyn RowFilter> {
        match self {
            Self::Majority { side } => Box::new(Majority::new(side, width, n_classes)),
            Self::Components { class, rule, limit } => Box::new(ClassFilter::new(class, rule, width, limit)),
        }
    }
}

impl Steps {
    /// What a pipeline does to a scene of `size` with the labels 0 to `n_classes` - 1 and nodata, of which components of fewer pixels than
    /// `islands` are dropped, by class.
    pub fn new(post: &Post, n_classes: usize, size: Size, islands: &[u32]) -> Self {
        let classes = || (0..NODATA_LABEL).take(n_classes);
        // Components are changed that lie beside another class: never the one that is the whole scene.
        let limit = |smallest: u32| u32::try_from(size.area()).map_or(smallest, |area| smallest.min(area));
        let components = |class, rule, smallest| Step::Components { class, rule, limit: limit(smallest) };
        let holes = classes().map(|class| components(class, Rule::Fill, post.fill_holes));
        let islands = classes().zip(islands).map(|(class, smallest)| components(class, Rule::Dissolve, *smallest));
        let majority = Step::Majority { side: post.majority };
        let is_needed = |step: &Step| match step {
            Step::Majority { side } => *side > 1,
            Step::Components { limit, .. } => *limit > 1,
        };
        let mut table: Box<[ClassId; 256]> =
            Box::new(std::array::from_fn(|label| u8::try_from(label).unwrap_or(NODATA_LABEL)));
        post.remap.iter().for_each(|(from, to)| table[usize::from(*from)] = *to);
        Self {
            size,
            n_classes,
            renamed: (!post.remap.is_empty()).then_some(table),
            steps: std::iter::once(majority).chain(holes).chain(islands).filter(is_needed).collect(),
        }
    }

    /// The filters themselves.
    pub fn open(self) -> Chain {
        let filters = self.steps.iter().map(|step| step.open(self.size, self.n_classes)).collect();
        Chain { width: self.size.width, renamed: self.renamed, filters }
    }

    /// The most rows that have gone in and not come out after a push.
    pub fn max_rows(&self) -> u64 {
        let held = |step: &Step| match step {
            Step::Majority { side } => side / 2,
            Step::Components { rule, limit, .. } => rule.max_rows(*limit),
        };
        self.steps.iter().map(|step| u64::from(held(step))).sum::<u64>().min(self.size.height.into())
    }

    /// The most bytes that the filters take at any time, rows that have not come out included: whatever the labels are, so that most
    /// scenes take a small part of it.
    pub fn max_bytes(&self) -> u64 {
        let Size { width, height } = self.size;
        let of_step = |step: &Step| match step {
            Step::Majority { side } => Majority::max_bytes(*side, width, height, self.n_classes),
            Step::Components { rule, limit, .. } => ClassFilter::overhead(*rule, width, height, *limit),
        };
        if self.steps.is_empty() {
            0
        } else {
            let n_rows = (self.max_rows() + 1).min(height.into());
            n_rows * u64::from(width) + self.steps.iter().map(of_step).sum::<u64>()
        }
    }
}

/// The filters of one scene at work: rows go in from the top and come out in the same order.
pub struct Chain {
    width: u32,
    renamed: Option<Box<[ClassId; 256]>>,
    filters: Vec<Box<dyn RowFilter>>,
}

impl Chain {
    /// Takes the next row, of the scene's width, and appends the rows that are finished, none or many.
    pub fn push(&mut self, mut row: Vec<ClassId>, ready: &mut Vec<Vec<ClassId>>) {
        debug_assert_eq!(row.len(), self.width as usize);
        if let Some(renamed) = &self.renamed {
            row.iter_mut().for_each(|label| *label = renamed[usize::from(*label)]);
        }
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

    /// Rows that have gone in and not come out.
    #[cfg(test)]
    pub(super) fn rows_held(&self) -> usize {
        self.filters.iter().map(|filter| filter.rows_held()).sum()
    }

    /// What the filters have allocated.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.filters.iter().map(|filter| filter.bytes()).sum()
    }
}

/// Sends a row down the chain, and before it all that it settles.
fn pass(filters: &mut [Box<dyn RowFilter>], row: Vec<ClassId>, ready: &mut Vec<Vec<ClassId>>) {
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
    use std::collections::BTreeMap;

    use proptest::prelude::{ProptestConfig, any};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::config::Area;
    use crate::post::maps::{Map, drawn, streamed};

    const NODATA: ClassId = NODATA_LABEL;

    fn holes(smallest: u32) -> Post {
        Post { fill_holes: smallest, ..Post::default() }
    }

    /// Islands of these sizes, by class.
    fn islands(smallest: &[u32]) -> Post {
        Post { drop_islands: smallest.iter().map(|n| Area::Pixels(*n)).collect(), ..Post::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn rows_come_out_as_the_whole_map_would(
            width in 1u32..28, height in 1u32..28, smallest in 0u32..61, n_classes in 0u8..6, seed in any::<u64>(),
        ) {
            let map = drawn(Size::new(width, height), seed);
            prop_assert_eq!(streamed(&map, &holes(smallest), n_classes.into()), map.filled(n_classes, smallest));
        }

        #[test]
        fn narrow_and_flat_maps_too(
            side in 1u32..4, length in 1u32..300, smallest in 0u32..61, is_flat in any::<bool>(), seed in any::<u64>(),
        ) {
            let map = drawn(if is_flat { Size::new(length, side) } else { Size::new(side, length) }, seed);
            prop_assert_eq!(streamed(&map, &holes(smallest), 5), map.filled(5, smallest));
        }

        #[test]
        fn a_row_leaves_as_soon_as_what_it_holds_is_decided(
            width in 1u32..28, height in 1u32..28, smallest in 2u32..61, seed in any::<u64>(),
        ) {
            let map = drawn(Size::new(width, height), seed);
            let mut fill = Steps::new(&holes(smallest), 1, map.size, &[]).open();
            let mut ready = Vec::new();
            for (end, row) in (1..).zip(map.rows()) {
                fill.push(row, &mut ready);
                let above = Map { size: Size::new(width, end), labels: map.labels[..(width * end) as usize].to_vec() };
                let reaches_end = |c: &Vec<usize>| c.iter().any(|at| *at >= (width * (end - 1)) as usize);
                let mut undecided = above.components(|label| label != 0);
                undecided.retain(|c| c.len() < smallest.min(width * height) as usize && reaches_end(c));
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
                assert_eq!(streamed(&map, &holes(smallest), 2), map.filled(2, smallest), "{map:?} {smallest}");
            }
        }
    }

    #[test]
    fn a_component_with_one_pixel_less_than_the_smallest_is_filled() {
        let map = Map::parse(&["00000", "01120", "00000"]);
        let filled = Map::parse(&["00000", "00000", "00000"]);
        assert_eq!((streamed(&map, &holes(4), 3), map.filled(3, 4)), (filled.clone(), filled));
        // Three pixels are not fewer than three, and what is not 1, or not 2, is nearly the whole map.
        assert_eq!(streamed(&map, &holes(3), 3), map);
    }

    #[test]
    fn classes_take_turns_in_the_order_of_the_table() {
        // The 0 in the middle is a hole in class 2, but class 1 comes first and takes all that it rings.
        let map = Map::parse(&["0000000", "0111110", "0122210", "0120210", "0122210", "0111110", "0000000"]);
        let filled = Map::parse(&["0000000", "0111110", "0111110", "0111110", "0111110", "0111110", "0000000"]);
        assert_eq!(streamed(&map, &holes(10), 3), filled);
    }

    #[test]
    fn a_bay_at_the_border_of_the_scene_is_filled() {
        let map = Map::parse(&["0100", "0000", "0000", "0001"]);
        assert_eq!(streamed(&map, &holes(2), 1), Map::parse(&["0000", "0000", "0000", "0000"]));
    }

    #[test]
    fn nodata_connects_and_counts_and_stays() {
        let map = Map::parse(&["000000", "01..10", "000000"]);
        assert_eq!(streamed(&map, &holes(4), 2), map);
        assert_eq!(streamed(&map, &holes(5), 2), Map::parse(&["000000", "00..00", "000000"]));
    }

    #[test]
    fn a_scene_of_few_pixels_takes_no_class_that_is_not_in_it() {
        for rows in [&["3333", "3333"], &["....", "...."], &["33..", "3333"]] {
            let map = Map::parse(rows);
            assert_eq!(streamed(&map, &holes(50), 5), map);
        }
        assert_eq!(streamed(&Map::parse(&["3333", "3313"]), &holes(50), 5), Map::parse(&["1111", "1111"]));
    }

    #[test]
    fn nothing_is_held_when_nothing_is_to_be_filled() {
        let map = drawn(Size::new(20, 20), 7);
        for smallest in [0, 1] {
            assert_eq!(Steps::new(&holes(smallest), 5, map.size, &[]).max_bytes(), 0);
            assert_eq!(streamed(&map, &holes(smallest), 5), map);
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
            assert_eq!(streamed(&map, &holes(50), 15), map.filled(15, 50));
        }
    }

    #[test]
    fn the_bound_does_not_grow_with_the_height() {
        let bytes = |height| Steps::new(&holes(50), 15, Size::new(100_000, height), &[]).max_bytes();
        assert_eq!(bytes(1_000), bytes(1_000_000));
        assert!(bytes(1_000_000) < 130 << 20, "{}", bytes(1_000_000));
        assert!(bytes(100) < bytes(1_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn islands_go_as_they_would_in_the_whole_map_and_none_is_left(
            width in 1u32..28, height in 1u32..28, smallest in 0u32..61, seed in any::<u64>(),
        ) {
            let map = drawn(Size::new(width, height), seed);
            let own = |class: u32| if seed >> class & 1 == 0 { smallest } else { u32::from(seed.to_le_bytes()[class as usize]) % 61 };
            let by_class: Vec<u32> = (0..6).map(own).collect();
            let streamed = streamed(&map, &islands(&by_class), 6);
            prop_assert_eq!(&streamed, &map.without_islands(&by_class));
            for (class, smallest) in (0..).zip(by_class) {
                for component in streamed.components(|label| label == class) {
                    prop_assert!(component.len() >= smallest as usize || streamed.border(&component).is_empty());
                }
            }
        }

        #[test]
        fn islands_of_narrow_and_flat_maps_too(
            side in 1u32..4, length in 1u32..300, smallest in 0u32..61, is_flat in any::<bool>(), seed in any::<u64>(),
        ) {
            let map = drawn(if is_flat { Size::new(length, side) } else { Size::new(side, length) }, seed);
            prop_assert_eq!(streamed(&map, &islands(&[smallest; 6]), 6), map.without_islands(&[smallest; 6]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn all_steps_go_one_after_the_other(
            width in 1u32..40, height in 1u32..40, hole in 0u32..20, island in 0u32..20, radius in 0u32..4, seed in any::<u64>(),
        ) {
            // Ids to the last one.
            let ids = BTreeMap::from([(0, 254), (1, 1), (2, 0), (3, 130), (4, 253)]);
            let map = drawn(Size::new(width, height), seed).renamed(&ids);
            let post = Post {
                fill_holes: hole,
                remap: BTreeMap::from([(130, 254), (0, 7)]),
                majority: 2 * radius + 1,
                drop_islands: vec![Area::Pixels(island); 255],
            };
            let whole = map.renamed(&post.remap).voted(post.majority).filled(255, hole).without_islands(&[island; 255]);
            prop_assert_eq!(&streamed(&map, &post, 255), &whole);
            let is_nodata = |map: &Map| map.labels.iter().map(|label| *label == NODATA).collect::<Vec<_>>();
            prop_assert_eq!(is_nodata(&map), is_nodata(&whole));
        }
    }

    #[test]
    fn an_island_takes_the_class_that_most_sides_of_it_touch() {
        // Five sides touch 1 and three touch 2.
        let map = Map::parse(&["11122", "10002", "11122"]);
        assert_eq!(streamed(&map, &islands(&[4, 0, 0]), 3), Map::parse(&["11122", "11112", "11122"]));
        assert_eq!(streamed(&map, &islands(&[3, 0, 0]), 3), map, "three pixels are not fewer than three");
        // As many of both: the first one.
        assert_eq!(streamed(&Map::parse(&["201"]), &islands(&[2, 0, 0]), 3), Map::parse(&["211"]));
    }

    #[test]
    fn neither_nodata_nor_the_border_of_a_scene_has_a_say() {
        assert_eq!(
            streamed(&Map::parse(&["...", ".0.", ".1."]), &islands(&[9, 0]), 2),
            Map::parse(&["...", ".1.", ".1."])
        );
        let alone = Map::parse(&["...", ".0.", "..."]);
        assert_eq!(streamed(&alone, &islands(&[9, 9]), 2), alone);
        let whole = Map::parse(&["00", "00"]);
        assert_eq!(streamed(&whole, &islands(&[9, 9]), 2), whole);
    }

    #[test]
    fn what_became_of_one_island_counts_for_those_of_later_classes() {
        // The 0 becomes 1, and with it there are two of these.
        let map = Map::parse(&["22222", "20122", "22222"]);
        assert_eq!(streamed(&map, &islands(&[2, 2, 0]), 3), Map::parse(&["22222"; 3]));
        assert_eq!(streamed(&Map::parse(&["01"]), &islands(&[2, 2]), 2), Map::parse(&["11"]));
    }

    #[test]
    fn islands_are_held_back_by_width_times_size() {
        let bytes = |height| Steps::new(&islands(&[100; 15]), 15, Size::new(100_000, height), &[100; 15]).max_bytes();
        assert_eq!(bytes(10_000), bytes(1_000_000));
        assert!(bytes(1_000_000) < 220 << 20, "{}", bytes(1_000_000));
    }
}
