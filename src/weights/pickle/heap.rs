//! What a pickle describes, as plain data: values, and nodes that they refer to by number.
//!
//! A pickle's objects may contain each other in any way. Numbers instead of references keep that harmless: nothing is freed or
//! visited by recursion.

use std::sync::Arc;

use safetensors::Dtype;

use super::super::flaw::quoted;
use super::super::strided::Strided;
use super::globals::{Global, StorageType};

/// Position of a node in its [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct NodeId(u32);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A number whose value nobody asks for.
    Float,
    Node(NodeId),
}

#[derive(Debug)]
pub(in super::super) enum Node {
    Text(Box<str>),
    Bytes(Box<[u8]>),
    /// The bytes that are the code points of this text, as `_codecs.encode(text, "latin1")` would give them.
    Latin1(NodeId),
    /// An integer of more than 64 bits: two's complement, little-endian.
    Long(Box<[u8]>),
    Tuple(Box<[Value]>),
    /// A list or a set.
    List(Vec<Value>),
    /// A dictionary of any class, in the order of the pickle. A key may stand twice.
    Dict(Vec<(Value, Value)>),
    Global(Box<Global>),
    /// What a class or function that is not on the list would have returned. It was never called.
    Instance(NodeId),
    Storage(Arc<Storage>),
    Tensor(Box<StoredTensor>),
    ArrayType(Box<ArrayType>),
    Array(Box<Array>),
}

/// A stretch of values that tensors are views of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Storage {
    /// Its key in the container.
    pub(in super::super) key: Box<str>,
    pub(in super::super) stored_as: StorageType,
    /// The class that says so.
    pub(in super::super) class: NodeId,
    /// Length of the whole storage `key`, in elements (in bytes where it is untyped).
    pub(in super::super) n_elements: usize,
    /// Where the part begins that this is about, in elements; 0 but in files of 2017.
    pub(in super::super) offset: usize,
    /// Length of that part.
    pub(in super::super) n_visible: usize,
}

/// A tensor: a view of a storage.
#[derive(Clone, Debug)]
pub(in super::super) struct StoredTensor {
    pub(in super::super) storage: Arc<Storage>,
    pub(in super::super) dtype: Dtype,
    pub(in super::super) layout: Strided,
}

/// A numpy type as it is written, such as `f4`, and its byte order.
#[derive(Clone, Debug)]
pub(in super::super) struct ArrayType {
    pub(in super::super) code: Box<str>,
    pub(in super::super) is_big_endian: bool,
}

/// A numpy array. Nothing in it has been checked.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Array {
    pub(in super::super) shape: Vec<usize>,
    pub(in super::super) array_type: Option<NodeId>,
    pub(in super::super) is_column_major: bool,
    pub(in super::super) content: Option<NodeId>,
}

/// The nodes of a pickle.
#[derive(Debug, Default)]
pub(in super::super) struct Heap {
    nodes: Vec<Node>,
}

impl Heap {
    pub(super) fn add(&mut self, node: Node) -> Value {
        // The machine stops long before 2^32 instructions.
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(node);
        Value::Node(NodeId(id))
    }

    pub(in super::super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// The node that a value refers to.
    pub(in super::super) fn get(&self, value: Value) -> Option<&Node> {
        if let Value::Node(id) = value { Some(self.node(id)) } else { None }
    }

    pub(in super::super) fn text(&self, value: Value) -> Option<&str> {
        if let Some(Node::Text(text)) = self.get(value) { Some(text) } else { None }
    }

    pub(in super::super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        if let Some(Node::Dict(entries)) = self.get(value) { Some(entries) } else { None }
    }

    /// The elements of a tuple or list.
    pub(in super::super) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(Node::Tuple(items)) => Some(items),
            Some(Node::List(items)) => Some(items),
            _ => None,
        }
    }

    pub(in super::super) fn global(&self, value: Value) -> Option<&Global> {
        if let Some(Node::Global(global)) = self.get(value) { Some(global) } else { None }
    }

    /// All storages, also those of no tensor.
    pub(in super::super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.nodes.iter().filter_map(|node| if let Node::Storage(storage) = node { Some(&**storage) } else { None })
    }

    /// What `key` maps to in a dictionary; the last entry counts, as in Python.
    pub(in super::super) fn entry(&self, dict: Value, key: &str) -> Option<Value> {
        self.dict(dict)?.iter().rev().find(|(k, _)| self.text(*k) == Some(key)).map(|(_, value)| *value)
    }

    /// The full name of the class that a value is a foreign object of.
    pub(in super::super) fn class_of(&self, value: Value) -> Option<&str> {
        let Node::Instance(class) = self.get(value)? else { return None };
        Some(if let Node::Global(global) = self.node(*class) { &global.name } else { "a computed class" })
    }

    /// A value in words: "a number", "an object of `os.system`".
    pub(in super::super) fn describe(&self, value: Value) -> String {
        let Some(node) = self.get(value) else {
            return match value {
                Value::None => "nothing".to_owned(),
                Value::Bool(_) => "a truth value".to_owned(),
                Value::Int(_) | Value::Float | Value::Node(_) => "a number".to_owned(),
            };
        };
        match node {
            Node::Text(_) => "a text".to_owned(),
            Node::Bytes(_) | Node::Latin1(_) => "bytes".to_owned(),
            Node::Long(_) => "a number".to_owned(),
            Node::Tuple(items) => format!("a tuple of {}", items.len()),
            Node::List(items) => format!("a list of {}", items.len()),
            Node::Dict(entries) => format!("a dictionary of {}", entries.len()),
            Node::Global(global) => format!("the name {}", quoted(&global.name)),
            Node::Instance(_) => format!("an object of {}", quoted(self.class_of(value).unwrap_or_default())),
            Node::Storage(_) => "a storage".to_owned(),
            Node::Tensor(tensor) => format!("a tensor of {:?}", tensor.layout.shape()),
            Node::ArrayType(_) => "a numpy type".to_owned(),
            Node::Array(_) => "a numpy array".to_owned(),
        }
    }
}
