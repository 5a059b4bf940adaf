//! Whether the tensors of a file are those of a network, and in what they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::layout::{Layout, Plane};
use super::tensor::FileTensor;

/// Lines that an error message spends on one kind of mismatch.
const LINES_PER_KIND: usize = 20;

/// One way in which a file does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The network has a variable that the file lacks.
    Missing {
        /// The variable's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The file has a tensor that the network lacks.
    Extra {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The shapes differ.
    Shape {
        /// The common name.
        name: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
    /// The file stores no shape, and its values do not make the network's.
    Size {
        /// The tensor's name.
        name: String,
        /// The network's shape.
        expected: Vec<usize>,
    },
    /// The values are not f32, f16 or bf16.
    Dtype {
        /// The tensor's name.
        name: String,
        /// The file's type.
        found: String,
    },
    /// Some values are infinite or not a number.
    NonFinite {
        /// The tensor's name.
        name: String,
        /// How many.
        n_values: usize,
    },
    /// The file's table of contents names a tensor twice.
    Duplicate {
        /// The tensor's name.
        name: String,
    },
}

impl Mismatch {
    /// Position of the kind in a message, and how its count reads.
    fn kind(&self) -> (u8, &'static str) {
        match self {
            Self::Missing { .. } => (0, "missing"),
            Self::Extra { .. } => (1, "extra"),
            Self::Shape { .. } => (2, "of another shape"),
            Self::Dtype { .. } => (3, "of another type"),
            Self::NonFinite { .. } => (4, "not finite"),
            Self::Duplicate { .. } => (5, "listed twice"),
            Self::Size { .. } => (6, "of another size"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, shape } => write!(f, "missing: {name} {shape:?}"),
            Self::Extra { name, shape } => write!(f, "extra: {name} {shape:?}"),
            Self::Shape { name, expected, found } => {
                write!(f, "of another shape: {name} is {found:?}, the network has {expected:?}")
            }
            Self::Dtype { name, found } => write!(f, "of another type: {name} is {found}, not F32, F16 or BF16"),
            Self::NonFinite { name, n_values } => write!(f, "not finite: {n_values} values of {name}"),
            Self::Duplicate { name } => write!(f, "listed twice: {name}"),
            Self::Size { name, expected } => {
                write!(f, "of another size: {name} cannot be unfolded to the network's {expected:?}")
            }
        }
    }
}

/// Everything in which a file does not fit a network.
///
/// The message has several lines: the counts, then the mismatches, at most 20 of a kind, then what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The weights file that does not fit.
    pub path: PathBuf,
    /// The mismatches, of which there is at least one.
    pub mismatches: Vec<Mismatch>,
    /// What to do about other numbers of classes and bands.
    planes: Vec<String>,
}

impl std::error::Error for Unfit {}

impl Unfit {
    /// The file at `path` does not fit in these ways.
    pub fn new(path: &Path, mismatches: Vec<Mismatch>) -> Self {
        Self { path: path.to_owned(), mismatches, planes: Vec::new() }
    }

    /// The same, where the network is known and with it which shapes depend on classes and bands.
    pub fn of(layout: &Layout, path: &Path, mismatches: Vec<Mismatch>) -> Self {
        let planes = planes(layout, &mismatches);
        Self { planes, ..Self::new(path, mismatches) }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<_, Vec<&Mismatch>> = BTreeMap::new();
        for mismatch in &self.mismatches {
            kinds.entry(mismatch.kind()).or_default().push(mismatch);
        }
        let counts: Vec<_> = kinds.iter().map(|((_, kind), list)| format!("{} {kind}", list.len())).collect();
        write!(f, "the weights `{}` do not fit the network: {}", self.path.display(), counts.join(", "))?;
        for ((_, kind), list) in &kinds {
            for mismatch in list.iter().take(LINES_PER_KIND) {
                write!(f, "\n  {mismatch}")?;
            }
            if list.len() > LINES_PER_KIND {
                write!(f, "\n  ... and {} more {kind}", list.len() - LINES_PER_KIND)?;
            }
        }
        self.planes.iter().chain(&prefix_advice(&self.mismatches)).try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// Compares two lists of names and shapes.
pub fn compare_shapes(expected: &[(String, Vec<usize>)], found: &[(String, Vec<usize>)]) -> Vec<Mismatch> {
    let tensor =
        |(name, shape): &(String, Vec<usize>)| FileTensor::new(name.clone(), safetensors::Dtype::F32, shape.clone(), 0);
    compare(expected, &found.iter().map(tensor).collect::<Vec<_>>())
}

/// Compares the variables of a network (name, shape) with the tensors of a file.
///
/// The result is ordered by name and empty when the file fits, values aside. Of a tensor that a file lists twice, the first
/// entry counts here.
pub fn compare(expected: &[(String, Vec<usize>)], found: &[FileTensor]) -> Vec<Mismatch> {
    let mut in_file: BTreeMap<&str, &FileTensor> = BTreeMap::new();
    for tensor in found.iter().filter(|t| !is_counter(&t.name)) {
        in_file.entry(&tensor.name).or_insert(tensor);
    }
    let wanted: BTreeMap<&str, &[usize]> = expected
        .iter()
        .filter(|(name, _)| !is_counter(name))
        .map(|(name, shape)| (name.as_str(), &shape[..]))
        .collect();
    let names: BTreeSet<&str> = in_file.keys().chain(wanted.keys()).copied().collect();
    let mut mismatches = Vec::new();
    for name in names {
        let (name, wanted, tensor) = (name.to_owned(), wanted.get(name), in_file.get(name));
        match (wanted, tensor) {
            (Some(shape), None) => mismatches.push(Mismatch::Missing { name, shape: shape.to_vec() }),
            (None, Some(tensor)) => mismatches.push(Mismatch::Extra { name, shape: tensor.shape.clone() }),
            (Some(&expected), Some(tensor)) if tensor.is_shapeless() => {
                mismatches.push(Mismatch::Size { name, expected: expected.to_vec() });
            }
            (Some(&expected), Some(tensor)) if tensor.shape != expected => {
                mismatches.push(Mismatch::Shape { name, expected: expected.to_vec(), found: tensor.shape.clone() });
            }
            (Some(_), Some(tensor)) if !tensor.is_readable() => {
                mismatches.push(Mismatch::Dtype { name, found: format!("{:?}", tensor.dtype) });
            }
            (_, _) => {}
        }
    }
    mismatches
}

/// Whether this is one of PyTorch's batch counters, which no arithmetic here uses.
pub(crate) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

/// What shapes say about other numbers of classes and bands. A network with several classifiers says it once.
fn planes(layout: &Layout, mismatches: &[Mismatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for mismatch in mismatches {
        let Mismatch::Shape { name, expected, found } = mismatch else { continue };
        let line = match (layout.plane_of(name, found), layout.plane_of(name, expected)) {
            (Some((Plane::Classes, n)), Some((_, own))) if n != own => format!(
                "the file has {n} classes, the pipeline {own}: use the class table that the weights were trained with, or start training \
                 from them (swath models export --drop-classifier)"
            ),
            (Some((Plane::Bands, n)), Some((_, own))) if n != own => format!(
                "the file is for {n} bands, the pipeline has {own}: select the bands that the weights were trained with"
            ),
            (_, _) => continue,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// Says so when the names would fit without (or with) a common prefix, as `DataParallel` and bare backbones cause it.
fn prefix_advice(mismatches: &[Mismatch]) -> Option<String> {
    let of_kind = |pick: fn(&Mismatch) -> Option<&str>| -> Vec<&str> { mismatches.iter().filter_map(pick).collect() };
    let missing = of_kind(|m| if let Mismatch::Missing { name, .. } = m { Some(name) } else { None });
    let extra = of_kind(|m| if let Mismatch::Extra { name, .. } = m { Some(name) } else { None });
    let (first_missing, first_extra) = (missing.first()?, extra.first()?);
    if let Some((prefix, _)) = first_extra.split_once('.') {
        let stripped: BTreeSet<&str> =
            extra.iter().filter_map(|name| name.strip_prefix(prefix)?.strip_prefix('.')).collect();
        if stripped.len() == extra.len() && missing.iter().all(|name| stripped.contains(name)) {
            return Some(format!("the names in the file begin with `{prefix}.`: save it again without that prefix"));
        }
    }
    let (prefix, _) = first_missing.split_once('.')?;
    let known: BTreeSet<&str> =
        missing.iter().filter_map(|name| name.strip_prefix(prefix)?.strip_prefix('.')).collect();
    let n_known = extra.iter().filter(|name| known.contains(*name)).count();
    (n_known == known.len()).then(|| format!("the file holds `{prefix}` alone: the pipeline needs the whole network"))
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::super::layout::Role;
    use super::*;

    fn wanted(list: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
        list.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
    }

    fn stored(list: &[(&str, &[usize])]) -> Vec<FileTensor> {
        let tensor =
            |(name, shape): &(&str, &[usize])| FileTensor::new((*name).to_owned(), Dtype::F32, shape.to_vec(), 0);
        list.iter().map(tensor).collect()
    }

    fn message(expected: &[(&str, &[usize])], found: &[(&str, &[usize])]) -> String {
        Unfit::new("w.safetensors".as_ref(), compare(&wanted(expected), &stored(found))).to_string()
    }

    #[test]
    fn equal_names_and_shapes_fit_and_counters_do_not_count() {
        let expected = wanted(&[("a.weight", &[2, 3]), ("b.num_batches_tracked", &[])]);
        let found = stored(&[("c.num_batches_tracked", &[]), ("a.weight", &[2, 3])]);
        assert!(compare(&expected, &found).is_empty());
    }

    #[test]
    fn all_mismatches_are_listed_counts_first() {
        let text = message(&[("a", &[2]), ("b", &[3]), ("d", &[1])], &[("b", &[1]), ("c", &[4]), ("d", &[])]);
        let expected = "the weights `w.safetensors` do not fit the network: 1 missing, 1 extra, 2 of another shape\n  \
                        missing: a [2]\n  extra: c [4]\n  of another shape: b is [1], the network has [3]\n  \
                        of another shape: d is [], the network has [1]";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_long_list_is_cut_after_twenty_lines() {
        let names: Vec<String> = (0..25).map(|i| format!("t{i:02}")).collect();
        let expected: Vec<(&str, &[usize])> = names.iter().map(|n| (n.as_str(), &[1usize][..])).collect();
        let text = message(&expected, &[]);
        assert_eq!(text.lines().count(), 22);
        assert!(text.ends_with("missing: t19 [1]\n  ... and 5 more missing"), "{text}");
    }

    /// A network with two classifiers, and a layer that takes the classes' maps and others.
    fn network(classes: usize, bands: usize) -> Layout {
        let mut layout = Layout::default();
        for (name, shape) in [
            ("aux_head.3.weight", vec![classes, 720, 1, 1]),
            ("cls_head.weight", vec![classes, 512, 1, 1]),
            ("conv1.weight", vec![64, bands, 7, 7]),
            ("point.weight", vec![256, 256 + classes, 1]),
        ] {
            layout.declare(name.to_owned(), shape, Role::Parameter);
        }
        layout
    }

    #[test]
    fn another_number_of_classes_or_bands_is_said_once_in_those_words() {
        let mut layout = network(15, 4);
        layout.note(Plane::Classes, 15, &network(16, 4));
        layout.note(Plane::Bands, 4, &network(15, 5));
        let told = |other: &Layout| {
            let mismatches = compare_shapes(&layout.shapes(), &other.shapes());
            Unfit::of(&layout, "w.pth".as_ref(), mismatches).to_string()
        };
        let text = told(&network(19, 4));
        assert_eq!(text.matches("the file has 19 classes, the pipeline 15: use").count(), 1, "{text}");
        assert!(!text.contains("bands, the pipeline"), "{text}");
        let text = told(&network(15, 3));
        assert!(text.contains("the file is for 3 bands, the pipeline has 4") && !text.contains("classes"), "{text}");
    }

    #[test]
    fn prefixes_are_recognised() {
        let text = message(&[("a.w", &[1]), ("b.w", &[1])], &[("module.a.w", &[1]), ("module.b.w", &[1])]);
        assert!(text.ends_with("begin with `module.`: save it again without that prefix"), "{text}");
        let text = message(
            &[("encoder.conv1.weight", &[1]), ("head.bias", &[1])],
            &[("conv1.weight", &[1]), ("fc.bias", &[1])],
        );
        assert!(text.ends_with("the file holds `encoder` alone: the pipeline needs the whole network"), "{text}");
        assert!(!message(&[("a.w", &[1])], &[("b.v", &[1])]).contains("prefix"));
    }
}
