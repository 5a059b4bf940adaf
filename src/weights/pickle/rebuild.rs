//! What calls, states and persistent identifiers mean.

use std::sync::Arc;

use safetensors::Dtype;

use super::super::flaw::Flaw;
use super::super::strided::{MAX_DIMS, Strided};
use super::MAX_KEY;
use super::globals::{Role, StorageType};
use super::heap::{Array, ArrayType, Node, NodeId, Storage, StoredTensor, Value};
use super::machine::Machine;

impl Machine {
    /// What `callee(*arguments)` stands for. Nothing is called.
    pub(super) fn call(&mut self, callee: Value, arguments: Value) -> Result<Value, Flaw> {
        let id = self.id_of(callee)?;
        let role = match (self.heap.global(callee), self.heap.class_of(callee)) {
            (Some(global), _) => global.role,
            (None, Some(_)) => Role::Foreign,
            (None, None) => return Err(Flaw::broken(format!("its pickle calls {}", self.heap.describe(callee)))),
        };
        let Some(items) = self.heap.sequence(arguments) else {
            return Err(Flaw::broken(format!("{} is called without arguments", self.name(callee))));
        };
        let nth = |n: usize| items.get(n).copied();
        match role {
            Role::OrderedDict => self.ordered_dict(nth(0)),
            Role::Dict => Ok(self.heap.add(Node::Dict(Vec::new()))),
            Role::Sequence => Ok(nth(0).unwrap_or_else(|| self.heap.add(Node::List(Vec::new())))),
            Role::Parameter => nth(0).ok_or_else(|| Flaw::broken("a parameter without its tensor")),
            Role::RebuildTensor | Role::RebuildTensorV2 | Role::RebuildTensorV3 => self.tensor(role, arguments),
            Role::RebuildFromType => match (nth(0), nth(2)) {
                // One level only: a function that rebuilds by another would nest without end.
                (Some(inner), Some(arguments)) if self.rebuilds(inner) => self.call(inner, arguments),
                _ => Ok(self.heap.add(Node::Instance(id))),
            },
            Role::Encode => match nth(0) {
                Some(text @ Value::Node(of)) if self.heap.text(text).is_some() => Ok(self.heap.add(Node::Latin1(of))),
                _ => Err(Flaw::broken("bytes without their text")),
            },
            Role::ReconstructArray => Ok(self.heap.add(Node::Array(Box::default()))),
            Role::ArrayType => {
                let code = nth(0).and_then(|code| self.heap.text(code)).filter(|code| code.len() <= 16);
                let code = code.ok_or_else(|| Flaw::broken("a numpy type without a name"))?.into();
                Ok(self.heap.add(Node::ArrayType(Box::new(ArrayType { code, is_big_endian: false }))))
            }
            Role::Storage(_) | Role::TensorType(_) | Role::Foreign => Ok(self.heap.add(Node::Instance(id))),
        }
    }

    /// Whether a function makes a tensor by itself.
    fn rebuilds(&self, function: Value) -> bool {
        let role = self.heap.global(function).map(|global| global.role);
        matches!(role, Some(Role::RebuildTensor | Role::RebuildTensorV2 | Role::RebuildTensorV3 | Role::Parameter))
    }

    /// What the state of an object changes: only numpy's objects have one that matters.
    pub(super) fn set_state(&mut self, target: Value, state: Value) -> Result<(), Flaw> {
        let Value::Node(id) = target else { return Ok(()) };
        let items = self.heap.sequence(state).unwrap_or_default();
        let nth = |n: usize| items.get(n).copied();
        if let Node::Array(_) = self.heap.node(id) {
            let shape = nth(1).and_then(|shape| self.sizes(shape));
            let array = Array {
                shape: shape.ok_or_else(|| Flaw::broken("a numpy array without a shape"))?,
                array_type: nth(2).and_then(as_node),
                is_column_major: nth(3) == Some(Value::Bool(true)),
                content: nth(4).and_then(as_node),
            };
            *self.heap.node_mut(id) = Node::Array(Box::new(array));
            return Ok(());
        }
        let is_big = nth(1).and_then(|order| self.heap.text(order)) == Some(">");
        if let Node::ArrayType(array_type) = self.heap.node_mut(id) {
            array_type.is_big_endian = is_big;
        }
        Ok(())
    }

