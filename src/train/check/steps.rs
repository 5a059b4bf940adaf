//! Steps of gradient descent.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::{take, tensor};
use crate::train::loss::Loss;
use crate::train::objective::at_full_size;
use crate::train::optimiser::{Group, Rule, Share};
use crate::zoo::check::{Folder, Keys, Worst, fill};
use crate::zoo::layers::scope::Purpose;
use crate::zoo::registry::{self, Built};
use crate::zoo::segmenter::{Segmented, Segmenter, caught};
use crate::zoo::spec::{Network, NetworkSpec, SpecTable};

/// What may be lost of a loss, and of a norm: another order of sums moves an input by 1e-16 of itself, and 2e7 times that a gradient.
const LOSS_TOLERANCE: f64 = 1e-8;
const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Entry {
    spec: Value,
}

#[derive(Deserialize)]
struct Facts {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    steps: Vec<Step>,
    running_stats_l2: BTreeMap<String, f64>,
    param_l2_after: BTreeMap<String, f64>,
    eval_saved_stride: i64,
    eval_rms: f64,
    #[serde(flatten)]
    keys: Keys,
}

/// What a step met.
#[derive(Deserialize)]
struct Step {
    loss: f64,
    grad_l2_total: f64,
    /// By name, where they were noted.
    #[serde(default)]
    grad_l2: BTreeMap<String, f64>,
}

pub(super) fn check(folder: &Folder, name: &str) -> Result<Worst, String> {
    let (facts, tensors) = (folder.facts::<Facts>(name)?, folder.tensors(name)?);
    let input = tensor(&tensors, "x0")?;
    let table = SpecTable::deserialize(&folder.entry::<Entry>(name)?.spec).map_err(|e| e.to_string())?;
    let bands = u32::try_from(input.size().get(1).copied().unwrap_or_default()).unwrap_or_default();
    let spec = table.resolve(bands, None).map_err(|e| e.to_string())?;
    let mut built = registry::build(&spec, Purpose::Comparison, Device::Cpu).map_err(|e| e.to_string())?;
    fill(&facts.keys, &built, Purpose::Comparison)?;
    caught(|| {
        built.store.double();
        compare(&spec, &built, &facts, &tensors)
    })?
}

fn compare(
    spec: &NetworkSpec,
    built: &Built<dyn Segmenter>,
    facts: &Facts,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<Worst, String> {
    let rule = Rule::Sgd { momentum: facts.momentum, nesterov: false };
    let mut group = Group::new(rule, Share::decaying(facts.weight_decay), &built.store.trainable_variables());
    let variables: BTreeMap<String, Tensor> = built.store.variables().into_iter().collect();
    let norm = |t: &Tensor| t.norm().double_value(&[]);
    let mut worst = Worst::default();
    for (idx, step) in facts.steps.iter().enumerate() {
        let input = tensor(tensors, &format!("x{idx}"))?.to_kind(Kind::Double);
        let labels = tensor(tensors, &format!("y{idx}"))?;
        group.zero_gradients();
        let loss = loss(spec, built.network.forward(&input, true), labels)?;
        loss.backward();
        let at = |what: &str| format!("step {idx}, {what}");
        worst.take((loss.double_value(&[]) - step.loss).abs() / LOSS_TOLERANCE, || at("loss"));
        let total = norm(group.gradients());
        take(&mut worst, [total, step.grad_l2_total], TOLERANCE, || at("gradient"));
        for (name, reference) in &step.grad_l2 {
            let ours = norm(&tensor(&variables, name)?.grad());
            // What cancels out, a bias in front of batch normalisation for instance, is what rounding leaves.
            let error = (ours - reference).abs() / (TOLERANCE * reference.abs().max(TOLERANCE * total));
            worst.take(error, || at(&format!("gradient of {name}")));
        }
        group.step(facts.lr);
    }
    for (name, reference) in facts.running_stats_l2.iter().chain(&facts.param_l2_after) {
        take(&mut worst, [norm(tensor(&variables, name)?), *reference], TOLERANCE, || {
            format!("{name} after the steps")
        });
    }
    let reference = tensor(tensors, "eval_logits_after")?;
    let input = tensor(tensors, "x0")?.to_kind(Kind::Double);
    let _no_grad = tch::no_grad_guard();
    let out = built.network.forward(&input, false);
    let logits = at_full_size(&out.values, out.upsample, &input);
    let stride = facts.eval_saved_stride;
    let logits = logits.slice(2, None, None, stride).slice(3, None, None, stride);
    if logits.size() != reference.size() {
        return Err(format!("logits after the steps are {:?}, the reference's {:?}", logits.size(), reference.size()));
    }
    let error = (logits - reference).abs().max().double_value(&[]);
    worst.take(error / (TOLERANCE * facts.eval_rms), || "logits after the steps".to_owned());
    Ok(worst)
}

/// Cross-entropy of the logits, and of the coarse ones that object-contextual representations start from.
fn loss(spec: &NetworkSpec, out: Segmented, labels: &Tensor) -> Result<Tensor, String> {
    let of = |values: &Tensor, upsample| Loss::CROSS_ENTROPY.value(&at_full_size(values, upsample, labels), labels);
    let main = of(&out.values, out.upsample);
    if spec.network != Network::HrnetOcr {
        return Ok(main);
    }
    let coarse = out.side.first().ok_or("the network returns no coarse logits")?;
    Ok(main + of(&coarse.values, coarse.upsample))
}
