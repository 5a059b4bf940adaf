//! Borders of polygons with fewer corners: no corner of the old border lies farther from the new one than a distance that is given.
//!
//! What is simplified is not a ring but an arc: the border that two polygons have in common, from one junction of borders to the next. Both
//! polygons get the same new one, for what is left of an arc is but the set of corners that are kept. Junctions stay, and so do corners on
//! the edge of the map, where polygons go on in another one.
//!
//! Corners go one by one, that with the smallest triangle first (Visvalingam). One may go if all old corners between its neighbours are near
//! enough to the line between these (what Douglas and Peucker ask for), and if no other corner of any border lies in the triangle or on its
//! edges. So no two borders ever touch, cross or change sides, which Douglas's and Peucker's own way does not promise: polygons stay valid,
//! and each hole in its place. A ring keeps four corners, and an arc that has corners keeps one: nothing vanishes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A corner of a pixel: column and row.
pub(super) type Corner = (u32, u32);

/// Corners that are kept, of all corners of a map's pixels.
pub(super) struct Kept {
    words: Vec<u64>,
    stride: usize,
}

/// How distances are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    /// How far a corner may lie from the new border.
    pub(crate) distance: f64,
    /// What a step to the right and one down are on the ground.
    pub(crate) right: [f64; 2],
    pub(crate) down: [f64; 2],
}

impl Kept {
    /// None of those of a map of so many columns and rows.
    pub(super) fn none(width: usize, height: usize) -> Self {
        let stride = width + 1;
        Self { words: vec![0; (stride * (height + 1)).div_ceil(64)], stride }
    }

    fn place(&self, (x, y): Corner) -> (usize, u64) {
        let at = y as usize * self.stride + x as usize;
        (at / 64, 1 << (at % 64))
    }

    pub(super) fn has(&self, corner: Corner) -> bool {
        let (word, bit) = self.place(corner);
        self.words[word] & bit != 0
    }

    pub(super) fn put(&mut self, corner: Corner, is_kept: bool) {
        let (word, bit) = self.place(corner);
        if is_kept {
            self.words[word] |= bit;
        } else {
            self.words[word] &= !bit;
        }
    }

    /// Whether there is one in a row, from one column to another, both included.
    fn any(&self, y: usize, from: usize, to: usize) -> bool {
        let (first, last) = (y * self.stride + from, y * self.stride + to);
        (first / 64..=last / 64).any(|word| {
            let low = if word == first / 64 { u64::MAX << (first % 64) } else { u64::MAX };
            let high = if word == last / 64 { u64::MAX >> (63 - last % 64) } else { u64::MAX };
            self.words[word] & low & high != 0
        })
    }

    /// Whether some other one lies in a triangle or on its edges.
    fn any_in(&mut self, triangle: [Corner; 3]) -> bool {
        triangle.iter().for_each(|corner| self.put(*corner, false));
        let (mut top, mut bottom) = (u32::MAX, 0);
        triangle.iter().for_each(|(_, y)| (top, bottom) = (top.min(*y), bottom.max(*y)));
        let edges = [(0, 1), (1, 2), (2, 0)].map(|(a, b)| (triangle[a], triangle[b]));
        let found = (top..=bottom).any(|y| {
            let (mut from, mut to) = (i64::MAX, i64::MIN);
            for ((ax, ay), (bx, by)) in edges {
                if !(ay.min(by)..=ay.max(by)).contains(&y) {
                    continue;
                }
                let [ax, ay, bx, by, y] = [ax, ay, bx, by, y].map(i64::from);
                if ay == by {
                    (from, to) = (from.min(ax.min(bx)), to.max(ax.max(bx)));
                } else {
                    // Where the edge meets the row, rounded towards the inside.
                    let (over, under) = ((bx - ax) * (y - ay) * (by - ay).signum(), (by - ay).abs());
                    from = from.min(ax - (-over).div_euclid(under));
                    to = to.max(ax + over.div_euclid(under));
                }
            }
            let inside = usize::try_from(from).ok().zip(usize::try_from(to).ok());
            inside.is_some_and(|(from, to)| from <= to && self.any(y as usize, from, to))
        });
        triangle.iter().for_each(|corner| self.put(*corner, true));
        found
    }
}

