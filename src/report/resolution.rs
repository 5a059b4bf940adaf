//! How large a scene's pixels are where the pipeline wants a size, and what was done about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::words::{count, listed};

/// Resolutions that are listed; the JSON has each scene's.
const LISTED: usize = 5;

/// A scene whose pixels were to have a size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneResolution {
    /// Metres from a column to the next and from a row to the next.
    pub metres: [f64; 2],
    /// Metres that were wanted.
    pub wanted: f64,
    /// Width and height of what the networks saw: those of the scene where its pixels are near enough to what was wanted.
    pub network_size: [u32; 2],
    /// Whether it was resampled.
    pub resampled: bool,
}

/// What was done about the resolutions of scenes, in a sentence; nothing where none was wanted.
pub(super) fn resolutions<'a>(scenes: impl IntoIterator<Item = &'a SceneResolution>) -> Option<String> {
    let mut groups: BTreeMap<(bool, String), u64> = BTreeMap::new();
    for SceneResolution { metres: [x, y], wanted, resampled, .. } in scenes {
        let found = if short(*x) == short(*y) { short(*x) } else { format!("{} x {}", short(*x), short(*y)) };
        let text = match resampled {
            true => format!("resampled from {found} m to {} m", short(*wanted)),
            false => format!("taken as found, {found} m for {} m", short(*wanted)),
        };
        *groups.entry((*resampled, text)).or_default() += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((_, text), n)| (std::cmp::Reverse(*n), text.clone()));
    let texts: Vec<String> = groups.iter().map(|((_, text), n)| format!("{} {text}", count(*n, "scene"))).collect();
    (!texts.is_empty()).then(|| listed(&texts, LISTED))
}

/// Three digits, without zeros at the end: pixels of degrees differ in the fourth from scene to scene.
fn short(metres: f64) -> String {
    format!("{metres:.2e}").parse::<f64>().map_or_else(|_| metres.to_string(), |rounded| rounded.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_of_about_one_resolution_are_told_together() {
        let of = |x, y, resampled| SceneResolution { metres: [x, y], wanted: 0.5, network_size: [1, 1], resampled };
        let scenes = [of(0.3, 0.3, true), of(0.300_04, 0.299_96, true), of(0.5, 0.5, false), of(1.0, 2.0, true)];
        assert_eq!(
            resolutions(&scenes).unwrap(),
            "2 scenes resampled from 0.3 m to 0.5 m, 1 scene resampled from 1 x 2 m to 0.5 m, 1 scene taken as found, 0.5 m for 0.5 m"
        );
        assert_eq!(resolutions(&[]), None);
    }
}
