//! What is done to crops, on the device that trains.
//!
//! Each crop of each step has a sequence of random numbers of its own, so that nothing depends on who read it or when. Order: place (scale,
//! rotation, flips, quarter turns), then values (brightness, contrast, gamma, blur, noise, lost bands), then mixing.

use std::f64::consts::PI;

use tch::{Kind, Tensor};

use super::batch::Batch;
use crate::config::train::Augment;
use crate::random::SplitMix64;

/// The random numbers of one crop.
struct Draws(SplitMix64);

/// What tells these numbers from others of the same seed, step and sample.
const PURPOSE: u64 = 1 << 32;

impl Draws {
    fn fraction(&mut self) -> f64 {
        self.0.fraction()
    }

    /// Between two bounds.
    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.fraction()
    }

    /// One of 0 to `n` - 1.
    fn one_of(&mut self, n: i64) -> i64 {
        self.0.below(n.unsigned_abs()) as i64
    }

    fn is(&mut self, likely: f64) -> bool {
        self.fraction() < likely
    }
}

/// Crops of `crop` x `crop` pixels made from windows that are at least as large ([`Augment::window`]). The first one is number `first` of
/// its step.
pub(super) fn augment(windows: &Batch, recipe: &Augment, crop: u32, seed: u64, step: u64, first: u64) -> Batch {
    let _no_grad = tch::no_grad_guard();
    let n = windows.image.size()[0];
    let numbers = |at: u64| Draws(SplitMix64::keyed(&[seed, step, first + at, PURPOSE]));
    let mut draws: Vec<Draws> = (0..n.unsigned_abs()).map(numbers).collect();
    let placed = place(windows, recipe, crop, &mut draws);
    let image = values(placed.image, recipe, &mut draws);
    let batch = Batch { image, ..placed };
    if recipe.cutmix > 0.0 { mix(batch, recipe.cutmix, &mut draws) } else { batch }
}

/// A mirror image and a number of quarter turns.
fn symmetry(recipe: &Augment, draws: &mut Draws) -> (bool, i64) {
    if recipe.naic2020 {
        return match draws.one_of(3) {
            0 => (false, 0),
            1 => (true, 0),
            _ => (false, 1 + draws.one_of(3)),
        };
    }
    let [across, down] = [(); 2].map(|()| recipe.flips && draws.is(0.5));
    let turns = if recipe.quarter_turns { draws.one_of(4) } else { 0 };
    // Mirrored top to bottom is mirrored left to right and turned by half.
    (across != down, turns + if down { 2 } else { 0 })
}

fn place(windows: &Batch, recipe: &Augment, crop: u32, draws: &mut [Draws]) -> Batch {
    let is_warped = recipe.scale.is_some() || recipe.rotation > 0.0;
    let side = i64::from(crop);
    let margin = (windows.labels.size()[1] - side) / 2;
    let mut crops: [Vec<Tensor>; 3] = Default::default();
    for (at, draws) in (0..).zip(draws) {
        let warp = is_warped.then(|| {
            let [least, most] = recipe.scale.unwrap_or([1.0; 2]);
            // As likely to be twice as large as to be half as large.
            let scale = draws.between(least.ln(), most.ln()).exp();
            (scale, draws.between(-recipe.rotation, recipe.rotation).to_radians())
        });
        let (is_mirrored, turns) = symmetry(recipe, draws);
        let one = |of: &Tensor| of.narrow(0, at, 1);
        let mut parts = [one(&windows.image), one(&windows.valid), one(&windows.labels).unsqueeze(1)];
        parts = match warp {
            Some((scale, angle)) => warped(parts, side, scale, angle),
            None => parts.map(|part| part.narrow(2, margin, side).narrow(3, margin, side)),
        };
        for (part, crops) in parts.into_iter().zip(&mut crops) {
            let mirrored = if is_mirrored { part.flip([3]) } else { part };
            crops.push(if turns % 4 == 0 { mirrored } else { mirrored.rot90(turns, [2, 3]) });
        }
    }
    let [image, valid, labels] = crops.map(|crops| Tensor::cat(&crops, 0).contiguous());
    Batch { image, valid, labels: labels.squeeze_dim(1), weights: windows.weights.clone() }
}

