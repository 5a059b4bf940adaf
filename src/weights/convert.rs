//! Weights from any format to safetensors, and two of them compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::file::METADATA_KEY;
use super::fit::is_counter;
use super::layout::Layout;
use super::{FileTensor, Metadata, Mismatch, Selection, Unfit, WeightsError, WeightsFile};
use crate::atomic;

/// The type of converted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// What the file has, integers included.
    Same,
    /// f32; integers stay as they are.
    F32,
    /// f16 from floats; integers stay as they are.
    F16,
    /// bf16 from floats; integers stay as they are.
    BF16,
}

impl Target {
    /// All of them.
    pub const NAMED: [(&'static str, Self); 4] =
        [("same", Self::Same), ("f32", Self::F32), ("f16", Self::F16), ("bf16", Self::BF16)];
}

/// Writes the tensors of `from` that `selection` asks for to the safetensors file `to`, which appears whole or not at all. What `from` says of
/// itself goes along, but for what `said` says otherwise. Returns how many tensors there are.
///
/// # Errors
/// When `from` cannot be read, holds a name twice or a tensor without a shape, or a value is too large for the type that was asked for; when
/// `to` cannot be written.
pub fn convert(
    from: &Path,
    selection: Selection,
    target: Target,
    said: Metadata,
    to: &Path,
) -> Result<usize, WeightsError> {
    let mut file = WeightsFile::open_selected(from, selection)?;
    let unusable = |reason: String| WeightsError::Unusable { path: from.to_owned(), reason };
    if let Some(twice) = file.duplicates().first() {
        return Err(unusable(format!("{twice}: there is no telling which is meant")));
    }
    let mut contents = Vec::new();
    for tensor in file.tensors().to_vec() {
        if tensor.is_shapeless() {
            let how = "export it as the network that it belongs to: swath models export NAME --weights FILE";
            return Err(unusable(format!("the shape of `{}` is not in the file; {how}", tensor.name)));
        }
        let (dtype, bytes) = converted(&mut file, &tensor, target)?;
        contents.push((tensor.name, dtype, tensor.shape, bytes));
    }
    let mut metadata = file.metadata().clone();
    metadata.extend(said);
    write(to, &contents, &metadata)?;
    Ok(contents.len())
}

/// Writes the tensors of `layout` from the weights file `from`, which must fit it exactly, as f32 to the safetensors file `to`.
///
/// # Errors
/// When `from` cannot be read or does not fit, values that are not finite included; when `to` cannot be written.
pub fn rewrite(layout: &Layout, from: &Path, to: &Path) -> Result<(), WeightsError> {
    super::check(layout, from)?;
    let mut file = WeightsFile::open(from)?;
    file.adopt_shapes(&layout.shapes())?;
    let (mut contents, mut mismatches) = (Vec::new(), Vec::new());
    for tensor in file.tensors().to_vec().into_iter().filter(|t| layout.tensors.contains_key(&t.name)) {
        let values = file.read(&tensor)?;
        let n_values = values.iter().filter(|v| !v.is_finite()).count();
        if n_values > 0 {
            mismatches.push(Mismatch::NonFinite { name: tensor.name.clone(), n_values });
        }
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        contents.push((tensor.name, Dtype::F32, tensor.shape, bytes));
    }
    if !mismatches.is_empty() {
        return Err(Unfit::new(from, mismatches).into());
    }
    write(to, &contents, file.metadata())
}

/// Writes tensors (name, shape, values) as f32 to the safetensors file `path`, which appears whole or not at all.
///
/// # Errors
/// When a tensor's values are not as many as its shape says, or the file cannot be written.
pub fn write_f32(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Result<(), WeightsError> {
    let content = |(name, shape, values): &(String, Vec<usize>, Vec<f32>)| {
        (name.clone(), Dtype::F32, shape.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
    };
    write(path, &tensors.iter().map(content).collect::<Vec<_>>(), &Metadata::new())
}

/// Name, type, shape, and the values in that type, row-major.
pub(crate) type Content = (String, Dtype, Vec<usize>, Vec<u8>);

/// Writes tensors and what is said of them to the safetensors file `path`, which appears whole or not at all.
///
/// # Errors
/// When a tensor's values are not as many as its shape says, or the file cannot be written.
pub(crate) fn write(path: &Path, contents: &[Content], metadata: &Metadata) -> Result<(), WeightsError> {
    let unwritable = |reason: String| WeightsError::Malformed { path: path.to_owned(), format: "safetensors", reason };
    let mut views = Vec::with_capacity(contents.len());
    for (name, dtype, shape, bytes) in contents {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| unwritable(e.to_string()))?;
        views.push((name, view));
    }
    let file = safetensors::serialize(views, None).map_err(|e| unwritable(e.to_string()))?;
    let file = with_metadata(file, metadata).map_err(|e| unwritable(e.to_string()))?;
    Ok(atomic::write(path, &file)?)
}

/// A safetensors file without metadata with that in its header. The crate would write the keys in another order each time.
fn with_metadata(file: Vec<u8>, metadata: &Metadata) -> Result<Vec<u8>, serde_json::Error> {
    let parts = file.split_first_chunk().map(|(prefix, rest)| (usize::try_from(u64::from_le_bytes(*prefix)), rest));
    let Some((Ok(n_bytes), rest)) = parts.filter(|_| !metadata.is_empty()) else { return Ok(file) };
    let (header, values) = rest.split_at(n_bytes);
    let entries = header.trim_ascii().strip_prefix(b"{").unwrap_or_default();
    let comma = if entries == b"}" { "" } else { "," };
    let mut header = format!("{{\"{METADATA_KEY}\":{}{comma}", serde_json::to_string(metadata)?).into_bytes();
    header.extend(entries);
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header, values].concat())
}

fn converted(file: &mut WeightsFile, tensor: &FileTensor, target: Target) -> Result<(Dtype, Vec<u8>), WeightsError> {
    let dtype = match target {
        Target::Same => tensor.dtype,
        Target::F32 => Dtype::F32,
        Target::F16 => Dtype::F16,
        Target::BF16 => Dtype::BF16,
    };
    if dtype == tensor.dtype || !tensor.is_readable() {
        return Ok((tensor.dtype, file.read_raw(tensor)?));
    }
    let values = file.read(tensor)?;
    let narrow = |value: f32| match target {
        Target::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
        Target::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        Target::Same | Target::F32 => value.to_le_bytes().to_vec(),
    };
    let overflows = |value: &f32| target == Target::F16 && value.is_finite() && f16::from_f32(*value).is_infinite();
    if let Some(value) = values.iter().find(|v| overflows(v)) {
        let reason = format!("{value} of `{}` is too large for f16: use bf16 or f32", tensor.name);
        return Err(WeightsError::Unusable { path: file.path().to_owned(), reason });
    }
    Ok((dtype, values.into_iter().flat_map(narrow).collect()))
}

/// How two files of weights differ.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Names that only the first has.
    pub only_first: Vec<String>,
    /// Names that only the second has.
    pub only_second: Vec<String>,
    /// Names with both shapes, where they differ.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Names with both types, where they differ and the values are not the same.
    pub dtypes: Vec<(String, Dtype, Dtype)>,
    /// Names with both types, where only they differ: rounded to the narrower type, the values are the same.
    pub stored: Vec<(String, Dtype, Dtype)>,
    /// Names with how far the values are apart, where they are: the greatest first.
    pub values: Vec<(String, ValueDifference)>,
    /// Tensors that are equal in everything.
    pub equal: usize,
}

