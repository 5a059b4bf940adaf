//! Planes of blended tiles: each pixel's logits, or probabilities, are the mean over the tiles that see it, each weighted by the pixel's place in
//! its crop. What a tile says itself is the sum of its passes, as `combine` has it.

use super::combine::{Combiner, Parts, Rows, Stack, Sum};
use super::logits::Logits;
use crate::config::Combine;
use crate::geom::{PixelRect, Size, Span};
use crate::plan::{Plan, TilePlanes};
use crate::tiler::Blend;

/// Blends the tiles of a plan. Its sums are made on the host, whatever ran the passes: a plan has one.
pub struct Blender {
    combiner: Combiner,
    blend: Blend,
}

/// One tile's logits, and where it lies.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    /// The passes over the batch that it is of, with their indices in the plan, in the order of summation, all finite.
    pub forwards: &'a [(usize, Logits)],
    /// Its place in the batch.
    pub slot: usize,
    /// The corner of its crop in the scene.
    pub corner: [i64; 2],
}

impl Blender {
    /// That of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self { combiner: Combiner::of(plan), blend: plan.pipeline.tiling.blend }
    }

    /// The planes of a tile without data that owns so many pixels.
    pub fn void(&self, area: usize) -> TilePlanes {
        self.combiner.void(area)
    }

    /// The planes of the kept part of a tile from those windows that meet it, itself among them, in the plan's order. Crops are of one size.
    pub fn planes(&self, tile: Window<'_>, crop: Size, kept: PixelRect, windows: &[Window<'_>]) -> TilePlanes {
        let weights = [self.blend.weights(crop.width), self.blend.weights(crop.height)];
        let n_classes = tile.forwards.first().map_or(0, |(_, logits)| logits.n_classes);
        let nothing = || Blended { placed: Vec::new(), kept, counted: Vec::new() };
        let mut all = nothing();
        // A deadline may have taken a member off some rows of tiles: the tile's own are asked.
        let own = self.combiner.stacks(tile.forwards, tile.slot, kept).members;
        let mut members: Vec<(usize, f32, Blended<'_>)> =
            own.into_iter().map(|alone| (alone.member, alone.weight, nothing())).collect();
        for window in windows {
            let [(xs, left), (ys, top)] = [0, 1].map(|axis| {
                let (owned, length) = if axis == 0 { (kept.xs(), crop.width) } else { (kept.ys(), crop.height) };
                overlap(owned, window.corner[axis] - tile.corner[axis], length)
            });
            if xs.is_empty() || ys.is_empty() {
                continue;
            }
            let seen = PixelRect::from_spans(xs, ys);
            let Parts { all: stack, members: alone, total } = self.combiner.stacks(window.forwards, window.slot, seen);
            let place = |stack, total: f32| Placed {
                stack,
                seen,
                left,
                rows: Span::new(top, top + ys.len()),
                across: weights[0][xs.start as usize..xs.end as usize].to_vec(),
                down: weights[1][ys.start as usize..ys.end as usize].to_vec(),
                total,
                own: Rows::new(n_classes, xs.len() as usize),
            };
            all.placed.push(place(stack, total));
            for alone in alone {
                if let Some((.., blended)) = members.iter_mut().find(|(member, ..)| *member == alone.member) {
                    blended.placed.push(place(alone.stack, alone.total));
                }
            }
        }
        let mut members: Vec<(f32, Blended<'_>)> =
            members.into_iter().map(|(_, weight, blended)| (weight, blended)).collect();
        self.combiner.sum_up(n_classes, kept, &mut all, 1.0, &mut members)
    }
}

/// Of a span of one tile's crop, what a window sees that begins `offset` behind it: counted from the window's start, and where that begins in
/// the span.
fn overlap(owned: Span, offset: i64, length: u32) -> (Span, u32) {
    let position = |at: i64| u32::try_from(at.clamp(0, i64::from(length))).unwrap_or(length);
    let seen = Span::new(position(i64::from(owned.start) - offset), position(i64::from(owned.end) - offset));
    let begin = i64::from(seen.start) + offset - i64::from(owned.start);
    (seen, u32::try_from(begin.max(0)).unwrap_or(0))
}

/// What one window says of a part of what a tile owns.
struct Placed<'a> {
    stack: Stack<'a>,
    /// That part, counted from the window's corner.
    seen: PixelRect,
    /// Its first column, counted from the first that the tile owns.
    left: u32,
    /// Its rows, counted from the first that the tile owns.
    rows: Span,
    /// What each of its columns counts.
    across: Vec<f32>,
    /// What each of its rows counts.
    down: Vec<f32>,
    /// What the window's shares come to: by it is divided, so that a window counts no less for a pass that is left out.
    total: f32,
    /// A row of what it says.
    own: Rows,
}

/// The weighted mean of windows over what a tile owns.
struct Blended<'a> {
    placed: Vec<Placed<'a>>,
    kept: PixelRect,
    /// What all windows count at each column of a row.
    counted: Vec<f32>,
}

