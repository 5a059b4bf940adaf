//! Where a network's variables come to be: their names as the reference has them, and what becomes of each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Div;

use tch::nn::{self, Init};
use tch::{Device, Kind, Tensor};

use super::kernels::Prepared;
use crate::weights::layout::{Fold, Layout, Role};

/// What a network is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be trained, or its outputs compared with its reference's: all that the reference uses, batch statistics and side outputs included.
    Training,
    /// To take training steps that are compared with its reference's: as for training, without dropout.
    Comparison,
    /// To be run: batch normalisation is folded into the convolutions, and what only training uses is not there.
    Inference,
    /// To be looked at: as for training, with tensors that have shapes and no memory. All values are 0.
    Outline,
}

/// Work that can be done before a network runs.
#[derive(Default)]
pub struct Ahead(RefCell<Vec<Box<dyn FnOnce()>>>);

impl Ahead {
    /// Does it. Panics as tch does when libtorch refuses.
    pub fn work(self) {
        self.0.into_inner().into_iter().for_each(|work| work());
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "work of {} layers", self.0.borrow().len())
    }
}

/// A place in a network under construction: `scope / "layer1" / 0` is where the variables `layer1.0.*` are made.
///
/// Every tensor of the reference is declared here under the reference's name, also those that this network has no use for, so that
/// a weights file can be compared name by name: see [`Layout`].
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    path: nn::Path<'a>,
    layout: &'a RefCell<Layout>,
    purpose: Purpose,
    prepared: Prepared,
    /// Where variables come from that are there already.
    given: Option<&'a BTreeMap<String, Tensor>>,
    /// What layers would do when they run first, where somebody wants it done before.
    ahead: Option<&'a Ahead>,
    /// What is declared here takes part in the network's arithmetic.
    used: bool,
}

impl<'a> Scope<'a> {
    /// The top of a network whose variables go to `store` and whose names are noted in `layout`.
    pub fn root(store: &'a nn::VarStore, layout: &'a RefCell<Layout>, purpose: Purpose) -> Self {
        Self {
            path: store.root(),
            layout,
            purpose,
            prepared: Prepared::default(),
            given: None,
            ahead: None,
            used: true,
        }
    }

    /// The same around variables that are there already, and prepared as they are. Those that are not there have a shape and no memory.
    /// Layers leave in `ahead` what they would do when they run first.
    pub fn around(self, given: &'a BTreeMap<String, Tensor>, prepared: Prepared, ahead: Option<&'a Ahead>) -> Self {
        Self { given: Some(given), prepared, ahead, ..self }
    }

    /// Leaves something to be done ahead, where anybody asks for it.
    pub(super) fn ahead(&self, work: impl FnOnce() -> Box<dyn FnOnce()>) {
        if let Some(ahead) = self.ahead.filter(|_| self.used) {
            ahead.0.borrow_mut().push(work());
        }
    }

    /// What the network will be prepared for.
    pub fn prepared(&self) -> Prepared {
        Prepared::clone(&self.prepared)
    }

    /// What the network is built for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The full name of the variable `name` here.
    pub fn name(&self, name: &str) -> String {
        self.path.components().map(|part| format!("{part}.")).chain([name.to_owned()]).collect()
    }

    /// Builds what only training uses. In a network for inference its names are noted and it is dropped again: `None`.
    pub fn training_only<T>(&self, build: impl FnOnce(&Self) -> T) -> Option<T> {
        let used = self.used && self.purpose != Purpose::Inference;
        let built = build(&Self { used, ..self.clone() });
        used.then_some(built)
    }

    /// Notes the names of what the reference has and never uses, such as a classifier in front of which its features are taken.
    pub fn never_used<T>(&self, build: impl FnOnce(&Self) -> T) {
        build(&Self { used: false, ..self.clone() });
    }

    /// A trained tensor.
    pub fn parameter(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.declare(name, shape, Role::Parameter);
        if let Some(there) = self.there(name, shape) {
            return there;
        }
        match self.purpose {
            Purpose::Inference => self.path.var(name, shape, Init::Const(0.0)),
            Purpose::Training | Purpose::Comparison | Purpose::Outline => self.path.var(name, shape, init),
        }
    }

    /// A tensor that follows the data and not the gradient, which starts as `value` everywhere.
    pub fn statistic(&self, name: &str, shape: &[i64], value: f64) -> Tensor {
        self.declare(name, shape, Role::Statistic);
        if let Some(there) = self.there(name, shape) {
            return there;
        }
        match value == 0.0 {
            true => self.path.zeros_no_train(name, shape),
            false => self.path.ones_no_train(name, shape),
        }
    }

    /// Whether a convolution and the batch normalisation behind it become one convolution.
    pub fn folds(&self) -> bool {
        self.used && self.purpose == Purpose::Inference
    }

    /// The weight and the bias of a convolution here that batch normalisation at `norm` is folded into.
    pub fn folded(&self, norm: &Self, weight: &[i64], has_bias: bool, eps: f64) -> (Tensor, Tensor) {
        let channels = &weight[..1];
        self.declare("weight", weight, Role::Folded);
        if has_bias {
            self.declare("bias", channels, Role::Folded);
        }
        for name in ["weight", "bias", "running_mean", "running_var"] {
            norm.declare(name, channels, Role::Folded);
        }
        self.layout.borrow_mut().folds.push(Fold { conv: self.name(""), has_bias, norm: norm.name(""), eps });
        let var = |name: &str, shape: &[i64]| {
            self.there(name, shape).unwrap_or_else(|| self.path.var(name, shape, Init::Const(0.0)))
        };
        (var("weight", weight), var("bias", channels))
    }

    /// What stands for a variable that is not to be made.
    fn there(&self, name: &str, shape: &[i64]) -> Option<Tensor> {
        if !self.used || self.purpose == Purpose::Outline {
            return Some(blank(shape));
        }
        Some(self.given?.get(&self.name(name)).map_or_else(|| blank(shape), Tensor::shallow_clone))
    }

    fn declare(&self, name: &str, shape: &[i64], role: Role) {
        // A dimension that a network asks for is never negative.
        let shape = shape.iter().map(|&n| usize::try_from(n).unwrap_or_default()).collect();
        let role = if self.used { role } else { Role::Unused };
        self.layout.borrow_mut().declare(self.name(name), shape, role);
    }
}

/// Zeros of this shape that share one element.
fn blank(shape: &[i64]) -> Tensor {
    Tensor::zeros([1], (Kind::Float, Device::Cpu)).expand(shape, false)
}

impl<'a, T: ToString> Div<T> for &Scope<'a> {
    type Output = Scope<'a>;

    fn div(self, part: T) -> Scope<'a> {
        // A part such as "0.conv" stands for two levels.
        let mut path = self.path.clone();
        for level in part.to_string().split('.') {
            path = path / level;
        }
        Scope { path, prepared: self.prepared(), ..*self }
    }
}

impl<'a, T: ToString> Div<T> for Scope<'a> {
    type Output = Self;

    fn div(self, part: T) -> Self {
        &self / part
    }
}
