//! Where in a checkpoint the network's tensors are.
//!
//! Training programs save a dictionary of names to tensors, or that under a key beside the optimiser, the epoch and so on, or
//! two of them, the second averaged over the training.

use super::super::flaw::{Flaw, quoted};
use super::super::pickle::Pickle;
use super::super::pickle::heap::{Node, StoredTensor, Value};
use super::super::{Note, Selection};

/// Keys under which a network's tensors are saved, in the order in which they are tried.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "network", "module"];
/// Keys of averaged tensors.
const AVERAGES: [&str; 6] = ["state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema", "shadow"];
/// Most wrappers around each other.
const MAX_WRAPPERS: usize = 4;
/// Most tensors of a file, and the longest name in bytes: more is no network.
pub(super) const MAX_TENSORS: usize = 1 << 16;
pub(super) const MAX_NAME: usize = 1024;
/// Entries that are remembered for having been left out, of each dictionary.
const MAX_IGNORED: usize = 1000;
/// Keys that a message lists.
const KEYS_SHOWN: usize = 8;
/// What to do when a file has objects where tensors should be.
const SAVE_TENSORS: &str = "save the tensors alone, torch.save(model.state_dict(), path)";

/// Tensors by name, as they stand in the file.
pub(super) type Named<'a> = Vec<(String, &'a StoredTensor)>;

/// The network's tensors (of `Selection::Average` the averaged ones), prefixes included, and where they were.
///
/// # Errors
/// When there are none, or objects that only their Python classes could read.
pub(super) fn find(pickle: &Pickle, selection: Selection) -> Result<(Named<'_>, Vec<Note>), Flaw> {
    let (mut dict, mut path, mut notes, mut ignored) = (pickle.root, Vec::new(), Vec::new(), Vec::new());
    let mut wants_average = selection == Selection::Average;
    for _ in 0..MAX_WRAPPERS {
        let Some(found) = wrapped(pickle, dict, wants_average)? else { break };
        let left = if let Some(Note::AverageLeft { key }) = &found.note { key } else { found.key };
        ignored.extend(others(pickle, dict, &[found.key, left]));
        notes.extend(found.note);
        path.push(found.key);
        dict = found.inner;
        wants_average &= !found.is_average;
    }
    if wants_average {
        return Err(Flaw::unusable("it holds no averaged weights: ask for the others"));
    }
    if !path.is_empty() {
        notes.insert(0, Note::Unwrapped { key: path.join("/") });
    }
    let (named, beside) = tensors(pickle, dict, &path.join("/"))?;
    ignored.extend(beside);
    if !ignored.is_empty() {
        notes.push(Note::Ignored { entries: ignored });
    }
    Ok((named, notes))
}

/// A dictionary within a dictionary.
struct Wrapped {
    key: &'static str,
    inner: Value,
    is_average: bool,
    note: Option<Note>,
}

/// The entry of `dict` that the tensors are in, if they are not in `dict` itself.
fn wrapped(pickle: &Pickle, dict: Value, wants_average: bool) -> Result<Option<Wrapped>, Flaw> {
    let inner = |keys: &[&'static str]| {
        let mut entries = keys.iter().filter_map(|key| Some((*key, pickle.heap.entry(dict, key)?)));
        entries.find(|(_, value)| leads_to_tensors(pickle, *value))
    };
    let of_average = |(key, inner): (&'static str, Value)| Wrapped {
        key,
        inner,
        is_average: true,
        note: Some(Note::AverageTaken { key: key.to_owned() }),
    };
    match (inner(&WRAPPERS), inner(&AVERAGES)) {
        (_, Some(average)) if wants_average => Ok(Some(of_average(average))),
        (Some((key, inner)), average) => {
            let note = average.map(|(key, _)| Note::AverageLeft { key: key.to_owned() });
            Ok(Some(Wrapped { key, inner, is_average: false, note }))
        }
        (None, _) if has_tensors(pickle, dict) => Ok(None),
        (None, average) => match foreign(pickle, dict) {
            Some(flaw) => Err(flaw),
            None => Ok(average.map(of_average)),
        },
    }
}

