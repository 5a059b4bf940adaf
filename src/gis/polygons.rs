//! Labels to polygons along the edges of pixels: one for each set of pixels of a label that hang together by their sides.

use super::simplify::{self, Kept, Tolerance};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Polygon {
    pub(crate) label: u8,
    /// How many these are.
    pub(crate) pixels: u64,
    /// The sum of their rows' weights.
    pub(crate) weight: f64,
    /// The sum of their scores, and how many of them have one.
    pub(crate) score: (u64, u64),
    /// The outer ring, then the holes, closed: corners of pixels as column and row.
    pub(crate) rings: Vec<Vec<(u32, u32)>>,
}

/// Bytes that are held for each pixel at most while polygons are made, the labels included.
pub(crate) const fn bytes_per_pixel(with_scores: bool, simplified: bool) -> u64 {
    // A byte of score, and two sums of each polygon; a corner with its neighbours, and its place in a queue that it enters again and again.
    64 + if with_scores { 8 } else { 0 } + if simplified { 96 } else { 0 }
}

/// What belongs to no polygon.
const NONE: u32 = u32::MAX;

/// Which polygon each pixel of the first and of the last row belongs to, counted in the order in which they are given.
#[derive(Debug)]
pub(crate) struct Borders {
    pub(crate) first: Vec<Option<usize>>,
    pub(crate) last: Vec<Option<usize>>,
}

/// Rows of pixels that polygons are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pixels<'a> {
    pub(crate) labels: &'a [u8],
    /// Their scores, 0 where there is none; empty where nobody wants them.
    pub(crate) scores: &'a [u8],
    /// A weight for each row.
    pub(crate) weights: &'a [f64],
}

/// Gives each polygon of some rows of pixels, in the order of their first pixels; pixels of the label `void` belong to none. Borders are
/// simplified where there is a tolerance.
pub(crate) fn polygons<E>(
    Pixels { labels, scores, weights }: Pixels<'_>,
    void: u8,
    tolerance: Option<Tolerance>,
    mut each: impl FnMut(Polygon) -> Result<(), E>,
) -> Result<Borders, E> {
    let map = Map::new(labels, weights.len(), void);
    let mut polygons = vec![(0_u64, 0.0_f64, (0, 0)); map.n];
    for (y, (row, weight)) in map.owner.chunks(map.width).zip(weights).enumerate() {
        for (x, polygon) in row.iter().enumerate().filter(|(_, polygon)| **polygon != NONE) {
            let (pixels, sum, score) = &mut polygons[*polygon as usize];
            (*pixels, *sum) = (*pixels + 1, *sum + weight);
            let own = scores.get(y * map.width + x).copied().unwrap_or(0);
            *score = (score.0 + u64::from(own), score.1 + u64::from(own > 0));
        }
    }
    let mut starts = map.starts();
    let kept = tolerance.map(|tolerance| map.simplified(&starts, tolerance));
    // By polygon, and its outer ring first: the one with the first of its pixels.
    starts.sort_unstable();
    let mut starts = starts.into_iter().peekable();
    for (polygon, (pixels, weight, score)) in (0..).zip(polygons) {
        let (mut rings, mut label) = (Vec::new(), void);
        while let Some((_, start)) = starts.next_if(|(own, _)| *own == polygon) {
            label = if rings.is_empty() { labels[start as usize] } else { label };
            rings.push(match &kept {
                None => map.ring(start, |_, is_corner| is_corner),
                Some(kept) => {
                    let mut ring = map.ring(start, |corner, _| kept.has(corner));
                    // Where it begins a corner may be gone.
                    ring.extend(ring.first().copied().filter(|first| ring.last() != Some(first)));
                    ring
                }
            });
        }
        each(Polygon { label, pixels, weight, score, rings })?;
    }
    let row = |row: &[u32]| row.iter().map(|one| (*one != NONE).then_some(*one as usize)).collect();
    let behind = map.owner.len().saturating_sub(map.width);
    Ok(Borders { first: row(&map.owner[..map.width]), last: row(&map.owner[behind..]) })
}

/// Which polygon each pixel belongs to.
struct Map {
    width: usize,
    height: usize,
    owner: Vec<u32>,
    n: usize,
}

/// A way along the edges of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    East,
    South,
    West,
    North,
}

impl Way {
    const ALL: [Self; 4] = [Self::East, Self::South, Self::West, Self::North];

    /// So many quarters of a turn to the right.
    fn turned(self, quarters: usize) -> Self {
        Self::ALL[(self as usize + quarters) % 4]
    }
}

