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
use super::teacher::Teacher;
use crate::config::InputSpec;
use crate::config::train::{Arithmetic, Train};
use crate::random::SplitMix64;
use crate::zoo::layers::joint::{Work, together};
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry::{self, Built, UnknownNetwork};
use crate::zoo::segmenter::{Segmented, Segmenter, caught};
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
    teacher: Option<Teacher>,
    normaliser: Normaliser,
    recipe: Train,
    purpose: Purpose,
    /// The first one holds the values; each has a replica of the network and the same share of every batch.
    devices: Vec<Device>,
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
    /// A network with the values that training from scratch starts with, drawn from the recipe's seed. `gpus`: where, a share of each
    /// batch on each; `None` is the CPU. `pixels`: of each class, in all that is trained on.
    ///
    /// # Errors
    /// When it cannot be built, or the recipe names tensors that are not there.
    pub fn new(
        spec: &NetworkSpec,
        input: &InputSpec,
        recipe: &Train,
        pixels: &[u64],
        gpus: &[Option<usize>],
    ) -> Result<Self, String> {
        let mut devices: Vec<Device> = gpus.iter().map(|gpu| gpu.map_or(Device::Cpu, Device::Cuda)).collect();
        if devices.is_empty() {
            devices.push(Device::Cpu);
        }
        let share = recipe.batch / recipe.parts;
        if !(share as usize).is_multiple_of(devices.len()) {
            return Err(format!("{share} crops cannot be shared out among {} devices in equal parts", devices.len()));
        }
        let built = caught(|| {
            tch::manual_seed(of_step(recipe.seed, u64::MAX));
            registry::build(spec, Purpose::Training, devices[0])
        });
        let built = built?.map_err(|e| e.to_string())?;
        Self::around(built, (spec, Purpose::Training), input, recipe, pixels, devices)
    }

    fn around(
        built: Built<dyn Segmenter>,
        (spec, purpose): (&NetworkSpec, Purpose),
        input: &InputSpec,
        recipe: &Train,
        pixels: &[u64],
        devices: Vec<Device>,
    ) -> Result<Self, String> {
        let device = devices[0];
        let variables: BTreeMap<String, Tensor> = built.store.variables().into_iter().collect();
        let groups = groups(&recipe.optimiser, &built.layout, spec.architecture().backbone_names, &variables)?;
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
            teacher: None,
            normaliser: Normaliser::new(&input.mean, &input.std, device),
            spec: spec.clone(),
            recipe: recipe.clone(),
            built,
            variables,
            groups,
            purpose,
            devices,
        })
    }

    /// Learns from others as well from here on.
    pub fn learn_from(&mut self, teacher: Teacher) {
        self.teacher = Some(teacher);
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
            let out = self.forward(&input);
            let mut value = self.objective.weighted(&out, &crops.labels, &crops.weights, at.epoch);
            if let Some(teacher) = &self.teacher {
                let taught = tch::autocast(self.scale.is_some(), || teacher.value(&out, &crops));
                value.total = value.total * (1.0 - teacher.weight) + &taught * teacher.weight;
                value.terms.push(("distillation".to_owned(), taught));
            }
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

    /// What the network makes of a batch, shared out among the devices.
    fn forward(&self, input: &Tensor) -> Segmented {
        let is_half = self.scale.is_some();
        if self.devices.len() == 1 {
            return tch::autocast(is_half, || self.built.network.forward(input, true));
        }
        let n_threads = tch::get_num_threads();
        let share = input.size()[0] / self.devices.len() as i64;
        let replica = |(at, device): (i64, &Device)| {
            let device = *device;
            // Copies are followed back to the values that they are of.
            let variables = self.variables.iter().map(|(name, own)| (name.clone(), own.to_device(device))).collect();
            let network = registry::replica(&self.spec, self.purpose, &variables);
            let part = input.narrow(0, at * share, share).to_device(device);
            let work = move || {
                tch::set_num_threads(n_threads);
                network.map(|network| tch::autocast(is_half, || network.forward(&part, true)))
            };
            Box::new(work) as Work<'_, Result<Segmented, UnknownNetwork>>
        };
        let outs = together((0..).zip(&self.devices).map(replica).collect());
        gathered(outs.into_iter().flatten().collect(), self.devices[0])
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
        Batch::new(n, side, image, valid, labels, self.devices[0])
    }

    /// The values to be run with, by name: the average, where there is one.
    pub fn best_guess(&self) -> &BTreeMap<String, Tensor> {
        self.average.as_ref().and_then(Average::values).unwrap_or(&self.variables)
    }
}

