//! Numpy arrays that were pickled by themselves (`ndarray.dump`).

use safetensors::Dtype;

use super::super::flaw::{Flaw, quoted};
use super::super::pickle::heap::{Array, Heap, Node};
use super::super::pickle::{self, Pickle, Source, bytes_of};
use super::super::strided::Strided;

/// Types by numpy's names.
const TYPES: [(&str, Dtype); 9] = [
    ("f8", Dtype::F64),
    ("f4", Dtype::F32),
    ("f2", Dtype::F16),
    ("i8", Dtype::I64),
    ("i4", Dtype::I32),
    ("i2", Dtype::I16),
    ("i1", Dtype::I8),
    ("u1", Dtype::U8),
    ("b1", Dtype::BOOL),
];

#[derive(Debug)]
pub(super) struct Dump {
    pub(super) dtype: Dtype,
    pub(super) layout: Strided,
    content: Vec<u8>,
}

impl Dump {
    /// Reads a pickle that is nothing but an array.
    ///
    /// # Errors
    /// When it is something else, of another byte order, or damaged.
    pub(super) fn parse(file: &[u8]) -> Result<Self, Flaw> {
        let n_bytes = file.len() as u64;
        let mut source = Source::new(file, n_bytes.min(pickle::MAX_BYTES));
        let Pickle { heap, root } = Pickle::read(&mut source)?;
        if source.position() != n_bytes {
            return Err(Flaw::broken(format!("{} bytes follow its array", n_bytes - source.position())));
        }
        let Some(Node::Array(array)) = heap.get(root) else {
            return Err(Flaw::unusable(format!("it is {}, not a numpy array", heap.describe(root))));
        };
        let dtype = dtype(&heap, array)?;
        let content = content(&heap, array)?;
        let layout = Strided::dense(array.shape.clone(), array.is_column_major, content.len() / bytes_of(dtype));
        let layout = layout.map_err(Flaw::broken)?;
        let expected = array.shape.iter().product::<usize>() * bytes_of(dtype);
        if content.len() != expected {
            return Err(Flaw::broken(format!("{} bytes for the shape {:?}", content.len(), array.shape)));
        }
        Ok(Self { dtype, layout, content })
    }

    /// The values, row-major, little-endian.
    pub(super) fn into_values(self) -> Vec<u8> {
        self.layout.gather(self.content, bytes_of(self.dtype))
    }
}

fn dtype(heap: &Heap, array: &Array) -> Result<Dtype, Flaw> {
    let Some(Node::ArrayType(array_type)) = array.array_type.map(|id| heap.node(id)) else {
        return Err(Flaw::broken("an array without a type"));
    };
    let code = array_type.code.trim_start_matches(['<', '|', '=']);
    if array_type.is_big_endian || code.starts_with('>') {
        return Err(Flaw::unusable("it was written on a big-endian machine: write it again on another"));
    }
    let known = TYPES.iter().find(|(name, _)| *name == code);
    known.map(|(_, dtype)| *dtype).ok_or_else(|| Flaw::unusable(format!("its type {} is not read", quoted(code))))
}

fn content(heap: &Heap, array: &Array) -> Result<Vec<u8>, Flaw> {
    let missing = || Flaw::broken("an array without its values");
    let node = heap.node(array.content.ok_or_else(missing)?);
    if let Node::Bytes(bytes) = node {
        return Ok(bytes.to_vec());
    }
    let Node::Latin1(text) = node else { return Err(missing()) };
    let Node::Text(text) = heap.node(*text) else { return Err(missing()) };
    let bytes = text.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<Vec<u8>, _>>();
    bytes.map_err(|_| Flaw::broken("values that are no bytes"))
}
