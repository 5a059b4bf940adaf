//! Weights between files and the variables of a network.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};

use super::{Mismatch, Unfit, WeightsError, WeightsFile, compare, is_counter};
use crate::atomic;
use crate::zoo::seed;

/// Names and shapes of the variables, ordered by name.
pub fn shapes(vs: &VarStore) -> Vec<(String, Vec<usize>)> {
    sorted(vs).into_iter().map(|(name, tensor)| (name, shape(&tensor))).collect()
}

/// Sets every variable of `vs` from the weights file `path` (any format of [`WeightsFile`]), or none.
///
/// # Errors
/// When the file cannot be read, or does not fit exactly: then all mismatches are in one [`Unfit`].
pub fn load(vs: &VarStore, path: &Path) -> Result<(), WeightsError> {
    let mut file = WeightsFile::open(path)?;
    let expected = shapes(vs);
    file.adopt_shapes(&expected)?;
    let mut mismatches = compare(&expected, file.tensors());
    mismatches.extend_from_slice(file.duplicates());
    let values =
        if file.duplicates().is_empty() { read_fitting(&mut file, &expected, &mut mismatches)? } else { vec![] };
    if !mismatches.is_empty() {
        return Err(Unfit { path: path.to_owned(), mismatches }.into());
    }
    let variables = vs.variables();
    values.iter().try_for_each(|(name, values)| match variables.get(name) {
        Some(variable) => copy(name, variable, values),
        None => Ok(()),
    })
}

/// Compares the file's table of contents with the variables of `vs`, values aside.
///
/// # Errors
/// As [`load`].
pub fn check(vs: &VarStore, path: &Path) -> Result<(), WeightsError> {
    let mut file = WeightsFile::open(path)?;
    let expected = shapes(vs);
    file.adopt_shapes(&expected)?;
    let mut mismatches = compare(&expected, file.tensors());
    mismatches.extend_from_slice(file.duplicates());
    if mismatches.is_empty() { Ok(()) } else { Err(Unfit { path: path.to_owned(), mismatches }.into()) }
}

/// Sets every variable by the seeded rule ([`seed::fill`]), so that the network depends on `seed` alone.
///
/// # Errors
/// When libtorch refuses the copy.
pub fn seeded(vs: &VarStore, seed: u64) -> Result<(), WeightsError> {
    assign(vs, |name, shape| seed::fill(seed, name, shape, 0))
}

/// Sets every variable, by order of name, to what `values` returns for its name and shape, row-major.
///
/// # Errors
/// When libtorch refuses the copy, for instance because the number of values is not the variable's.
pub fn assign(vs: &VarStore, mut values: impl FnMut(&str, &[usize]) -> Vec<f32>) -> Result<(), WeightsError> {
    sorted(vs).iter().try_for_each(|(name, variable)| copy(name, variable, &values(name, &shape(variable))))
}

/// Writes all variables as f32 to the safetensors file `path`, which appears whole or not at all.
///
/// # Errors
/// When a tensor cannot be brought to the CPU or the file cannot be written.
pub fn save(vs: &VarStore, path: &Path) -> Result<(), WeightsError> {
    let mut contents = Vec::new();
    for (name, tensor) in sorted(vs) {
        let values = to_host(&tensor).map_err(|e| copy_error(&name, &e))?;
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        contents.push((name, shape(&tensor), bytes));
    }
    let unwritable =
        |e: safetensors::SafeTensorError| WeightsError::Malformed { path: path.to_owned(), reason: e.to_string() };
    let mut views = Vec::with_capacity(contents.len());
    for (name, shape, bytes) in &contents {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(unwritable)?));
    }
    let file = safetensors::serialize(views, None).map_err(unwritable)?;
    Ok(atomic::write(path, &file)?)
}