/// How far two tensors of one shape are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueDifference {
    /// Largest difference of a value; not a number where one of both is not and the other is.
    pub largest: f64,
    /// Root mean square of the differences, as a share of the first tensor's own.
    pub relative: f64,
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let names = self.only_first.is_empty() && self.only_second.is_empty();
        let types = self.dtypes.is_empty() && self.stored.is_empty();
        names && self.shapes.is_empty() && types && self.values.is_empty()
    }
}

impl Difference {
    /// Adds in what two tensors of one name differ.
    fn compare(&mut self, files: &mut [WeightsFile; 2], a: &FileTensor, b: &FileTensor) -> Result<(), WeightsError> {
        let types = || (a.name.clone(), a.dtype, b.dtype);
        if a.shape != b.shape {
            self.shapes.push((a.name.clone(), a.shape.clone(), b.shape.clone()));
            self.dtypes.extend((a.dtype != b.dtype).then(types));
            return Ok(());
        }
        let are_floats = a.is_readable() && b.is_readable();
        match (a.dtype == b.dtype, are_floats) {
            (false, true) if distance(files, a, b, narrower(a.dtype, b.dtype))?.is_none() => self.stored.push(types()),
            (false, false) => self.dtypes.push(types()),
            (is_same_type, _) => {
                self.dtypes.extend((!is_same_type).then(types));
                match distance(files, a, b, None)? {
                    Some(distance) => self.values.push((a.name.clone(), distance)),
                    None => self.equal += 1,
                }
            }
        }
        Ok(())
    }
}

