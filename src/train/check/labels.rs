//! Targets that are smoothed at edges.

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::tensor;
use crate::train::smoothing;
use crate::zoo::check::{Folder, Worst};

/// The reference computes in 16 bits: twice their rounding, as a share of a value.
const TOLERANCE: f64 = 1.0 / 1024.0;

#[derive(Deserialize)]
struct Entry {
    /// What the classes are in the maps.
    ids: Vec<i64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    alpha: f64,
    radius: i64,
}

pub(super) fn check(folder: &Folder, name: &str) -> Result<Worst, String> {
    let (entry, tensors) = (folder.entry::<Entry>(name)?, folder.tensors(name)?);
    let ids = Tensor::from_slice(&entry.ids).view([1, -1, 1, 1]);
    let mut worst = Worst::default();
    for (idx, case) in entry.cases.iter().enumerate() {
        let map = tensor(&tensors, &format!("case{idx}.labels"))?.unsqueeze(0);
        // A pixel whose id is no class has no target, and makes edges all the same.
        let hard = map.unsqueeze(1).eq_tensor(&ids).to_kind(Kind::Float);
        let soft = smoothing::soft(&hard, &smoothing::edges(&map, case.radius), case.alpha);
        for (form, ours) in [("hard", hard), ("soft", soft)] {
            let reference = tensor(&tensors, &format!("case{idx}.{form}"))?;
            let allowed = reference.abs() * TOLERANCE + f64::EPSILON;
            let error = ((ours.squeeze_dim(0) - reference).abs() / allowed).max().double_value(&[]);
            worst.take(error, || format!("case {idx} {form}"));
        }
    }
    Ok(worst)
}
