//! Combines the passes' logits on a device: the same sum in the same order as `combine`'s, of the device's own rounding.

use tch::{Device, Kind, TchError, Tensor};

use crate::config::{Combine, Precision};
use crate::geom::{PixelRect, Size};
use crate::infer::logits::Logits;
use crate::plan::{Plan, Plane, Shares, TilePlanes};
use crate::tensor::upload;
use crate::zoo::spec::{NetworkSpec, Upsample};

/// Logits of a batch on a device.
#[derive(Debug)]
pub(super) struct DeviceLogits {
    /// `[tiles, classes, rows, columns]`, f32.
    pub(super) values: Tensor,
    /// Per tile: the type in which the network gave them, and in which they are stored.
    pub(super) precision: Vec<Precision>,
    /// Size of the network's input.
    pub(super) full: Size,
    /// The way from the one to the other.
    pub(super) upsample: Option<Upsample>,
}

impl DeviceLogits {
    /// Starts the way up of logits in the machine's own memory.
    pub(super) fn upload(logits: &Logits, device: Device) -> Result<Self, TchError> {
        let Size { width, height } = logits.size;
        let shape = [logits.n_tiles as i64, logits.n_classes as i64, i64::from(height), i64::from(width)];
        let values = upload(&Tensor::f_from_slice(&logits.values)?.f_view(shape)?, device)?;
        Ok(Self { values, precision: logits.precision.clone(), full: logits.full, upsample: logits.upsample })
    }

    /// Zeros for `n_tiles` tiles of a network.
    pub(super) fn zeros(spec: &NetworkSpec, crop: Size, n_tiles: usize, device: Device) -> Result<Self, TchError> {
        let size = spec.logit_size(crop);
        let shape = [n_tiles as i64, i64::from(spec.classes), i64::from(size.height), i64::from(size.width)];
        let values = Tensor::f_zeros(shape, (Kind::Float, device))?;
        let (full, upsample) = (spec.size_rule().padded(crop), spec.upsample());
        Ok(Self { values, precision: vec![Precision::F32; n_tiles], full, upsample })
    }

    /// Replaces one tile's values by those of tile `at` of others on the same grid.
    pub(super) fn copy_tile(&mut self, tile: usize, other: &Self, at: usize) -> Result<(), TchError> {
        self.values.f_get(tile as i64)?.f_copy_(&other.values.f_get(at as i64)?)?;
        self.precision[tile] = other.precision[at];
        Ok(())
    }

    /// For every tile whether its values are all finite, `[tiles]`, u8.
    pub(super) fn finite(&self) -> Result<Tensor, TchError> {
        self.values.f_isfinite()?.f_flatten(1, -1)?.f_all_dim(1, false)?.f_to_kind(Kind::Uint8)
    }

    fn same_grid(&self, other: &Self) -> bool {
        self.values.size()[2..] == other.values.size()[2..]
            && self.full == other.full
            && self.upsample == other.upsample
    }
}

/// Combines logits under one rule with one share per pass of the plan.
#[derive(Debug)]
pub(super) struct Sum {
    rule: Combine,
    shares: Shares,
    planes: Vec<Plane>,
}

/// Values of one tile to be up-sampled and added.
struct Layer<'a> {
    grid: &'a DeviceLogits,
    /// `[1, classes, rows, columns]`.
    values: Tensor,
    share: f32,
}

