//! ONNX files, as far as planning reads them: what a graph takes and returns, and which files hold its tensors.
//!
//! The format is a protocol buffer, read here field by field; tensors, which are most of it, are skipped. Tensors may lie in files beside the
//! model (`external_data`, which is what `torch.onnx.export` writes): these belong to the model, so they lie in its directory or below,
//! links resolved, and its digest is that of all of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::WeightsError;

/// A graph nests no deeper than this.
const MAX_DEPTH: u32 = 32;
/// Longer names than this are none.
const MAX_NAME: u64 = 4096;
/// `TensorProto.DataType` of 32-bit floats.
pub const FLOAT: u64 = 1;
/// And of 16-bit ones.
pub const FLOAT16: u64 = 10;

/// What an ONNX file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxFile {
    /// What the graph takes, without the inputs that the file itself gives a value.
    pub inputs: Vec<Port>,
    /// What it returns, in its own order.
    pub outputs: Vec<Port>,
    /// The files of its tensors, as it names them: relative to it, ascending.
    pub data: BTreeSet<String>,
    /// Names of the tensors that are in it.
    initializers: BTreeSet<String>,
}

/// A tensor that goes in or out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Name that the model gives it.
    pub name: String,
    /// `TensorProto.DataType`; 0 where it is no tensor.
    pub element: u64,
    /// Its sides, `None` each where that may change; no sides where the file does not say.
    pub dims: Option<Vec<Option<u64>>>,
}

/// A model as it is loaded: what was hashed, and nothing that a disk may change later.
pub struct OnnxBytes {
    /// The bytes of the model's own file.
    pub model: Vec<u8>,
    /// The files of its tensors by the names that it has for them.
    pub data: Vec<(String, Arc<[u8]>)>,
}

/// Reads what an ONNX file says of itself.
///
/// # Errors
/// When it cannot be read, is no ONNX file, or names tensors that do not lie in its directory.
pub fn read(path: &Path) -> Result<OnnxFile, WeightsError> {
    let file = File::open(path).map_err(WeightsError::io("open", path))?;
    let end = file.metadata().map_err(WeightsError::io("open", path))?.len();
    parse(path, file, end)
}

/// What `source` says, which is the content of the file at `path`.
fn parse(path: &Path, source: impl Read + io::Seek, end: u64) -> Result<OnnxFile, WeightsError> {
    let mut found = OnnxFile::default();
    let read = Wire { source: BufReader::new(source), at: 0 }.model(end, &mut found);
    read.map_err(|e| match e.kind() == io::ErrorKind::InvalidData {
        true => malformed(path, e.to_string()),
        false => WeightsError::io("read", path)(e),
    })?;
    if found.outputs.is_empty() {
        return Err(malformed(path, "it has no graph that returns anything; export it again".to_owned()));
    }
    found.inputs.retain(|port| !found.initializers.contains(&port.name));
    Ok(found)
}

/// The files that a model is made of: itself, and those of its tensors.
///
/// # Errors
/// As [`read`].
pub fn files(path: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let data = read(path)?.data;
    let of_data = data.iter().map(|name| inside(path, name));
    std::iter::once(Ok(path.to_owned())).chain(of_data).collect()
}

/// Reads all of a model whose digest must be `digest`.
///
/// # Errors
/// As [`read`], and when it is another one.
pub fn load(path: &Path, digest: &str) -> Result<OnnxBytes, WeightsError> {
    let read_all = |file: &Path| std::fs::read(file).map_err(WeightsError::io("read", file));
    let model = read_all(path)?;
    let mut lines = vec![(hash(&model), name_of(path))];
    let mut data = Vec::new();
    for name in parse(path, io::Cursor::new(&model), model.len() as u64)?.data {
        let bytes: Arc<[u8]> = read_all(&inside(path, &name)?)?.into();
        lines.push((hash(&bytes), name.clone()));
        data.push((name, bytes));
    }
    let found = of_lines(lines);
    if found != digest {
        return Err(WeightsError::other_digest(path, digest, &found));
    }
    Ok(OnnxBytes { model, data })
}

