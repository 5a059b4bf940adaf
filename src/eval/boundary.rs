//! Boundary IoU (Cheng, Girshick, Dollár, Berg, Kirillov: Boundary IoU, CVPR 2021): intersection over union of what of a class lies within a
//! distance of its own contour, in truth and mask. Large objects cannot hide there what is wrong at their edges.
//!
//! A pixel lies at the contour of its class if a square of `2 d + 1` pixels a side around it holds another class or reaches beyond the
//! scene, which is the authors' erosion by a 3 x 3 square repeated `d` times. What is left out of the scores is no class on either side, so
//! that contours run along it in both.
//!
//! Rows stream: a column counts in how many rows in sequence the row around it was of one class, and `2 d + 1` of them make the pixel `d`
//! rows ago an inner one. What must be remembered of those rows is one bit per pixel, whether mask and truth were equal there. All else
//! follows from the confusion matrix, from which inner pixels are taken off.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::scores::Matrix;
use crate::geom::Size;

/// A pixel that is left out; values of masks have 16 bits.
pub(super) const LEFT_OUT: u32 = u32::MAX;

/// Bytes that rows are remembered in at most.
const MOST_BYTES: u64 = 256 << 20;

/// How far from a contour a pixel may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distance {
    /// A share of the scene's diagonal, at least a pixel.
    Diagonal(f64),
    /// So many pixels.
    Pixels(u32),
}

impl Distance {
    /// That of the authors.
    pub const USUAL: Self = Self::Diagonal(0.02);

    /// In pixels of a scene; `None` where too much would have to be remembered.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a diagonal of u32 sides")]
    fn pixels(self, Size { width, height }: Size) -> Option<u32> {
        let pixels = match self {
            Self::Diagonal(share) => (f64::from(width).hypot(f64::from(height)) * share).round() as u32,
            Self::Pixels(pixels) => pixels,
        };
        // Beyond its sides a scene has no inner pixels.
        let pixels = pixels.clamp(1, width.max(height).max(1));
        (u64::from(pixels) * u64::from(width).div_ceil(64) * 8 <= MOST_BYTES).then_some(pixels)
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diagonal(share) => write!(f, "{} % of the diagonal", share * 100.0),
            Self::Pixels(1) => write!(f, "1 pixel"),
            Self::Pixels(pixels) => write!(f, "{pixels} pixels"),
        }
    }
}

impl FromStr for Distance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = text.strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok());
        let share = share.filter(|share| *share > 0.0 && *share <= 100.0).map(|share| Self::Diagonal(share / 100.0));
        let pixels = text.parse().ok().filter(|pixels| *pixels > 0).map(Self::Pixels);
        share
            .or(pixels)
            .ok_or_else(|| format!("`{text}` is no distance; write a share of the diagonal (2%) or whole pixels (5)"))
    }
}

/// Inner pixels of a value: of the truth, of the mask, of the truth where both are equal, of the mask where both are, of both.
type Inner = [u64; 5];

/// Pixels at contours by value: of mask and truth in common, and of either.
pub(super) type Areas = BTreeMap<u16, [u64; 2]>;

/// Inner pixels by value.
#[derive(Debug, Default)]
struct InnerCounts {
    inner: Vec<(u16, Inner)>,
    /// Position of the value that was counted last.
    last: usize,
}

impl InnerCounts {
    fn of(&mut self, value: u16) -> &mut Inner {
        if self.inner.get(self.last).is_none_or(|(own, _)| *own != value) {
            self.last = self.inner.iter().position(|(own, _)| *own == value).unwrap_or(self.inner.len());
            if self.last == self.inner.len() {
                self.inner.push((value, Inner::default()));
            }
        }
        &mut self.inner[self.last].1
    }
}

/// One side of a pair.
#[derive(Debug)]
struct Side {
    values: Vec<u32>,
    /// In how many rows up to it the row around a pixel was of this value.
    rows: Vec<u32>,
}

