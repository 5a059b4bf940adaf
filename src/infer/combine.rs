//! Combines the passes' logits into planes: weighted sum in the plan's order, bilinear up-sampling, argmax and probabilities, fused row by row.
//!
//! Up-sampling is linear, so members that share resolution and convention are summed at their own resolution and up-sampled once.
//! Softmax is not, so `probabilities` up-samples each (member, view), takes its softmax and then adds, row by row: nothing of the
//! size of the crop times the classes is ever held.
//!
//! Everything is f32 and the order is fixed, hence the same bytes for the same plan.

use super::logits::Logits;
use crate::config::Combine;
use crate::config::classes::ClassId;
use crate::geom::PixelRect;
use crate::plan::{Plan, Plane, Shares, TilePlanes};
use crate::zoo::spec::Upsample;

/// Combines logits under one rule with one share per forward pass of the plan.
#[derive(Clone, Debug)]
pub(super) struct Combiner {
    rule: Combine,
    shares: Shares,
    planes: Vec<Plane>,
}

impl Combiner {
    /// That of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        Self::new(plan.pipeline.combine, plan.shares(), plan.planes.clone())
    }

    /// One of this rule.
    pub(super) fn new(rule: Combine, shares: Shares, planes: Vec<Plane>) -> Self {
        Self { rule, shares, planes }
    }

    /// The planes of a tile without data that owns so many pixels.
    pub(super) fn void(&self, area: usize) -> TilePlanes {
        TilePlanes::void(&self.planes, area)
    }

    /// The planes of the kept part of one tile. `forwards` come with the index of their pass, in the order of summation, all finite.
    /// They may be fewer than all: a factor that all sums have in common moves no argmax.
    pub(super) fn planes(&self, forwards: &[(usize, Logits)], tile: usize, kept: PixelRect) -> TilePlanes {
        let Parts { mut all, members, total } = self.stacks(forwards, tile, kept);
        let mut members: Vec<(f32, Stack<'_>)> = members.into_iter().map(|alone| (alone.weight, alone.stack)).collect();
        let n_classes = forwards.first().map_or(0, |(_, logits)| logits.n_classes);
        self.sum_up(n_classes, kept, &mut all, total, &mut members)
    }

    /// What is summed over a part of one tile's crop: all passes, and each member alone where their votes are wanted.
    pub(super) fn stacks<'a>(&self, forwards: &'a [(usize, Logits)], tile: usize, kept: PixelRect) -> Parts<'a> {
        let passes: Vec<usize> = forwards.iter().map(|(pass, _)| *pass).collect();
        let weighted: Vec<(&Logits, f32)> =
            forwards.iter().map(|(_, logits)| logits).zip(self.shares.of(&passes)).collect();
        let all = Stack::new(self.rule, weighted.iter().copied(), tile, kept);
        let total = weighted.iter().map(|(_, share)| share).sum();
        let members =
            if self.planes.contains(&Plane::Disagreement) { self.shares.members(&passes) } else { Vec::new() };
        let alone = |(weight, places): &(f32, Vec<usize>)| Alone {
            member: places.first().map_or(0, |place| self.shares.member_of(passes[*place])),
            weight: *weight,
            total: places.iter().map(|at| weighted[*at].1).sum(),
            stack: Stack::new(self.rule, places.iter().map(|at| weighted[*at]), tile, kept),
        };
        Parts { all, members: members.iter().map(alone).collect(), total }
    }

    /// The planes of sums over so many classes, which `total` shares make.
    pub(super) fn sum_up<S: Sum>(
        &self,
        n_classes: usize,
        kept: PixelRect,
        all: &mut S,
        total: f32,
        members: &mut [(f32, S)],
    ) -> TilePlanes {
        let mut rows = Rows::new(n_classes, kept.size.width as usize);
        let mut planes = vec![Vec::with_capacity(kept.size.len()); self.planes.len()];
        let are_probable = |plane: &Plane| matches!(plane, Plane::Scores | Plane::Probability(_));
        let needs_probabilities = self.planes.iter().any(are_probable);
        let mut labels = Vec::new();
        for y in kept.ys().start..kept.ys().end {
            all.add_up(y, self.rule, &mut rows);
            rows.argmax_into(&mut labels);
            if needs_probabilities {
                rows.make_probabilities(self.rule, total);
            }
            for (plane, pixels) in self.planes.iter().zip(&mut planes) {
                match plane {
                    Plane::Labels => pixels.extend_from_slice(&labels),
                    Plane::Scores => pixels.extend(rows.of_classes(labels.iter().copied()).map(Plane::of_probability)),
                    Plane::Probability(class) => {
                        let class = labels.iter().map(|_| *class);
                        pixels.extend(rows.of_classes(class).map(Plane::of_probability));
                    }
                    // What is there of all members is needed no more.
                    Plane::Disagreement => {}
                }
            }
            let disagreement = self.planes.iter().zip(&mut planes).find(|(plane, _)| **plane == Plane::Disagreement);
            if let Some((_, pixels)) = disagreement {
                pixels.extend(rows.disagreement(members, &labels, y, self.rule).map(Plane::of_share));
            }
        }
        TilePlanes(planes)
    }
}

