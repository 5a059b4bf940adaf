//! Weights files of other programs against the tensors they were made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use crate::weights::WeightsFile;

/// Batch counters, which old files lack.
const COUNTER: &str = "num_batches_tracked";

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Compares every file of the folder `containers`, or the Huffman directory `containers`, bit for bit with the tensors of the safetensors
/// file `expected`, which holds the contents of several files under prefixes.
///
/// Returns the number of containers.
///
/// # Errors
/// The first container that cannot be read or differs.
pub(super) fn check(containers: &[PathBuf], expected: &Path) -> Result<usize, String> {
    let expected = read(expected, &[])?;
    for path in containers {
        let shapes: Vec<_> = prefixes(&expected).iter().flat_map(|prefix| shapes(&under(&expected, prefix))).collect();
        let found = read(path, &shapes)?;
        let candidates: Vec<Tensors> = prefixes(&expected).iter().map(|prefix| under(&expected, prefix)).collect();
        let same_names = |wanted: &&Tensors| {
            let lacking = wanted.keys().filter(|name| !found.contains_key(*name)).all(|name| name.ends_with(COUNTER));
            lacking && found.keys().all(|name| wanted.contains_key(name))
        };
        let name = path.display();
        if !candidates.iter().any(|wanted| same_names(&wanted)) {
            return Err(format!("`{name}` holds other tensors than it was made of"));
        }
        let agrees = |wanted: &&Tensors| found.iter().all(|(name, tensor)| wanted[name] == *tensor);
        if !candidates.iter().filter(same_names).any(|wanted| agrees(&wanted)) {
            return Err(format!("a tensor of `{name}` is not what it was made of"));
        }
    }
    Ok(containers.len())
}

fn read(path: &Path, shapes: &[(String, Vec<usize>)]) -> Result<Tensors, String> {
    let mut file = WeightsFile::open(path).map_err(|e| e.to_string())?;
    file.adopt_shapes(shapes).map_err(|e| e.to_string())?;
    let tensors = file.tensors().to_vec();
    let one = |tensor: crate::weights::FileTensor| {
        let bytes = file.read_raw(&tensor).map_err(|e| e.to_string())?;
        Ok((tensor.name, (tensor.dtype, tensor.shape, bytes)))
    };
    tensors.into_iter().map(one).collect()
}

/// Every beginning of a name that ends at a dot, and none.
fn prefixes(tensors: &Tensors) -> BTreeSet<String> {
    let of = |name: &String| name.match_indices('.').map(|(at, _)| name[..=at].to_owned()).collect::<Vec<_>>();
    tensors.keys().flat_map(of).chain([String::new()]).collect()
}

fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_owned(), t.clone()))).collect()
}

fn shapes(tensors: &Tensors) -> Vec<(String, Vec<usize>)> {
    tensors.iter().map(|(name, (_, shape, _))| (name.clone(), shape.clone())).collect()
}