impl Tolerance {
    fn ground(&self, (ax, ay): Corner, (bx, by): Corner) -> [f64; 2] {
        let (dx, dy) = (f64::from(bx) - f64::from(ax), f64::from(by) - f64::from(ay));
        [dx * self.right[0] + dy * self.down[0], dx * self.right[1] + dy * self.down[1]]
    }

    /// Whether a corner is near enough to the line between two others.
    fn holds(&self, corner: Corner, from: Corner, to: Corner) -> bool {
        let ([x, y], [dx, dy]) = (self.ground(from, corner), self.ground(from, to));
        let length = dx * dx + dy * dy;
        let along = if length > 0.0 { ((x * dx + y * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
        (x - along * dx).hypot(y - along * dy) <= self.distance
    }
}

/// Simplifies the arcs of a closed ring, whose first corner is its last as well, and which are not `done` before.
pub(super) fn ring(
    ring: &[Corner],
    is_fixed: impl Fn(Corner) -> bool,
    tolerance: Tolerance,
    kept: &mut Kept,
    done: &mut Kept,
) {
    let ring = &ring[..ring.len() - 1];
    let Some(first) = ring.iter().position(|corner| is_fixed(*corner)) else {
        if !done.has(ring[0]) {
            ring.iter().for_each(|corner| done.put(*corner, true));
            Chain::new(ring, true).simplify(4, tolerance, kept);
        }
        return;
    };
    let around: Vec<Corner> = ring[first..].iter().chain(&ring[..=first]).copied().collect();
    let mut from = 0;
    for to in (1..around.len()).filter(|at| is_fixed(around[*at])) {
        let arc = &around[from..=to];
        from = to;
        if arc.len() > 2 && !done.has(arc[1]) {
            arc[1..arc.len() - 1].iter().for_each(|corner| done.put(*corner, true));
            // One that ends where it begins is a ring.
            let least = if arc[0] == arc[arc.len() - 1] { 3 } else { 1 };
            Chain::new(arc, false).simplify(2 + least, tolerance, kept);
        }
    }
}

/// Corners in order, of which some go.
struct Chain<'a> {
    corners: &'a [Corner],
    closed: bool,
    /// Neighbours of those that are still there.
    before: Vec<u32>,
    after: Vec<u32>,
    gone: Vec<bool>,
}

impl<'a> Chain<'a> {
    fn new(corners: &'a [Corner], closed: bool) -> Self {
        let n = u32::try_from(corners.len()).unwrap_or(u32::MAX);
        let before = (0..n).map(|at| (at + n - 1) % n).collect();
        let after = (0..n).map(|at| (at + 1) % n).collect();
        Self { corners, closed, before, after, gone: vec![false; corners.len()] }
    }

    fn triangle(&self, at: u32) -> [Corner; 3] {
        [self.before[at as usize], at, self.after[at as usize]].map(|at| self.corners[at as usize])
    }

    /// Twice the area of a corner's triangle, and the corner, if it may go at all.
    fn candidate(&self, at: u32) -> Option<Reverse<(u64, u32)>> {
        let is_end = !self.closed && (at == 0 || at as usize == self.corners.len() - 1);
        let [a, b, c] = self.triangle(at).map(|(x, y)| (i64::from(x), i64::from(y)));
        let area = ((b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)).unsigned_abs();
        (!is_end && !self.gone[at as usize]).then_some(Reverse((area, at)))
    }

    /// Takes out corners until so many are left or none may go.
    fn simplify(mut self, least: usize, tolerance: Tolerance, kept: &mut Kept) {
        let n = u32::try_from(self.corners.len()).unwrap_or(u32::MAX);
        let mut left = self.corners.len();
        let mut candidates: BinaryHeap<_> = (0..n).filter_map(|at| self.candidate(at)).collect();
        while let Some(candidate) = candidates.pop().filter(|_| left > least) {
            let Reverse((_, at)) = candidate;
            let is_current = self.candidate(at) == Some(candidate);
            if !is_current || !self.is_near(at, tolerance) || kept.any_in(self.triangle(at)) {
                continue;
            }
            let (before, after) = (self.before[at as usize], self.after[at as usize]);
            kept.put(self.corners[at as usize], false);
            self.gone[at as usize] = true;
            (self.after[before as usize], self.before[after as usize]) = (after, before);
            left -= 1;
            candidates.extend([before, after].into_iter().filter_map(|at| self.candidate(at)));
        }
    }

    /// Whether all corners that there were between a corner's neighbours are near enough to the line between these.
    fn is_near(&self, at: u32, tolerance: Tolerance) -> bool {
        let (before, after) = (self.before[at as usize] as usize, self.after[at as usize] as usize);
        let n = self.corners.len();
        let between = (before + 1..).map(|at| at % n).take_while(|at| *at != after);
        let (from, to) = (self.corners[before], self.corners[after]);
        between.into_iter().all(|at| tolerance.holds(self.corners[at], from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRE: Tolerance = Tolerance { distance: 1.0, right: [1.0, 0.0], down: [0.0, -1.0] };

    fn simplified(corners: &[Corner], fixed: &[Corner], others: &[Corner]) -> Vec<Corner> {
        let (mut kept, mut done) = (Kept::none(70, 70), Kept::none(70, 70));
        corners.iter().chain(others).for_each(|corner| kept.put(*corner, true));
        ring(corners, |corner| fixed.contains(&corner), METRE, &mut kept, &mut done);
        corners.iter().copied().filter(|corner| kept.has(*corner)).collect()
    }

    #[test]
    fn stairs_become_a_slope_and_nothing_vanishes() {
        let mut stairs: Vec<Corner> = (0..30).flat_map(|i| [(i, i), (i + 1, i)]).collect();
        stairs.extend([(30, 30), (0, 30), (0, 0)]);
        let left = simplified(&stairs, &[(0, 0), (30, 30), (0, 30)], &[]);
        assert_eq!(left.len(), 5, "{left:?}");
        let square = [(3, 3), (4, 3), (4, 4), (3, 4), (3, 3)];
        assert_eq!(simplified(&square, &[], &[]), square);
        assert_eq!(simplified(&square, &[(3, 3)], &[]), square);
    }

    #[test]
    fn a_corner_of_another_border_in_the_triangle_stays_on_its_side() {
        let bump = [(0, 0), (10, 0), (10, 1), (11, 1), (11, 0), (60, 0), (60, 60), (0, 60), (0, 0)];
        let fixed = [(0, 0), (60, 0), (60, 60), (0, 60)];
        assert_eq!(simplified(&bump, &fixed, &[]).len(), 6, "one corner of the bump stays");
        // Off the slope by a third of a metre, with or without a corner of another border in between.
        let slope = [(0, 0), (20, 1), (60, 2), (60, 60), (0, 60), (0, 0)];
        let kept = |others: &[Corner]| simplified(&slope, &[(0, 0), (60, 60), (0, 60)], others).contains(&(20, 1));
        assert_eq!((kept(&[]), kept(&[(25, 1)]), kept(&[(25, 2)])), (false, true, false));
    }

    #[test]
    fn corners_are_found_wherever_a_triangle_reaches() {
        let triangles = [[(0, 0), (65, 3), (9, 66)], [(3, 3), (69, 3), (7, 3)], [(5, 60), (5, 1), (5, 9)]];
        for triangle in triangles {
            let [a, b, c] = triangle.map(|(x, y)| (i64::from(x), i64::from(y)));
            let side = |p: (i64, i64), q: (i64, i64), x: i64, y: i64| (q.0 - p.0) * (y - p.1) - (q.1 - p.1) * (x - p.0);
            for (x, y) in (0..70).flat_map(|y| (0..70).map(move |x| (x, y))) {
                let corner = (u32::try_from(x).unwrap(), u32::try_from(y).unwrap());
                let sides = [side(a, b, x, y), side(b, c, x, y), side(c, a, x, y)];
                let within = |v: fn(&(i64, i64)) -> i64, at: i64| {
                    let all = [a, b, c].map(|p| v(&p));
                    all.iter().any(|v| *v <= at) && all.iter().any(|v| *v >= at)
                };
                let inside = (sides.iter().all(|s| *s >= 0) || sides.iter().all(|s| *s <= 0))
                    && within(|p| p.0, x)
                    && within(|p| p.1, y)
                    && !triangle.contains(&corner);
                let mut kept = Kept::none(70, 70);
                kept.put(corner, true);
                assert_eq!(kept.any_in(triangle), inside, "{triangle:?} {corner:?}");
            }
        }
    }
}