/// A sum over what a tile owns, row by row.
pub(super) trait Sum {
    /// Row `y` of it, counted from the crop's corner.
    fn add_up(&mut self, y: u32, rule: Combine, rows: &mut Rows);
}

/// The sums over one tile.
pub(super) struct Parts<'a> {
    /// Of all passes.
    pub all: Stack<'a>,
    /// Of each member's; none where nobody asks.
    pub members: Vec<Alone<'a>>,
    /// What the shares of all passes come to.
    pub total: f32,
}

/// The sum of one member's passes.
pub(super) struct Alone<'a> {
    /// Index of the member.
    pub member: usize,
    /// Its weight among all.
    pub weight: f32,
    /// What the shares of its passes come to.
    pub total: f32,
    /// The sum.
    pub stack: Stack<'a>,
}

/// What is summed over one tile.
pub(super) struct Stack<'a> {
    layers: Vec<Layer<'a>>,
    /// Per layer.
    axes: Vec<Vec<Tap>>,
}

impl<'a> Stack<'a> {
    fn new(rule: Combine, weighted: impl Iterator<Item = (&'a Logits, f32)>, tile: usize, kept: PixelRect) -> Self {
        let layers: Vec<Layer<'_>> = match rule {
            Combine::Logits => group(weighted, tile),
            Combine::Probabilities => weighted.map(|(logits, share)| Layer::plain(logits, tile, share)).collect(),
        };
        let axes = layers.iter().map(|l| taps(l.logits, Axis::X, kept.x, kept.size.width)).collect();
        Self { layers, axes }
    }
}

impl Sum for Stack<'_> {
    fn add_up(&mut self, y: u32, rule: Combine, rows: &mut Rows) {
        rows.sum.fill(0.0);
        for (layer, xs) in self.layers.iter().zip(&self.axes) {
            rows.add(layer, y, xs, rule);
        }
    }
}

/// Values to be up-sampled and added.
struct Layer<'a> {
    logits: &'a Logits,
    values: std::borrow::Cow<'a, [f32]>,
    share: f32,
}

impl<'a> Layer<'a> {
    fn plain(logits: &'a Logits, tile: usize, share: f32) -> Self {
        Self { logits, values: logits.tile(tile).into(), share }
    }
}

