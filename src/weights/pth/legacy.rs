//! The legacy stream: five pickles, then the storages, each as its number of values and the values.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use super::super::flaw::{Flaw, quoted};
use super::super::pickle::heap::{Node, Value};
use super::super::pickle::{self, MAX_KEY, Pickle, Source};
use super::super::reader::WeightsReader;

/// The first pickle, an integer: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;
/// Bytes of a storage's number of values.
const COUNT_BYTES: u64 = 8;

#[derive(Debug)]
pub(super) struct Legacy {
    file: BufReader<WeightsReader>,
    /// Where each storage's values begin.
    starts: BTreeMap<Box<str>, u64>,
}

/// A storage as the pickle has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) n_elements: u64,
    /// Bytes of a value, 0 where its type is not read.
    pub(super) element_bytes: u64,
}

/// A stream whose pickles have been read and whose storages follow.
pub(super) struct Opened {
    /// In the order of the storages.
    keys: Vec<Box<str>>,
    file: BufReader<WeightsReader>,
    position: u64,
    n_bytes: u64,
}

impl Opened {
    /// Reads the five pickles and gives the one with the object.
    ///
    /// # Errors
    /// When they are damaged, of another byte order, or not those of a checkpoint.
    pub(super) fn new(file: WeightsReader) -> Result<(Pickle, Self), Flaw> {
        let n_bytes = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let mut source = Source::new(&mut file, n_bytes.min(pickle::MAX_BYTES));
        let magic = Pickle::read(&mut source)?;
        if !matches!(magic.heap.get(magic.root), Some(Node::Long(bytes)) if **bytes == MAGIC) {
            return Err(Flaw::unusable(
                "it is a pickle, but none that torch.save wrote: load it where it was made and save its tensors with torch.save",
            ));
        }
        let mut next = |part: &str| Pickle::read(&mut source).map_err(|flaw| flaw.within(part));
        let protocol = next("its version")?.root;
        if protocol != Value::Int(PROTOCOL) {
            return Err(Flaw::unusable("it has another version than 1001: load it in PyTorch and save it again"));
        }
        let system = next("its system information")?;
        match system.heap.entry(system.root, "little_endian") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(Flaw::big_endian()),
            _ => return Err(Flaw::broken("it does not tell its byte order")),
        }
        let pickle = next("its object")?;
        let list = next("its list of storages")?;
        let listed = list.heap.sequence(list.root).unwrap_or_default().iter();
        let name = |key: &Value| list.heap.text(*key).filter(|key| key.len() <= MAX_KEY).map(Into::into);
        let keys = listed.map(name).collect::<Option<Vec<Box<str>>>>();
        let keys = keys.ok_or_else(|| Flaw::broken("a storage without a name"))?;
        let position = source.position();
        Ok((pickle, Self { keys, file, position, n_bytes }))
    }

    /// Finds the storages, which the pickle has declared in this way.
    ///
    /// # Errors
    /// When they do not agree with the pickle or with the length of the file.
    pub(super) fn locate(self, declared: &BTreeMap<&str, Declared>) -> Result<Legacy, Flaw> {
        let Self { keys, mut file, mut position, n_bytes } = self;
        let mut starts = BTreeMap::new();
        for key in keys {
            let named = |reason: &str| Flaw::broken(format!("its storage {} {reason}", quoted(&key)));
            let declared = declared.get(&*key).ok_or_else(|| named("belongs to no tensor"))?;
            if declared.element_bytes == 0 {
                return Err(Flaw::unusable(format!(
                    "its storage {} has values of a type that is not read",
                    quoted(&key)
                )));
            }
            let start = position.checked_add(COUNT_BYTES).ok_or_else(|| named("ends too early"))?;
            let length = declared.n_elements.checked_mul(declared.element_bytes);
            let end = length.and_then(|length| start.checked_add(length)).filter(|end| *end <= n_bytes);
            let end = end.ok_or_else(|| named("goes beyond the end of the file"))?;
            file.seek(SeekFrom::Start(position))?;
            let mut count = [0; 8];
            file.read_exact(&mut count)?;
            if u64::from_le_bytes(count) != declared.n_elements {
                return Err(named("has another number of values than its tensors say"));
            }
            position = end;
            if starts.insert(key.clone(), start).is_some() {
                return Err(named("is listed twice"));
            }
        }
        if let Some(missing) = declared.keys().find(|key| !starts.contains_key(**key)) {
            return Err(Flaw::broken(format!("its storage {} is missing", quoted(missing))));
        }
        if position != n_bytes {
            return Err(Flaw::broken(format!("{} bytes follow its last storage", n_bytes - position)));
        }
        Ok(Legacy { file, starts })
    }
}

impl Legacy {
    /// Bytes `range` of the storage `key`.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn read(&mut self, key: &str, range: Range<u64>) -> Result<Vec<u8>, Flaw> {
        let start = self.starts.get(key).and_then(|start| start.checked_add(range.start));
        let start = start.ok_or_else(|| Flaw::broken(format!("its storage {} is missing", quoted(key))))?;
        self.file.seek(SeekFrom::Start(start))?;
        let n_bytes = range.end.saturating_sub(range.start);
        // No more than the file has: `locate` has seen where the storage ends.
        let mut bytes = Vec::with_capacity(usize::try_from(n_bytes).unwrap_or_default());
        (&mut self.file).take(n_bytes).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == n_bytes { Ok(bytes) } else { Err(Flaw::broken("it has become shorter")) }
    }
}