/// Reads the tensors that agree with `expected` in name, shape and type; adds those with values that are not finite to
/// `mismatches`.
fn read_fitting(
    file: &mut WeightsFile,
    expected: &[(String, Vec<usize>)],
    mismatches: &mut Vec<Mismatch>,
) -> Result<Vec<(String, Vec<f32>)>, WeightsError> {
    let mut read = Vec::with_capacity(expected.len());
    for tensor in file.tensors().to_vec() {
        let position = expected.binary_search_by(|(name, _)| name.cmp(&tensor.name));
        let fits = position.is_ok_and(|idx| expected[idx].1 == tensor.shape) && tensor.is_readable();
        if !fits || is_counter(&tensor.name) {
            continue;
        }
        let values = file.read(&tensor)?;
        let n_values = values.iter().filter(|v| !v.is_finite()).count();
        if n_values > 0 {
            mismatches.push(Mismatch::NonFinite { name: tensor.name, n_values });
        } else {
            read.push((tensor.name, values));
        }
    }
    Ok(read)
}

fn sorted(vs: &VarStore) -> Vec<(String, Tensor)> {
    let mut variables: Vec<_> = vs.variables().into_iter().collect();
    variables.sort_by(|(a, _), (b, _)| a.cmp(b));
    variables
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    // A tensor's dimensions are never negative.
    tensor.size().into_iter().map(|n| usize::try_from(n).unwrap_or_default()).collect()
}

fn copy(name: &str, variable: &Tensor, values: &[f32]) -> Result<(), WeightsError> {
    let _no_grad = tch::no_grad_guard();
    let source = Tensor::f_from_slice(values).and_then(|flat| flat.f_reshape(variable.size()));
    let copied = source.and_then(|source| variable.shallow_clone().f_copy_(&source));
    copied.map_err(|e| copy_error(name, &e))
}

fn to_host(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let flat = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1])?;
    Vec::<f32>::try_from(&flat)
}

