//! A network in training: one step after the other.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::augment::augment;
use super::average::Average;
use super::batch::{Batch, Normaliser};
use super::groups::groups;
use super::objective::Objective;
use super::optimiser::Group;
use super::scale::LossScale;
use crate::config::InputSpec;
use crate::config::train::{Arithmetic, Train};
use crate::random::SplitMix64;
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry::{self, Built};
use crate::zoo::segmenter::{Segmenter, caught};
use crate::zoo::spec::NetworkSpec;

/// A network with all that training knows of it.
pub struct Trainer {
    pub(super) built: Built<dyn Segmenter>,
    pub(super) variables: BTreeMap<String, Tensor>,
    pub(super) groups: Vec<Group>,
    pub(super) average: Option<Average>,
    pub(super) scale: Option<LossScale>,
    pub(super) spec: NetworkSpec,
    objective: Objective,
    normaliser: Normaliser,
    recipe: Train,
    device: Device,
}

/// Where in training a step is.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Its number, from 0.
    pub step: u64,
    /// The time in epochs.
    pub epoch: f64,
    /// What is drawn follows from it.
    pub seed: u64,
}

/// What a step met.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// What was minimised, mean over the parts.
    pub loss: f64,
    /// Each term of it by name, before its weight.
    pub terms: Vec<(String, f64)>,
    /// The norm of all gradients, before it was cut.
    pub gradient_norm: f64,
    /// The rate.
    pub rate: f64,
    /// Whether weights have changed: not where the loss was no number, nor where half precision overflowed.
    pub is_taken: bool,
}

impl Trainer {
    /// A network with the values that training from scratch starts with, drawn from the recipe's seed, on a GPU or the CPU. `pixels`: of
    /// each class, in all that is trained on.
    ///
    /// # Errors
    /// When it cannot be built, or the recipe names tensors that are not there.
    pub fn new(
        spec: &NetworkSpec,
        input: &InputSpec,
        recipe: &Train,
        pixels: &[u64],
        gpu: Option<usize>,
    ) -> Result<Self, String> {
        let device = gpu.map_or(Device::Cpu, Device::Cuda);
        let built = caught(|| {
            tch::manual_seed(of_step(recipe.seed, u64::MAX));
            registry::build(spec, Purpose::Training, device)
        });
        let built = built?.map_err(|e| e.to_string())?;
        Self::around(built, spec, input, recipe, pixels)
    }

    fn around(
        built: Built<dyn Segmenter>,
        spec: &NetworkSpec,
        input: &InputSpec,
        recipe: &Train,
        pixels: &[u64],
    ) -> Result<Self, String> {
        let device = built.store.device();
        let variables: BTreeMap<String, Tensor> = built.store.variables().into_iter().collect();
        let groups = groups(&recipe.optimiser, &built.layout, &variables)?;
        let is_half = match recipe.precision {
            Arithmetic::F16 if !device.is_cuda() => {
                return Err("train.precision: f16 is for GPUs; on a CPU it is a hundred times slower".to_owned());
            }
            Arithmetic::F16 => true,
            Arithmetic::Auto => device.is_cuda(),
            Arithmetic::F32 => false,
        };
        Ok(Self {
            average: Average::new(recipe.average, &variables),
            scale: is_half.then(LossScale::default),
            objective: Objective::new(&recipe.losses, recipe.side_weight, spec, pixels),
            normaliser: Normaliser::new(&input.mean, &input.std, device),
            spec: spec.clone(),
            recipe: recipe.clone(),
            built,
            variables,
            groups,
            device,
        })
    }

    /// Takes one step on these windows ([`crate::config::train::Augment::window`]).
    ///
    /// # Errors
    /// What libtorch says when it refuses, for want of memory for instance.
    pub fn step(&mut self, windows: &Batch, at: Moment) -> Result<StepReport, String> {
        // Dropout and noise draw from libtorch's own sequence.
        tch::manual_seed(of_step(at.seed, at.step));
        caught(|| self.stepped(windows, at))
    }