/// The type of fewer bits among two of floats, if one of them has more.
fn narrower(a: Dtype, b: Dtype) -> Option<Dtype> {
    match (a, b) {
        (Dtype::F32, narrow) | (narrow, Dtype::F32) => Some(narrow),
        _ => None,
    }
}

/// A value as this type holds it.
fn rounded(value: f32, to: Option<Dtype>) -> f32 {
    match to {
        Some(Dtype::F16) => f16::from_f32(value).to_f32(),
        Some(Dtype::BF16) => bf16::from_f32(value).to_f32(),
        _ => value,
    }
}

/// Compares the tensors of two files, which need not be of one format. PyTorch's batch counters do not count.
///
/// # Errors
/// When a file cannot be read.
pub fn diff(first: &Path, second: &Path, selection: Selection) -> Result<Difference, WeightsError> {
    let mut files = [WeightsFile::open_selected(first, selection)?, WeightsFile::open_selected(second, selection)?];
    // A format without shapes takes those of the other file.
    let shapes = files.each_ref().map(|file| {
        let known = file.tensors().iter().filter(|t| !t.is_shapeless());
        known.map(|t| (t.name.clone(), t.shape.clone())).collect::<Vec<_>>()
    });
    files[0].adopt_shapes(&shapes[1])?;
    files[1].adopt_shapes(&shapes[0])?;
    let tables = files.each_ref().map(|file| {
        let counted = file.tensors().iter().filter(|t| !is_counter(&t.name));
        counted.map(|t| (t.name.clone(), t.clone())).collect::<BTreeMap<_, _>>()
    });
    let names: BTreeSet<&String> = tables.iter().flat_map(BTreeMap::keys).collect();
    let mut found = Difference::default();
    for name in names {
        let (a, b) = match (tables[0].get(name), tables[1].get(name)) {
            (Some(a), Some(b)) => (a, b),
            (Some(_), None) => {
                found.only_first.push(name.clone());
                continue;
            }
            (None, _) => {
                found.only_second.push(name.clone());
                continue;
            }
        };
        found.compare(&mut files, a, b)?;
    }
    found.values.sort_by(|(_, a), (_, b)| b.relative.total_cmp(&a.relative));
    Ok(found)
}