impl Side {
    fn push(&mut self, row: &[u32], distance: usize) {
        let mut start = 0;
        for run in row.chunk_by(|a, b| a == b) {
            for (at, (value, (last, rows))) in
                run.iter().zip(self.values.iter_mut().zip(&mut self.rows).skip(start)).enumerate()
            {
                let is_inner = at >= distance && run.len() - 1 - at >= distance;
                *rows = match (is_inner, last == value) {
                    (false, _) => 0,
                    (true, true) => rows.saturating_add(1),
                    (true, false) => 1,
                };
                *last = *value;
            }
            start += run.len();
        }
    }
}

/// Takes a pair's rows from the top.
#[derive(Debug)]
pub(super) struct BoundaryRows {
    distance: usize,
    truth: Side,
    mask: Side,
    /// Whether both were equal, a bit per pixel, of as many rows as the distance has.
    equal: Vec<u64>,
    words: usize,
    y: usize,
    counts: InnerCounts,
}

impl BoundaryRows {
    /// `None` where the distance is too large for so large a scene.
    pub(super) fn new(distance: Distance, size: Size) -> Option<Self> {
        let (width, distance) = (size.width as usize, distance.pixels(size)? as usize);
        let side = || Side { values: vec![LEFT_OUT; width], rows: vec![0; width] };
        let words = width.div_ceil(64);
        let (equal, counts) = (vec![0; words * distance], InnerCounts::default());
        Some(Self { distance, truth: side(), mask: side(), equal, words, y: 0, counts })
    }

    /// A row of each side, [`LEFT_OUT`] where neither counts.
    pub(super) fn push(&mut self, truth: &[u32], mask: &[u32]) {
        self.truth.push(truth, self.distance);
        self.mask.push(mask, self.distance);
        // The row that lies so far above is forgotten now.
        let slot = self.y % self.distance * self.words;
        let equal = &mut self.equal[slot..slot + self.words];
        let enough = u32::try_from(2 * self.distance + 1).unwrap_or(u32::MAX);
        for (x, (truth, mask)) in truth.iter().zip(mask).enumerate() {
            let is_inner = [&self.truth, &self.mask].map(|side| side.rows[x] >= enough);
            let was_equal = equal[x / 64] >> (x % 64) & 1;
            if let (true, Ok(value)) = (is_inner[0], u16::try_from(*truth)) {
                let inner = self.counts.of(value);
                inner[0] += 1;
                inner[2] += was_equal;
                inner[4] += was_equal * u64::from(is_inner[1]);
            }
            if let (true, Ok(value)) = (is_inner[1], u16::try_from(*mask)) {
                let inner = self.counts.of(value);
                inner[1] += 1;
                inner[3] += was_equal;
            }
        }
        equal.fill(0);
        for (x, (truth, mask)) in truth.iter().zip(mask).enumerate() {
            equal[x / 64] |= u64::from(truth == mask && *truth != LEFT_OUT) << (x % 64);
        }
        self.y += 1;
    }

    /// What lies at contours, by the confusion matrix of the same rows.
    pub(super) fn areas(&self, matrix: &Matrix) -> Areas {
        let of = |(at, value): (usize, &u16)| {
            let own = self.counts.inner.iter().find(|(own, _)| own == value);
            let [truth, mask, equal_truth, equal_mask, both] = own.map(|(_, inner)| *inner).unwrap_or_default();
            let common = matrix.counts[at][at] + both - equal_truth - equal_mask;
            (*value, [common, matrix.in_truth(at) - truth + matrix.in_masks(at) - mask - common])
        };
        matrix.values.iter().enumerate().map(of).collect()
    }
}

