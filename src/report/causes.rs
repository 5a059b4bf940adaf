//! Failures by cause: a hundred scenes with one fault are one line.

use std::collections::BTreeMap;

use super::FailedScene;

/// Scenes that failed for one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CauseGroup<'a> {
    /// The first of them, whose cause stands for all.
    pub(super) first: &'a FailedScene,
    /// Their files.
    pub(super) scenes: Vec<&'a str>,
}

/// The groups, the largest first. Causes that differ only in numbers and in what stands between backquotes are one.
pub(super) fn by_cause(failed: &[FailedScene]) -> Vec<CauseGroup<'_>> {
    let mut groups: BTreeMap<(String, &str, &str), CauseGroup<'_>> = BTreeMap::new();
    for scene in failed {
        let key = (without_particulars(&scene.cause), scene.stage.as_str(), scene.action.as_str());
        let group = groups.entry(key).or_insert_with(|| CauseGroup { first: scene, scenes: Vec::new() });
        group.scenes.push(&scene.scene);
    }
    let mut groups: Vec<CauseGroup<'_>> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.scenes.len()));
    groups
}

fn without_particulars(cause: &str) -> String {
    let mut kept = String::new();
    for (idx, part) in cause.split('`').enumerate() {
        // What stands between two backquotes has an odd position.
        if idx % 2 == 0 {
            kept.extend(part.chars().filter(|c| !c.is_ascii_digit()));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(scene: &str, cause: &str) -> FailedScene {
        let (name, scene) = (String::new(), scene.into());
        FailedScene { name, scene, stage: "read".into(), cause: cause.into(), action: String::new() }
    }

    #[test]
    fn numbers_and_names_make_no_cause_of_their_own() {
        let all = [failed("a", "rows 1 to 5 of `a`"), failed("b", "cut"), failed("c", "rows 17 to 20 of `c.tif`")];
        let groups: Vec<_> = by_cause(&all).into_iter().map(|g| (g.first.cause.as_str(), g.scenes)).collect();
        assert_eq!(groups, [("rows 1 to 5 of `a`", vec!["a", "c"]), ("cut", vec!["b"])]);
    }
}
