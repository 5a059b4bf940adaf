//! Which tile size a scene gets.

use serde::{Deserialize, Serialize};

use super::{Axis, Blend, Border, Dilation, Grid};
use crate::geom::Size;

/// How scenes larger than `whole_max` are cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "kebab-case")]
pub enum Strategy {
    /// Not at all: larger scenes are refused.
    Whole,
    /// Per axis as a rule chooses.
    Adaptive {
        /// The rule.
        rule: Rule,
        /// Candidate centre sizes in pixels.
        centres: Vec<u32>,
    },
    /// One centre size for every scene.
    Fixed {
        /// Centre size in pixels.
        centre: u32,
    },
}

/// Which centre an axis gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The candidate whose last tile holds the most real pixels; ties go to the least padding, then to the earlier entry. The rule of the
    /// 2020 entry (`submit/model_predict.py` of JasmineRain/NAIC_AI-RS), there with 1024, 960 ... 512.
    #[default]
    MaxLast,
    /// The candidate with which the networks see the fewest pixels, dilation included; ties go to the fewest tiles.
    LeastWaste,
    /// As few tiles as the largest candidate needs, all of one length: no sliver at the end, and less padding than there are tiles. Every
    /// length of a scene has a crop of its own.
    Even,
}

impl Rule {
    /// Every rule, as plans list them.
    pub const ALL: [Self; 3] = [Self::MaxLast, Self::LeastWaste, Self::Even];

    /// Its name in pipeline files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxLast => "max-last",
            Self::LeastWaste => "least-waste",
            Self::Even => "even",
        }
    }

    /// The centre for an axis of `length` pixels; all of it where there is no candidate.
    fn centre(self, length: u32, centres: &[u32], dilation: u32) -> u32 {
        let padding = |centre: u32| (centre - length % centre) % centre;
        let seen = |centre: u32| Axis { length, centre, dilation, lag: 0 }.seen();
        let candidates = centres.iter().copied();
        let chosen = match self {
            Self::MaxLast => candidates.min_by_key(|&c| (std::cmp::Reverse(c - padding(c)), padding(c))),
            Self::LeastWaste => candidates.min_by_key(|&c| (seen(c), length.div_ceil(c))),
            Self::Even => candidates.max().map(|largest| length.div_ceil(length.div_ceil(largest))),
        };
        chosen.unwrap_or(length)
    }
}

/// The tiler's part of a pipeline: pixels in, grid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiling {
    /// Scenes with both sides up to this many pixels are one tile without a ring.
    pub whole_max: u32,
    /// What happens to larger ones.
    #[serde(flatten)]
    pub strategy: Strategy,
    /// Ring around a centre.
    pub dilation: Dilation,
    /// What lies outside the scene.
    pub border: Border,
    /// What comes of pixels that several tiles see.
    #[serde(default, skip_serializing_if = "Blend::is_none")]
    pub blend: Blend,
}

/// Why a scene cannot be tiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TilingError {
    /// Strategy `whole` and a larger scene.
    #[error(
        "the scene is {size} pixels and the pipeline takes whole scenes up to {whole_max}; \
         raise `tiler.whole_max` or choose the strategy `adaptive` or `fixed`"
    )]
    TooLarge {
        /// Size of the scene.
        size: Size,
        /// The pipeline's limit.
        whole_max: u32,
    },
}

impl Tiling {
    /// The tiles of a scene of `size`, both sides at least 1.
    ///
    /// # Errors
    /// When the strategy is [`Strategy::Whole`] and the scene is larger than `whole_max`.
    pub fn grid(&self, size: Size) -> Result<Grid, TilingError> {
        if size.width <= self.whole_max && size.height <= self.whole_max {
            return Ok(Grid { x: Axis::whole(size.width), y: Axis::whole(size.height) });
        }
        let axis = |length, dilation| {
            let centre = match &self.strategy {
                Strategy::Whole => return Err(TilingError::TooLarge { size, whole_max: self.whole_max }),
                Strategy::Adaptive { rule, centres } => rule.centre(length, centres, dilation),
                Strategy::Fixed { centre } => *centre,
            };
            // Beyond half a centre a pixel would be seen by three tiles.
            Ok(Axis { length, centre, dilation, lag: if self.blend.is_none() { 0 } else { dilation.min(centre / 2) } })
        };
        Ok(Grid { x: axis(size.width, self.dilation.x)?, y: axis(size.height, self.dilation.y)? })
    }