fn copy_error(name: &str, error: &TchError) -> WeightsError {
    let message = error.to_string().lines().next().unwrap_or_default().to_owned();
    WeightsError::Copy { name: name.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use half::{bf16, f16};
    use tch::nn;

    use super::*;
    use crate::zoo::layers::conv::{ConvBn, ConvShape};

    fn small() -> VarStore {
        let vs = VarStore::new(Device::Cpu);
        ConvBn::new(vs.root() / "conv", vs.root() / "bn", 2, 3, ConvShape::new(1));
        vs
    }

    /// The variables of `vs` as (name, shape, values).
    fn contents(vs: &VarStore) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        sorted(vs).iter().map(|(name, t)| (name.clone(), shape(t), to_host(t).unwrap())).collect()
    }

    /// Writes tensors as `dtype` after `edit`.
    fn file(dtype: Dtype, edit: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<f32>)>)) -> (tempfile::TempDir, PathBuf) {
        let vs = small();
        seeded(&vs, 5).unwrap();
        let mut tensors = contents(&vs);
        edit(&mut tensors);
        let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| encode(dtype, values)).collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), b)| (name, TensorView::new(dtype, shape.clone(), b).unwrap()));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        atomic::write(&path, &safetensors::serialize(views, None).unwrap()).unwrap();
        (dir, path)
    }

    fn encode(dtype: Dtype, values: &[f32]) -> Vec<u8> {
        let one = |v: &f32| {
            if dtype == Dtype::F16 {
                f16::from_f32(*v).to_le_bytes().to_vec()
            } else if dtype == Dtype::BF16 {
                bf16::from_f32(*v).to_le_bytes().to_vec()
            } else if dtype == Dtype::F64 {
                f64::from(*v).to_le_bytes().to_vec()
            } else {
                v.to_le_bytes().to_vec()
            }
        };
        values.iter().flat_map(one).collect()
    }

    fn refusal(path: &Path) -> String {
        let vs = small();
        let before = contents(&vs);
        let text = load(&vs, path).unwrap_err().to_string();
        assert_eq!(contents(&vs), before, "a refused file has changed variables");
        assert!(text.contains("w.safetensors"), "{text}");
        text
    }

    #[test]
    fn f32_survives_save_and_load_bit_for_bit_and_16_bit_files_are_widened() {
        let (source, target) = (small(), small());
        seeded(&source, 5).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        save(&source, &path).unwrap();
        load(&target, &path).unwrap();
        assert_eq!(contents(&target), contents(&source));

        for (dtype, rounded) in [
            (Dtype::F16, (|v| f16::from_f32(v).to_f32()) as fn(f32) -> f32),
            (Dtype::BF16, |v| bf16::from_f32(v).to_f32()),
        ] {
            let (_dir, path) = file(dtype, |_| {});
            load(&target, &path).unwrap();
            let expected: Vec<_> = contents(&source)
                .into_iter()
                .map(|(n, s, v)| (n, s, v.into_iter().map(rounded).collect::<Vec<_>>()))
                .collect();
            assert_eq!(contents(&target), expected);
            assert!(target.variables().values().all(|t| t.kind() == Kind::Float));
        }
    }

    #[test]
    fn loading_keeps_variables_trainable_and_the_network_bound_to_them() {
        let vs = VarStore::new(Device::Cpu);
        let conv = nn::conv2d(vs.root(), 1, 1, 1, nn::no_bias());
        assign(&vs, |_, _| vec![4.0]).unwrap();
        assert_eq!(conv.ws.double_value(&[0, 0, 0, 0]), 4.0);
        assert!(conv.ws.requires_grad());
    }

    #[test]
    fn one_element_is_not_broadcast() {
        let (_dir, path) = file(Dtype::F32, |tensors| tensors[0] = ("bn.bias".to_owned(), vec![1], vec![0.5]));
        assert!(refusal(&path).contains("of another shape: bn.bias is [1], the network has [3]"));
        let (_dir, path) = file(Dtype::F32, |tensors| tensors[0] = ("bn.bias".to_owned(), vec![], vec![0.5]));
        assert!(refusal(&path).contains("bn.bias is [], the network has [3]"));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let (_dir, path) = file(Dtype::F32, |tensors| {
            tensors.retain(|(name, _, _)| name != "bn.weight");
            tensors.push(("other".to_owned(), vec![1], vec![0.0]));
            tensors.push(("other.num_batches_tracked".to_owned(), vec![], vec![0.0]));
            tensors.iter_mut().find(|(name, _, _)| name == "bn.running_var").unwrap().2[1] = f32::NAN;
            let weight = tensors.iter_mut().find(|(name, _, _)| name == "conv.weight").unwrap();
            *weight = ("conv.weight".to_owned(), vec![3, 2], vec![0.0; 6]);
        });
        let text = refusal(&path);
        let first = text.lines().next().unwrap();
        assert!(first.ends_with("1 missing, 1 extra, 1 of another shape, 1 not finite"), "{text}");
        assert!(text.contains("not finite: 1 values of bn.running_var"), "{text}");
    }

    #[test]
    fn another_type_is_refused() {
        let (_dir, path) = file(Dtype::F64, |_| {});
        let text = refusal(&path);
        assert!(text.contains("5 of another type") && text.contains("bn.bias is F64, not F32, F16 or BF16"), "{text}");
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_with_the_rest() {
        let entry = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        let header = format!("{{{entry},{entry}}}");
        let mut content = (header.len() as u64).to_le_bytes().to_vec();
        content.extend(header.as_bytes());
        content.extend([0; 4]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        atomic::write(&path, &content).unwrap();
        let text = refusal(&path);
        assert!(text.lines().next().unwrap().ends_with("5 missing, 1 extra, 1 listed twice"), "{text}");
    }

    #[test]
    fn the_wrong_number_of_values_is_an_error() {
        let error = assign(&small(), |_, _| vec![0.0]).unwrap_err().to_string();
        assert!(error.starts_with("cannot copy the tensor `bn.bias`"), "{error}");
    }
}
