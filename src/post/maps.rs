//! Label maps for tests, and the rules on whole maps, word by word.

use std::collections::BTreeMap;

use super::Steps;
use crate::config::Post;
use crate::config::classes::{ClassId, NODATA_LABEL};
use crate::geom::Size;

const NODATA: ClassId = NODATA_LABEL;

/// A label map at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) size: Size,
    pub(super) labels: Vec<ClassId>,
}

impl Map {
    pub(super) fn new(size: Size, label: impl FnMut((u32, u32)) -> ClassId) -> Self {
        let pixels = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
        Self { size, labels: pixels.map(label).collect() }
    }

    /// One character per pixel, `.` for nodata.
    pub(super) fn parse(rows: &[&str]) -> Self {
        let label = |b: u8| if b == b'.' { NODATA } else { b - b'0' };
        let size = Size::new(u32::try_from(rows[0].len()).unwrap(), u32::try_from(rows.len()).unwrap());
        Self { size, labels: rows.iter().flat_map(|r| r.bytes().map(label)).collect() }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Vec<ClassId>> {
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

    /// The components of pixels whose labels are wanted.
    pub(super) fn components(&self, is_wanted: impl Fn(ClassId) -> bool) -> Vec<Vec<usize>> {
        let mut seen: Vec<bool> = self.labels.iter().map(|l| !is_wanted(*l)).collect();
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

    /// Sides of a component's border by the class that they touch.
    pub(super) fn border(&self, component: &[usize]) -> BTreeMap<ClassId, usize> {
        let own = self.labels[component[0]];
        let mut sides = BTreeMap::new();
        for neighbour in component.iter().flat_map(|at| self.neighbours(*at)) {
            let label = self.labels[neighbour];
            if label != own && label != NODATA {
                *sides.entry(label).or_insert(0) += 1;
            }
        }
        sides
    }

    pub(super) fn renamed(&self, names: &BTreeMap<ClassId, ClassId>) -> Self {
        let labels = self.labels.iter().map(|label| *names.get(label).unwrap_or(label)).collect();
        Self { size: self.size, labels }
    }

    pub(super) fn voted(&self, side: u32) -> Self {
        let reach = |at: u32, length: u32| at.saturating_sub(side / 2)..(at + side / 2 + 1).min(length);
        let at = |x: u32, y: u32| self.labels[(y * self.size.width + x) as usize];
        Self::new(self.size, |(x, y)| {
            let own = at(x, y);
            let mut votes = BTreeMap::new();
            for y in reach(y, self.size.height) {
                let labels = reach(x, self.size.width).map(|x| at(x, y)).filter(|label| *label != NODATA);
                labels.for_each(|label| *votes.entry(label).or_insert(0) += 1);
            }
            let most = votes.values().copied().max();
            match own {
                NODATA => own,
                own if votes.get(&own).copied() == most => own,
                _ => *votes.iter().find(|(_, n)| Some(**n) == most).unwrap().0,
            }
        })
    }

    pub(super) fn filled(&self, n_classes: ClassId, smallest: u32) -> Self {
        let mut map = self.clone();
        for class in (0..n_classes).filter(|class| self.labels.contains(class)) {
            let before = map.clone();
            for component in before.components(|label| label != class) {
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

    /// `smallest` by class.
    pub(super) fn without_islands(&self, smallest: &[u32]) -> Self {
        let mut map = self.clone();
        for (class, smallest) in (0..NODATA).zip(smallest).filter(|(class, _)| self.labels.contains(class)) {
            let before = map.clone();
            for component in before.components(|label| label == class) {
                let border = before.border(&component);
                let most = border.values().copied().max();
                let heir = border.iter().find(|(_, sides)| Some(**sides) == most);
                if let Some((heir, _)) = heir.filter(|_| component.len() < *smallest as usize) {
                    component.iter().for_each(|at| map.labels[*at] = *heir);
                }
            }
        }
        map
    }
}

/// The same through filters; what must hold after every row is checked on the way.
pub(super) fn streamed(map: &Map, post: &Post, n_classes: usize) -> Map {
    let steps = Steps::new(post, n_classes, map.size, &post.islands(None).unwrap());
    let (max_bytes, max_rows) =
        (usize::try_from(steps.max_bytes()).unwrap(), usize::try_from(steps.max_rows()).unwrap());
    let mut chain = steps.open();
    let mut ready = Vec::new();
    for (y, row) in map.rows().enumerate() {
        chain.push(row, &mut ready);
        assert_eq!(ready.len() + chain.rows_held(), y + 1);
        assert!(chain.rows_held() <= max_rows);
        assert!(chain.bytes() <= max_bytes, "{} of {max_bytes}", chain.bytes());
    }
    chain.finish(&mut ready);
    assert_eq!(ready.len(), map.size.height as usize);
    Map { size: map.size, labels: ready.concat() }
}

/// Numbers that look random, below `n`.
pub(super) fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed | 1;
    move |n| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) % n
    }
}

/// Noise, blobs, stripes, blocks or a spiral of up to five classes; then specks, and nodata as specks or as a margin.
pub(super) fn drawn(size: Size, seed: u64) -> Map {
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