    fn stepped(&mut self, windows: &Batch, at: Moment) -> StepReport {
        self.groups.iter_mut().for_each(Group::zero_gradients);
        let crops = augment(windows, &self.recipe.augment, self.recipe.crop, at.seed, at.step, 0);
        let parts = self.recipe.parts;
        let scale = self.scale.as_ref().map_or(1.0, LossScale::factor);
        let (mut loss, mut terms) = (0.0, Vec::<(String, f64)>::new());
        for part in 0..parts {
            let crops = crops.part(part, parts);
            let mut input = self.normaliser.apply(&crops);
            if self.variables.values().next().is_some_and(|own| own.kind() == Kind::Double) {
                input = input.to_kind(Kind::Double);
            }
            let out = tch::autocast(self.scale.is_some(), || self.built.network.forward(&input, true));
            let value = self.objective.value(&out, &crops.labels, at.epoch);
            let share = 1.0 / f64::from(parts);
            (&value.total * (scale * share)).backward();
            loss += value.total.double_value(&[]) * share;
            for (idx, (name, value)) in value.terms.into_iter().enumerate() {
                let value = value.double_value(&[]) * share;
                match terms.get_mut(idx) {
                    Some((_, sum)) => *sum += value,
                    None => terms.push((name, value)),
                }
            }
        }
        let rate = self.recipe.optimiser.rate * self.recipe.schedule.share(at.epoch);
        let norm = Group::norm(&self.groups) / scale;
        let is_taken = norm.is_finite() && loss.is_finite();
        if is_taken {
            let clipped = self.recipe.clip.map_or(1.0, |most| if norm > most { most / norm } else { 1.0 });
            for group in &mut self.groups {
                group.scale_gradients(clipped / scale);
                group.step(rate);
            }
            if let Some(average) = &mut self.average {
                average.after_step(&self.variables);
            }
        }
        if let Some(scale) = &mut self.scale {
            scale.after_step(is_taken);
        }
        StepReport { loss, terms, gradient_norm: norm, rate, is_taken }
    }

    /// An epoch has ended; counted from 0.
    pub fn end_epoch(&mut self, epoch: u32) {
        if let Some(average) = &mut self.average {
            average.after_epoch(epoch, &self.variables);
        }
    }

    /// Whether all values are numbers: also those that follow the data, which a loss that is one may have spoilt.
    pub fn is_finite(&self) -> bool {
        let _no_grad = tch::no_grad_guard();
        let is_finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) != 0;
        self.groups.iter().all(|group| is_finite(group.values())) && self.variables.values().all(is_finite)
    }

    /// Whether a step that was not taken may have overflowed in half precision alone, and the next one may do.
    pub fn may_scale_less(&self) -> bool {
        self.scale.as_ref().is_some_and(LossScale::may_fall)
    }

    /// Puts windows on its device: `n` of `side` x `side` pixels, one after the other in each slice. Panics where a slice has another
    /// length.
    pub fn batch(&self, n: usize, side: u32, image: &[f32], valid: &[u8], labels: &[u8]) -> Batch {
        Batch::new(n, side, image, valid, labels, self.device)
    }

    /// The values to be run with, by name: the average, where there is one.
    pub fn best_guess(&self) -> &BTreeMap<String, Tensor> {
        self.average.as_ref().and_then(Average::values).unwrap_or(&self.variables)
    }
}

/// How many threads of a CPU work on an operation that this thread asks for.
pub fn set_threads(n: usize) {
    tch::set_num_threads(i32::try_from(n).unwrap_or(i32::MAX));
}

/// The seed of libtorch's own sequence in a step.
fn of_step(seed: u64, step: u64) -> i64 {
    /// What tells these numbers from others of the same seed and step.
    const PURPOSE: u64 = 3;
    i64::from_ne_bytes(SplitMix64::keyed(&[seed, step, PURPOSE]).next_u64().to_ne_bytes())
}