/// `None` where the values are equal, rounded to a type or as they are.
fn distance(
    files: &mut [WeightsFile; 2],
    a: &FileTensor,
    b: &FileTensor,
    as_type: Option<Dtype>,
) -> Result<Option<ValueDifference>, WeightsError> {
    if !(a.is_readable() && b.is_readable()) {
        let differs = files[0].read_raw(a)? != files[1].read_raw(b)?;
        return Ok(differs.then_some(ValueDifference { largest: f64::NAN, relative: f64::NAN }));
    }
    let (first, second) = (files[0].read(a)?, files[1].read(b)?);
    let (mut largest, mut squares, mut own) = (0f64, 0f64, 0f64);
    for (x, y) in first.into_iter().zip(second).map(|(x, y)| (rounded(x, as_type), rounded(y, as_type))) {
        let same = x == y || (x.is_nan() && y.is_nan());
        let difference = if same { 0.0 } else { (f64::from(x) - f64::from(y)).abs() };
        largest = if difference.is_nan() || largest.is_nan() { f64::NAN } else { largest.max(difference) };
        squares += difference * difference;
        own += f64::from(x) * f64::from(x);
    }
    let relative = if own > 0.0 { (squares / own).sqrt() } else { squares.sqrt() };
    Ok((largest != 0.0).then_some(ValueDifference { largest, relative }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn file(name: &str, contents: &[Content]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        write(&path, contents, &Metadata::new()).unwrap();
        (dir, path)
    }

    #[test]
    fn converting_narrows_floats_only_and_refuses_what_overflows() {
        let counter = ("n".to_owned(), Dtype::I64, vec![], 7i64.to_le_bytes().to_vec());
        let (dir, path) = file("a", &[("w".to_owned(), Dtype::F32, vec![2], floats(&[0.5, -3.0])), counter]);
        let out = dir.path().join("b");
        assert_eq!(convert(&path, Selection::Everything, Target::F16, Metadata::new(), &out).unwrap(), 2);
        let difference = diff(&path, &out, Selection::Everything).unwrap();
        assert_eq!(difference.stored, [("w".to_owned(), Dtype::F32, Dtype::F16)]);
        assert!(difference.dtypes.is_empty() && difference.values.is_empty() && !difference.is_empty());

        let (_dir, large) = file("large", &[("w".to_owned(), Dtype::F32, vec![1], floats(&[7e4]))]);
        let text = convert(&large, Selection::Everything, Target::F16, Metadata::new(), &out).unwrap_err().to_string();
        assert!(text.contains("70000 of `w` is too large for f16"), "{text}");
        assert_eq!(convert(&large, Selection::Everything, Target::BF16, Metadata::new(), &out).unwrap(), 1);
    }

    #[test]
    fn values_of_two_types_are_compared_in_the_narrower_one() {
        let halves = |values: &[f32]| values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>();
        let tensor = |dtype, bytes| ("w".to_owned(), dtype, vec![2], bytes);
        let (_a, wide) = file("a", &[tensor(Dtype::F32, floats(&[0.1, 0.2]))]);
        let (_b, narrow) = file("b", &[tensor(Dtype::F16, halves(&[0.1, 0.2]))]);
        let (_c, other) = file("c", &[tensor(Dtype::F16, halves(&[0.1, 0.3]))]);
        for (first, second) in [(&wide, &narrow), (&narrow, &wide)] {
            let found = diff(first, second, Selection::Network).unwrap();
            assert_eq!((found.stored.len(), found.dtypes.len(), found.values.len(), found.equal), (1, 0, 0, 0));
        }
        let found = diff(&wide, &other, Selection::Network).unwrap();
        assert_eq!((found.stored.len(), found.dtypes.len(), found.values.len()), (0, 1, 1));
        assert!((found.values[0].1.largest - 0.1).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn a_difference_is_told_by_name_and_size() {
        let tensor = |name: &str, values: &[f32]| (name.to_owned(), Dtype::F32, vec![values.len()], floats(values));
        let (_a, a) = file("a", &[tensor("same", &[1.0]), tensor("w", &[3.0, 4.0]), tensor("mine", &[0.0])]);
        let (_b, b) = file("b", &[tensor("same", &[1.0]), tensor("w", &[3.0, 4.5]), tensor("yours", &[0.0])]);
        let found = diff(&a, &b, Selection::Network).unwrap();
        assert_eq!(
            (&found.only_first[..], &found.only_second[..]),
            (&["mine".to_owned()][..], &["yours".to_owned()][..])
        );
        assert_eq!((found.equal, found.values[0].0.as_str()), (1, "w"));
        assert_eq!(found.values[0].1, ValueDifference { largest: 0.5, relative: 0.1 });
        assert!(diff(&a, &a, Selection::Network).unwrap().is_empty());
    }
}