impl Sum {
    /// That of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        Self { rule: plan.pipeline.combine, shares: plan.shares(), planes: plan.planes.clone() }
    }

    /// How many planes a tile has.
    pub(super) fn n_planes(&self) -> usize {
        self.planes.len()
    }

    /// The planes of a tile without data that owns so many pixels.
    pub(super) fn void(&self, area: usize) -> TilePlanes {
        TilePlanes::void(&self.planes, area)
    }

    /// The planes of the kept part of one tile, each `[pixels]`, u8. `forwards` come with the index of their pass, in the order of
    /// summation, all finite.
    pub(super) fn planes(
        &self,
        forwards: &[(usize, DeviceLogits)],
        tile: usize,
        kept: PixelRect,
    ) -> Result<Vec<Tensor>, TchError> {
        let passes: Vec<usize> = forwards.iter().map(|(pass, _)| *pass).collect();
        let weighted: Vec<(&DeviceLogits, f32)> =
            forwards.iter().map(|(_, logits)| logits).zip(self.shares.of(&passes)).collect();
        let Some(sum) = self.sum(&weighted, tile, kept)? else { return Ok(Vec::new()) };
        // Of equal sums the first class wins, in libtorch too.
        let labels = sum.f_argmax(1, true)?;
        let are_probable = |plane: &Plane| matches!(plane, Plane::Scores | Plane::Probability(_));
        let probabilities = match self.planes.iter().any(are_probable) {
            true => Some(self.probabilities(&sum, weighted.iter().map(|(_, share)| share).sum())?),
            false => None,
        };
        drop(sum);
        let probabilities = probabilities.as_ref().unwrap_or(&labels);
        let plane = |plane: &Plane| -> Result<Tensor, TchError> {
            let plane = match plane {
                Plane::Labels => labels.shallow_clone(),
                Plane::Scores => in_steps(&probabilities.f_gather(1, &labels, false)?)?.f_add_scalar(1)?,
                Plane::Probability(class) => {
                    in_steps(&probabilities.f_narrow(1, i64::from(*class), 1)?)?.f_add_scalar(1)?
                }
                Plane::Disagreement => {
                    in_steps(&self.disagreement(&weighted, &self.shares.members(&passes), &labels, tile, kept)?)?
                }
            };
            plane.f_to_kind(Kind::Uint8)?.f_flatten(0, -1)
        };
        self.planes.iter().map(plane).collect()
    }

    /// `[1, classes, rows, columns]`: the sum over the kept part of a tile.
    fn sum(&self, weighted: &[(&DeviceLogits, f32)], tile: usize, kept: PixelRect) -> Result<Option<Tensor>, TchError> {
        let mut sum: Option<Tensor> = None;
        for layer in self.layers(weighted, tile)? {
            let values = layer.up_sampled(kept)?;
            let values = match self.rule {
                Combine::Logits => values,
                Combine::Probabilities => values.f_softmax(1, Kind::Float)?,
            };
            let values = values.f_mul_scalar(f64::from(layer.share))?;
            sum = Some(match sum {
                None => values,
                Some(mut sum) => sum.f_add_(&values)?,
            });
        }
        Ok(sum)
    }

    /// What a sum whose shares add up to `total` says of each class.
    fn probabilities(&self, sum: &Tensor, total: f32) -> Result<Tensor, TchError> {
        let mean = sum.f_div_scalar(f64::from(total))?;
        match self.rule {
            Combine::Logits => mean.f_softmax(1, Kind::Float),
            Combine::Probabilities => Ok(mean),
        }
    }

    /// `[1, 1, rows, columns]`: the share of the members' weight that is for another class. `members` are the weight of each and its places.
    fn disagreement(
        &self,
        weighted: &[(&DeviceLogits, f32)],
        members: &[(f32, Vec<usize>)],
        labels: &Tensor,
        tile: usize,
        kept: PixelRect,
    ) -> Result<Tensor, TchError> {
        let mut against = labels.f_zeros_like()?.f_to_kind(Kind::Float)?;
        for (weight, places) in members {
            let own: Vec<(&DeviceLogits, f32)> = places.iter().map(|at| weighted[*at]).collect();
            let Some(sum) = self.sum(&own, tile, kept)? else { continue };
            let votes = sum.f_argmax(1, true)?.f_not_equal_tensor(labels)?.f_to_kind(Kind::Float)?;
            against = against.f_add(&votes.f_mul_scalar(f64::from(*weight))?)?;
        }
        let total: f32 = members.iter().map(|(weight, _)| weight).sum();
        against.f_div_scalar(f64::from(total))
    }

    /// One layer per resolution and convention where the rule is linear, the shares already applied, in the order of first appearance.
    fn layers<'a>(&self, weighted: &[(&'a DeviceLogits, f32)], tile: usize) -> Result<Vec<Layer<'a>>, TchError> {
        let mut layers: Vec<Layer<'a>> = Vec::new();
        for &(logits, share) in weighted {
            let values = logits.values.f_narrow(0, tile as i64, 1)?;
            let same = |layer: &&mut Layer<'_>| self.rule == Combine::Logits && layer.grid.same_grid(logits);
            match layers.iter_mut().find(same) {
                None => layers.push(Layer { grid: logits, values, share }),
                Some(layer) => {
                    if layer.share.to_bits() != 1.0_f32.to_bits() {
                        layer.values = layer.values.f_mul_scalar(f64::from(layer.share))?;
                        layer.share = 1.0;
                    }
                    layer.values = layer.values.f_add(&values.f_mul_scalar(f64::from(share))?)?;
                }
            }
        }
        Ok(layers)
    }
}

/// Shares as whole numbers of 0 to 254.
fn in_steps(shares: &Tensor) -> Result<Tensor, TchError> {
    shares.f_clamp(0.0, 1.0)?.f_mul_scalar(f64::from(Plane::STEPS))?.f_round()
}