/// Image, validity and labels of one window, scaled and turned around its middle: values of pixels between pixels are interpolated, labels
/// are the nearest ones'.
fn warped(parts: [Tensor; 3], side: i64, scale: f64, angle: f64) -> [Tensor; 3] {
    let window = parts[0].size()[2];
    // From -1 to 1 over the crop to -1 to 1 over the window.
    let shrink = side as f64 / window as f64 / scale;
    let (sin, cos) = (angle.sin() * shrink, angle.cos() * shrink);
    let device = parts[0].device();
    let theta =
        Tensor::from_slice(&[cos, -sin, 0.0, sin, cos, 0.0]).view([1, 2, 3]).to_kind(Kind::Float).to_device(device);
    let grid = Tensor::affine_grid_generator(&theta, [1, 1, side, side], false);
    // libtorch's numbers of these.
    let (bilinear, nearest, border) = (0, 1, 1);
    let sample = |of: &Tensor, mode| of.to_kind(Kind::Float).grid_sampler(&grid, mode, border, false);
    let [image, valid, labels] = parts;
    [sample(&image, bilinear), sample(&valid, nearest), sample(&labels, nearest).round().to_kind(Kind::Int64)]
}

/// Changes what pixels hold.
fn values(image: Tensor, recipe: &Augment, draws: &mut [Draws]) -> Tensor {
    let Augment { brightness, contrast, gamma, noise, blur, band_drop, .. } = *recipe;
    if [brightness, contrast, gamma, noise, blur, band_drop].iter().all(|amount| *amount == 0.0) {
        return image;
    }
    let one = |(at, draws): (i64, &mut Draws)| {
        let mut xs = image.narrow(0, at, 1);
        if contrast > 0.0 {
            let mean = xs.mean_dim(&[2_i64, 3][..], true, Kind::Float);
            xs = (xs - &mean) * draws.between(1.0 - contrast, 1.0 + contrast) + mean;
        }
        if brightness > 0.0 {
            xs += draws.between(-brightness, brightness);
        }
        if gamma > 0.0 {
            let power = draws.between(-(1.0 + gamma).ln(), (1.0 + gamma).ln()).exp();
            // What lies outside 0 to 1 has no power that would fit the rest.
            let inside = xs.clamp(0.0, 1.0);
            xs = &xs + (inside.pow_tensor_scalar(power) - inside);
        }
        if blur > 0.0 {
            xs = blurred(&xs, draws.between(0.0, blur));
        }
        if noise > 0.0 {
            // libtorch's own numbers: the step has seeded them.
            xs = &xs + xs.randn_like() * draws.between(0.0, noise);
        }
        if band_drop > 0.0 {
            let n = xs.size()[1];
            let saved = draws.one_of(n);
            let drops: Vec<bool> = (0..n).map(|_| draws.is(band_drop)).collect();
            let is_all = !drops.contains(&false);
            let is_kept: Vec<bool> =
                (0..).zip(drops).map(|(band, is_lost)| !is_lost || (is_all && band == saved)).collect();
            let is_lost = Tensor::from_slice(&is_kept).logical_not().to_device(xs.device()).view([1, -1, 1, 1]);
            let mean = xs.mean_dim(&[2_i64, 3][..], true, Kind::Float);
            xs = xs.where_self(&is_lost.logical_not(), &mean);
        }
        xs
    };
    let all: Vec<Tensor> = (0..).zip(draws).map(one).collect();
    Tensor::cat(&all, 0)
}

/// Convolved with a Gaussian, bands and directions apart; borders are reflected.
fn blurred(xs: &Tensor, sigma: f64) -> Tensor {
    #[expect(clippy::cast_possible_truncation, reason = "at most 48")]
    let radius = (3.0 * sigma).ceil().max(1.0) as i64;
    let radius = radius.min(xs.size()[2] - 1);
    let weights: Vec<f32> = (-radius..=radius)
        .map(|at| {
            let at = at as f64 / sigma.max(1e-3);
            #[expect(clippy::cast_possible_truncation, reason = "a weight from 0 to 1")]
            let weight = ((-at * at / 2.0).exp() / (sigma.max(1e-3) * (2.0 * PI).sqrt())) as f32;
            weight
        })
        .collect();
    let weights = Tensor::from_slice(&weights).to_device(xs.device());
    let weights = &weights / weights.sum(Kind::Float);
    let bands = xs.size()[1];
    let padded = xs.reflection_pad2d([radius; 4]);
    let pass = |xs: &Tensor, shape: [i64; 2]| {
        let kernel = weights.view([1, 1, shape[0], shape[1]]).expand([bands, 1, shape[0], shape[1]], false);
        xs.conv2d(&kernel, None::<&Tensor>, [1, 1], [0, 0], [1, 1], bands)
    };
    pass(&pass(&padded, [1, 2 * radius + 1]), [2 * radius + 1, 1])
}

