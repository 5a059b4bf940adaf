//! Weights that training starts from: those of a network with another class table, or of a backbone trained on ImageNet.
//!
//! What depends on the number of classes starts afresh; everything else that the file has must fit, and nothing of it is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::Device;

use super::export::{ExportError, PLANES};
use super::identify::identify;
use super::layers::scope::Purpose;
use super::registry;
use super::spec::{Network, NetworkSpec, SpecTable};
use super::store;
use crate::weights::layout::{Layout, Plane, Role};
use crate::weights::{self, FileTensor, Mismatch, Unfit, WeightsError, WeightsFile, is_counter};

/// torchvision's names of a ResNet's parts by their position, for networks that hold them as two sequences; what is between them has
/// no weights.
const PARTS: [(&str, usize); 6] =
    [("conv1.", 0), ("bn1.", 1), ("layer1.", 4), ("layer2.", 5), ("layer3.", 6), ("layer4.", 7)];
/// Parts in the first of these sequences: to the first stage, or to the third.
const FIRST_PARTS: [usize; 2] = [5, 7];

/// What was written.
#[derive(Debug)]
pub struct Started {
    /// The network.
    pub spec: NetworkSpec,
    /// Tensors that the file had.
    pub taken: usize,
    /// Names of those that start afresh.
    pub fresh: Vec<String>,
}

/// Writes to the safetensors file `to` what training the network `name` for `classes` classes starts from: the tensors of the weights file
/// `from`, which is of the same network with other classes or of its backbone alone, and what that does not give as training from scratch
/// starts with it, drawn from `seed`. What the reference has and never uses is zeros if the file does not have it. What the file says of
/// itself is left behind: it is not true of these weights.
///
/// # Errors
/// When there is no such network, the file is neither, or `to` cannot be written.
pub fn without_classifier(name: &str, classes: u32, from: &Path, seed: u64, to: &Path) -> Result<Started, ExportError> {
    let mut file = WeightsFile::open(from)?;
    let table = SpecTable::named(name)?;
    let bands = bands(&registry::outline(&table.resolve(PLANES.0, Some(classes))?)?, file.tensors());
    let spec = table.resolve(bands, Some(classes))?;
    let layout = registry::names_and_shapes(&spec)?;
    let mut given = given(&spec, &layout, &mut file, false)?;
    tch::manual_seed(i64::from_ne_bytes(seed.to_ne_bytes()));
    let built = registry::build(&spec, Purpose::Training, Device::Cpu)?;
    let initial = built.store.variables();
    let (taken, mut fresh, mut contents) = (given.len(), Vec::new(), Vec::new());
    for (name, declared) in &layout.tensors {
        let values = match given.remove(name) {
            Some(values) => values,
            None => {
                fresh.push(name.clone());
                match initial.get(name) {
                    Some(tensor) => store::to_host(name, tensor)?,
                    None => vec![0.0; declared.shape.iter().product()],
                }
            }
        };
        contents.push((name.clone(), declared.shape.clone(), values));
    }
    weights::write_f32(to, &contents)?;
    Ok(Started { spec, taken, fresh })
}

/// The values that a weights file gives a network that is to be trained, by name. The file is the same network's, with other classes
/// perhaps, or its backbone's. What depends on the number of classes is taken only with `classifier`, and if it fits.
///
/// # Errors
/// When the file is neither, or cannot be read.
pub fn given(
    spec: &NetworkSpec,
    layout: &Layout,
    file: &mut WeightsFile,
    classifier: bool,
) -> Result<BTreeMap<String, Vec<f32>>, ExportError> {
    file.adopt_shapes(&layout.shapes())?;
    let more = registry::names_and_shapes(&NetworkSpec { classes: spec.classes + 1, ..spec.clone() })?;
    let depends = |name: &str| layout.tensors[name].shape != more.tensors[name].shape;
    let is_whole = classifier && whole(layout, &BTreeSet::new(), file.tensors()).is_empty();
    let left_out: BTreeSet<&str> =
        layout.tensors.keys().map(String::as_str).filter(|name| !is_whole && depends(name)).collect();
    let unfit = |file: &WeightsFile, mismatches| WeightsError::from(Unfit::new(file.path(), mismatches));
    let places: BTreeMap<String, usize> = match whole(layout, &left_out, file.tensors()) {
        mismatches if mismatches.is_empty() => (0..).zip(file.tensors()).map(|(i, t)| (t.name.clone(), i)).collect(),
        mismatches => backbone(layout, file.tensors()).ok_or_else(|| unfit(file, mismatches))?,
    };
    let (mut values, mut mismatches) = (BTreeMap::new(), Vec::new());
    for name in layout.tensors.keys().filter(|name| !left_out.contains(name.as_str())) {
        if let Some(tensor) = places.get(name).and_then(|idx| file.tensors().get(*idx)).cloned() {
            values.insert(name.clone(), read(file, &tensor, &mut mismatches)?);
        }
    }
    if mismatches.is_empty() { Ok(values) } else { Err(unfit(file, mismatches).into()) }
}