impl Map {
    fn new(labels: &[u8], height: usize, void: u8) -> Self {
        let width = labels.len() / height.max(1);
        let mut owner = vec![NONE; labels.len()];
        // Provisional numbers and which others they are the same as; the least stands for all.
        let mut same: Vec<u32> = Vec::new();
        for at in 0..labels.len() {
            let label = labels[at];
            if label == void {
                continue;
            }
            let left = (at % width > 0 && labels[at - 1] == label).then(|| owner[at - 1]);
            let above = (at >= width && labels[at - width] == label).then(|| owner[at - width]);
            owner[at] = match (left, above) {
                (Some(left), Some(above)) => join(&mut same, left, above),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => {
                    let new = u32::try_from(same.len()).unwrap_or(NONE);
                    same.push(new);
                    new
                }
            };
        }
        // Numbers without gaps: the least of a polygon's is that of its first pixel.
        let mut n = 0;
        for one in 0..same.len() {
            let least = same[one] as usize;
            same[one] = if least == one { n } else { same[least] };
            n += u32::from(least == one);
        }
        owner.iter_mut().filter(|one| **one != NONE).for_each(|one| *one = same[*one as usize]);
        Self { width, height, owner, n: n as usize }
    }

    /// Whose pixel this is; nobody's outside.
    fn at(&self, x: i64, y: i64) -> u32 {
        let inside = |n: i64, end: usize| usize::try_from(n).ok().filter(|n| *n < end);
        match (inside(x, self.width), inside(y, self.height)) {
            (Some(x), Some(y)) => self.owner[y * self.width + x],
            _ => NONE,
        }
    }

    /// The polygon and a first pixel of every ring: one whose upper edge the ring goes along, with no such pixel before it.
    fn starts(&self) -> Vec<(u32, u32)> {
        let mut seen = vec![false; self.owner.len()];
        let mut starts = Vec::new();
        for at in 0..self.owner.len() {
            let own = self.owner[at];
            let is_edge = own != NONE && (at < self.width || self.owner[at - self.width] != own);
            if is_edge && !seen[at] {
                self.trace(at, |pixel| seen[pixel] = true, |_, _| {});
                starts.push((own, u32::try_from(at).unwrap_or(NONE)));
            }
        }
        starts
    }

    /// The corners of pixels that a ring goes by, as far as they are chosen: by place, and whether the ring turns there.
    fn ring(&self, start: u32, is_chosen: impl Fn((u32, u32), bool) -> bool) -> Vec<(u32, u32)> {
        let mut ring = Vec::new();
        let choose = |corner, turns| {
            if is_chosen(corner, turns) {
                ring.push(corner);
            }
        };
        self.trace(start as usize, |_| {}, choose);
        ring
    }

    /// How many borders meet in a corner of pixels.
    fn n_borders(&self, (x, y): (u32, u32)) -> usize {
        let (x, y) = (i64::from(x), i64::from(y));
        let around = [(x - 1, y - 1), (x, y - 1), (x, y), (x - 1, y)].map(|(x, y)| self.at(x, y));
        (0..4).filter(|at| around[*at] != around[(at + 1) % 4]).count()
    }

    /// The corners that rings keep.
    fn simplified(&self, starts: &[(u32, u32)], tolerance: Tolerance) -> Kept {
        let (width, height) = (self.width, self.height);
        let (mut kept, mut done) = (Kept::none(width, height), Kept::none(width, height));
        let corners = |start| self.ring(start, |corner, turns| turns || self.n_borders(corner) > 2);
        for (_, start) in starts {
            corners(*start).into_iter().for_each(|corner| kept.put(corner, true));
        }
        let is_fixed = |corner: (u32, u32)| {
            let on_edge = |at: u32, end: usize| at == 0 || at as usize == end;
            on_edge(corner.0, width) || on_edge(corner.1, height) || self.n_borders(corner) > 2
        };
        for (_, start) in starts {
            simplify::ring(&corners(*start), is_fixed, tolerance, &mut kept, &mut done);
        }
        kept
    }

    /// Goes round a ring with its polygon on the right, from the upper left corner of a pixel; gives the pixels whose upper edges it goes
    /// along, and the corners of pixels that it goes by with whether it turns there, the first one at the end again.
    fn trace(&self, start: usize, mut upper: impl FnMut(usize), mut corner: impl FnMut((u32, u32), bool)) {
        let own = self.owner[start];
        let first = ((start % self.width) as i64, (start / self.width) as i64);
        let ((mut x, mut y), mut way) = (first, Way::East);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "corners lie in the map")]
        let mut put = |x: i64, y: i64, turns: bool| corner((x as u32, y as u32), turns);
        put(x, y, true);
        loop {
            if way == Way::East {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "there is a pixel below")]
                upper(y as usize * self.width + x as usize);
            }
            let (dx, dy) = match way {
                Way::East => (1, 0),
                Way::South => (0, 1),
                Way::West => (-1, 0),
                Way::North => (0, -1),
            };
            (x, y) = (x + dx, y + dy);
            let is_own = |at: [i64; 2]| self.at(at[0], at[1]) == own;
            let (left, right) = match way {
                Way::East => ([x, y - 1], [x, y]),
                Way::South => ([x, y], [x - 1, y]),
                Way::West => ([x - 1, y], [x - 1, y - 1]),
                Way::North => ([x - 1, y - 1], [x, y - 1]),
            };
            // Where two of its pixels touch with their corners the ring goes from one to the other: so holes that reach there are rings of
            // their own, and no ring crosses itself.
            let next = match () {
                () if is_own(left) => way.turned(3),
                () if is_own(right) => way,
                () => way.turned(1),
            };
            put(x, y, next != way);
            way = next;
            if (x, y) == first && way == Way::East {
                return;
            }
        }
    }
}