/// Puts a rectangle of the next crop into some crops.
fn mix(batch: Batch, likely: f64, draws: &mut [Draws]) -> Batch {
    let n = batch.image.size()[0];
    let side = batch.labels.size()[1];
    let inside = Tensor::zeros([n, 1, side, side], (Kind::Bool, batch.image.device()));
    for (at, draws) in (0..).zip(draws) {
        if !draws.is(likely) {
            continue;
        }
        // The area is uniform between 0 and 1, as the source's Beta(1, 1).
        let share = draws.fraction().sqrt();
        let span = |middle: f64| {
            let middle = middle * side as f64;
            let half = share * side as f64 / 2.0;
            #[expect(clippy::cast_possible_truncation, reason = "within a crop")]
            let [start, end] = [middle - half, middle + half].map(|at| at.round().clamp(0.0, side as f64) as i64);
            (start, end - start)
        };
        let ((x, width), (y, height)) = (span(draws.fraction()), span(draws.fraction()));
        drop(inside.get(at).narrow(1, y, height).narrow(2, x, width).fill_(1));
    }
    let mixed = |of: &Tensor, inside: &Tensor| of.roll([-1], [0]).where_self(inside, of);
    Batch {
        image: mixed(&batch.image, &inside),
        valid: mixed(&batch.valid, &inside),
        labels: mixed(&batch.labels, &inside.squeeze_dim(1)),
        weights: batch.weights,
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::train::loss::IGNORED;

    /// Windows whose first band tells the column, whose second the row, and whose labels follow from both.
    fn windows(n: i64, side: i64) -> Batch {
        let axis = Tensor::arange(side, (Kind::Float, Device::Cpu)) / side as f64;
        let (x, y) = (axis.view([1, -1]).expand([side, side], false), axis.view([-1, 1]).expand([side, side], false));
        let image = Tensor::stack(&[&x, &y], 0).unsqueeze(0).repeat([n, 1, 1, 1]);
        let labels = ((&x + &y) * side as f64 / 4.0).to_kind(Kind::Int64).unsqueeze(0).repeat([n, 1, 1]);
        let valid = Tensor::ones([n, 1, side, side], (Kind::Float, Device::Cpu));
        Batch { valid, image, labels, weights: vec![1.0; usize::try_from(n).unwrap()] }
    }

    fn labels_of(image: &Tensor, side: i64) -> Tensor {
        let sum = image.select(1, 0) + image.select(1, 1);
        (sum * side as f64 / 4.0 + 1e-4).to_kind(Kind::Int64)
    }

    #[test]
    fn labels_go_where_pixels_go() {
        let side = 16;
        let windows = windows(24, side);
        for recipe in [
            Augment { naic2020: true, ..Augment::default() },
            Augment { flips: true, quarter_turns: true, ..Augment::default() },
        ] {
            let out = augment(&windows, &recipe, 16, 3, 5, 0);
            assert!(labels_of(&out.image, side).equal(&out.labels), "{recipe:?}");
            let moved = (0..24).filter(|at| !out.image.get(*at).equal(&windows.image.get(*at))).count();
            assert!((10..24).contains(&moved), "{moved} of 24 crops are not as they were");
            let again = augment(&windows, &recipe, 16, 3, 5, 0);
            assert!(again.image.equal(&out.image));
            assert!(!augment(&windows, &recipe, 16, 3, 6, 0).image.equal(&out.image));
            // A crop's own numbers depend on its place in the step, not on who else is in the batch.
            let (tail, n) = (augment(&windows, &recipe, 16, 3, 5, 8), 16);
            assert!(tail.image.narrow(0, 0, n).equal(&out.image.narrow(0, 8, n)));
        }
    }

    #[test]
    fn all_symmetries_of_a_square_come_about_equally_often() {
        let recipe = Augment { flips: true, quarter_turns: true, ..Augment::default() };
        let out = augment(&windows(800, 8), &recipe, 8, 1, 0, 0);
        let mut counts = std::collections::BTreeMap::new();
        for at in 0..800 {
            let crop = out.image.get(at);
            let corner = |band: i64, y: i64, x: i64| (crop.get(band).get(y).get(x) * 8.0).int64_value(&[]);
            *counts.entry((corner(0, 0, 0), corner(1, 0, 0), corner(0, 0, 7))).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 8);
        assert!(counts.values().all(|n| (60..140).contains(n)), "{counts:?}");
    }

    #[test]
    fn scaled_and_turned_crops_keep_labels_on_their_pixels() {
        let recipe = Augment { scale: Some([0.5, 2.0]), rotation: 30.0, ..Augment::default() };
        let side = recipe.window(32);
        assert!(side >= 87, "{side}");
        let windows = windows(12, side.into());
        let out = augment(&windows, &recipe, 32, 9, 1, 0);
        assert_eq!((out.image.size(), out.labels.size()), (vec![12, 2, 32, 32], vec![12, 32, 32]));
        // A linear picture is resampled exactly, but for its border; labels are those of the nearest pixel.
        let off = (labels_of(&out.image, side.into()) - &out.labels).abs();
        assert!(off.max().int64_value(&[]) <= 1);
        assert!(off.ne(0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]) < 0.2);
        // Middles stay where they are.
        let middle = out.image.narrow(2, 15, 2).narrow(3, 15, 2).mean_dim(&[1_i64, 2, 3][..], false, Kind::Float);
        let half = (f64::from(side) - 1.0) / 2.0 / f64::from(side);
        assert!((middle - half).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn values_change_within_what_is_asked_for() {
        let windows = windows(16, 16);
        let out = augment(&windows, &Augment { brightness: 0.1, ..Augment::default() }, 16, 1, 1, 0);
        let by = (&out.image - &windows.image).abs();
        assert!(by.max().double_value(&[]) <= 0.1001 && by.max().double_value(&[]) > 0.05);
        assert!(
            by.view([16, -1]).std_dim(&[1_i64][..], false, false).max().double_value(&[]) < 1e-6,
            "one for all pixels"
        );
        let blurred = augment(&windows, &Augment { blur: 2.0, ..Augment::default() }, 16, 1, 1, 0);
        let inner = |of: &Tensor| of.narrow(2, 6, 4).narrow(3, 6, 4);
        assert!((inner(&blurred.image) - inner(&windows.image)).abs().max().double_value(&[]) < 1e-2, "a slope stays");
        let dropped = augment(&windows, &Augment { band_drop: 0.9, ..Augment::default() }, 16, 1, 1, 0);
        let is_flat = dropped.image.std_dim(&[2_i64, 3][..], false, false).lt(1e-6);
        assert!(is_flat.any().int64_value(&[]) == 1 && is_flat.all_dim(1, false).any().int64_value(&[]) == 0);
        assert!(out.labels.equal(&windows.labels));
        for recipe in [Augment { gamma: 0.5, ..Augment::default() }, Augment { contrast: 0.5, ..Augment::default() }] {
            let out = augment(&windows, &recipe, 16, 1, 1, 0);
            assert!(!out.image.equal(&windows.image) && out.image.isfinite().all().int64_value(&[]) == 1);
        }
    }

    #[test]
    fn mixed_crops_have_pixels_and_labels_of_one_of_two() {
        let mut batch = windows(4, 16);
        batch.image = Tensor::arange(4, (Kind::Float, Device::Cpu)).view([4, 1, 1, 1]).expand([4, 2, 16, 16], false);
        batch.labels = batch.image.select(1, 0).to_kind(Kind::Int64);
        let out = augment(&batch, &Augment { cutmix: 1.0, ..Augment::default() }, 16, 2, 2, 0);
        assert!(out.image.select(1, 0).to_kind(Kind::Int64).equal(&out.labels));
        let share = out.labels.ne_tensor(&batch.labels).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        assert!(share > 0.05 && share < 0.95, "{share}");
        assert!(out.labels.ne(IGNORED).all().int64_value(&[]) == 1);
    }
}
