//! A training on disk: all that the next step depends on.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::scale::LossScale;
use super::trainer::Trainer;
use crate::weights::{self, Content, Metadata, WeightsError, WeightsFile};
use crate::zoo::{start, store};

/// What a trainer remembers beside tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Steps that each group has taken.
    pub steps: Vec<i32>,
    /// What has gone into the average.
    pub averaged: u32,
    /// The loss scale, in half precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<LossScale>,
}

/// Names of tensors: the network's own, then those of each group, then the average.
const VARIABLE: &str = "variable/";
const OPTIMISER: &str = "optimiser/";
const AVERAGE: &str = "average/";

impl Trainer {
    /// Writes all tensors to a file, which appears whole or not at all. What else it remembers is returned.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<Counters, WeightsError> {
        let mut contents = Vec::new();
        let mut add = |name: String, tensor: &Tensor| -> Result<(), WeightsError> {
            contents.push(stored(name, tensor)?);
            Ok(())
        };
        for (name, tensor) in &self.variables {
            add(format!("{VARIABLE}{name}"), tensor)?;
        }
        for (at, group) in self.groups.iter().enumerate() {
            for (idx, tensor) in group.memory().0.iter().enumerate() {
                add(format!("{OPTIMISER}{at}/{idx}"), tensor)?;
            }
        }
        for (name, tensor) in self.average.iter().flat_map(|average| average.stored()) {
            add(format!("{AVERAGE}{name}"), tensor)?;
        }
        weights::write(path, &contents, &Metadata::new())?;
        Ok(Counters {
            steps: self.groups.iter().map(|group| group.memory().1).collect(),
            averaged: self.average.as_ref().map_or(0, |average| average.count),
            scale: self.scale,
        })
    }

    /// Goes on from what [`Self::save`] wrote and returned.
    ///
    /// # Errors
    /// When the file cannot be read, or is of another network or recipe.
    pub fn restore(&mut self, path: &Path, counters: &Counters) -> Result<(), String> {
        let failed = |what: &dyn std::fmt::Display| format!("`{}`: {what}", path.display());
        let read =
            Tensor::read_safetensors(path).map_err(|e| failed(&e.to_string().lines().next().unwrap_or_default()))?;
        let mut tensors: BTreeMap<String, Tensor> = read.into_iter().collect();
        let mut take = |name: &str, like: &Tensor| match tensors.remove(name) {
            Some(tensor) if tensor.size() == like.size() => Ok(tensor),
            Some(_) | None => Err(failed(&format!("it holds no `{name}` of shape {:?}", like.size()))),
        };
        let _no_grad = tch::no_grad_guard();
        for (name, own) in &self.variables {
            own.shallow_clone().copy_(&take(&format!("{VARIABLE}{name}"), own)?);
        }
        for (at, group) in self.groups.iter_mut().enumerate() {
            let memory = (0..).zip(group.memory().0).map(|(idx, own)| take(&format!("{OPTIMISER}{at}/{idx}"), own));
            let memory: Vec<Tensor> = memory.collect::<Result<_, _>>()?;
            group.remember(&memory, counters.steps.get(at).copied().unwrap_or_default());
        }
        if let Some(average) = &mut self.average {
            let stored =
                average.stored().iter().map(|(name, own)| Ok((name.clone(), take(&format!("{AVERAGE}{name}"), own)?)));
            let stored: BTreeMap<String, Tensor> = stored.collect::<Result<_, String>>()?;
            average.restore(&stored, counters.averaged);
        }
        if let (Some(own), Some(stored)) = (&mut self.scale, counters.scale) {
            *own = stored;
        }
        Ok(())
    }

    /// Takes what a weights file has for this network: all of it, all but the classifier, or the backbone. Returns how many tensors that
    /// were, and the names of those that it has not.
    ///
    /// # Errors
    /// When the file is neither the network's nor its backbone's, or cannot be read.
    pub fn start_from(&mut self, path: &Path) -> Result<(usize, Vec<String>), String> {
        let mut file = WeightsFile::open(path).map_err(|e| crate::words::explain(&e))?;
        let given =
            start::given(&self.spec, &self.built.layout, &mut file, true).map_err(|e| crate::words::explain(&e))?;
        let _no_grad = tch::no_grad_guard();
        for (name, values) in &given {
            if let Some(own) = self.variables.get(name) {
                own.shallow_clone().copy_(&Tensor::from_slice(values).reshape(own.size()));
            }
        }
        let fresh = self.variables.keys().filter(|name| !given.contains_key(*name)).cloned().collect();
        Ok((given.len(), fresh))
    }

    /// Writes the weights that the network is to be run with, the average where there is one, as a weights file with what is said of them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn export(&self, path: &Path, metadata: &Metadata) -> Result<(), WeightsError> {
        store::save_values(self.best_guess(), &self.built.layout, path, metadata)
    }
}