/// Bands of the file, if it is one network's, or as many as that has which the network's first layer is called after.
fn bands(layout: &Layout, tensors: &[FileTensor]) -> u32 {
    let names = |tensor: &FileTensor| {
        let split = FIRST_PARTS.map(|first| in_sequence(&tensor.name, first));
        [tensor.name.clone()].into_iter().chain(split).collect::<Vec<_>>()
    };
    let of_stem = |tensor: &FileTensor| {
        let is_its = |name: &&String| names(tensor).iter().any(|own| is_ending(name, own));
        let found = layout.tensors.keys().filter(is_its).find_map(|name| layout.plane_of(name, &tensor.shape));
        found.filter(|(plane, _)| *plane == Plane::Bands).and_then(|(_, n)| u32::try_from(n).ok())
    };
    identify(tensors).first().map(|s| s.bands).or_else(|| tensors.iter().find_map(of_stem)).unwrap_or(PLANES.0)
}

/// Whether a name is this, or ends with it after a dot.
fn is_ending(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The tensors of a backbone's file that only ImageNet's classes need: those that the backbone does without as a feature extractor.
fn imagenet_classifier(tensors: &[FileTensor]) -> BTreeSet<String> {
    let names = |spec: &NetworkSpec| registry::names_and_shapes(spec).map(|layout| layout.tensors).unwrap_or_default();
    let backbones = identify(tensors).into_iter().filter(|spec| spec.network == Network::Backbone && !spec.features);
    let of = |spec: NetworkSpec| {
        let (own, features) = (names(&spec), names(&NetworkSpec { features: true, ..spec }));
        // timm's Xception has other names as a feature extractor.
        let is_part = features.keys().all(|name| own.contains_key(name));
        own.into_keys().filter(move |name| is_part && !features.contains_key(name))
    };
    backbones.flat_map(of).collect()
}

/// In what a file differs from the network, its classifier aside.
fn whole(layout: &Layout, classifier: &BTreeSet<&str>, tensors: &[FileTensor]) -> Vec<Mismatch> {
    let is_other = |name: &str| !classifier.contains(name);
    let expected: Vec<_> = layout.shapes().into_iter().filter(|(name, _)| is_other(name)).collect();
    let found: Vec<_> = tensors.iter().filter(|t| is_other(&t.name)).cloned().collect();
    weights::compare(&expected, &found)
}

/// Where the tensors of a backbone's file belong, by name in the network: all of them, ImageNet's classifier aside, under one prefix, by
/// their own names or as two sequences.
fn backbone(layout: &Layout, tensors: &[FileTensor]) -> Option<BTreeMap<String, usize>> {
    let prefixes = layout.tensors.keys().flat_map(|name| name.match_indices('.').map(|(at, _)| &name[..=at]));
    let prefixes: BTreeSet<&str> = prefixes.chain([""]).collect();
    let left_out = imagenet_classifier(tensors);
    let own = |prefix: &&str| under(layout, tensors, &left_out, prefix, str::to_owned);
    let split = |prefix: &&str| {
        let parted = |first| under(layout, tensors, &left_out, prefix, |name| in_sequence(name, first));
        FIRST_PARTS.into_iter().find_map(parted)
    };
    prefixes.iter().find_map(own).or_else(|| prefixes.iter().find_map(split))
}

/// The name of a ResNet's tensor where its first parts are one sequence and the others another.
fn in_sequence(name: &str, first: usize) -> String {
    let found = PARTS.iter().find_map(|(part, position)| Some((*position, name.strip_prefix(part)?)));
    match found {
        Some((position, rest)) if position < first => format!("low_features.{position}.{rest}"),
        Some((position, rest)) => format!("high_features.{}.{rest}", position - first),
        None => name.to_owned(),
    }
}

/// Where the tensors belong, those that may be left out aside, if they are called like this under this prefix.
fn under(
    layout: &Layout,
    tensors: &[FileTensor],
    left_out: &BTreeSet<String>,
    prefix: &str,
    naming: impl Fn(&str) -> String,
) -> Option<BTreeMap<String, usize>> {
    let mut places = BTreeMap::new();
    for (idx, tensor) in tensors.iter().enumerate() {
        let name = format!("{prefix}{}", naming(&tensor.name));
        match layout.tensors.get(&name).filter(|declared| declared.shape == tensor.shape) {
            Some(_) => drop(places.insert(name, idx)),
            None if left_out.contains(&tensor.name) || is_counter(&tensor.name) => {}
            None => return None,
        }
    }
    // A prefix of its own holds the backbone and nothing else.
    let mut others = layout.tensors.iter().filter(|(name, declared)| {
        name.starts_with(prefix) && !places.contains_key(*name) && declared.role != Role::Unused
    });
    let is_complete = prefix.is_empty() || others.next().is_none();
    (is_complete && !places.is_empty()).then_some(places)
}

fn read(file: &mut WeightsFile, tensor: &FileTensor, mismatches: &mut Vec<Mismatch>) -> Result<Vec<f32>, WeightsError> {
    if !tensor.is_readable() {
        mismatches.push(Mismatch::Dtype { name: tensor.name.clone(), found: format!("{:?}", tensor.dtype) });
        return Ok(vec![]);
    }
    let values = file.read(tensor)?;
    let n_values = values.iter().filter(|v| !v.is_finite()).count();
    if n_values > 0 {
        mismatches.push(Mismatch::NonFinite { name: tensor.name.clone(), n_values });
    }
    Ok(values)
}
