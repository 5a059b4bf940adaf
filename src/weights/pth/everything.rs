//! Every tensor of a checkpoint, wherever it is.

use super::super::flaw::Flaw;
use super::super::pickle::Pickle;
use super::super::pickle::heap::{Node, Value};
use super::unwrap::{MAX_NAME, MAX_TENSORS, Named};

/// Deepest containers that are looked into.
const MAX_DEPTH: usize = 8;
/// Most values that are looked at. The same container may be reached in many ways.
const MAX_VISITED: usize = 2_000_000;

/// All tensors by path: keys and positions joined by `/`.
///
/// # Errors
/// When there are too many, or their names are too long.
pub(super) fn list(pickle: &Pickle) -> Result<Named<'_>, Flaw> {
    let mut named = Vec::new();
    let mut open = vec![Level { path: String::new(), children: Children { of: pickle.root, next: 0 } }];
    let mut n_visited = 0;
    while let Some(level) = open.last_mut() {
        let Some((step, value)) = level.children.next(pickle) else {
            open.pop();
            continue;
        };
        n_visited += 1;
        if n_visited > MAX_VISITED || named.len() > MAX_TENSORS {
            return Err(Flaw::broken("it has more entries than a network"));
        }
        let path = if level.path.is_empty() { step } else { format!("{}/{step}", level.path) };
        if path.len() > MAX_NAME {
            return Err(Flaw::broken(format!("a name of more than {MAX_NAME} bytes")));
        }
        if let Some(Node::Tensor(tensor)) = pickle.heap.get(value) {
            named.push((path, &**tensor));
        } else if open.len() < MAX_DEPTH {
            open.push(Level { path, children: Children { of: value, next: 0 } });
        }
    }
    Ok(named)
}

/// A container that is being looked into.
struct Level {
    path: String,
    children: Children,
}

/// The entries of a container that are still to come.
struct Children {
    of: Value,
    next: usize,
}

impl Children {
    fn next(&mut self, pickle: &Pickle) -> Option<(String, Value)> {
        let at = self.next;
        self.next += 1;
        if let Some(entries) = pickle.heap.dict(self.of) {
            let (key, value) = entries.get(at)?;
            let key = pickle.heap.text(*key).filter(|key| key.len() <= MAX_NAME);
            return Some((key.map_or_else(|| at.to_string(), str::to_owned), *value));
        }
        let value = pickle.heap.sequence(self.of)?.get(at)?;
        Some((at.to_string(), *value))
    }
}