/// A tensor as it is, on the CPU.
fn stored(name: String, tensor: &Tensor) -> Result<Content, WeightsError> {
    let shape: Vec<usize> = tensor.size().into_iter().map(|n| usize::try_from(n).unwrap_or_default()).collect();
    if tensor.kind() != Kind::Double {
        let bytes = store::to_host(&name, tensor)?.into_iter().flat_map(f32::to_le_bytes).collect();
        return Ok((name, safetensors::Dtype::F32, shape, bytes));
    }
    let flat = tensor.detach().to_device(tch::Device::Cpu).contiguous().view(-1);
    let values = Vec::<f64>::try_from(&flat).unwrap_or_default();
    Ok((name, safetensors::Dtype::F64, shape, values.into_iter().flat_map(f64::to_le_bytes).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::train::{Augment, Averaging, Optimiser, Rule, Schedule, Term, Train};
    use crate::train::{Moment, StepReport};
    use crate::zoo::spec::{NetworkSpec, SpecTable};

    const CROP: u32 = 32;

    fn recipe() -> Train {
        Train {
            crop: CROP,
            batch: 2,
            average: Averaging::Ema(0.9),
            clip: Some(1.0),
            augment: Augment { flips: true, brightness: 0.1, ..Augment::default() },
            optimiser: Optimiser {
                rule: Rule::AdamW { betas: [0.9, 0.999], eps: 1e-8 },
                rate: 1e-3,
                weight_decay: 1e-2,
                decay_all: false,
                backbone: 0.5,
                freeze: vec!["encoder.conv1".into()],
            },
            schedule: Schedule::Constant,
            losses: vec![Term::usual()],
            ..Train::default()
        }
    }

    fn trainer(recipe: &Train) -> Trainer {
        Trainer::seeded(&spec(), recipe, 1, Kind::Float, recipe.seed)
    }

    fn spec() -> NetworkSpec {
        SpecTable::named("smp/deeplabv3plus/resnet18").unwrap().resolve(3, Some(3)).unwrap()
    }

    fn step(trainer: &mut Trainer, step: u64) -> StepReport {
        let n = 2 * (CROP * CROP) as usize;
        let image: Vec<f32> = (0..3 * n).map(|at| ((at as u64 * 37 + step * 11) % 101) as f32 / 100.0).collect();
        let labels: Vec<u8> = (0..n).map(|at| if at % 17 == 0 { 255 } else { [0, 1, 2][at / 96 % 3] }).collect();
        let batch = trainer.batch(2, CROP, &image, &vec![1; n], &labels);
        trainer.step(&batch, Moment { step, epoch: step as f64, seed: 4 }).unwrap()
    }

    fn bits(trainer: &Trainer) -> BTreeMap<String, Vec<u32>> {
        let of = |(name, tensor): (&String, &Tensor)| {
            (name.clone(), store::to_host(name, tensor).unwrap().into_iter().map(f32::to_bits).collect())
        };
        trainer.variables.iter().chain(trainer.best_guess()).map(of).collect()
    }

    #[test]
    fn a_training_that_is_restored_goes_on_bit_for_bit() {
        let (dir, recipe) = (tempfile::tempdir().unwrap(), recipe());
        let path = dir.path().join("state.safetensors");
        let mut whole = trainer(&recipe);
        let before = bits(&whole);
        let first: Vec<f64> = (0..2).map(|at| step(&mut whole, at).loss).collect();
        let counters = whole.save(&path).unwrap();
        let then: Vec<f64> = (2..4).map(|at| step(&mut whole, at).loss).collect();
        assert!(first.iter().chain(&then).all(|loss| loss.is_finite()));
        let mut resumed = trainer(&Train { seed: 99, ..recipe.clone() });
        assert_ne!(bits(&resumed), before);
        resumed.restore(&path, &counters).unwrap();
        assert_eq!((2..4).map(|at| step(&mut resumed, at).loss).collect::<Vec<_>>(), then);
        let after = bits(&resumed);
        assert!(after == bits(&whole), "values differ");
        let frozen: Vec<&String> = after.keys().filter(|name| name.starts_with("encoder.conv1")).collect();
        assert!(!frozen.is_empty() && frozen.iter().all(|name| after[*name] == before[*name]));
        assert!(after.iter().any(|(name, bits)| *bits != before[name]));
        let other = Train { average: Averaging::None, ..recipe };
        let plain = trainer(&other).save(&path).unwrap();
        let text = trainer(&Train { average: Averaging::Ema(0.5), ..other }).restore(&path, &plain).unwrap_err();
        assert!(text.contains("state.safetensors") && text.contains("average/"), "{text}");
    }

    #[test]
    fn training_starts_from_what_a_file_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let recipe = recipe();
        let source = trainer(&recipe);
        source.export(&path, &Metadata::new()).unwrap();
        let mut other = trainer(&Train { seed: 5, ..recipe.clone() });
        let (taken, fresh) = other.start_from(&path).unwrap();
        assert!(taken > 100 && fresh.is_empty(), "{taken} {fresh:?}");
        assert!(bits(&other) == bits(&source) || other.average.is_some());
        assert!(source.variables.iter().all(|(name, own)| own.equal(&other.variables[name])));
        let spec = NetworkSpec { classes: 7, ..spec() };
        let mut seven = Trainer::seeded(&spec, &recipe, 1, Kind::Float, 1);
        let (_, fresh) = seven.start_from(&path).unwrap();
        assert_eq!(fresh, ["segmentation_head.0.bias", "segmentation_head.0.weight"]);
    }
}