impl Sum for Blended<'_> {
    fn add_up(&mut self, y: u32, rule: Combine, rows: &mut Rows) {
        let (row, width) = (y - self.kept.y, self.kept.size.width as usize);
        rows.sum.fill(0.0);
        let counted = &mut self.counted;
        counted.clear();
        counted.resize(width, 0.0);
        for placed in self.placed.iter_mut().filter(|placed| placed.rows.start <= row && row < placed.rows.end) {
            let at = row - placed.rows.start;
            let (own_width, left) = (placed.seen.size.width as usize, placed.left as usize);
            placed.stack.add_up(placed.seen.y + at, rule, &mut placed.own);
            let down = placed.down[at as usize];
            let share = down / placed.total;
            for (sum, own) in rows.sum.chunks_exact_mut(width.max(1)).zip(placed.own.sum.chunks_exact(own_width.max(1)))
            {
                for ((sum, value), across) in sum[left..].iter_mut().zip(own).zip(&placed.across) {
                    *sum += value * (across * share);
                }
            }
            counted[left..].iter_mut().zip(&placed.across).for_each(|(counted, across)| *counted += across * down);
        }
        for sum in rows.sum.chunks_exact_mut(width.max(1)) {
            sum.iter_mut().zip(counted.iter()).for_each(|(sum, counted)| *sum /= counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::combine::naive;
    use super::*;
    use crate::plan::{Plane, Shares};
    use crate::zoo::spec::Upsample;

    const CROP: Size = Size::new(24, 20);
    const SHARES: [f32; 2] = [0.7, 0.3];

    /// Two passes of other strides over a batch of two tiles.
    fn forwards(seed: u32) -> Vec<Logits> {
        let quarter = Some(Upsample::Bilinear { align_corners: false });
        vec![
            naive::logits(seed, [2, 4], Size::new(6, 5), CROP, quarter),
            naive::logits(seed + 50, [2, 4], CROP, CROP, None),
        ]
    }

    #[test]
    fn planes_are_the_weighted_mean_of_the_windows_that_see_a_pixel() {
        // Of 24 x 20 with centres of 16 x 12: what is owned is 16 columns and 12 rows from the corner, of which 8 others see as well.
        let corners = [[0, 0], [16, 0], [0, 12], [16, 12]];
        let passes: Vec<Vec<Logits>> = (0..4).map(|seed| forwards(1 + seed)).collect();
        let indexed: Vec<Vec<(usize, Logits)>> =
            passes.iter().map(|passes| passes.iter().cloned().enumerate().collect()).collect();
        let window = |at: usize| Window { forwards: &indexed[at], slot: at % 2, corner: corners[at] };
        let kept = PixelRect { x: 0, y: 0, size: Size::new(16, 12) };
        for rule in [Combine::Logits, Combine::Probabilities] {
            let planes = vec![Plane::Labels, Plane::Scores, Plane::Probability(2)];
            let combiner = Combiner::new(rule, Shares::of_members(SHARES), planes);
            let blender = Blender { combiner, blend: Blend::Gaussian };
            let windows: Vec<Window<'_>> = (0..4).map(window).collect();
            let TilePlanes(planes) = blender.planes(window(3), CROP, kept, &windows);
            for (at, (x, y)) in (0..12).flat_map(|y| (0..16).map(move |x| (x, y))).enumerate() {
                let probable = probabilities(rule, &passes, &corners, (x + 16, y + 12));
                let best = probable.iter().copied().fold(f64::MIN, f64::max);
                let label = usize::from(planes[0][at]);
                assert!(probable[label] >= best - 1e-4, "{rule:?} ({x}, {y}): {label} of {probable:?}");
                for (plane, class) in [(1, label), (2, 2)] {
                    let got = (f64::from(planes[plane][at]) - 1.0) / 254.0;
                    assert!((got - probable[class]).abs() <= 1.0 / 254.0, "{rule:?} ({x}, {y}) {plane}");
                }
            }
        }
    }

    /// The same at one pixel in f64, by the definition.
    fn probabilities(rule: Combine, passes: &[Vec<Logits>], corners: &[[i64; 2]], at: (i64, i64)) -> Vec<f64> {
        let (mut sums, mut total) = (vec![0.0; 4], 0.0);
        for (window, corner) in corners.iter().enumerate() {
            let (x, y) = (at.0 - corner[0], at.1 - corner[1]);
            if !(0..i64::from(CROP.width)).contains(&x) || !(0..i64::from(CROP.height)).contains(&y) {
                continue;
            }
            let (x, y) = (u32::try_from(x).unwrap(), u32::try_from(y).unwrap());
            let bell = |at: u32, length: u32| {
                let from_middle = f64::from(at) - (f64::from(length) - 1.0) / 2.0;
                (-(from_middle / (f64::from(length) / 8.0)).powi(2) / 2.0).exp()
            };
            let weight = bell(x, CROP.width) * bell(y, CROP.height);
            let own = naive::sums(&passes[window], &SHARES, rule, window % 2, (x, y));
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += weight * own);
            total += weight;
        }
        sums.iter_mut().for_each(|sum| *sum /= total);
        if rule == Combine::Logits {
            let most = sums.iter().copied().fold(f64::MIN, f64::max);
            sums.iter_mut().for_each(|sum| *sum = (*sum - most).exp());
            let all: f64 = sums.iter().sum();
            sums.iter_mut().for_each(|sum| *sum /= all);
        }
        sums
    }

    #[test]
    fn one_window_alone_says_what_it_says_unblended() {
        let passes: Vec<(usize, Logits)> = forwards(9).into_iter().enumerate().collect();
        let kept = PixelRect { x: 3, y: 2, size: Size::new(17, 11) };
        let combiner =
            || Combiner::new(Combine::Logits, Shares::of_members(SHARES), vec![Plane::Labels, Plane::Disagreement]);
        let blender = Blender { combiner: combiner(), blend: Blend::Gaussian };
        let window = Window { forwards: &passes, slot: 1, corner: [-3, 40] };
        let far = Window { corner: [-3 + 24, 40], ..window };
        assert_eq!(blender.planes(window, CROP, kept, &[window, far]), combiner().planes(&passes, 1, kept));
    }
}
