//! Weights between files and the variables of a network.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};

use super::seed;
use crate::weights::layout::{Fold, Layout, Role};
use crate::weights::{self, Content, FileTensor, Metadata, Mismatch, Unfit, WeightsError, WeightsFile, compare};

/// Sets every variable of a network from the weights file `path` (any format of [`WeightsFile`]), or none.
///
/// # Errors
/// As [`values`], and when libtorch refuses the copy.
pub fn load(store: &VarStore, layout: &Layout, path: &Path) -> Result<(), WeightsError> {
    let mut values = values(layout, path)?;
    // Every tensor that is asked for has been read: none is missing.
    assign(store, layout, |name, _| values.remove(name).unwrap_or_default())
}

/// The values that a network needs of the weights file `path`, by name.
///
/// # Errors
/// When the file cannot be read, or does not fit exactly: then all mismatches are in one [`Unfit`].
pub fn values(layout: &Layout, path: &Path) -> Result<BTreeMap<String, Vec<f32>>, WeightsError> {
    Candidate::open(layout, WeightsFile::open(path)?)?.values(layout)
}

/// A weights file whose table of contents has been compared with a network.
#[derive(Debug)]
pub struct Candidate {
    file: WeightsFile,
    mismatches: Vec<Mismatch>,
}

impl Candidate {
    /// Compares.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(layout: &Layout, mut file: WeightsFile) -> Result<Self, WeightsError> {
        let expected = layout.shapes();
        file.adopt_shapes(&expected)?;
        let mut mismatches = compare(&expected, file.tensors());
        mismatches.extend_from_slice(file.duplicates());
        Ok(Self { file, mismatches })
    }

    /// Whether nothing but the values can be wrong with it.
    pub fn fits(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// The values that the network needs, by name. Where the file was opened under a digest, it has it.
    ///
    /// # Errors
    /// As [`values`], and when it is another file.
    pub fn values(self, layout: &Layout) -> Result<BTreeMap<String, Vec<f32>>, WeightsError> {
        let Self { mut file, mut mismatches } = self;
        let values = match file.duplicates().is_empty() {
            true => read_fitting(&mut file, layout, &mut mismatches),
            false => Ok(BTreeMap::new()),
        };
        // Whatever is wrong with another file is no wonder.
        file.verify()?;
        if mismatches.is_empty() { values } else { values.and(Err(Unfit::of(layout, file.path(), mismatches).into())) }
    }
}

/// Sets every variable by the seeded rule ([`seed::fill`]), so that the network depends on `seed` alone.
///
/// # Errors
/// When libtorch refuses the copy.
pub fn seeded(store: &VarStore, layout: &Layout, seed: u64) -> Result<(), WeightsError> {
    assign(store, layout, |name, shape| seed::fill(seed, name, shape, 0))
}