/// What a model is known by: its SHA-256, or where its tensors lie beside it, what `sha256sum MODEL DATA... | sha256sum` prints.
pub(super) fn digest(path: &Path) -> Result<String, WeightsError> {
    let hash = |file: &Path| crate::atomic::sha256_of(file).map_err(WeightsError::io("read", file));
    let mut lines = vec![(hash(path)?, name_of(path))];
    for name in read(path)?.data {
        lines.push((hash(&inside(path, &name)?)?, name));
    }
    Ok(of_lines(lines))
}

/// Whether a path names an ONNX file: they have no mark by which content could tell.
pub(super) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

fn hash(bytes: &[u8]) -> String {
    crate::hex(&Sha256::digest(bytes))
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn of_lines(lines: Vec<(String, String)>) -> String {
    match lines.as_slice() {
        [(alone, _)] => alone.clone(),
        lines => hash(lines.iter().map(|(hash, name)| format!("{hash}  {name}\n")).collect::<String>().as_bytes()),
    }
}

/// Where a file of tensors is: in the model's directory, or there is an error.
fn inside(path: &Path, name: &str) -> Result<PathBuf, WeightsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = folder.join(name);
    let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let refuse = |reason: String| WeightsError::Unusable { path: path.to_owned(), reason };
    if name.is_empty() || !is_plain {
        return Err(refuse(format!("its tensors are in `{name}`, which is not in its directory: move both to one")));
    }
    let (root, real) = match (folder.canonicalize(), file.canonicalize()) {
        (Ok(root), Ok(real)) => (root, real),
        (_, Err(e)) | (Err(e), _) => {
            return Err(refuse(format!("its tensors are in `{}`, which is not there ({e})", file.display())));
        }
    };
    match real.starts_with(&root) && real.is_file() {
        true => Ok(file),
        false => Err(refuse(format!("its tensors are in `{}`, which lies outside its directory", real.display()))),
    }
}