/// Which distance was taken, and where none could be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Boundaries {
    /// How far from a border pixels count, in words.
    pub distance: String,
    /// Pairs that are too large for it, by name: they are not in the boundary IoU.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub too_large: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Confusion;

    /// The definition, pixel by pixel.
    fn at_contour(values: &[u32], (w, h): (i64, i64), d: i64) -> Vec<bool> {
        let of = |x: i64, y: i64| (0..w).contains(&x) && (0..h).contains(&y);
        let at = |x: i64, y: i64| values[usize::try_from(y * w + x).unwrap()];
        let near = |x: i64, y: i64| (-d..=d).flat_map(move |dy| (-d..=d).map(move |dx| (x + dx, y + dy)));
        (0..h)
            .flat_map(|y| (0..w).map(move |x| (x, y)))
            .map(|(x, y)| near(x, y).any(|(a, b)| !of(a, b) || at(a, b) != at(x, y)))
            .collect()
    }

    #[test]
    fn streamed_rows_give_what_the_definition_gives() {
        let (w, h) = (41_usize, 37_usize);
        for (seed, d) in [(1_usize, 1_u32), (2, 2), (3, 3), (4, 5), (5, 12), (6, 40)] {
            // Blobs of four values, a mask that is shifted and has holes, and a part that is left out.
            let blob = |x: usize, y: usize| u32::try_from(((x + seed) / 9 + (y + 2 * seed) / 7 * 2) % 4).unwrap();
            let mut truth: Vec<u32> = (0..w * h).map(|i| blob(i % w, i / w)).collect();
            let hole = |i: usize| (i * 7 + seed).is_multiple_of(97);
            let mut mask: Vec<u32> =
                (0..w * h).map(|i| if hole(i) { 9 } else { blob(i % w + 2, i / w + seed % 3) }).collect();
            for i in (0..w * h).filter(|i| (i % w) > 30 && (i / w) > 20) {
                (truth[i], mask[i]) = (LEFT_OUT, LEFT_OUT);
            }
            let size = Size::new(41, 37);
            let mut rows = BoundaryRows::new(Distance::Pixels(d), size).unwrap();
            let mut confusion = Confusion::new();
            for (t, m) in truth.chunks(w).zip(mask.chunks(w)) {
                rows.push(t, m);
                let counted = |row: &[u32]| row.iter().filter_map(|v| u16::try_from(*v).ok()).collect::<Vec<_>>();
                confusion.add(&counted(t), &counted(m), &[]).unwrap();
            }
            let matrix = confusion.scores().matrix;
            let extent = (w.try_into().unwrap(), h.try_into().unwrap());
            let (near_truth, near_mask) = (at_contour(&truth, extent, d.into()), at_contour(&mask, extent, d.into()));
            let areas = |value: u32| {
                let both = (0..w * h).map(|i| (truth[i] == value && near_truth[i], mask[i] == value && near_mask[i]));
                let n = |of: fn((bool, bool)) -> bool| both.clone().filter(|b| of(*b)).count() as u64;
                [n(|(a, b)| a && b), n(|(a, b)| a || b)]
            };
            assert_eq!(matrix.values, [0, 1, 2, 3, 9]);
            for (value, found) in rows.areas(&matrix) {
                assert_eq!(found, areas(value.into()), "value {value}, distance {d}");
            }
        }
    }

    #[test]
    fn a_distance_is_a_share_of_the_diagonal_or_pixels() {
        let pixels = |text: &str, w, h| text.parse::<Distance>().unwrap().pixels(Size::new(w, h));
        assert_eq!((pixels("2%", 300, 400), pixels("2 %", 3, 4), pixels("7", 300, 400)), (Some(10), Some(1), Some(7)));
        assert_eq!(pixels("100%", 3, 4), Some(4));
        assert_eq!(pixels("2%", 1 << 20, 1 << 20), None);
        for wrong in ["0", "0%", "101%", "-1", "far"] {
            assert!(wrong.parse::<Distance>().is_err(), "{wrong}");
        }
        assert_eq!(Distance::USUAL.to_string(), "2 % of the diagonal");
    }
}