/// One layer per resolution and convention, the shares already applied, in the order of first appearance.
fn group<'a>(forwards: impl Iterator<Item = (&'a Logits, f32)>, tile: usize) -> Vec<Layer<'a>> {
    let mut layers: Vec<Layer<'a>> = Vec::new();
    for (logits, share) in forwards {
        match layers.iter_mut().find(|l| l.logits.same_grid(logits)) {
            None => layers.push(Layer::plain(logits, tile, share)),
            Some(layer) => {
                let first = layer.share;
                let sum = layer.values.to_mut();
                if first.to_bits() != 1.0_f32.to_bits() {
                    sum.iter_mut().for_each(|v| *v *= first);
                    layer.share = 1.0;
                }
                sum.iter_mut().zip(logits.tile(tile)).for_each(|(sum, v)| *sum += v * share);
            }
        }
    }
    layers
}

/// Two neighbours on the coarse grid and how much of the second.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    part: f32,
}

#[derive(Clone, Copy)]
enum Axis {
    X,
    Y,
}

/// For each of `len` positions from `start` on the full grid, its neighbours on the coarse one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "coordinates are within a crop and not negative"
)]
fn taps(logits: &Logits, axis: Axis, start: u32, len: u32) -> Vec<Tap> {
    let (coarse, full) = match axis {
        Axis::X => (logits.size.width, logits.full.width),
        Axis::Y => (logits.size.height, logits.full.height),
    };
    let last = coarse.saturating_sub(1) as usize;
    (start..start + len)
        .map(|at| match logits.upsample {
            None => Tap { low: at as usize, high: at as usize, part: 0.0 },
            Some(Upsample::Bilinear { align_corners }) => {
                // As ATen computes it, in f32: the last bit of a coordinate can decide a tie.
                let source = if align_corners {
                    let scale = if full > 1 { (coarse - 1) as f32 / (full - 1) as f32 } else { 0.0 };
                    at as f32 * scale
                } else {
                    ((at as f32 + 0.5) * (coarse as f32 / full as f32) - 0.5).max(0.0)
                };
                let low = (source as usize).min(last);
                Tap { low, high: (low + 1).min(last), part: (source - low as f32).clamp(0.0, 1.0) }
            }
        })
        .collect()
}

/// Row buffers, `[class][column]`.
pub(super) struct Rows {
    pub(super) sum: Vec<f32>,
    row: Vec<f32>,
    n_classes: usize,
    width: usize,
}

impl Rows {
    pub(super) fn new(n_classes: usize, width: usize) -> Self {
        Self { sum: vec![0.0; n_classes * width], row: vec![0.0; n_classes * width], n_classes, width }
    }

    /// Makes probabilities of the sum, whose shares add up to `total`.
    fn make_probabilities(&mut self, rule: Combine, total: f32) {
        self.sum.iter_mut().for_each(|v| *v /= total);
        if rule == Combine::Logits {
            softmax(&mut self.sum, self.width);
        }
    }

    /// The share of the members' weight that is for another class in row `y` than these labels.
    fn disagreement<S: Sum>(
        &mut self,
        members: &mut [(f32, S)],
        labels: &[ClassId],
        y: u32,
        rule: Combine,
    ) -> impl Iterator<Item = f32> {
        let (mut against, mut own) = (vec![0.0; labels.len()], Vec::new());
        for (weight, stack) in members.iter_mut() {
            stack.add_up(y, rule, self);
            self.argmax_into(&mut own);
            let votes = own.iter().zip(labels).map(|(own, label)| if own == label { 0.0 } else { *weight });
            against.iter_mut().zip(votes).for_each(|(against, vote)| *against += vote);
        }
        let total: f32 = members.iter().map(|(weight, _)| weight).sum();
        against.into_iter().map(move |against| against / total)
    }

    /// What the sum holds of a class for each column.
    fn of_classes(&self, classes: impl Iterator<Item = ClassId>) -> impl Iterator<Item = f32> {
        classes.enumerate().map(|(x, class)| self.sum[usize::from(class) * self.width + x])
    }

