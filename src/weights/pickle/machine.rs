//! The stack machine of a pickle.

use std::collections::HashMap;
use std::io::Read;

use super::super::flaw::{Flaw, quoted};
use super::globals::Global;
use super::heap::{Heap, Node, NodeId, Value};
use super::stack::Stack;
use super::{Pickle, Source};

/// Most instructions of a pickle. A thousand tensors and an optimiser's state take 150 thousand.
const MAX_INSTRUCTIONS: usize = 2_000_000;
/// Most values that are copied from one container into another.
const MAX_COPIED: usize = 2_000_000;
/// Longest integer, in bytes; the longest that torch writes has 10.
const MAX_INTEGER_BYTES: u64 = 64;
const NEWEST: u8 = 5;

/// A pickle being executed.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) heap: Heap,
    stack: Stack,
    memo: HashMap<u32, Value>,
    n_copied: usize,
}

impl Machine {
    /// Executes one pickle.
    ///
    /// # Errors
    /// When it is damaged, beyond a limit, or not understood.
    pub(super) fn run<R: Read>(mut self, source: &mut Source<R>) -> Result<Pickle, Flaw> {
        for _ in 0..MAX_INSTRUCTIONS {
            let [instruction] = source.array()?;
            if instruction == b'.' {
                let root = self.stack.pop()?;
                return Ok(Pickle { heap: self.heap, root });
            }
            self.step(instruction, source)?;
        }
        Err(Flaw::broken(format!("its pickle has more than {MAX_INSTRUCTIONS} instructions")))
    }

    fn step<R: Read>(&mut self, instruction: u8, source: &mut Source<R>) -> Result<(), Flaw> {
        match instruction {
            // Constants.
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8a | 0x8b | b'G' => self.constant(instruction, source),
            // Text and bytes.
            b'X' | 0x8c | 0x8d | b'U' | b'T' | b'C' | b'B' | 0x8e | 0x96 => self.string(instruction, source),
            // Containers.
            b']' | b'}' | b')' | 0x8f | b'l' | b'd' | b't' | 0x85..=0x87 | 0x91 => self.container(instruction),
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(instruction),
            // The memo.
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memorise(instruction, source),
            // The stack.
            b'(' | b'0' | b'1' | b'2' => self.shift(instruction),
            // Objects.
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.object(instruction, source),
            // The protocol, and the length of what follows in it.
            0x80 => match source.array()? {
                [version] if version > NEWEST => {
                    Err(Flaw::unusable(format!("it is written in pickle protocol {version}: save it with protocol 2")))
                }
                [_] => Ok(()),
            },
            0x95 => source.array::<8>().map(|_| ()),
            other => Err(Flaw::broken(format!("unknown instruction {other:#04x} in its pickle"))),
        }
    }

