//! Names of a training program's tensors, and the network's own names within them.

use super::Note;
use super::flaw::quoted;

/// What wrappers put in front of every name: `DataParallel`, a model that computes its own loss, `torch.compile`.
const WRAPPERS: [&str; 3] = ["module.", "model.", "_orig_mod."];
/// Parts of a training program beside its network, whose parameters no forward pass uses.
const BESIDE: [&str; 2] = ["loss.", "criterion."];
/// Most wrappers around each other.
const MAX_WRAPPERS: usize = 4;

/// The network's names for `names`, `None` for what is no part of the network, and what has been done.
///
/// A wrapper's prefix is cut when every name of the network has it, so no two names can become one.
pub(super) fn of_network(names: Vec<String>) -> (Vec<Option<String>>, Vec<Note>) {
    let mut left: Vec<Option<String>> = names.iter().cloned().map(Some).collect();
    let mut notes = Vec::new();
    drop_beside(&mut left);
    for _ in 0..MAX_WRAPPERS {
        let common =
            |prefix: &&&str| left.iter().flatten().all(|name| name.len() > prefix.len() && name.starts_with(**prefix));
        let Some(prefix) = WRAPPERS.iter().find(common).filter(|_| left.iter().any(Option::is_some)) else { break };
        left.iter_mut().flatten().for_each(|name| drop(name.drain(..prefix.len())));
        notes.push(Note::Stripped { prefix: (*prefix).to_owned() });
        drop_beside(&mut left);
    }
    let dropped = names.iter().zip(&left).filter(|(_, left)| left.is_none());
    let entries: Vec<String> = dropped.map(|(name, _)| format!("{} (of the loss)", quoted(name))).collect();
    if !entries.is_empty() {
        notes.push(Note::Ignored { entries });
    }
    (left, notes)
}

fn drop_beside(names: &mut [Option<String>]) {
    for name in names {
        if name.as_ref().is_some_and(|name| BESIDE.iter().any(|prefix| name.starts_with(prefix))) {
            *name = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> (Vec<Option<String>>, Vec<String>) {
        let (left, notes) = of_network(names.iter().map(|n| (*n).to_owned()).collect());
        (left, notes.iter().map(ToString::to_string).collect())
    }

    fn some(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|n| Some((*n).to_owned())).collect()
    }

    #[test]
    fn a_prefix_that_all_names_share_is_cut() {
        let (names, notes) = of(&["module.a.weight", "module.b.bias"]);
        assert_eq!((names, notes), (some(&["a.weight", "b.bias"]), vec!["`module.` was cut from the names".into()]));
        assert_eq!(of(&["module.model.a", "module.model.b"]).0, some(&["a", "b"]));
    }

    #[test]
    fn a_prefix_of_some_names_is_part_of_them() {
        for names in [["model.a", "b"], ["model.", "model.a"], ["models.a", "models.b"]] {
            assert_eq!(of(&names), (some(&names), vec![]));
        }
        assert_eq!(of(&[]), (vec![], vec![]));
    }

    #[test]
    fn parameters_of_the_loss_are_left_out_wherever_they_stand() {
        for prefix in ["", "module."] {
            let loss = format!("{prefix}loss.criterion.weight");
            let (names, notes) = of(&[&format!("{prefix}model.a"), &loss, &format!("{prefix}model.b")]);
            assert_eq!(names, [Some("a".to_owned()), None, Some("b".to_owned())]);
            assert_eq!(notes.last().unwrap(), &format!("ignored: `{loss}` (of the loss)"));
        }
    }
}