    /// Up-samples row `y` of a layer and adds it.
    fn add(&mut self, layer: &Layer<'_>, y: u32, xs: &[Tap], rule: Combine) {
        let Some(&ys) = taps(layer.logits, Axis::Y, y, 1).first() else { return };
        let (coarse_width, plane) = (layer.logits.size.width as usize, layer.logits.size.len());
        let mut coarse = vec![0.0; coarse_width];
        for class in 0..self.n_classes {
            let values = &layer.values[class * plane..(class + 1) * plane];
            let low = &values[ys.low * coarse_width..][..coarse_width];
            let high = &values[ys.high * coarse_width..][..coarse_width];
            for ((out, a), b) in coarse.iter_mut().zip(low).zip(high) {
                *out = a * (1.0 - ys.part) + b * ys.part;
            }
            let out = &mut self.row[class * self.width..(class + 1) * self.width];
            for (out, x) in out.iter_mut().zip(xs) {
                *out = coarse[x.low] * (1.0 - x.part) + coarse[x.high] * x.part;
            }
        }
        if rule == Combine::Probabilities {
            softmax(&mut self.row, self.width);
        }
        for (sum, v) in self.sum.iter_mut().zip(&self.row) {
            *sum += v * layer.share;
        }
    }

    /// The class of the greatest sum per column; of equal ones the first.
    fn argmax_into(&self, labels: &mut Vec<ClassId>) {
        labels.clear();
        labels.resize(self.width, 0);
        let (first, rest) = self.sum.split_at(self.width.min(self.sum.len()));
        let mut best = first.to_vec();
        for (class, values) in (1..=ClassId::MAX).zip(rest.chunks_exact(self.width.max(1))) {
            for ((label, best), v) in labels.iter_mut().zip(&mut best).zip(values) {
                if *v > *best {
                    (*label, *best) = (class, *v);
                }
            }
        }
    }
}

/// Softmax over the classes of each column of a `[class][column]` row: row by row, so that columns go side by side.
fn softmax(row: &mut [f32], width: usize) {
    let width = width.max(1);
    let mut max = vec![f32::NEG_INFINITY; width];
    for values in row.chunks_exact(width) {
        max.iter_mut().zip(values).for_each(|(max, v)| *max = max.max(*v));
    }
    let mut total = vec![0.0; width];
    for values in row.chunks_exact_mut(width) {
        for ((v, max), total) in values.iter_mut().zip(&max).zip(&mut total) {
            *v = (*v - max).exp();
            *total += *v;
        }
    }
    for values in row.chunks_exact_mut(width) {
        values.iter_mut().zip(&total).for_each(|(v, total)| *v /= total);
    }
}

/// The sum without any fusing, in f64, for the tests of both devices.
#[cfg(test)]
pub(super) mod naive {
    use super::{Combine, Logits, Upsample};
    use crate::geom::Size;

    /// Logits that look random.
    pub(in crate::infer) fn logits(
        seed: u32,
        [n_tiles, n_classes]: [usize; 2],
        size: Size,
        full: Size,
        upsample: Option<Upsample>,
    ) -> Logits {
        let n = u32::try_from(n_tiles * n_classes * size.len()).unwrap();
        let value = |i: u32| ((i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(97)) >> 8) as f32 / 65536.0 - 128.0;
        Logits::of_f32((0..n).map(value).collect(), n_tiles, n_classes, size, full, upsample)
    }