    fn constant<R: Read>(&mut self, instruction: u8, source: &mut Source<R>) -> Result<(), Flaw> {
        let value = match instruction {
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(source.array::<1>()?[0].into()),
            b'M' => Value::Int(u16::from_le_bytes(source.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(source.array()?).into()),
            0x8a => {
                let [n_bytes] = source.array()?;
                self.integer(source, n_bytes.into())?
            }
            0x8b => {
                let n_bytes = u64::try_from(i32::from_le_bytes(source.array()?));
                self.integer(source, n_bytes.map_err(|_| Flaw::broken("an integer of negative length"))?)?
            }
            b'G' => source.array::<8>().map(|_| Value::Float)?,
            _ => Value::None,
        };
        self.stack.push(value)
    }

    fn integer<R: Read>(&mut self, source: &mut Source<R>, n_bytes: u64) -> Result<Value, Flaw> {
        let bytes = source.bytes(n_bytes)?;
        if n_bytes > MAX_INTEGER_BYTES {
            return Err(Flaw::broken(format!("an integer of {n_bytes} bytes")));
        }
        let is_negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = if is_negative { [0xff; 8] } else { [0; 8] };
        match wide.get_mut(..bytes.len()) {
            Some(low) => low.copy_from_slice(&bytes),
            None => return Ok(self.heap.add(Node::Long(bytes.into()))),
        }
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn string<R: Read>(&mut self, instruction: u8, source: &mut Source<R>) -> Result<(), Flaw> {
        let n_bytes = match instruction {
            b'U' | b'C' | 0x8c => source.array::<1>()?[0].into(),
            b'X' | b'B' | b'T' => u32::from_le_bytes(source.array()?).into(),
            _ => u64::from_le_bytes(source.array()?),
        };
        let bytes = source.bytes(n_bytes)?;
        let node = match instruction {
            b'C' | b'B' | 0x8e | 0x96 => Node::Bytes(bytes.into()),
            // A string of Python 2 is text or bytes, and nobody can tell which.
            b'U' | b'T' => match String::from_utf8(bytes) {
                Ok(text) => Node::Text(text.into()),
                Err(error) => Node::Bytes(error.into_bytes().into()),
            },
            _ => match String::from_utf8(bytes) {
                Ok(text) => Node::Text(text.into()),
                // Lone surrogates, which are no names of tensors.
                Err(error) => Node::Bytes(error.into_bytes().into()),
            },
        };
        self.push_node(node)
    }

    fn container(&mut self, instruction: u8) -> Result<(), Flaw> {
        let node = match instruction {
            b'}' => Node::Dict(Vec::new()),
            b')' => Node::Tuple(Box::default()),
            b'd' => Node::Dict(pairs(&self.stack.pop_to_mark()?)?),
            b't' => Node::Tuple(self.stack.pop_to_mark()?.into()),
            0x85..=0x87 => {
                let mut items = vec![Value::None; usize::from(instruction - 0x84)];
                for item in items.iter_mut().rev() {
                    *item = self.stack.pop()?;
                }
                Node::Tuple(items.into())
            }
            b'l' | 0x91 => Node::List(self.stack.pop_to_mark()?),
            _ => Node::List(Vec::new()),
        };
        self.push_node(node)
    }

    fn fill(&mut self, instruction: u8) -> Result<(), Flaw> {
        let items = match instruction {
            b'a' => vec![self.stack.pop()?],
            b's' => {
                let value = self.stack.pop()?;
                vec![self.stack.pop()?, value]
            }
            _ => self.stack.pop_to_mark()?,
        };
        let target = self.stack.top()?;
        let described = self.heap.describe(target);
        let Value::Node(id) = target else {
            return Err(Flaw::broken(format!("its pickle adds to {described}")));
        };
        match (self.heap.node_mut(id), instruction) {
            // What belongs to an object that is not understood goes with it.
            (Node::Instance(_), _) => {}
            (Node::List(list), b'a' | b'e' | 0x90) => list.extend(items),
            (Node::Dict(entries), b's' | b'u') => entries.extend(pairs(&items)?),
            (_, b's' | b'u') => {
                pairs(&items)?;
                return Err(Flaw::broken(format!("its pickle sets entries of {described}")));
            }
            _ => return Err(Flaw::broken(format!("its pickle adds to {described}"))),
        }
        Ok(())
    }

    fn memorise<R: Read>(&mut self, instruction: u8, source: &mut Source<R>) -> Result<(), Flaw> {
        let key = match instruction {
            b'q' | b'h' => source.array::<1>()?[0].into(),
            0x94 => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
            _ => u32::from_le_bytes(source.array()?),
        };
        if matches!(instruction, b'h' | b'j') {
            let value = self.memo.get(&key).copied();
            return self.stack.push(value.ok_or_else(|| Flaw::broken(format!("object {key} has not been stored")))?);
        }
        let value = self.stack.top()?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn shift(&mut self, instruction: u8) -> Result<(), Flaw> {
        match instruction {
            b'(' => self.stack.mark(),
            b'2' => {
                let top = self.stack.top()?;
                self.stack.push(top)
            }
            b'1' => self.stack.pop_to_mark().map(|_| ()),
            _ => self.stack.pop().map(|_| ()),
        }
    }

    fn object<R: Read>(&mut self, instruction: u8, source: &mut Source<R>) -> Result<(), Flaw> {
        match instruction {
            b'c' => {
                let (module, name) = (source.line()?, source.line()?);
                self.push_node(Node::Global(Box::new(Global::new(&module, &name))))
            }
            0x93 => {
                let (name, module) = (self.stack.pop()?, self.stack.pop()?);
                let name_of = |value| self.heap.text(value).filter(|text| text.len() <= 256);
                let (Some(module), Some(name)) = (name_of(module), name_of(name)) else {
                    return Err(Flaw::broken("a class without a name"));
                };
                let global = Global::new(module, name);
                self.push_node(Node::Global(Box::new(global)))
            }
            b'Q' => {
                let id = self.stack.pop()?;
                let found = self.persistent(id)?;
                self.stack.push(found)
            }
            b'b' => {
                let state = self.stack.pop()?;
                let target = self.stack.top()?;
                self.set_state(target, state)
            }
            _ => {
                // The keyword arguments of NEWOBJ_EX; no class on the list takes any.
                if instruction == 0x92 {
                    self.stack.pop()?;
                }
                let (arguments, callee) = (self.stack.pop()?, self.stack.pop()?);
                let result = self.call(callee, arguments)?;
                self.stack.push(result)
            }
        }
    }

    /// Counts values that are copied, so that a small file cannot ask for endless copies.
    pub(super) fn charge(&mut self, n_values: usize) -> Result<(), Flaw> {
        self.n_copied = self.n_copied.saturating_add(n_values);
        if self.n_copied > MAX_COPIED {
            Err(Flaw::broken("its pickle copies its values again and again"))
        } else {
            Ok(())
        }
    }

    /// The object behind a value, for a message when there is none.
    pub(super) fn id_of(&self, value: Value) -> Result<NodeId, Flaw> {
        if let Value::Node(id) = value {
            Ok(id)
        } else {
            Err(Flaw::broken(format!("its pickle calls {}", self.heap.describe(value))))
        }
    }

    /// A name from the pickle, or what is in its place, for a message.
    pub(super) fn name(&self, value: Value) -> String {
        self.heap.global(value).map_or_else(|| self.heap.describe(value), |global| quoted(&global.name))
    }

    fn push_node(&mut self, node: Node) -> Result<(), Flaw> {
        let value = self.heap.add(node);
        self.stack.push(value)
    }
}

/// Keys and values that alternate.
fn pairs(items: &[Value]) -> Result<Vec<(Value, Value)>, Flaw> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Flaw::broken("a dictionary of an odd number of keys and values"));
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}