impl Layer<'_> {
    /// `[1, classes, rows, columns]` of the kept part.
    fn up_sampled(&self, kept: PixelRect) -> Result<Tensor, TchError> {
        let full = [i64::from(self.grid.full.height), i64::from(self.grid.full.width)];
        let values = match self.grid.upsample {
            None => self.values.shallow_clone(),
            Some(Upsample::Bilinear { align_corners }) => {
                self.values.f_upsample_bilinear2d(full, align_corners, None, None)?
            }
        };
        let rows = values.f_narrow(2, i64::from(kept.y), i64::from(kept.size.height))?;
        rows.f_narrow(3, i64::from(kept.x), i64::from(kept.size.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::combine::Combiner;
    use crate::infer::combine::naive::{logits, sums};

    /// The two best sums of a pixel, in f64.
    fn best_two(forwards: &[Logits], shares: &[f32], rule: Combine, tile: usize, at: (u32, u32)) -> (f64, f64) {
        let mut sums = sums(forwards, shares, rule, tile, at);
        sums.sort_by(|a, b| b.total_cmp(a));
        (sums[0], sums[1])
    }

    #[test]
    fn all_planes_are_those_of_the_host_but_for_rounding() {
        let full = Size::new(48, 32);
        let mut forwards = [
            logits(1, [2, 5], Size::new(12, 8), full, Some(Upsample::Bilinear { align_corners: true })),
            logits(2, [2, 5], Size::new(12, 8), full, Some(Upsample::Bilinear { align_corners: false })),
            logits(3, [2, 5], full, full, None),
        ];
        forwards.iter_mut().for_each(|l| l.values.iter_mut().for_each(|v| *v /= 60.0));
        let mut planes = vec![Plane::Labels, Plane::Scores, Plane::Disagreement];
        planes.extend((0..5).map(Plane::Probability));
        let shares = || Shares::of_members([0.3, 0.25, 0.15]);
        let kept = PixelRect { x: 3, y: 2, size: Size::new(37, 29) };
        let host: Vec<(usize, Logits)> = forwards.iter().cloned().enumerate().collect();
        let upload = |(pass, l): &(usize, Logits)| (*pass, DeviceLogits::upload(l, Device::Cpu).unwrap());
        let device: Vec<(usize, DeviceLogits)> = host.iter().map(upload).collect();
        for rule in [Combine::Logits, Combine::Probabilities] {
            let expected = Combiner::new(rule, shares(), planes.clone()).planes(&host, 1, kept).0;
            let found = Sum { rule, shares: shares(), planes: planes.clone() }.planes(&device, 1, kept).unwrap();
            let found: Vec<Vec<u8>> = found.iter().map(|plane| Vec::try_from(plane).unwrap()).collect();
            for ((plane, expected), found) in planes.iter().zip(&expected).zip(&found) {
                let differ = expected.iter().zip(found).filter(|(a, b)| a != b);
                let by_more = differ.clone().filter(|(a, b)| a.abs_diff(**b) > 1).count();
                let (n, limit) = (differ.count(), expected.len() / 100);
                assert!(expected.len() == found.len() && n <= limit, "{rule:?} {plane:?}: {n} pixels");
                let is_vote = matches!(plane, Plane::Labels | Plane::Disagreement);
                assert!(is_vote || by_more == 0, "{rule:?} {plane:?}: {by_more} pixels by more than a step");
            }
        }
    }

    #[test]
    fn labels_are_those_of_the_host_but_for_near_ties() {
        let full = Size::new(48, 32);
        let quarter = |seed, align_corners| {
            logits(seed, [2, 5], Size::new(12, 8), full, Some(Upsample::Bilinear { align_corners }))
        };
        let forwards = [
            quarter(1, true),
            quarter(2, true),
            quarter(3, false),
            logits(4, [2, 5], full, full, None),
            logits(5, [2, 5], Size::new(6, 4), full, Some(Upsample::Bilinear { align_corners: true })),
        ];
        let shares: Vec<f32> = (1..=forwards.len()).map(|i| i as f32 / 10.0).collect();
        let kept = PixelRect { x: 3, y: 2, size: Size::new(37, 29) };
        let (mut ties, mut pixels) = (0, 0);
        for rule in [Combine::Logits, Combine::Probabilities] {
            for n in 1..=forwards.len() {
                let host: Vec<(usize, Logits)> = forwards[..n].iter().cloned().enumerate().collect();
                let upload = |(pass, l): &(usize, Logits)| (*pass, DeviceLogits::upload(l, Device::Cpu).unwrap());
                let device: Vec<(usize, DeviceLogits)> = host.iter().map(upload).collect();
                let combiner = Combiner::new(rule, Shares::of_members(shares.clone()), vec![Plane::Labels]);
                let sum = Sum { rule, shares: Shares::of_members(shares.clone()), planes: vec![Plane::Labels] };
                for tile in 0..2 {
                    let expected = combiner.planes(&host, tile, kept).0.remove(0);
                    let labels = Vec::<u8>::try_from(&sum.planes(&device, tile, kept).unwrap()[0]).unwrap();
                    assert_eq!(labels.len(), expected.len());
                    for (at, _) in expected.iter().zip(&labels).enumerate().filter(|(_, (a, b))| a != b) {
                        let at = u32::try_from(at).unwrap();
                        let at = (kept.x + at % kept.size.width, kept.y + at / kept.size.width);
                        let (best, next) = best_two(&forwards[..n], &shares, rule, tile, at);
                        assert!(best - next <= 1e-5 * best.abs(), "{rule:?}, {n} passes, {at:?}: {best} and {next}");
                        ties += 1;
                    }
                    pixels += labels.len();
                }
            }
        }
        assert!(ties * 200 <= pixels, "{ties} of {pixels} pixels are near ties");
    }
}
