//! Tensors and a plan in, a file out; and what a coding would cost.

use std::num::NonZeroUsize;

use sha2::{Digest, Sha256};

use super::exact;
use super::fields::{Broken, of_tensor};
use super::header::{self, Layout};
use super::histogram::Binned;
use super::learned::{Cost, Learned};
use super::plan::{Coding, Plan};
use super::source::SourceTensor;
use crate::parallel;
use crate::weights::{Metadata, WeightsError};

/// The bytes of a file that holds `tensors` as `plan` says, and `metadata`. They depend on nothing else, in particular not on `threads`.
///
/// # Errors
/// When a tensor is named twice, is to be quantised and has values that are not finite, or is coded in a way that does not exist.
pub fn encode(
    tensors: &[SourceTensor<'_>],
    metadata: &Metadata,
    plan: &Plan,
    threads: NonZeroUsize,
) -> Result<Vec<u8>, WeightsError> {
    let code = |tensor: &SourceTensor<'_>| {
        let (layout, bytes) = code(tensor, plan.coding(tensor.name())).map_err(of_tensor(tensor.name()))?;
        Ok((tensor.entry(layout, &bytes), bytes))
    };
    let coded: Vec<Result<_, WeightsError>> = parallel::map(threads, tensors, SourceTensor::n_values, code);
    let (entries, contents): (Vec<_>, Vec<_>) = coded.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let mut names: Vec<&str> = tensors.iter().map(SourceTensor::name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(of_tensor(pair[0])(Broken::new("there are two of this name")));
    }
    // What an entry may not be has been refused when the tensor was made; the sum of the names and the metadata is left.
    let mut file = header::write(&entries, metadata).map_err(of_tensor("the whole"))?;
    contents.iter().for_each(|bytes| file.extend(bytes));
    let digest = Sha256::digest(&file);
    file.extend(digest);
    Ok(file)
}

/// What each of `codings` would cost for `tensor`, without coding it: its values are looked at once.
///
/// # Errors
/// When it is to be quantised and has values that are not finite, or is coded in a way that does not exist.
pub fn measure(tensor: &SourceTensor<'_>, codings: &[Coding]) -> Result<Vec<Cost>, WeightsError> {
    let mut binned = None;
    let mut one = |coding: &Coding| {
        let Some(step) = step(tensor, *coding)? else {
            let bytes = exact::max_bytes(tensor.bytes(), tensor.width());
            return Ok(Cost { bytes, squared_error: 0.0, max_error: 0.0 });
        };
        let binned = match &mut binned {
            Some(binned) => binned,
            none => none.insert(bin(tensor)?),
        };
        Ok(Learned::new(binned, step).cost(binned))
    };
    codings.iter().map(|coding| one(coding).map_err(of_tensor(tensor.name()))).collect()
}

/// The step of the trellis that codes the values of a tensor; none where they are kept exact.
fn step(tensor: &SourceTensor<'_>, coding: Coding) -> Result<Option<f64>, Broken> {
    match coding {
        Coding::Trellis { step } if !(step.is_normal() && step > 0.0) => {
            Err(Broken::new(format!("there is no {coding:?}: steps are positive")))
        }
        Coding::Trellis { step } if tensor.n_values() > 0 => Ok(Some(step.into())),
        Coding::Trellis { .. } | Coding::Exact => Ok(None),
    }
}

/// The coded values of a tensor.
fn code(tensor: &SourceTensor<'_>, coding: Coding) -> Result<(Layout, Vec<u8>), Broken> {
    let Some(step) = step(tensor, coding)? else {
        return Ok((Layout::Exact, exact::encode(tensor.bytes(), tensor.width())?));
    };
    let binned = bin(tensor)?;
    Ok((Layout::Trellis, Learned::new(&binned, step).encode(&binned)?))
}

/// Sorts the values of a tensor that is to be quantised.
fn bin(tensor: &SourceTensor<'_>) -> Result<Binned, Broken> {
    let values = tensor.values();
    let n_values = values.iter().filter(|v| !v.is_finite()).count();
    if n_values > 0 {
        return Err(Broken::new(format!("{n_values} of its values are not finite; keep it exact")));
    }
    Ok(Binned::new(&values, tensor.n_rows()))
}
