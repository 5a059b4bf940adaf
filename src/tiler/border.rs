//! What a crop holds where it hangs over the edge of its scene.

use serde::{Deserialize, Serialize};

use crate::geom::Span;

/// The rule for positions outside the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Border {
    /// The scene mirrored at its edge, the edge pixel itself not repeated; mirrored again as often as needed, down to one pixel.
    Reflect,
    /// Pixel value 0 in every band, before scaling and normalisation.
    Zero,
}

impl Border {
    /// The position in a scene of `length` pixels that stands at `at`, or `None` where the border is zero.
    pub fn resolve(self, at: i64, length: u32) -> Option<u32> {
        let n = i64::from(length);
        if (0..n).contains(&at) {
            return u32::try_from(at).ok();
        }
        match self {
            Self::Zero => None,
            Self::Reflect if n == 1 => Some(0),
            Self::Reflect => {
                let period = 2 * (n - 1);
                let folded = at.rem_euclid(period);
                u32::try_from(folded.min(period - folded)).ok()
            }
        }
    }

    /// The smallest span of the scene that holds every position from `start` on, `len` long, after [`Self::resolve`].
    ///
    /// The range must meet the scene, as every crop does.
    pub fn source(self, start: i64, len: u32, length: u32) -> Span {
        let (n, end) = (i64::from(length), start + i64::from(len));
        let inside = (start.clamp(0, n), end.clamp(0, n));
        let (mut low, mut high) = inside;
        if self == Self::Reflect {
            // What hangs over an edge by k pixels mirrors the k pixels beyond the edge pixel; by n or more, the whole scene.
            let before = (-start).max(0);
            let after = (end - n).max(0);
            if before >= n || after >= n {
                (low, high) = (0, n);
            } else {
                if before > 0 {
                    high = high.max(before + 1);
                }
                if after > 0 {
                    low = low.min(n - 1 - after);
                }
            }
        }
        let position = |v: i64| u32::try_from(v.clamp(0, n)).unwrap_or(length);
        Span::new(position(low), position(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_repeats_down_to_one_pixel() {
        let row = |length| (-4..6).map(|at| Border::Reflect.resolve(at, length).unwrap()).collect::<Vec<_>>();
        assert_eq!(row(3), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(row(1), [0; 10]);
        assert_eq!(row(2), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn zero_has_nothing_outside() {
        assert_eq!(Border::Zero.resolve(-1, 4), None);
        assert_eq!(Border::Zero.resolve(4, 4), None);
        assert_eq!(Border::Zero.resolve(3, 4), Some(3));
    }

    #[test]
    fn the_source_span_is_exactly_what_resolves() {
        for length in 1..12u32 {
            for start in -30..30i64 {
                for len in 1..30u32 {
                    if start >= i64::from(length) || start + i64::from(len) <= 0 {
                        continue;
                    }
                    for border in [Border::Reflect, Border::Zero] {
                        let hits = (start..start + i64::from(len)).filter_map(|at| border.resolve(at, length));
                        let span = border.source(start, len, length);
                        let (low, high) = hits.fold((u32::MAX, 0), |(l, h), v| (l.min(v), h.max(v + 1)));
                        assert_eq!((span.start, span.end), (low, high), "{border:?} {start}+{len} in {length}");
                    }
                }
            }
        }
    }
}
