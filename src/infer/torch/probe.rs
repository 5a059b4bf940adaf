//! How far a network's answers move when its weights do.

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::nn::VarStore;

use super::member::TorchMember;
use super::{kind, refused, target};
use crate::config::classes::ClassId;
use crate::config::{Combine, Weights};
use crate::infer::DeviceError;
use crate::infer::batch::RawBatch;
use crate::infer::combine::Combiner;
use crate::infer::failure::failure;
use crate::infer::input::InputPlan;
use crate::infer::logits::Logits;
use crate::plan::{DeviceId, Plan, Plane, Shares};
use crate::tensor::convert;
use crate::weights::layout::Layout;
use crate::words::explain;
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry::{self, Built};
use crate::zoo::store;

/// How far outputs with other weights are from those with the member's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputDrift {
    /// Squared difference of the logits, relative to their square; what all classes of a pixel have in common does not count. Infinite
    /// where an answer is no number any more.
    pub relative: f64,
    /// Share of the pixels that keep their class.
    pub agreement: f64,
}

/// A member on some tiles, whose answers with its own weights are known.
pub struct Probe {
    device: DeviceId,
    member: TorchMember,
    store: VarStore,
    layout: Layout,
    weights: BTreeMap<String, Vec<f32>>,
    tiles: Arc<[RawBatch]>,
    /// The member's answer to each, and the classes that follow from it.
    answers: Vec<(Logits, Vec<Vec<ClassId>>)>,
    inputs: InputPlan,
    input: Vec<f32>,
}

impl Probe {
    /// Loads the `member`-th member of the plan on a device and runs it on `tiles`.
    ///
    /// # Errors
    /// When the member has no weights file of a known network, that does not fit, its own answers are not finite, or the device or
    /// libtorch fails.
    pub fn open(plan: &Plan, member: usize, device: DeviceId, tiles: Arc<[RawBatch]>) -> Result<Self, DeviceError> {
        if let Some(detail) = super::torch_problem(device) {
            return Err(DeviceError::Missing { device, detail });
        }
        let planned = &plan.members[member];
        let spec = &planned.member.spec;
        let failed = |detail: String| DeviceError::Weights { member: planned.member.name.clone(), detail };
        let Weights::File(path) = &planned.member.weights else {
            return Err(failed("it has a seed, no file".to_owned()));
        };
        let built = registry::build(spec, Purpose::Inference, target(device)).map_err(|e| failed(e.to_string()))?;
        let Built { mut store, layout, network, .. } = built;
        let values = store::values(&layout, path).map_err(|e| failed(refused(e, spec)))?;
        store.freeze();
        let inputs = InputPlan::new(&planned.member.input, &plan.bands, spec.size_rule(), plan.pipeline.tiling.border);
        let precision = planned.resolved_precision;
        convert(&store, kind(precision)).map_err(|e| failure(device, &e.to_string()))?;
        let member = TorchMember::of(spec, device, precision, network);
        let (answers, input) = (Vec::new(), Vec::new());
        let mut probe = Self { device, member, store, layout, weights: values, tiles, answers, inputs, input };
        probe.set(|_| None)?;
        for tile in Arc::clone(&probe.tiles).iter() {
            let logits = probe.run(tile)?;
            if !is_finite(tile, &logits) {
                let why = "its own answers are not finite; use precision = \"f32\" or other weights";
                return Err(failed(format!("{}: {why}", tile.name)));
            }
            let labels = labels(tile, &logits);
            probe.answers.push((logits, labels));
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
    pub fn drift(&mut self, changed: impl FnMut(&str) -> Option<Vec<f32>>) -> Result<OutputDrift, DeviceError> {
        self.set(changed)?;
        let mut sums = Sums::default();
        for (idx, tile) in Arc::clone(&self.tiles).iter().enumerate() {
            let logits = self.run(tile)?;
            let (own, own_labels) = &self.answers[idx];
            sums.add(own, &logits);
            let labels = is_finite(tile, &logits).then(|| labels(tile, &logits));
            sums.count(own_labels, labels.as_deref());
        }
        Ok(sums.drift())
    }

    fn set(&mut self, mut changed: impl FnMut(&str) -> Option<Vec<f32>>) -> Result<(), DeviceError> {
        let own = &self.weights;
        let set = store::assign(&self.store, &self.layout, |name, _| {
            changed(name).unwrap_or_else(|| own.get(name).cloned().unwrap_or_default())
        });
        set.map_err(|e| failure(self.device, &explain(&e)))
    }

    fn run(&mut self, tile: &RawBatch) -> Result<Logits, DeviceError> {
        self.inputs.fill(tile, &mut self.input);
        self.member.forward(&self.input, tile.len(), self.inputs.padded(tile.crop))
    }
}

/// Whether every answer that counts is a number.
fn is_finite(tile: &RawBatch, logits: &Logits) -> bool {
    (0..tile.len()).all(|idx| tile.blank[idx] || logits.is_finite(idx))
}

/// Classes of what each tile owns.
fn labels(tile: &RawBatch, logits: &Logits) -> Vec<Vec<ClassId>> {
    let combiner = Combiner::new(Combine::Logits, Shares::of_members([1.0]), vec![Plane::Labels]);
    let forwards = [(0, logits.clone())];
    tile.kept.iter().enumerate().flat_map(|(idx, kept)| combiner.planes(&forwards, idx, *kept).0).collect()
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

    /// Without classes none agrees.
    fn count(&mut self, own: &[Vec<ClassId>], other: Option<&[Vec<ClassId>]>) {
        self.pixels += own.iter().flatten().count() as u64;
        let pairs = other.map(|other| own.iter().flatten().zip(other.iter().flatten()));
        self.agreeing += pairs.into_iter().flatten().filter(|(a, b)| a == b).count() as u64;
    }

    fn drift(&self) -> OutputDrift {
        let relative = self.difference / self.own;
        OutputDrift {
            relative: match self.difference == 0.0 {
                true => 0.0,
                false if relative.is_finite() => relative,
                false => f64::INFINITY,
            },
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
        Logits::of_f32(values.to_vec(), 1, 2, size, size, None)
    }

    #[test]
    fn what_all_classes_of_a_pixel_have_in_common_is_no_drift() {
        // [class][pixel]: each pixel is shifted by another number.
        let (own, shifted) = (logits(&[1.0, 4.0, -1.0, 0.0]), logits(&[4.0, 5.0, 2.0, 1.0]));
        let mut sums = Sums::default();
        sums.add(&own, &shifted);
        assert_eq!(sums.drift(), OutputDrift { relative: 0.0, agreement: 1.0 });
        // Halved: a quarter of the square.
        let mut sums = Sums::default();
        sums.add(&own, &logits(&[0.5, 2.0, -0.5, 0.0]));
        sums.count(&[vec![0, 1, 1]], Some(&[vec![0, 1, 0]]));
        let drift = sums.drift();
        assert!((drift.relative - 0.25).abs() < 1e-12 && (drift.agreement - 2.0 / 3.0).abs() < 1e-12, "{drift:?}");
        // What is no number is as bad as can be, and agrees with nothing.
        sums.add(&own, &logits(&[f32::NAN, 2.0, -0.5, 0.0]));
        sums.count(&[vec![0, 1, 1]], None);
        assert_eq!(sums.drift(), OutputDrift { relative: f64::INFINITY, agreement: 2.0 / 6.0 });
    }
}
