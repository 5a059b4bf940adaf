//! Networks that are learnt from: what they make of a step's crops, against what the network in training makes of them.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::batch::{Batch, Normaliser};
use super::objective::at_full_size;
use crate::config::train::Distill;
use crate::config::{Band, Combine, Pipeline, Weights};
use crate::words::explain;
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry;
use crate::zoo::segmenter::{Segmented, Segmenter};
use crate::zoo::store;

/// An ensemble that is learnt from.
pub struct Teacher {
    members: Vec<Member>,
    combine: Combine,
    pub(super) weight: f64,
    temperature: f64,
}

struct Member {
    network: Box<dyn Segmenter>,
    /// Holds what the network refers to.
    _store: tch::nn::VarStore,
    normaliser: Normaliser,
    /// Its bands among those of the crops.
    bands: Tensor,
    share: f64,
}

impl Teacher {
    /// Loads the members of a pipeline, for crops that have these bands.
    ///
    /// # Errors
    /// When a member has no weights, reads a band that crops do not have, or its weights cannot be loaded.
    pub fn load(pipeline: &Pipeline, bands: &[Band], distill: &Distill, gpu: Option<usize>) -> Result<Self, String> {
        let device = gpu.map_or(Device::Cpu, Device::Cuda);
        let all: f64 = pipeline.members.iter().map(|member| member.weight).sum();
        let member = |member: &crate::config::Member| {
            let failed = |what: String| format!("`{}`: {what}", member.name);
            let Weights::File(path) = &member.weights else {
                return Err(failed(
                    "it has a seed in place of weights: nothing can be learnt from random numbers".into(),
                ));
            };
            let place = |band: &Band| bands.iter().position(|own| own == band).map(|at| at as i64);
            let chosen: Option<Vec<i64>> = member.input.bands.iter().map(place).collect();
            let chosen = chosen.ok_or_else(|| failed("it reads bands that the network in training does not".into()))?;
            let mut built =
                registry::build(&member.spec, Purpose::Inference, device).map_err(|e| failed(e.to_string()))?;
            let mut values: BTreeMap<String, Vec<f32>> =
                store::values(&built.layout, path).map_err(|e| failed(explain(&e)))?;
            store::assign(&built.store, &built.layout, |name, _| values.remove(name).unwrap_or_default())
                .map_err(|e| failed(explain(&e)))?;
            built.store.freeze();
            Ok(Member {
                network: built.network,
                _store: built.store,
                normaliser: Normaliser::new(&member.input.mean, &member.input.std, device),
                bands: Tensor::from_slice(&chosen).to_device(device),
                share: member.weight / all,
            })
        };
        let members = pipeline.members.iter().map(member).collect::<Result<_, _>>()?;
        let Distill { weight, temperature, .. } = *distill;
        Ok(Self { members, combine: pipeline.combine, weight, temperature })
    }

    /// The Kullback-Leibler divergence of the network's probabilities from the teachers', mean over the pixels with data, times the square of
    /// the temperature, so that its gradients do not fade with it. Pixels that nobody has labelled count as well.
    pub(super) fn value(&self, out: &Segmented, crops: &Batch) -> Tensor {
        let logits = at_full_size(&out.values, out.upsample, &crops.labels).to_kind(Kind::Float);
        divergence(&self.probabilities(crops), &logits, &crops.valid, self.temperature)
    }

    /// `[N, classes, H, W]`: what the teachers think of each pixel together.
    fn probabilities(&self, crops: &Batch) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        let answers = self.members.iter().map(|member| {
            let image = crops.image.index_select(1, &member.bands);
            let input = member.normaliser.apply_to(&image, &crops.valid);
            let out = member.network.forward(&input, false);
            let logits = at_full_size(&out.values, out.upsample, &crops.labels).to_kind(Kind::Float);
            let answer = match self.combine {
                Combine::Logits => logits,
                Combine::Probabilities => (logits / self.temperature).softmax(1, Kind::Float),
            };
            answer * member.share
        });
        let sum = answers.reduce(|a, b| a + b).unwrap_or_else(|| crops.valid.zeros_like());
        match self.combine {
            Combine::Logits => (sum / self.temperature).softmax(1, Kind::Float),
            Combine::Probabilities => sum,
        }
    }
}

/// Of logits at a temperature from probabilities, `[N, classes, H, W]` both, where `valid`, `[N, 1, H, W]`, is 1.
fn divergence(taught: &Tensor, logits: &Tensor, valid: &Tensor, temperature: f64) -> Tensor {
    let own = (logits / temperature).log_softmax(1, Kind::Float);
    let of_classes = taught * (taught.clamp_min(f64::from(f32::MIN_POSITIVE)).log() - own);
    let of_pixels = of_classes.sum_dim_intlist(&[1_i64][..], true, Kind::Float);
    let counted = valid.sum(Kind::Float).clamp_min(1.0);
    (of_pixels * valid).sum(Kind::Float) / counted * temperature.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divergence_is_that_of_its_definition_over_pixels_with_data() {
        let n = 2 * 3 * 4 * 4;
        let numbers = |step: usize| -> Vec<f32> { (0..n).map(|at| ((at * step) % 23) as f32 / 5.0 - 2.0).collect() };
        let tensor = |values: &[f32]| Tensor::from_slice(values).view([2, 3, 4, 4]);
        let (own, theirs) = (numbers(7), numbers(11));
        let valid: Vec<f32> = (0..32).map(|at| if at % 5 == 0 { 0.0 } else { 1.0 }).collect();
        let temperature = 3.0;
        let taught = (tensor(&theirs) / temperature).softmax(1, Kind::Float);
        let valid_map = Tensor::from_slice(&valid).view([2, 1, 4, 4]);
        let found = divergence(&taught, &tensor(&own), &valid_map, temperature).double_value(&[]);
        let mut sum = 0.0;
        for (pixel, _) in valid.iter().enumerate().filter(|(_, valid)| **valid > 0.0) {
            let at = |class: usize| pixel / 16 * 48 + class * 16 + pixel % 16;
            let softmax = |of: &[f32]| -> Vec<f64> {
                let powers: Vec<f64> = (0..3).map(|class| (f64::from(of[at(class)]) / temperature).exp()).collect();
                powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
            };
            let (p, q) = (softmax(&theirs), softmax(&own));
            sum += p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>();
        }
        let expected = sum / valid.iter().filter(|valid| **valid > 0.0).count() as f64 * 9.0;
        assert!((found - expected).abs() < 1e-5 * expected, "{found} is not {expected}");
        let same = divergence(&taught, &tensor(&theirs), &valid_map, temperature).double_value(&[]);
        assert!(same.abs() < 1e-5, "{same}");
    }
}