    /// One class at one pixel of the full size.
    fn up_sampled(l: &Logits, tile: usize, (x, y): (u32, u32), class: usize) -> f64 {
        let at = |v: u32, coarse: u32, full: u32| match l.upsample {
            None => f64::from(v),
            Some(Upsample::Bilinear { align_corners: true }) => {
                f64::from(v) * f64::from(coarse - 1) / f64::from(full - 1)
            }
            Some(Upsample::Bilinear { align_corners: false }) => {
                ((f64::from(v) + 0.5) * f64::from(coarse) / f64::from(full) - 0.5).max(0.0)
            }
        };
        let (fx, fy) = (at(x, l.size.width, l.full.width), at(y, l.size.height, l.full.height));
        let get = |x: f64, y: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a position on a small map")]
            let at = |v: f64, side: u32| v.min(f64::from(side - 1)) as usize;
            let (x, y) = (at(x, l.size.width), at(y, l.size.height));
            f64::from(l.tile(tile)[class * l.size.len() + y * l.size.width as usize + x])
        };
        let (px, py) = (fx.fract(), fy.fract());
        get(fx, fy) * (1.0 - px) * (1.0 - py)
            + get(fx + 1.0, fy) * px * (1.0 - py)
            + get(fx, fy + 1.0) * (1.0 - px) * py
            + get(fx + 1.0, fy + 1.0) * px * py
    }

    /// The sum of every class at one pixel.
    pub(in crate::infer) fn sums(
        forwards: &[Logits],
        shares: &[f32],
        rule: Combine,
        tile: usize,
        at: (u32, u32),
    ) -> Vec<f64> {
        let mut sums = vec![0.0; forwards[0].n_classes];
        for (l, share) in forwards.iter().zip(shares) {
            let values: Vec<f64> = (0..l.n_classes).map(|class| up_sampled(l, tile, at, class)).collect();
            let max = values.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = values.iter().map(|v| (v - max).exp()).sum();
            for (sum, v) in sums.iter_mut().zip(&values) {
                let v = if rule == Combine::Logits { *v } else { (v - max).exp() / total };
                *sum += v * f64::from(*share);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::naive::logits;
    use super::*;
    use crate::geom::Size;

    fn check(forwards: &[Logits], rule: Combine, kept: PixelRect) {
        let shares: Vec<f32> = (1..=forwards.len()).map(|i| i as f32 / 10.0).collect();
        let combiner = Combiner::new(rule, Shares::of_members(shares.clone()), vec![Plane::Labels]);
        let by_pass: Vec<(usize, Logits)> = forwards.iter().cloned().enumerate().collect();
        let TilePlanes(planes) = combiner.planes(&by_pass, 0, kept);
        let labels = &planes[0];
        let mut i = 0;
        for y in kept.ys().start..kept.ys().end {
            for x in kept.xs().start..kept.xs().end {
                let sums = naive::sums(forwards, &shares, rule, 0, (x, y));
                let best = sums.iter().copied().fold(f64::MIN, f64::max);
                let got = sums[usize::from(labels[i])];
                assert!(got >= best - 1e-3 * best.abs().max(1.0), "({x}, {y}): {got} is not {best}");
                i += 1;
            }
        }
        assert_eq!(i, labels.len());
    }

    #[test]
    fn fused_combination_equals_the_naive_one() {
        let full = Size::new(24, 16);
        let quarter = |seed, align_corners| {
            logits(seed, [1, 5], Size::new(6, 4), full, Some(Upsample::Bilinear { align_corners }))
        };
        let forwards = [
            quarter(1, true),
            quarter(2, true),
            quarter(3, false),
            logits(4, [1, 5], full, full, None),
            logits(5, [1, 5], Size::new(3, 2), full, Some(Upsample::Bilinear { align_corners: true })),
        ];
        let kept = PixelRect { x: 3, y: 2, size: Size::new(17, 11) };
        for rule in [Combine::Logits, Combine::Probabilities] {
            for n in 1..=forwards.len() {
                check(&forwards[..n], rule, kept);
            }
        }
    }

    #[test]
    fn probabilities_and_disagreement_are_those_of_the_sums_as_they_stand() {
        let full = Size::new(24, 16);
        let mut forwards = [
            logits(1, [1, 3], Size::new(6, 4), full, Some(Upsample::Bilinear { align_corners: true })),
            logits(2, [1, 3], Size::new(6, 4), full, Some(Upsample::Bilinear { align_corners: false })),
            logits(3, [1, 3], full, full, None),
        ];
        // So that no class has it all.
        forwards.iter_mut().for_each(|l| l.values.iter_mut().for_each(|v| *v /= 60.0));
        // They need not add up to 1: a deadline may have given members up.
        let shares = [0.3, 0.25, 0.15];
        let planes =
            vec![Plane::Labels, Plane::Scores, Plane::Disagreement, Plane::Probability(0), Plane::Probability(2)];
        let kept = PixelRect { x: 3, y: 2, size: Size::new(17, 11) };
        let by_pass: Vec<(usize, Logits)> = forwards.iter().cloned().enumerate().collect();
        let (mut spread, mut disputed) = (0, 0);
        for rule in [Combine::Logits, Combine::Probabilities] {
            let combiner = Combiner::new(rule, Shares::of_members(shares), planes.clone());
            let TilePlanes(found) = combiner.planes(&by_pass, 0, kept);
            let alone = Combiner::new(rule, Shares::of_members(shares), vec![Plane::Labels]).planes(&by_pass, 0, kept);
            assert_eq!(alone.0[0], found[0], "labels do not depend on what else is wanted");
            for (at, label) in found[0].iter().map(|label| usize::from(*label)).enumerate() {
                let (x, y) = (u32::try_from(at).unwrap() % 17 + kept.x, u32::try_from(at).unwrap() / 17 + kept.y);
                let sums = naive::sums(&forwards, &shares, rule, 0, (x, y));
                let mean = sums.iter().map(|v| v / 0.7);
                let powers: Vec<f64> = match rule {
                    Combine::Logits => mean.map(f64::exp).collect(),
                    Combine::Probabilities => mean.collect(),
                };
                let expected = |class: usize| 1.0 + 254.0 * powers[class] / powers.iter().sum::<f64>();
                for (plane, class) in [(1, label), (3, 0), (4, 2)] {
                    assert!((f64::from(found[plane][at]) - expected(class)).abs() < 0.51, "{rule:?} {x} {y}");
                }
                spread += usize::from(found[1][at] < 200);
                let best = |one: usize| {
                    let sums = naive::sums(&forwards[one..=one], &[1.0], rule, 0, (x, y));
                    (0..3).max_by(|a, b| sums[*a].total_cmp(&sums[*b])).unwrap()
                };
                let against: f64 = (0..3).filter(|one| best(*one) != label).map(|one| f64::from(shares[one])).sum();
                assert!((f64::from(found[2][at]) - 254.0 * against / 0.7).abs() < 0.51, "{rule:?} {x} {y}");
                disputed += usize::from(found[2][at] > 0);
            }
        }
        assert!(spread > 50 && disputed > 50, "{spread} {disputed}");
    }

    #[test]
    fn softmax_by_rows_has_the_bits_of_softmax_by_columns() {
        let l = logits(6, [1, 7], Size::new(5, 3), Size::new(5, 3), None);
        let width = l.size.len();
        let mut rows: Vec<f32> = l.values.iter().map(|v| v / 20.0).collect();
        let columns = rows.clone();
        softmax(&mut rows, width);
        for x in 0..width {
            let column: Vec<f32> = (0..7).map(|class| columns[class * width + x]).collect();
            let max = column.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = column.iter().map(|v| (v - max).exp()).collect();
            let total = powers.iter().fold(0.0, |sum, v| sum + v);
            for (class, power) in powers.iter().enumerate() {
                assert_eq!(rows[class * width + x].to_bits(), (power / total).to_bits());
            }
        }
    }

    #[test]
    fn of_equal_classes_the_first_wins() {
        let size = Size::new(2, 1);
        let l = Logits::of_f32(vec![1.0, 0.0, 1.0, 3.0], 1, 2, size, size, None);
        let combiner = Combiner::new(Combine::Logits, Shares::of_members([1.0]), vec![Plane::Labels]);
        assert_eq!(combiner.planes(&[(0, l)], 0, PixelRect::whole(size)), TilePlanes(vec![vec![0, 1]]));
    }
}