/// The answers to parts of a batch as one.
fn gathered(mut outs: Vec<Segmented>, device: Device) -> Segmented {
    let joined =
        |parts: Vec<Tensor>| Tensor::cat(&parts.iter().map(|part| part.to_device(device)).collect::<Vec<_>>(), 0);
    let values = joined(outs.iter().map(|out| out.values.shallow_clone()).collect());
    let n_sides = outs.first().map_or(0, |out| out.side.len());
    let side =
        |at: usize| joined(outs.iter().filter_map(|out| Some(out.side.get(at)?.values.shallow_clone())).collect());
    let sides: Vec<Tensor> = (0..n_sides).map(side).collect();
    let mut first = outs.swap_remove(0);
    first.values = values;
    first.side.iter_mut().zip(sides).for_each(|(side, values)| side.values = values);
    first
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

#[cfg(test)]
impl Trainer {
    /// With values that follow from a seed, and without dropout: other tests draw from libtorch's own sequence meanwhile.
    pub(super) fn seeded(spec: &NetworkSpec, recipe: &Train, n_devices: usize, kind: Kind, seed: u64) -> Self {
        let mut built = registry::build(spec, Purpose::Comparison, Device::Cpu).unwrap();
        crate::zoo::store::seeded(&built.store, &built.layout, seed).unwrap();
        if kind == Kind::Double {
            built.store.double();
        }
        let bands = spec.bands as usize;
        let input =
            InputSpec { bands: vec![], divide: BTreeMap::new(), mean: vec![0.5; bands], std: vec![0.25; bands] };
        let devices = vec![Device::Cpu; n_devices];
        Self::around(built, (spec, Purpose::Comparison), &input, recipe, &[1; 3], devices).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::train::{Optimiser, Rule, Term};
    use crate::train::loss::Loss;
    use crate::zoo::spec::SpecTable;

    const CROP: u32 = 32;

    /// In f64, so that nothing but the order of sums may differ.
    fn trainer(devices: usize, name: &str) -> Trainer {
        let spec = SpecTable::named(name).unwrap().resolve(3, Some(3)).unwrap();
        let overlap = Loss::Tversky { costs: [0.5; 2], smooth: 1.0, log: false };
        let recipe = Train {
            crop: CROP,
            batch: 4,
            optimiser: Optimiser {
                rule: Rule::Sgd { momentum: 0.9, nesterov: true },
                rate: 1e-2,
                weight_decay: 1e-4,
                decay_all: true,
                backbone: 1.0,
                freeze: vec![],
            },
            losses: vec![Term::usual(), Term { loss: overlap, ..Term::usual() }],
            ..Train::default()
        };
        Trainer::seeded(&spec, &recipe, devices, Kind::Double, 5)
    }

    fn step(trainer: &mut Trainer, step: u64) -> StepReport {
        let n = 4 * (CROP * CROP) as usize;
        let image: Vec<f32> = (0..3 * n).map(|at| ((at * 37 + at / 1000) % 101) as f32 / 100.0).collect();
        // The parts of a batch have different numbers of labels.
        let labels: Vec<u8> =
            (0..n).map(|at| if at % 17 == 0 || at < n / 8 { 255 } else { [0, 1, 2][at / 96 % 3] }).collect();
        let batch = trainer.batch(4, CROP, &image, &vec![1; n], &labels);
        trainer.step(&batch, Moment { step, epoch: 0.0, seed: 4 }).unwrap()
    }

    #[test]
    fn several_devices_take_the_step_of_one_with_the_joint_batch() {
        // A second step magnifies rounding; in the other network, whose side outputs count, too much.
        for (name, n_steps) in [("smp/unet/resnet18", 2), ("naic/pspnet/resnet50", 1)] {
            let mut one = trainer(1, name);
            let mut all: Vec<Trainer> = [2, 4].map(|n| trainer(n, name)).into();
            for at in 0..n_steps {
                let expected = step(&mut one, at);
                for trainer in &mut all {
                    let found = step(trainer, at);
                    assert!((found.loss - expected.loss).abs() < 1e-9, "{name}: {found:?} {expected:?}");
                    for (a, b) in one.groups.iter().zip(&trainer.groups) {
                        let scale = a.gradients().abs().max().double_value(&[]);
                        let off = (a.gradients() - b.gradients()).abs().max().double_value(&[]);
                        assert!(
                            off <= 1e-9 * scale.max(1.0),
                            "{name}, step {at}: gradients differ by {off} of {scale}"
                        );
                    }
                    for (name, own) in &one.variables {
                        let off = (own - &trainer.variables[name]).abs().max().double_value(&[]);
                        assert!(off < 1e-9, "{name} differs by {off}");
                    }
                }
            }
        }
    }
    #[test]
    fn labels_count_as_their_crops_do() {
        // Of pixels' cross-entropy the weighted mean is what each crop adds by its weight.
        let n = (CROP * CROP) as usize;
        let image: Vec<f32> = (0..3 * 4 * n).map(|at| ((at * 37 + at / 1000) % 101) as f32 / 100.0).collect();
        let labels: Vec<u8> = (0..4 * n).map(|at| if at < n / 2 { 255 } else { [0, 1, 2][at / 96 % 3] }).collect();
        let fresh = || {
            let mut trainer = trainer(1, "smp/unet/resnet18");
            trainer.objective.only_the_first();
            trainer
        };
        let loss = |trainer: &mut Trainer, weights: &[f64]| {
            let batch = trainer.batch(4, CROP, &image, &vec![1; 4 * n], &labels).weighted(weights.to_vec());
            trainer.step(&batch, Moment { step: 0, epoch: 0.0, seed: 4 }).unwrap().loss
        };
        let equal = loss(&mut fresh(), &[1.0; 4]);
        assert_eq!(loss(&mut fresh(), &[0.3; 4]).to_bits(), equal.to_bits(), "one weight for all is none");
        // The first crop has half of the labels of each other one.
        let [first, others] = [[1.0, 1e-9], [1e-9, 1.0]].map(|[a, b]| loss(&mut fresh(), &[a, b, b, b]));
        let mixed = loss(&mut fresh(), &[0.2, 1.0, 1.0, 1.0]);
        let expected = (0.2 * 0.5 * first + 3.0 * others) / (0.1 + 3.0);
        assert!((mixed - expected).abs() < 1e-6, "{mixed} is not {expected}");
        let all = (0.5 * first + 3.0 * others) / 3.5;
        assert!((equal - all).abs() < 1e-6 && (mixed - equal).abs() > 1e-6, "{equal} {all} {mixed}");
    }
}
