//! How far a network's answers move when its weights do.

use std::collections::BTreeMap;

use super::{Body, TorchMember, explain, refused, target};
use crate::config::classes::ClassId;
use crate::config::{Combine, Weights};
use crate::infer::backend::BackendError;
use crate::infer::batch::RawBatch;
use crate::infer::combine::Combiner;
use crate::infer::damage::Damage;
use crate::infer::failure::failure;
use crate::infer::input::InputPlan;
use crate::infer::logits::Logits;
use crate::plan::{DeviceId, Plan};
use crate::zoo::layers::scope::Purpose;
use crate::zoo::layout::Layout;
use crate::zoo::registry::{self, Built};
use crate::zoo::weights;

/// A member on some tiles, whose answers with its own weights are known.
pub struct Probe {
    device: DeviceId,
    member: TorchMember,
    layout: Layout,
    weights: BTreeMap<String, Vec<f32>>,
    /// Each tile with the member's answer and what became of it.
    answers: Vec<(RawBatch, Logits, Vec<Vec<ClassId>>)>,
    input: Vec<f32>,
}

impl Probe {
    /// Loads the `member`-th member of the plan on a device and runs it on `tiles`.
    ///
    /// # Errors
    /// When the member has no weights file of its own network, that does not fit, or the device or libtorch fails.
    pub fn open(plan: &Plan, member: usize, device: DeviceId, tiles: Vec<RawBatch>) -> Result<Self, BackendError> {
        if let Some(detail) = super::torch_problem(device) {
            return Err(BackendError::Device { device, detail });
        }
        let planned = &plan.members[member];
        let spec = &planned.member.spec;
        let failed = |detail: String| BackendError::Weights { member: planned.member.name.clone(), detail };
        let Weights::File(path) = &planned.member.weights else {
            return Err(failed("it has a seed, no file".to_owned()));
        };
        let built = registry::build(spec, Purpose::Inference, target(device)).map_err(|e| failed(e.to_string()))?;
        let Built { mut store, layout, network } = built;
        let values = weights::values(&layout, path).map_err(|e| failed(refused(&e)))?;
        store.freeze();
        let input = InputPlan::new(&planned.member.input, &plan.bands, spec.size_rule(), plan.pipeline.tiling.border);
        let precision = planned.resolved_precision;
        let mut body = Body::Known { store, network };
        body.convert(precision).map_err(failed)?;
        let member = TorchMember { spec: spec.clone(), input, precision, body };
        let mut probe = Self { device, member, layout, weights: values, answers: Vec::new(), input: Vec::new() };
        probe.set(|_| None)?;
        for tile in tiles {
            let logits = probe.run(&tile)?;
            let labels = labels(&tile, &logits);
            probe.answers.push((tile, logits, labels));
        }
        Ok(probe)
    }

    /// Names, shapes and own values of the tensors that the network runs with.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        let shape = |name: &str| self.layout.tensors.get(name).map(|declared| &declared.shape[..]);
        self.weights.iter().filter_map(move |(name, values)| Some((name.as_str(), shape(name)?, &values[..])))
    }

    /// Runs the member with the values that `changed` has for a name, and with its own where it has none.
    ///
    /// # Errors
    /// When the device or libtorch fails.
    pub fn damage(&mut self, changed: impl FnMut(&str) -> Option<Vec<f32>>) -> Result<Damage, BackendError> {
        self.set(changed)?;
        let answers = std::mem::take(&mut self.answers);
        let mut sums = Sums::default();
        let compared = answers.iter().try_for_each(|(tile, own, own_labels)| {
            let logits = self.run(tile)?;
            sums.add(own, &logits);
            sums.count(own_labels, &labels(tile, &logits));
            Ok(())
        });
        self.answers = answers;
        compared.map(|()| sums.damage())
    }

    fn set(&mut self, mut changed: impl FnMut(&str) -> Option<Vec<f32>>) -> Result<(), BackendError> {
        let Body::Known { store, .. } = &self.member.body else { return Ok(()) };
        let own = &self.weights;
        let set = weights::assign(store, &self.layout, |name, _| {
            changed(name).unwrap_or_else(|| own.get(name).cloned().unwrap_or_default())
        });
        set.map_err(|e| failure(self.device, &explain(&e)))
    }

    fn run(&mut self, tile: &RawBatch) -> Result<Logits, BackendError> {
        self.member.input.fill(tile, &mut self.input);
        self.member.forward(&self.input, tile.len(), self.member.input.padded(tile.crop), self.device)
    }
}

/// Classes of what each tile owns.
fn labels(tile: &RawBatch, logits: &Logits) -> Vec<Vec<ClassId>> {
    let combiner = Combiner::new(Combine::Logits, vec![1.0]);
    tile.kept.iter().enumerate().map(|(idx, kept)| combiner.labels(&[logits], idx, *kept)).collect()
}

/// What two answers differ in, so far.
#[derive(Debug, Default)]
struct Sums {
    difference: f64,
    own: f64,
    agreeing: u64,
    pixels: u64,
}

impl Sums {
    fn add(&mut self, own: &Logits, other: &Logits) {
        let area = own.size.len();
        for tile in 0..own.n_tiles {
            let (own_values, other_values) = (own.tile(tile), other.tile(tile));
            for pixel in 0..area {
                let classes = || (0..own.n_classes).map(|class| class * area + pixel);
                let mean =
                    |values: &[f32]| classes().map(|at| f64::from(values[at])).sum::<f64>() / own.n_classes as f64;
                let (own_mean, other_mean) = (mean(own_values), mean(other_values));
                for at in classes() {
                    let (a, b) = (f64::from(own_values[at]) - own_mean, f64::from(other_values[at]) - other_mean);
                    self.difference += (a - b).powi(2);
                    self.own += a * a;
                }
            }
        }
    }

    fn count(&mut self, own: &[Vec<ClassId>], other: &[Vec<ClassId>]) {
        let pairs = || own.iter().flatten().zip(other.iter().flatten());
        self.pixels += pairs().count() as u64;
        self.agreeing += pairs().filter(|(a, b)| a == b).count() as u64;
    }

    fn damage(&self) -> Damage {
        Damage {
            relative: if self.own > 0.0 { self.difference / self.own } else { 0.0 },
            agreement: if self.pixels > 0 { self.agreeing as f64 / self.pixels as f64 } else { 1.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;

    fn logits(values: &[f32]) -> Logits {
        let size = Size::new(2, 1);
        Logits { values: values.to_vec(), n_tiles: 1, n_classes: 2, size, full: size, upsample: None }
    }

    #[test]
    fn what_all_classes_of_a_pixel_have_in_common_does_no_damage() {
        // [class][pixel]: each pixel is shifted by another number.
        let (own, shifted) = (logits(&[1.0, 4.0, -1.0, 0.0]), logits(&[4.0, 5.0, 2.0, 1.0]));
        let mut sums = Sums::default();
        sums.add(&own, &shifted);
        assert_eq!(sums.damage(), Damage { relative: 0.0, agreement: 1.0 });
        // Halved: a quarter of the square.
        let mut sums = Sums::default();
        sums.add(&own, &logits(&[0.5, 2.0, -0.5, 0.0]));
        sums.count(&[vec![0, 1, 1]], &[vec![0, 1, 0]]);
        let damage = sums.damage();
        assert!((damage.relative - 0.25).abs() < 1e-12 && (damage.agreement - 2.0 / 3.0).abs() < 1e-12, "{damage:?}");
    }
}
