//! Which tensors a network has by its reference, and what becomes of each when weights are loaded.

use std::collections::BTreeMap;

/// What a tensor of the reference is in a network as it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A trained variable.
    Parameter,
    /// A variable that follows the data: a running mean or variance.
    Statistic,
    /// Part of a [`Fold`].
    Folded,
    /// The reference has it; this network does not. A weights file must hold it and it is not read.
    Unused,
}

/// A tensor of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its shape, row-major.
    pub shape: Vec<usize>,
    /// What becomes of it.
    pub role: Role,
    follows: Option<Follows>,
}

/// What is chosen for a network and not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// The number of classes.
    Classes,
    /// The number of bands.
    Bands,
}

/// A dimension that is so much more than the number of classes or bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Follows {
    plane: Plane,
    dim: usize,
    more: usize,
}

/// A convolution that the batch normalisation behind it has become part of.
///
/// With the factor f = weight / sqrt(running_var + eps) of each output channel, the convolution's weight is multiplied by f, and its
/// bias is (bias - running_mean) f + the normalisation's bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// Prefix of the convolution's variables, with the dot.
    pub conv: String,
    /// Whether the reference's convolution has a bias.
    pub has_bias: bool,
    /// Prefix of the normalisation's tensors, with the dot.
    pub norm: String,
    /// Added to the variance.
    pub eps: f64,
}

/// All tensors of a network by name.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The tensors of the reference. PyTorch's `num_batches_tracked` counters are not among them.
    pub tensors: BTreeMap<String, Declared>,
    /// What is computed from several of them.
    pub folds: Vec<Fold>,
    /// Names that were declared twice: a fault of the network's code, which a test looks for.
    pub duplicates: Vec<String>,
}

impl Layout {
    /// Adds a tensor, or notes that its name was taken.
    pub fn declare(&mut self, name: String, shape: Vec<usize>, role: Role) {
        if self.tensors.insert(name.clone(), Declared { shape, role, follows: None }).is_some() {
            self.duplicates.push(name);
        }
    }

    /// Notes which dimensions follow `plane`, of which there are `n`: `other` is the same network with one more.
    pub fn note(&mut self, plane: Plane, n: usize, other: &Self) {
        for (name, declared) in &mut self.tensors {
            let Some(other) = other.tensors.get(name) else { continue };
            let mut dims = declared.shape.iter().zip(&other.shape).enumerate();
            if let Some((dim, (own, _))) = dims.find(|(_, (own, other))| **own + 1 == **other)
                && let Some(more) = own.checked_sub(n)
            {
                declared.follows = Some(Follows { plane, dim, more });
            }
        }
    }

    /// How many classes or bands the network has whose tensor `name` is of this shape; nothing where the shape does not depend on them.
    pub fn plane_of(&self, name: &str, shape: &[usize]) -> Option<(Plane, usize)> {
        let Follows { plane, dim, more } = self.tensors.get(name)?.follows?;
        Some((plane, shape.get(dim)?.checked_sub(more)?))
    }

    /// Names and shapes as a weights file must have them, by order of name.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors.iter().map(|(name, declared)| (name.clone(), declared.shape.clone())).collect()
    }

    /// Number of trained values, those that the reference has and this network does not included; running statistics are not.
    pub fn n_parameters(&self) -> u64 {
        let is_statistic = |name: &str| name.ends_with("running_mean") || name.ends_with("running_var");
        let of = |d: &Declared| d.shape.iter().map(|&n| n as u64).product::<u64>();
        self.tensors.iter().filter(|(name, _)| !is_statistic(name)).map(|(_, d)| of(d)).sum()
    }
}