fn malformed(path: &Path, reason: String) -> WeightsError {
    WeightsError::Malformed { path: path.to_owned(), format: "ONNX", reason }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// A protocol buffer, read from its beginning.
struct Wire<R> {
    source: BufReader<R>,
    at: u64,
}

/// The value of a field.
#[derive(Clone, Copy)]
enum Value {
    Number(u64),
    /// A text, a message or an array, up to here.
    Until(u64),
}

impl<R: Read + io::Seek> Wire<R> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.source.read_exact(&mut byte).map_err(|_| invalid("it ends too early; copy or export it again"))?;
        self.at += 1;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(invalid("it holds a number that is none"))
    }

    /// Calls `visit` with the number and the value of each field up to `end`. What it leaves unread of one is skipped.
    fn each(&mut self, end: u64, mut visit: impl FnMut(&mut Self, u64, Value) -> io::Result<()>) -> io::Result<()> {
        while self.at < end {
            let key = self.varint()?;
            let (value, next) = match key & 7 {
                0 => (Value::Number(self.varint()?), self.at),
                2 => {
                    let len = self.varint()?;
                    let next = self.at.saturating_add(len);
                    (Value::Until(next), next)
                }
                1 => (Value::Number(0), self.at + 8),
                5 => (Value::Number(0), self.at + 4),
                _ => return Err(invalid("it holds a field of no known type")),
            };
            if next > end {
                return Err(invalid("it ends too early; copy or export it again"));
            }
            visit(self, key >> 3, value)?;
            let rest = next.checked_sub(self.at).ok_or_else(|| invalid("a field reaches into the next"))?;
            self.source.seek_relative(i64::try_from(rest).map_err(|_| invalid("it is too large"))?)?;
            self.at = next;
        }
        Ok(())
    }

    fn text(&mut self, end: u64) -> io::Result<String> {
        let len = end - self.at;
        if len > MAX_NAME {
            return Err(invalid("it holds a name of more than 4096 bytes"));
        }
        let bytes = (0..len).map(|_| self.byte()).collect::<io::Result<Vec<u8>>>()?;
        String::from_utf8(bytes).map_err(|_| invalid("it holds a name that is no UTF-8"))
    }

    /// `ModelProto`.
    fn model(&mut self, end: u64, found: &mut OnnxFile) -> io::Result<()> {
        self.each(end, |wire, number, value| match (number, value) {
            (7, Value::Until(end)) => wire.graph(end, 0, found),
            (25, Value::Until(end)) => wire.each(end, |wire, number, value| match (number, value) {
                (7, Value::Until(end)) => wire.node(end, 1, found),
                _ => Ok(()),
            }),
            _ => Ok(()),
        })
    }

    /// `GraphProto`; what it takes and returns counts where it is the outermost.
    fn graph(&mut self, end: u64, depth: u32, found: &mut OnnxFile) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(invalid("its graphs are nested too deeply"));
        }
        self.each(end, |wire, number, value| match (number, value) {
            (1, Value::Until(end)) => wire.node(end, depth + 1, found),
            (5, Value::Until(end)) => {
                let name = wire.tensor(end, found)?;
                found.initializers.extend((depth == 0).then_some(name));
                Ok(())
            }
            (15, Value::Until(end)) => wire.sparse(end, found),
            (11 | 12, Value::Until(end)) if depth == 0 => {
                let port = wire.port(end)?;
                if number == 11 { &mut found.inputs } else { &mut found.outputs }.push(port);
                Ok(())
            }
            _ => Ok(()),
        })
    }

    /// `NodeProto`, for the tensors and graphs in its attributes.
    fn node(&mut self, end: u64, depth: u32, found: &mut OnnxFile) -> io::Result<()> {
        self.each(end, |wire, number, value| match (number, value) {
            (5, Value::Until(end)) => wire.each(end, |wire, number, value| match (number, value) {
                (5 | 10, Value::Until(end)) => wire.tensor(end, found).map(drop),
                (6 | 11, Value::Until(end)) => wire.graph(end, depth, found),
                (22 | 23, Value::Until(end)) => wire.sparse(end, found),
                _ => Ok(()),
            }),
            _ => Ok(()),
        })
    }

    /// `SparseTensorProto`.
    fn sparse(&mut self, end: u64, found: &mut OnnxFile) -> io::Result<()> {
        self.each(end, |wire, number, value| match (number, value) {
            (1 | 2, Value::Until(end)) => wire.tensor(end, found).map(drop),
            _ => Ok(()),
        })
    }

    /// The name of a `TensorProto`; where it lies elsewhere that is noted.
    fn tensor(&mut self, end: u64, found: &mut OnnxFile) -> io::Result<String> {
        let mut name = String::new();
        self.each(end, |wire, number, value| match (number, value) {
            (8, Value::Until(end)) => wire.text(end).map(|text| name = text),
            (13, Value::Until(end)) => {
                let (mut key, mut text) = (String::new(), String::new());
                wire.each(end, |wire, number, value| match (number, value) {
                    (1, Value::Until(end)) => wire.text(end).map(|read| key = read),
                    (2, Value::Until(end)) => wire.text(end).map(|read| text = read),
                    _ => Ok(()),
                })?;
                found.data.extend((key == "location").then_some(text));
                Ok(())
            }
            _ => Ok(()),
        })?;
        Ok(name)
    }

    /// `ValueInfoProto`.
    fn port(&mut self, end: u64) -> io::Result<Port> {
        let mut port = Port::default();
        self.each(end, |wire, number, value| match (number, value) {
            (1, Value::Until(end)) => wire.text(end).map(|name| port.name = name),
            // `TypeProto`, of which one kind is a tensor.
            (2, Value::Until(end)) => wire.each(end, |wire, number, value| match (number, value) {
                (1, Value::Until(end)) => wire.each(end, |wire, number, value| match (number, value) {
                    (1, Value::Number(element)) => {
                        port.element = element;
                        Ok(())
                    }
                    (2, Value::Until(end)) => wire.dims(end).map(|dims| port.dims = Some(dims)),
                    _ => Ok(()),
                }),
                _ => Ok(()),
            }),
            _ => Ok(()),
        })?;
        Ok(port)
    }

    /// `TensorShapeProto`.
    fn dims(&mut self, end: u64) -> io::Result<Vec<Option<u64>>> {
        let mut dims = Vec::new();
        self.each(end, |wire, number, value| match (number, value) {
            (1, Value::Until(end)) => {
                let mut dim = None;
                wire.each(end, |_, number, value| match (number, value) {
                    // Exporters of long ago wrote 0 and -1 for what may change.
                    (1, Value::Number(n)) => {
                        dim = i64::try_from(n).ok().and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
                        Ok(())
                    }
                    _ => Ok(()),
                })?;
                dims.push(dim);
                Ok(())
            }
            _ => Ok(()),
        })?;
        Ok(dims)
    }
}