    /// The same by another rule, where sizes are chosen at all.
    pub fn by(&self, rule: Rule) -> Option<Self> {
        let centres = match &self.strategy {
            Strategy::Whole => return None,
            Strategy::Adaptive { centres, .. } => centres.clone(),
            Strategy::Fixed { centre } => vec![*centre],
        };
        Some(Self { strategy: Strategy::Adaptive { rule, centres }, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;

    const ORIGINAL: [u32; 9] = [1024, 960, 896, 832, 768, 704, 640, 576, 512];

    fn strategies() -> Vec<Tiling> {
        let small = |rule| Strategy::Adaptive { rule, centres: vec![16, 15, 14, 13, 12, 11, 10, 9, 8] };
        let fixed = [7, 1, 200].map(|centre| Strategy::Fixed { centre });
        let all: Vec<Strategy> = Rule::ALL.map(small).into_iter().chain(fixed).collect();
        let with = |strategy: &Strategy, whole_max, dilation, border| Tiling {
            whole_max,
            strategy: strategy.clone(),
            dilation: Dilation { x: dilation, y: dilation / 2 },
            border,
            blend: Blend::None,
        };
        all.iter()
            .flat_map(|s| {
                [with(s, 20, 2, Border::Reflect), with(s, 0, 0, Border::Zero), with(s, 0, 31, Border::Reflect)]
            })
            .collect()
    }

    /// Centres partition the axis, crops hold their centres, and the source spans hold the centres too.
    fn check_axis(axis: Axis, border: Border) {
        let mut next = 0;
        for idx in 0..axis.n_tiles() {
            let (centre, kept) = (axis.centre(idx), axis.kept(idx));
            assert_eq!(centre.start, next, "{axis:?} tile {idx}");
            assert!(!centre.is_empty());
            next = centre.end;
            assert_eq!(axis.crop_start(idx) + i64::from(kept.start), i64::from(centre.start));
            assert_eq!(kept.len(), centre.len());
            assert!(kept.end <= axis.crop_len());
            let source = axis.source(idx, border);
            assert!(source.start <= centre.start && source.end >= centre.end && source.end <= axis.length);
            assert!(source.len() <= axis.crop_len(), "a band never reads more rows than a crop has");
        }
        assert_eq!(next, axis.length);
    }

    #[test]
    fn centres_partition_every_small_scene_for_every_strategy() {
        for tiling in strategies() {
            for width in 1..=96 {
                for height in 1..=96 {
                    let grid = tiling.grid(Size::new(width, height)).unwrap();
                    check_axis(grid.x, tiling.border);
                    check_axis(grid.y, tiling.border);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn centres_partition_scenes_of_any_size(width in 1u32..100_000, height in 1u32..100_000, dilation in 0u32..300) {
            let adaptive = |rule| Strategy::Adaptive { rule, centres: ORIGINAL.to_vec() };
            for strategy in Rule::ALL.map(adaptive).into_iter().chain([Strategy::Fixed { centre: 517 }]) {
                let dilation = Dilation::all(dilation);
                for blend in [Blend::None, Blend::Gaussian] {
                    let tiling = Tiling { whole_max: 1280, strategy: strategy.clone(), dilation, border: Border::Reflect, blend };
                    let grid = tiling.grid(Size::new(width, height)).unwrap();
                    check_axis(grid.x, Border::Reflect);
                    check_axis(grid.y, Border::Zero);
                }
            }
        }
    }

    #[test]
    fn max_last_is_the_original_rule() {
        let max_last = |length| Rule::MaxLast.centre(length, &ORIGINAL, 128);
        // The original sorts (-left, pad) over its list; written out here independently as the reference.
        for length in 1..5000u32 {
            let mut rows: Vec<(i64, u32, usize)> = Vec::new();
            for (i, c) in ORIGINAL.iter().enumerate() {
                let pad = (c - length % c) % c;
                rows.push((-i64::from(c - pad), pad, i));
            }
            rows.sort_unstable();
            assert_eq!(max_last(length), ORIGINAL[rows[0].2], "length {length}");
        }
        assert_eq!(max_last(2048), 1024);
        assert_eq!(max_last(300), 512);
    }

    #[test]
    fn least_waste_is_least_and_even_leaves_no_sliver() {
        for length in 1..5000u32 {
            let axis = |rule: Rule, dilation| Axis {
                length,
                centre: rule.centre(length, &ORIGINAL, dilation),
                dilation,
                lag: 0,
            };
            for dilation in [0, 64, 128] {
                let least = axis(Rule::LeastWaste, dilation).seen();
                let of = |centre: &u32| u64::from(length.div_ceil(*centre)) * u64::from(centre + 2 * dilation);
                assert_eq!(Some(least), ORIGINAL.iter().map(of).min(), "length {length}");
            }
            let even = axis(Rule::Even, 128);
            assert_eq!(even.n_tiles(), length.div_ceil(1024), "length {length}");
            let padding = even.centre * even.n_tiles() - length;
            assert!(padding < even.n_tiles() && even.centre(even.n_tiles() - 1).len() + even.n_tiles() > even.centre);
        }
        assert_eq!(Rule::LeastWaste.centre(2048, &ORIGINAL, 128), 1024);
        assert_eq!(Rule::LeastWaste.centre(1300, &ORIGINAL, 0), 704);
        assert_eq!([Rule::Even.centre(1300, &ORIGINAL, 0), Rule::Even.centre(300, &ORIGINAL, 0)], [650, 300]);
    }

    #[test]
    fn whole_takes_only_scenes_with_both_sides_small() {
        let tiling = Tiling {
            whole_max: 1280,
            strategy: Strategy::Whole,
            dilation: Dilation::all(128),
            border: Border::Zero,
            blend: Blend::None,
        };
        let grid = tiling.grid(Size::new(1280, 3)).unwrap();
        assert_eq!((grid.n_tiles(), grid.crop()), (1, Size::new(1280, 3)));
        let error = tiling.grid(Size::new(1281, 3)).unwrap_err();
        assert!(error.to_string().contains("1281 x 3"), "{error}");
    }
}
