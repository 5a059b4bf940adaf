//! Tensors and a plan in, a file out; and what a coding would cost.

use std::num::NonZeroUsize;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::fields::Broken;
use super::header::{self, Layout};
use super::histogram::Binned;
use super::learned::Learned;
use super::quantiser::{self, Levels};
use super::{Coding, Plan, Scaling, SourceTensor, SwzError, exact, levels, parallel};
use crate::atomic;

/// What coding a tensor costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Bytes of its coded values: an upper bound, at most some dozen above the truth; of a trellis, which is tried out on a part of
    /// the values only, an estimate, a hundredth off at most unless a tensor is very uneven.
    pub bytes: u64,
    /// Sum of the squared errors of its values; of a trellis likewise.
    pub squared_error: f64,
    /// Upper bound of the largest error of a value, but for the rounding of f32.
    pub max_error: f64,
}

/// The bytes of a file that holds `tensors` as `plan` says. They depend on nothing else, in particular not on `threads`.
///
/// # Errors
/// When a tensor is named twice, is to be quantised and has values that are not finite, or is coded in a way that does not exist.
pub fn encode(tensors: &[SourceTensor<'_>], plan: &Plan, threads: NonZeroUsize) -> Result<Vec<u8>, SwzError> {
    let code = |tensor: &SourceTensor<'_>| {
        let (layout, bytes) = code(tensor, plan.coding(tensor.name())).map_err(SwzError::of_tensor(tensor.name()))?;
        Ok((tensor.entry(layout, &bytes), bytes))
    };
    let coded: Vec<Result<_, SwzError>> = parallel::map(threads, tensors, SourceTensor::n_values, code);
    let (entries, contents): (Vec<_>, Vec<_>) = coded.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let mut names: Vec<&str> = tensors.iter().map(SourceTensor::name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(SwzError::of_tensor(pair[0])(Broken::new("there are two of this name")));
    }
    // What an entry may not be has been refused when the tensor was made; the sum of the names is left.
    let mut file = header::write(&entries).map_err(SwzError::of_tensor("the whole"))?;
    contents.iter().for_each(|bytes| file.extend(bytes));
    let digest = Sha256::digest(&file);
    file.extend(digest);
    Ok(file)
}

/// Writes `tensors` as `plan` says to `path`, which appears whole or not at all.
///
/// # Errors
/// As [`encode`], and when the file cannot be written.
pub fn save(path: &Path, tensors: &[SourceTensor<'_>], plan: &Plan, threads: NonZeroUsize) -> Result<(), SwzError> {
    Ok(atomic::write(path, &encode(tensors, plan, threads)?)?)
}

/// What each of `codings` would cost for `tensor`, without coding it: its values are looked at once per scaling.
///
/// # Errors
/// When it is to be quantised and has values that are not finite, or is coded in a way that does not exist.
pub fn measure(tensor: &SourceTensor<'_>, codings: &[Coding]) -> Result<Vec<Cost>, SwzError> {
    let mut binned: Vec<(Scaling, Binned)> = Vec::new();
    let mut one = |coding: &Coding| {
        let Some(scaling) = coding.scaling().filter(|_| tensor.n_values() > 0) else {
            let bytes = exact::max_bytes(tensor.bytes(), tensor.width());
            return Ok(Cost { bytes, squared_error: 0.0, max_error: 0.0 });
        };
        if let Some((_, binned)) = binned.iter().find(|(known, _)| *known == scaling) {
            return cost(binned, *coding);
        }
        let new = bin(tensor, scaling)?;
        let cost = cost(&new, *coding);
        binned.push((scaling, new));
        cost
    };
    codings.iter().map(|coding| one(coding).map_err(SwzError::of_tensor(tensor.name()))).collect()
}

impl Coding {
    /// What has a scale, where values are quantised.
    fn scaling(&self) -> Option<Scaling> {
        match self {
            Self::Exact => None,
            Self::Clusters { scaling, .. } | Self::Steps { scaling, .. } | Self::Trellis { scaling, .. } => {
                Some(*scaling)
            }
        }
    }
}

/// What a coding does to values.
enum Quantiser {
    Scalar(Levels),
    Trellis(Learned, f64),
}

impl Quantiser {
    fn new(binned: &Binned, coding: Coding) -> Result<Self, Broken> {
        match coding {
            Coding::Clusters { bits: bits @ 1..=8, .. } => {
                Ok(Self::Scalar(quantiser::clusters(&binned.histogram, bits)))
            }
            Coding::Steps { step, .. } if is_step(step) => {
                Ok(Self::Scalar(quantiser::steps(&binned.histogram, step.into())))
            }
            Coding::Trellis { step, .. } if is_step(step) => {
                Ok(Self::Trellis(Learned::new(binned, step.into()), step.into()))
            }
            Coding::Clusters { .. } | Coding::Steps { .. } | Coding::Trellis { .. } | Coding::Exact => {
                Err(Broken::new(format!("there is no {coding:?}; clusters have 1 to 8 bits, steps are positive")))
            }
        }
    }
}

fn is_step(step: f32) -> bool {
    step.is_normal() && step > 0.0
}

/// The coded values of a tensor.
fn code(tensor: &SourceTensor<'_>, coding: Coding) -> Result<(Layout, Vec<u8>), Broken> {
    let Some(scaling) = coding.scaling().filter(|_| tensor.n_values() > 0) else {
        return Ok((Layout::Exact, exact::encode(tensor.bytes(), tensor.width())?));
    };
    let binned = bin(tensor, scaling)?;
    match Quantiser::new(&binned, coding)? {
        Quantiser::Scalar(chosen) => Ok((Layout::Levels, levels::encode(&binned, &chosen)?)),
        Quantiser::Trellis(learned, _) => Ok((Layout::Trellis, learned.encode(&binned)?)),
    }
}

fn cost(binned: &Binned, coding: Coding) -> Result<Cost, Broken> {
    let (cost, bytes) = match Quantiser::new(binned, coding)? {
        Quantiser::Scalar(chosen) => {
            let cost = chosen.cost(&binned.histogram);
            (cost, levels::max_bytes(binned, &chosen, cost.n_bits))
        }
        Quantiser::Trellis(learned, step) => {
            let cost = learned.cost(binned, step);
            (cost, learned.bytes(binned, cost.n_bits))
        }
    };
    Ok(Cost { bytes, squared_error: cost.squared_error, max_error: cost.max_error })
}

/// Sorts the values of a tensor that is to be quantised.
fn bin(tensor: &SourceTensor<'_>, scaling: Scaling) -> Result<Binned, Broken> {
    let values = tensor.values();
    let n_values = values.iter().filter(|v| !v.is_finite()).count();
    if n_values > 0 {
        return Err(Broken::new(format!("{n_values} of its values are not finite; keep it exact")));
    }
    Ok(Binned::new(&values, tensor.n_rows(), scaling))
}
