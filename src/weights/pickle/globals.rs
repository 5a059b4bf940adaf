//! The classes and functions that a pickle may name, and what each means here. None is ever looked up or called.

use safetensors::Dtype;

/// A class or function by its full name.
#[derive(Clone, Debug)]
pub(in super::super) struct Global {
    /// Module and name, joined by a dot.
    pub(in super::super) name: Box<str>,
    pub(in super::super) role: Role,
}

/// What a class or function means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// A dictionary, perhaps from a list of pairs.
    OrderedDict,
    /// A dictionary; its arguments do not matter.
    Dict,
    /// Its argument is a sequence and the result.
    Sequence,
    /// `torch._utils._rebuild_tensor` (2016): storage, offset, shape, strides.
    RebuildTensor,
    /// As before, then what does not matter: `requires_grad`, hooks, metadata.
    RebuildTensorV2,
    /// As before, with the type after the hooks; the storage is untyped.
    RebuildTensorV3,
    /// Its first argument is a tensor and the result.
    Parameter,
    /// A function and, third, its arguments.
    RebuildFromType,
    /// The type of a storage.
    Storage(StorageType),
    /// The type of a tensor.
    TensorType(Dtype),
    /// `_codecs.encode`.
    Encode,
    /// `_reconstruct`: an empty numpy array whose state follows.
    ReconstructArray,
    /// `numpy.dtype`.
    ArrayType,
    /// Anything else.
    Foreign,
}

/// How a storage's values are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum StorageType {
    Typed(Dtype),
    /// Bytes.
    Untyped,
    /// Quantised or complex: not read.
    Foreign,
}

impl Global {
    pub(super) fn new(module: &str, name: &str) -> Self {
        Self { name: format!("{module}.{name}").into(), role: role(module, name) }
    }
}

fn role(module: &str, name: &str) -> Role {
    match (module, name) {
        ("collections", "OrderedDict") => Role::OrderedDict,
        ("collections", "defaultdict" | "Counter") => Role::Dict,
        ("torch", "Size") | ("builtins" | "__builtin__", "set" | "frozenset" | "list" | "tuple") => Role::Sequence,
        ("torch._utils", "_rebuild_tensor") => Role::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v2") => Role::RebuildTensorV2,
        ("torch._utils", "_rebuild_tensor_v3") => Role::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch.nn.parameter", "Parameter" | "Buffer") => Role::Parameter,
        ("torch._tensor", "_rebuild_from_type_v2") | ("torch._tensor" | "torch.tensor", "_rebuild_from_type") => {
            Role::RebuildFromType
        }
        ("_codecs", "encode") => Role::Encode,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Role::ReconstructArray,
        ("numpy", "dtype") => Role::ArrayType,
        ("torch.storage", "UntypedStorage") => Role::Storage(StorageType::Untyped),
        ("torch" | "torch.cuda", _) => of_torch(name),
        _ => Role::Foreign,
    }
}

fn of_torch(name: &str) -> Role {
    if name == "UntypedStorage" {
        return Role::Storage(StorageType::Untyped);
    }
    if let Some(kind) = name.strip_suffix("Storage") {
        let stored_as = STORAGES.iter().find(|(known, _)| *known == kind).map(|(_, dtype)| *dtype);
        return Role::Storage(stored_as.map_or(StorageType::Foreign, StorageType::Typed));
    }
    DTYPES.iter().find(|(known, _)| *known == name).map_or(Role::Foreign, |(_, dtype)| Role::TensorType(*dtype))
}

/// Storage classes, without `Storage`.
const STORAGES: [(&str, Dtype); 10] = [
    ("Double", Dtype::F64),
    ("Float", Dtype::F32),
    ("Half", Dtype::F16),
    ("BFloat16", Dtype::BF16),
    ("Long", Dtype::I64),
    ("Int", Dtype::I32),
    ("Short", Dtype::I16),
    ("Char", Dtype::I8),
    ("Byte", Dtype::U8),
    ("Bool", Dtype::BOOL),
];

/// `torch.dtype`s.
const DTYPES: [(&str, Dtype); 10] = [
    ("float64", Dtype::F64),
    ("float32", Dtype::F32),
    ("float16", Dtype::F16),
    ("bfloat16", Dtype::BF16),
    ("int64", Dtype::I64),
    ("int32", Dtype::I32),
    ("int16", Dtype::I16),
    ("int8", Dtype::I8),
    ("uint8", Dtype::U8),
    ("bool", Dtype::BOOL),
];
