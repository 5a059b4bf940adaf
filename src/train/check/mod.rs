//! Training against the numbers of its references, from the same folder as the networks' fixtures.
//!
//! Losses: values and gradients of records with names, in f32. Schedules: rates. Labels: smoothed targets. Steps: a network from seeded
//! weights takes some steps of gradient descent in f64, dropout off; loss, norms of gradients, running statistics, values and the answer
//! that it then gives must be the reference's.

mod labels;
mod losses;
mod schedules;
mod steps;

use crate::zoo::check::{Folder, Verdict, Worst};

/// Checks the fixture `name` of `folder`, which is of this kind.
pub fn check(folder: &Folder, name: &str, kind: String) -> Verdict {
    let compared = match kind.as_str() {
        "losses" => losses::check(folder, name),
        "schedule" => schedules::check(folder, name),
        "labels" => labels::check(folder, name),
        "train" => steps::check(folder, name),
        _ => return Verdict::Skipped(kind),
    };
    compared.map_or_else(Verdict::Failed, |plain| Verdict::Compared { plain, inference: None })
}

/// A tensor of a fixture.
fn tensor<'a>(
    tensors: &'a std::collections::BTreeMap<String, tch::Tensor>,
    name: &str,
) -> Result<&'a tch::Tensor, String> {
    tensors.get(name).ok_or_else(|| format!("there is no tensor `{name}`"))
}

/// Takes how far a number is from the reference's, in units of this share of it.
fn take(worst: &mut Worst, [ours, reference]: [f64; 2], share: f64, at: impl FnOnce() -> String) {
    worst.take((ours - reference).abs() / (share * reference.abs().max(f64::MIN_POSITIVE)), at);
}