    /// The object outside the pickle that `id` names: `("storage", type, key, device, length)`, in legacy files with
    /// `None` or `(key, offset, length)` of a part behind it.
    pub(super) fn persistent(&mut self, id: Value) -> Result<Value, Flaw> {
        let unknown = || Flaw::broken("a persistent identifier that names no storage");
        let items = self.heap.sequence(id).ok_or_else(unknown)?;
        let nth = |n: usize| items.get(n).copied();
        let kind = nth(0).and_then(|kind| self.heap.text(kind)).ok_or_else(unknown)?;
        let class = nth(1).ok_or_else(unknown)?;
        if kind == "module" {
            // The class of a pickled module, with its source text.
            return Ok(class);
        }
        let stored_as = match self.heap.global(class).map(|global| global.role) {
            Some(Role::Storage(stored_as)) => stored_as,
            _ => return Err(Flaw::broken(format!("a storage whose type is {}", self.name(class)))),
        };
        let key = nth(2).and_then(|key| self.heap.text(key)).filter(|key| key.len() <= MAX_KEY);
        let (Some(key), Some(n_elements), "storage") = (key, nth(4).and_then(size), kind) else {
            return Err(unknown());
        };
        let (mut offset, mut n_visible) = (0, n_elements);
        if let Some(part) = nth(5).and_then(|part| self.heap.sequence(part)) {
            let bounds = (part.get(1).copied().and_then(size), part.get(2).copied().and_then(size));
            let (Some(start), Some(length)) = bounds else { return Err(unknown()) };
            if start.checked_add(length).is_none_or(|end| end > n_elements) {
                return Err(Flaw::broken(format!("a part of the storage `{key}` that lies outside it")));
            }
            (offset, n_visible) = (start, length);
        }
        let storage = Storage { key: key.into(), stored_as, class: self.id_of(class)?, n_elements, offset, n_visible };
        Ok(self.heap.add(Node::Storage(Arc::new(storage))))
    }

    fn ordered_dict(&mut self, pairs: Option<Value>) -> Result<Value, Flaw> {
        let items = pairs.and_then(|pairs| self.heap.sequence(pairs)).unwrap_or_default();
        let n_items = items.len();
        let pair = |item: &Value| match self.heap.sequence(*item) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err(Flaw::broken("a dictionary of something else than pairs")),
        };
        let entries = items.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        self.charge(n_items)?;
        Ok(self.heap.add(Node::Dict(entries)))
    }

    /// The tensor that a rebuilding function stands for; what is made of anything but a storage stays foreign.
    fn tensor(&mut self, role: Role, arguments: Value) -> Result<Value, Flaw> {
        let items = self.heap.sequence(arguments).unwrap_or_default();
        let nth = |n: usize| items.get(n).copied().unwrap_or(Value::None);
        let storage = match self.heap.get(nth(0)) {
            Some(Node::Storage(storage)) => Arc::clone(storage),
            Some(Node::Instance(class)) => {
                let class = *class;
                return Ok(self.heap.add(Node::Instance(class)));
            }
            _ => return Err(Flaw::broken(format!("a tensor whose storage is {}", self.heap.describe(nth(0))))),
        };
        let dtype = match (storage.stored_as, role) {
            (StorageType::Typed(dtype), _) => dtype,
            (StorageType::Untyped, Role::RebuildTensorV3) => match self.heap.global(nth(6)).map(|global| global.role) {
                Some(Role::TensorType(dtype)) => dtype,
                _ => return self.untyped(nth(6)),
            },
            (StorageType::Untyped | StorageType::Foreign, _) => {
                return Ok(self.heap.add(Node::Instance(storage.class)));
            }
        };
        let geometry = (size(nth(1)), self.sizes(nth(2)), self.sizes(nth(3)));
        let (Some(offset), Some(shape), Some(strides)) = geometry else {
            return Err(Flaw::broken("a tensor whose offset, shape or steps are no sizes"));
        };
        let n_visible = match storage.stored_as {
            StorageType::Untyped => storage.n_visible / bytes_of(dtype),
            StorageType::Typed(_) | StorageType::Foreign => storage.n_visible,
        };
        let layout = Strided::new(shape, strides, offset, n_visible)
            .map_err(|reason| Flaw::broken(format!("a tensor of the storage `{}`: {reason}", storage.key)))?;
        Ok(self.heap.add(Node::Tensor(Box::new(StoredTensor { storage, dtype, layout }))))
    }

    /// A tensor of a type that is not read.
    fn untyped(&mut self, type_name: Value) -> Result<Value, Flaw> {
        let id = as_node(type_name).ok_or_else(|| Flaw::broken("a tensor without a type"))?;
        Ok(self.heap.add(Node::Instance(id)))
    }

    /// A sequence of sizes, at most as many as an array may have dimensions.
    fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let items = self.heap.sequence(value).filter(|items| items.len() <= MAX_DIMS)?;
        items.iter().map(|item| size(*item)).collect()
    }
}

fn size(value: Value) -> Option<usize> {
    if let Value::Int(n) = value { usize::try_from(n).ok() } else { None }
}

fn as_node(value: Value) -> Option<NodeId> {
    if let Value::Node(id) = value { Some(id) } else { None }
}

/// Bytes of one value. Every type that the lists of [`globals`](super::globals) name has whole bytes.
pub(in super::super) fn bytes_of(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}