/// Makes two numbers mean the same, and gives the one that stands for both.
fn join(same: &mut [u32], one: u32, other: u32) -> u32 {
    let mut least = |mut of: u32| {
        while same[of as usize] != of {
            // Halves the way for the next one.
            same[of as usize] = same[same[of as usize] as usize];
            of = same[of as usize];
        }
        of
    };
    let (one, other) = (least(one), least(other));
    let (stands, joins) = (one.min(other), one.max(other));
    same[joins as usize] = stands;
    stands
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(labels: &[u8], width: usize) -> Vec<Polygon> {
        let mut found = Vec::new();
        let weights: Vec<f64> = (0..labels.len() / width).map(|y| y as f64 + 1.0).collect();
        let keep = |polygon| {
            found.push(polygon);
            Ok::<_, ()>(())
        };
        polygons(Pixels { labels, scores: &[], weights: &weights }, 255, None, keep).unwrap();
        found
    }

    /// The same with simple borders: corners may be so many pixels off.
    fn simple(labels: &[u8], width: usize, distance: f64) -> Vec<Polygon> {
        let (mut found, weights) = (Vec::new(), vec![1.0; labels.len() / width]);
        let keep = |polygon| {
            found.push(polygon);
            Ok::<_, ()>(())
        };
        let tolerance = Tolerance { distance, right: [1.0, 0.0], down: [0.0, 1.0] };
        polygons(Pixels { labels, scores: labels, weights: &weights }, 255, Some(tolerance), keep).unwrap();
        found
    }

    #[test]
    fn a_ring_with_a_hole_is_one_polygon_and_so_is_the_hole() {
        #[rustfmt::skip]
        let found = all(&[
            1, 1, 1, 255,
            1, 2, 1, 1,
            1, 1, 1, 255,
        ], 4);
        let outer = vec![(0, 0), (3, 0), (3, 1), (4, 1), (4, 2), (3, 2), (3, 3), (0, 3), (0, 0)];
        let hole = vec![(1, 2), (2, 2), (2, 1), (1, 1), (1, 2)];
        assert_eq!(
            found[0],
            Polygon { label: 1, pixels: 9, weight: 3.0 + 6.0 + 9.0, score: (0, 0), rings: vec![outer, hole] }
        );
        assert_eq!((found.len(), found[1].pixels, found[1].label), (2, 1, 2));
    }

    #[test]
    fn where_pixels_touch_with_corners_a_hole_stays_a_ring_of_its_own() {
        #[rustfmt::skip]
        let found = all(&[
            1, 1, 1,
            1, 0, 1,
            1, 1, 0,
        ], 3);
        assert_eq!(found.iter().map(|p| (p.label, p.rings.len())).collect::<Vec<_>>(), [(1, 2), (0, 1), (0, 1)]);
        assert_eq!(found[0].rings[1].len(), 5);
    }

    #[test]
    fn borders_tell_whose_pixels_they_have() {
        let pixels = Pixels { labels: &[4, 4, 255, 6, 4, 4], scores: &[], weights: &[1.0; 2] };
        let borders = polygons(pixels, 255, None, |_| Ok::<_, ()>(())).unwrap();
        assert_eq!((borders.first, borders.last), (vec![Some(0), Some(0), None], vec![Some(1), Some(0), Some(0)]));
    }

    /// Twice the area inside a ring, negative for holes.
    fn doubled(ring: &[(u32, u32)]) -> i64 {
        let cross = |w: &[(u32, u32)]| {
            let [(ax, ay), (bx, by)] = [w[0], w[1]].map(|(x, y)| (i64::from(x), i64::from(y)));
            ax * by - bx * ay
        };
        ring.windows(2).map(cross).sum()
    }

    /// Which side of a line a point is on.
    fn side(p: (u32, u32), q: (u32, u32), r: (u32, u32)) -> i64 {
        let [(px, py), (qx, qy), (rx, ry)] = [p, q, r].map(|(x, y)| (i64::from(x), i64::from(y)));
        ((qx - px) * (ry - py) - (qy - py) * (rx - px)).signum()
    }

    proptest! {
        #[test]
        fn simple_borders_are_shared_do_not_cross_and_leave_no_gap(
            width in 2_usize..24,
            labels in prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 1, 1, 1, 2, 255]), 4..400),
            distance in 0.1_f64..6.0,
        ) {
            let labels = &labels[..labels.len() / width * width];
            prop_assume!(!labels.is_empty());
            let (plain, found) = (all(labels, width), simple(labels, width, distance));
            prop_assert_eq!(plain.len(), found.len());
            let area = |polygon: &Polygon| polygon.rings.iter().map(|ring| doubled(ring)).sum::<i64>();
            let mut edges = std::collections::BTreeMap::<[(u32, u32); 2], i64>::new();
            for (plain, found) in plain.iter().zip(&found) {
                prop_assert_eq!((plain.label, plain.pixels, plain.rings.len()), (found.label, found.pixels, found.rings.len()));
                prop_assert!(area(found) > 0);
                let scored = if plain.label == 0 { 0 } else { plain.pixels };
                prop_assert_eq!(found.score, (scored * u64::from(plain.label), scored));
                for (old, ring) in plain.rings.iter().zip(&found.rings) {
                    prop_assert!(ring.len() >= 4 && ring[0] == ring[ring.len() - 1]);
                    prop_assert_eq!(doubled(old).signum(), doubled(ring).signum());
                    for w in ring.windows(2) {
                        *edges.entry([w[0].min(w[1]), w[0].max(w[1])]).or_default() += 1;
                    }
                }
            }
            // An edge has one polygon on each side, or nothing on the other: what is outside has as much border as all polygons.
            prop_assert!(edges.values().all(|n| *n <= 2));
            let edges: Vec<[(u32, u32); 2]> = edges.into_keys().collect();
            for (at, [a, b]) in edges.iter().enumerate() {
                for [c, d] in &edges[..at] {
                    let crosses = side(*a, *b, *c) * side(*a, *b, *d) < 0 && side(*c, *d, *a) * side(*c, *d, *b) < 0;
                    prop_assert!(!crosses, "{:?} {:?} and {:?} {:?}", a, b, c, d);
                }
            }
            // Without holes in the map all polygons together are the map.
            if !labels.contains(&255) {
                let whole = 2 * i64::try_from(labels.len()).unwrap();
                prop_assert_eq!(found.iter().map(area).sum::<i64>(), whole);
            }
        }

        #[test]
        fn every_pixel_is_in_one_polygon_and_areas_add_up(
            width in 1_usize..14,
            labels in prop::collection::vec(prop::sample::select(vec![0_u8, 0, 1, 1, 2, 255]), 1..160),
        ) {
            let labels = &labels[..labels.len() / width * width];
            prop_assume!(!labels.is_empty());
            let found = all(labels, width);
            let data = labels.iter().filter(|label| **label != 255).count() as u64;
            prop_assert_eq!(found.iter().map(|polygon| polygon.pixels).sum::<u64>(), data);
            let mut painted = vec![255; labels.len()];
            for polygon in &found {
                let area: i64 = polygon.rings.iter().map(|ring| doubled(ring)).sum();
                prop_assert_eq!(u64::try_from(area).unwrap(), 2 * polygon.pixels);
                prop_assert!(doubled(&polygon.rings[0]) > 0 && polygon.rings[1..].iter().all(|hole| doubled(hole) < 0));
                for ring in &polygon.rings {
                    prop_assert!(ring.len() >= 5 && ring[0] == ring[ring.len() - 1]);
                    // Corners alone, and each edge along a row or a column.
                    prop_assert!(ring.windows(2).all(|w| (w[0].0 == w[1].0) != (w[0].1 == w[1].1)));
                    prop_assert!(ring.windows(3).all(|w| (w[0].0 == w[1].0) != (w[1].0 == w[2].0)));
                }
                // A pixel is inside where a way to the left crosses an odd number of edges.
                for (at, painted) in painted.iter_mut().enumerate() {
                    let (x, y) = (u32::try_from(at % width).unwrap(), u32::try_from(at / width).unwrap());
                    let crossed = polygon.rings.iter().flat_map(|ring| ring.windows(2)).filter(|w| {
                        let (top, bottom) = (w[0].1.min(w[1].1), w[0].1.max(w[1].1));
                        w[0].0 == w[1].0 && w[0].0 <= x && (top..bottom).contains(&y)
                    });
                    if crossed.count() % 2 == 1 {
                        prop_assert_eq!(*painted, 255);
                        *painted = polygon.label;
                    }
                }
            }
            prop_assert_eq!(painted, labels);
        }
    }
}