/// Sets every variable from what `values` returns for the reference's tensors by name and shape, row-major. It is asked once for each
/// tensor that is needed: convolutions that were folded are computed here.
///
/// # Errors
/// When libtorch refuses the copy, for instance because the number of values is not the variable's.
pub fn assign(
    store: &VarStore,
    layout: &Layout,
    values: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<(), WeightsError> {
    let variables = store.variables();
    each_variable(layout, values, |name, values| match variables.get(name) {
        Some(variable) => copy(name, variable, values),
        None => Ok(()),
    })
}

/// The variables of a network for inference, from what `values` returns for the reference's tensors, as for [`assign`]. They are in the
/// machine's own memory.
///
/// # Errors
/// As [`assign`].
pub fn variables(
    layout: &Layout,
    values: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let mut variables = BTreeMap::new();
    each_variable(layout, values, |name, values| {
        let shape: Vec<i64> = match layout.tensors.get(name) {
            Some(declared) => declared.shape.iter().map(|n| *n as i64).collect(),
            // A bias that came with batch normalisation.
            None => vec![values.len() as i64],
        };
        let variable = Tensor::f_from_slice(values).and_then(|flat| flat.f_view(&shape[..]));
        variables.insert(name.to_owned(), variable.map_err(|e| copy_error(name, &e))?);
        Ok(())
    })?;
    Ok(variables)
}

/// Gives `set` the values of each variable by name, made of those of the reference's tensors.
fn each_variable(
    layout: &Layout,
    mut values: impl FnMut(&str, &[usize]) -> Vec<f32>,
    mut set: impl FnMut(&str, &[f32]) -> Result<(), WeightsError>,
) -> Result<(), WeightsError> {
    for (name, declared) in &layout.tensors {
        if matches!(declared.role, Role::Parameter | Role::Statistic) {
            set(name, &values(name, &declared.shape))?;
        }
    }
    for fold in &layout.folds {
        let mut part = |name: String| match layout.tensors.get(&name) {
            Some(declared) => values(&name, &declared.shape),
            None => vec![],
        };
        let (weight, bias) = folded(fold, &mut part);
        set(&format!("{}weight", fold.conv), &weight)?;
        set(&format!("{}bias", fold.conv), &bias)?;
    }
    Ok(())
}

/// The weight and the bias of a convolution with its batch normalisation in it, computed in f64.
fn folded(fold: &Fold, part: &mut impl FnMut(String) -> Vec<f32>) -> (Vec<f32>, Vec<f32>) {
    let mut norm = |name: &str| part(format!("{}{name}", fold.norm));
    let (scale, shift) = (norm("weight"), norm("bias"));
    let (mean, variance) = (norm("running_mean"), norm("running_var"));
    let weight = part(format!("{}weight", fold.conv));
    let bias = if fold.has_bias { part(format!("{}bias", fold.conv)) } else { vec![0.0; scale.len()] };
    let factors: Vec<f64> =
        scale.iter().zip(&variance).map(|(&s, &v)| f64::from(s) / (f64::from(v) + fold.eps).sqrt()).collect();
    let per_channel = weight.len() / factors.len().max(1);
    let weight = weight.chunks(per_channel.max(1)).zip(&factors);
    let weight = weight.flat_map(|(values, f)| values.iter().map(move |&w| narrow(f64::from(w) * f))).collect();
    let bias = bias.iter().zip(&mean).zip(&factors).zip(&shift);
    let bias = bias.map(|(((&b, &m), f), &s)| narrow((f64::from(b) - f64::from(m)) * f + f64::from(s))).collect();
    (weight, bias)
}

#[expect(clippy::cast_possible_truncation, reason = "one rounding to f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Writes the weights of a network that was built for training as f32 to the safetensors file `path`, which appears whole or not at
/// all. What the reference has and never uses is written as zeros, so that the reference loads the file.
///
/// # Errors
/// When a tensor cannot be brought to the CPU or the file cannot be written.
pub fn save(store: &VarStore, layout: &Layout, path: &Path) -> Result<(), WeightsError> {
    save_values(&store.variables().into_iter().collect(), layout, path, &Metadata::new())
}

/// The same of values that stand for the variables, with what is said of them.
///
/// # Errors
/// As [`save`].
pub fn save_values(
    values: &BTreeMap<String, Tensor>,
    layout: &Layout,
    path: &Path,
    metadata: &Metadata,
) -> Result<(), WeightsError> {
    let mut contents = Vec::new();
    for (name, declared) in &layout.tensors {
        let values = match values.get(name) {
            Some(tensor) => to_host(name, tensor)?,
            None => vec![0.0; declared.shape.iter().product()],
        };
        contents.push(content(name, &declared.shape, &values));
    }
    weights::write(path, &contents, metadata)
}

/// Writes the variables themselves, those of a network for inference, as f32 to the safetensors file `path`, with what is said of them.
///
/// # Errors
/// As [`save`].
pub fn save_variables(store: &VarStore, path: &Path, metadata: &Metadata) -> Result<(), WeightsError> {
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    let mut contents = Vec::new();
    for (name, tensor) in &variables {
        let values = to_host(name, tensor)?;
        // A tensor's dimensions are never negative.
        let shape: Vec<usize> = tensor.size().into_iter().map(|n| usize::try_from(n).unwrap_or_default()).collect();
        contents.push(content(name, &shape, &values));
    }
    weights::write(path, &contents, metadata)
}

fn content(name: &str, shape: &[usize], values: &[f32]) -> Content {
    (name.to_owned(), Dtype::F32, shape.to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Reads the tensors that the network needs and that agree with it in name, shape and type; adds those with values that are not
/// finite to `mismatches`.
fn read_fitting(
    file: &mut WeightsFile,
    layout: &Layout,
    mismatches: &mut Vec<Mismatch>,
) -> Result<BTreeMap<String, Vec<f32>>, WeightsError> {
    let mut read = BTreeMap::new();
    let is_needed = |tensor: &&FileTensor| {
        let declared = layout.tensors.get(&tensor.name).filter(|d| d.shape == tensor.shape && d.role != Role::Unused);
        declared.is_some() && tensor.is_readable()
    };
    let needed: Vec<FileTensor> = file.tensors().iter().filter(is_needed).cloned().collect();
    let values = file.read_many(&needed)?;
    for (tensor, values) in needed.into_iter().zip(values) {
        let n_values = values.iter().filter(|v| !v.is_finite()).count();
        if n_values > 0 {
            mismatches.push(Mismatch::NonFinite { name: tensor.name, n_values });
        } else {
            read.insert(tensor.name, values);
        }
    }
    Ok(read)
}

fn copy(name: &str, variable: &Tensor, values: &[f32]) -> Result<(), WeightsError> {
    let _no_grad = tch::no_grad_guard();
    let source = Tensor::f_from_slice(values).and_then(|flat| flat.f_reshape(variable.size()));
    let copied = source.and_then(|source| variable.shallow_clone().f_copy_(&source));
    copied.map_err(|e| copy_error(name, &e))
}

/// The values of a variable as f32, row-major.
///
/// # Errors
/// When it cannot be brought to the CPU.
pub fn to_host(name: &str, tensor: &Tensor) -> Result<Vec<f32>, WeightsError> {
    let flat = || tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1]);
    flat().and_then(|flat| Vec::<f32>::try_from(&flat)).map_err(|e| copy_error(name, &e))
}

fn copy_error(name: &str, error: &TchError) -> WeightsError {
    let message = error.to_string().lines().next().unwrap_or_default().to_owned();
    WeightsError::Copy { name: name.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use std::cell::RefCell;

    use safetensors::tensor::TensorView;

    use half::{bf16, f16};

    use super::*;
    use crate::atomic;
    use crate::zoo::layers::conv::{ConvBn, ConvShape};
    use crate::zoo::layers::scope::{Purpose, Scope};

    /// A convolution with batch normalisation.
    struct Small {
        store: VarStore,
        layout: Layout,
        net: ConvBn,
    }

    fn built(purpose: Purpose) -> Small {
        let store = VarStore::new(Device::Cpu);
        let layout = RefCell::default();
        let root = Scope::root(&store, &layout, purpose);
        let net = ConvBn::new(&(&root / "conv"), &(&root / "bn"), 2, 3, ConvShape::new(1).biased());
        root.never_used(|s| ConvBn::new(&(s / "conv2"), &(s / "bn2"), 1, 1, ConvShape::new(1)));
        drop(root);
        Small { store, layout: layout.into_inner(), net }
    }

    fn small() -> Small {
        built(Purpose::Training)
    }

    /// The tensors of the reference as (name, shape, values), those without a variable as zeros.
    fn contents(small: &Small) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let variables = small.store.variables();
        let values = |name: &str, shape: &[usize]| match variables.get(name) {
            Some(tensor) => to_host(name, tensor).unwrap(),
            None => vec![0.0; shape.iter().product()],
        };
        small
            .layout
            .shapes()
            .into_iter()
            .map(|(name, shape)| (name.clone(), shape.clone(), values(&name, &shape)))
            .collect()
    }

    /// Writes tensors as `dtype` after `edit`.
    fn file(dtype: Dtype, edit: impl FnOnce(&mut Vec<(String, Vec<usize>, Vec<f32>)>)) -> (tempfile::TempDir, PathBuf) {
        let vs = small();
        seeded(&vs.store, &vs.layout, 5).unwrap();
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
        let text = load(&vs.store, &vs.layout, path).unwrap_err().to_string();
        assert_eq!(contents(&vs), before, "a refused file has changed variables");
        assert!(text.contains("w.safetensors"), "{text}");
        text
    }

    #[test]
    fn f32_survives_save_and_load_bit_for_bit_and_16_bit_files_are_widened() {
        let (source, target) = (small(), small());
        seeded(&source.store, &source.layout, 5).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        save(&source.store, &source.layout, &path).unwrap();
        load(&target.store, &target.layout, &path).unwrap();
        assert_eq!(contents(&target), contents(&source));

        for (dtype, rounded) in [
            (Dtype::F16, (|v| f16::from_f32(v).to_f32()) as fn(f32) -> f32),
            (Dtype::BF16, |v| bf16::from_f32(v).to_f32()),
        ] {
            let (_dir, path) = file(dtype, |_| {});
            load(&target.store, &target.layout, &path).unwrap();
            let expected: Vec<_> = contents(&source)
                .into_iter()
                .map(|(n, s, v)| (n, s, v.into_iter().map(rounded).collect::<Vec<_>>()))
                .collect();
            assert_eq!(contents(&target), expected);
            assert!(target.store.variables().values().all(|t| t.kind() == Kind::Float));
        }
    }

    #[test]
    fn loading_keeps_variables_trainable_and_the_network_bound_to_them() {
        let vs = small();
        assign(&vs.store, &vs.layout, |_, shape| vec![4.0; shape.iter().product()]).unwrap();
        let out = vs.net.forward(&Tensor::ones([1, 2, 1, 1], (Kind::Float, Device::Cpu)), false);
        // 12 from the convolution, 8 above the mean, over the root of the variance, times 4, plus 4.
        assert!((out.double_value(&[0, 0, 0, 0]) - 20.0).abs() < 1e-3);
        assert!(out.requires_grad());
    }

    #[test]
    fn a_folded_pair_computes_what_the_pair_does_and_has_no_normalisation() {
        let (plain, folded) = (built(Purpose::Training), built(Purpose::Inference));
        assert_eq!(plain.layout.shapes(), folded.layout.shapes());
        for net in [&plain, &folded] {
            seeded(&net.store, &net.layout, 5).unwrap();
        }
        let mut names: Vec<_> = folded.store.variables().into_keys().collect();
        names.sort();
        assert_eq!(names, ["conv.bias", "conv.weight"]);
        let input = Tensor::arange(8, (Kind::Float, Device::Cpu)).view([1, 2, 2, 2]);
        let (a, b) = (plain.net.forward(&input, false), folded.net.forward(&input, false));
        assert!(a.allclose(&b, 1e-6, 1e-6, false));
    }

    #[test]
    fn an_outline_has_names_and_shapes_and_no_variables() {
        let outline = built(Purpose::Outline);
        assert!(outline.store.is_empty());
        assert_eq!(outline.layout.shapes(), small().layout.shapes());
        assert_eq!(outline.layout.n_parameters(), 3 * 2 + 3 + 6 + 1 + 2);
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
        assert!(text.contains("11 of another type") && text.contains("bn.bias is F64, not F32, F16 or BF16"), "{text}");
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
        assert!(text.lines().next().unwrap().ends_with("11 missing, 1 extra, 1 listed twice"), "{text}");
    }

    #[test]
    fn the_wrong_number_of_values_is_an_error() {
        let vs = small();
        let error = assign(&vs.store, &vs.layout, |_, _| vec![0.0; 2]).unwrap_err().to_string();
        assert!(error.starts_with("cannot copy the tensor `bn.bias`"), "{error}");
    }
}
