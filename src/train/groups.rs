//! Which values are trained in the same way.

use std::collections::BTreeMap;

use tch::Tensor;

use super::optimiser::{Group, Share};
use crate::config::train::Optimiser;
use crate::weights::layout::{Layout, Role};

/// The groups of a network's parameters, of which a backbone's begin with these names. What is frozen is in none, and needs no gradient from here on.
///
/// # Errors
/// When `freeze` names nothing, or nothing is left to be trained.
pub(super) fn groups(
    recipe: &Optimiser,
    layout: &Layout,
    backbone: &[&str],
    variables: &BTreeMap<String, Tensor>,
) -> Result<Vec<Group>, String> {
    let names = || layout.tensors.iter().filter(|(_, declared)| declared.role == Role::Parameter).map(|(name, _)| name);
    if let Some(stray) = recipe.freeze.iter().find(|prefix| !names().any(|name| name.starts_with(prefix.as_str()))) {
        return Err(format!(
            "train.optimiser.freeze: no tensor's name begins with `{stray}`; `swath models show` lists the names"
        ));
    }
    let mut shares: BTreeMap<[bool; 2], Vec<Tensor>> = BTreeMap::new();
    for name in names() {
        let Some(variable) = variables.get(name) else { continue };
        let is_backbone = backbone.iter().any(|prefix| name.starts_with(prefix));
        let is_frozen = recipe.freeze.iter().any(|prefix| name.starts_with(prefix.as_str()));
        if is_frozen || (is_backbone && recipe.backbone == 0.0) {
            drop(variable.set_requires_grad(false));
            continue;
        }
        let decays = recipe.decay_all || variable.dim() > 1;
        shares.entry([is_backbone, decays]).or_default().push(variable.shallow_clone());
    }
    if shares.is_empty() {
        return Err("train.optimiser: everything is frozen, nothing is left to be trained".to_owned());
    }
    let group = |([is_backbone, decays], tensors): ([bool; 2], Vec<Tensor>)| {
        let weight_decay = if decays { recipe.weight_decay } else { 0.0 };
        Group::new(recipe.rule, Share { weight_decay, rate: if is_backbone { recipe.backbone } else { 1.0 } }, &tensors)
    };
    Ok(shares.into_iter().map(group).collect())
}