/// Whether this is a dictionary of tensors, or one that has another dictionary where tensors may be.
fn leads_to_tensors(pickle: &Pickle, value: Value) -> bool {
    let heap = &pickle.heap;
    let has_inner = |key: &&str| heap.entry(value, key).is_some_and(|inner| heap.dict(inner).is_some());
    has_tensors(pickle, value) || WRAPPERS.iter().chain(&AVERAGES).any(has_inner)
}

/// What else is in a dictionary.
fn others(pickle: &Pickle, dict: Value, known: &[&str]) -> Vec<String> {
    let entries = pickle.heap.dict(dict).unwrap_or_default();
    let others = entries.iter().filter(|(key, _)| !pickle.heap.text(*key).is_some_and(|key| known.contains(&key)));
    others.take(MAX_IGNORED).map(|(key, value)| entry(pickle, *key, *value)).collect()
}

/// An entry of a dictionary in words.
fn entry(pickle: &Pickle, key: Value, value: Value) -> String {
    format!("{} ({})", quoted(pickle.heap.text(key).unwrap_or("?")), pickle.heap.describe(value))
}

/// The first object that is not understood where a network's tensors should be.
fn foreign(pickle: &Pickle, dict: Value) -> Option<Flaw> {
    let heap = &pickle.heap;
    let keys = WRAPPERS.iter().chain(&AVERAGES);
    let (key, class) = keys.filter_map(|key| Some((key, heap.class_of(heap.entry(dict, key)?)?))).next()?;
    Some(Flaw::unusable(format!(
        "what it has under `{key}` is a pickled object of the class {}, which is not read; {SAVE_TENSORS}",
        quoted(class)
    )))
}

fn has_tensors(pickle: &Pickle, dict: Value) -> bool {
    let entries = pickle.heap.dict(dict).unwrap_or_default();
    entries.iter().any(|(_, value)| matches!(pickle.heap.get(*value), Some(Node::Tensor(_))))
}

/// The tensors of a dictionary, and what else is in it.
fn tensors<'a>(pickle: &'a Pickle, dict: Value, path: &str) -> Result<(Named<'a>, Vec<String>), Flaw> {
    let heap = &pickle.heap;
    let Some(entries) = heap.dict(dict) else { return Err(no_dict(pickle, dict, path)) };
    let (mut named, mut ignored) = (Vec::new(), Vec::new());
    for (key, value) in entries {
        let name = heap.text(*key).filter(|name| name.len() <= MAX_NAME);
        match (name, heap.get(*value)) {
            (Some(name), Some(Node::Tensor(tensor))) => named.push((name.to_owned(), &**tensor)),
            (None, Some(Node::Tensor(_))) => return Err(Flaw::broken("a tensor whose name is no text, or too long")),
            (name, _) => {
                if let Some(class) = heap.class_of(*value) {
                    return Err(Flaw::unusable(format!(
                        "its entry {} is no tensor but a pickled object of {}, which is not read; {SAVE_TENSORS}",
                        quoted(name.unwrap_or("?")),
                        quoted(class)
                    )));
                }
                if ignored.len() < MAX_IGNORED {
                    ignored.push(entry(pickle, *key, *value));
                }
            }
        }
        if named.len() > MAX_TENSORS {
            return Err(Flaw::broken(format!("it has more than {MAX_TENSORS} entries")));
        }
    }
    if named.is_empty() {
        let keys: Vec<&str> = entries.iter().filter_map(|(key, _)| heap.text(*key)).take(KEYS_SHOWN).collect();
        let keys: Vec<String> = keys.into_iter().map(quoted).collect();
        let of = if keys.is_empty() { "it is empty".to_owned() } else { format!("its keys are {}", keys.join(", ")) };
        return Err(Flaw::unusable(format!("no tensors were found in it ({of}); {SAVE_TENSORS}")));
    }
    Ok((named, ignored))
}

/// Says what is where a dictionary should be.
fn no_dict(pickle: &Pickle, value: Value, path: &str) -> Flaw {
    let at = if path.is_empty() { "it".to_owned() } else { format!("what it has under {}", quoted(path)) };
    Flaw::unusable(match pickle.heap.class_of(value) {
        Some(class) => format!(
            "{at} is a whole pickled object of the class {}, which only the program that saved it can read; there, {SAVE_TENSORS}",
            quoted(class)
        ),
        None => format!("{at} is {}, not a dictionary of tensors; {SAVE_TENSORS}", pickle.heap.describe(value)),
    })
}
