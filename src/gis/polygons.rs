//! Labels to polygons along the edges of pixels: one for each set of pixels of a label that hang together by their sides.

/// A polygon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Polygon {
    /// Its pixels' label.
    pub(crate) label: u8,
    /// How many these are.
    pub(crate) pixels: u64,
    /// The sum of their rows' weights.
    pub(crate) weight: f64,
    /// The outer ring, then the holes, closed: corners of pixels as column and row.
    pub(crate) rings: Vec<Vec<(u32, u32)>>,
}

/// Bytes that are held for each pixel at most while polygons are made, the labels included.
pub(crate) const BYTES_PER_PIXEL: u64 = 48;

/// What belongs to no polygon.
const NONE: u32 = u32::MAX;

/// Which polygon each pixel of the first and of the last row belongs to, counted in the order in which they are given.
#[derive(Debug)]
pub(crate) struct Borders {
    pub(crate) first: Vec<Option<usize>>,
    pub(crate) last: Vec<Option<usize>>,
}

/// Gives each polygon of some rows of labels, in the order of their first pixels; pixels of the label `void` belong to none. There is a
/// weight for each row.
pub(crate) fn polygons<E>(
    labels: &[u8],
    weights: &[f64],
    void: u8,
    mut each: impl FnMut(Polygon) -> Result<(), E>,
) -> Result<Borders, E> {
    let map = Map::new(labels, weights.len(), void);
    let mut polygons = vec![(0_u64, 0.0_f64); map.n];
    for (row, weight) in map.owner.chunks(map.width).zip(weights) {
        for polygon in row.iter().filter(|polygon| **polygon != NONE) {
            let (pixels, sum) = &mut polygons[*polygon as usize];
            (*pixels, *sum) = (*pixels + 1, *sum + weight);
        }
    }
    let mut starts = map.starts();
    // By polygon, and its outer ring first: the one with the first of its pixels.
    starts.sort_unstable();
    let mut starts = starts.into_iter().peekable();
    for (polygon, (pixels, weight)) in (0..).zip(polygons) {
        let (mut rings, mut label) = (Vec::new(), void);
        while let Some((_, start)) = starts.next_if(|(own, _)| *own == polygon) {
            let mut corners = Vec::new();
            map.trace(start as usize, |_| {}, |corner| corners.push(corner));
            label = if rings.is_empty() { labels[start as usize] } else { label };
            rings.push(corners);
        }
        each(Polygon { label, pixels, weight, rings })?;
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
                self.trace(at, |pixel| seen[pixel] = true, |_| {});
                starts.push((own, u32::try_from(at).unwrap_or(NONE)));
            }
        }
        starts
    }

    /// Goes round a ring with its polygon on the right, from the upper left corner of a pixel; gives the pixels whose upper edges it goes
    /// along, and its corners, the first one at the end again.
    fn trace(&self, start: usize, mut upper: impl FnMut(usize), mut corner: impl FnMut((u32, u32))) {
        let own = self.owner[start];
        let first = ((start % self.width) as i64, (start / self.width) as i64);
        let ((mut x, mut y), mut way) = (first, Way::East);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "corners lie in the map")]
        let mut put = |x: i64, y: i64| corner((x as u32, y as u32));
        put(x, y);
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
            if next != way {
                put(x, y);
            }
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
        polygons(labels, &weights, 255, keep).unwrap();
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
        assert_eq!(found[0], Polygon { label: 1, pixels: 9, weight: 3.0 + 6.0 + 9.0, rings: vec![outer, hole] });
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
        let borders = polygons(&[4, 4, 255, 6, 4, 4], &[1.0; 2], 255, |_| Ok::<_, ()>(())).unwrap();
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

    proptest! {
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
