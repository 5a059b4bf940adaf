//! Parts to train on, to choose by and to look at once: the same for the same names, whatever their order.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::{Pair, Part};
use crate::raster::SceneHeader;
use crate::words::count;

/// What goes into one part together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grouping {
    /// Each pair by itself.
    Scene,
    /// The pairs of a folder.
    Folder,
    /// The pairs whose centres lie in one square of the ground with sides of so many units of the reference system.
    Block(f64),
}

impl FromStr for Grouping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |side: &str| side.parse().ok().filter(|side: &f64| side.is_finite() && *side > 0.0);
        match (text, text.strip_prefix("block:").and_then(side)) {
            ("scene", _) => Ok(Self::Scene),
            ("folder", _) => Ok(Self::Folder),
            (_, Some(side)) => Ok(Self::Block(side)),
            _ => Err(format!(
                "`{text}` is no way to group; write scene, folder, or block:SIDE in units of the reference system"
            )),
        }
    }
}

/// How pairs are shared out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shares {
    /// These shares to choose by and to look at once, the rest to train on.
    Parts {
        /// To choose by.
        val: f64,
        /// To look at once.
        test: f64,
    },
    /// So many folds of about the same size.
    Folds(u32),
}

impl Grouping {
    /// The group of a pair.
    ///
    /// # Errors
    /// When it has none: a pair that lies nowhere is in no block.
    pub fn of(self, pair: &Pair, header: Option<&SceneHeader>) -> Result<String, String> {
        match self {
            Self::Scene => Ok(pair.name.clone()),
            Self::Folder => Ok(pair.name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())),
            Self::Block(side) => {
                let header = header.ok_or("its header was not read")?;
                let transform = header.transform.ok_or("it lies nowhere: its file has no transform")?;
                let [x, y] = transform.centre(header.size);
                Ok(format!("{:.0} {:.0}", (x / side).floor(), (y / side).floor()))
            }
        }
    }
}

/// The part of each pair, of which `groups` are known. Whole groups are drawn in an order that follows from their names and the seed; a part
/// takes groups until it has its share of the pairs.
pub fn split(groups: &[String], shares: Shares, seed: u64) -> Vec<Part> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    groups.iter().for_each(|group| *sizes.entry(group).or_default() += 1);
    let mut drawn: Vec<(&str, usize)> = sizes.into_iter().collect();
    drawn.sort_by_cached_key(|(group, _)| Sha256::digest(format!("{seed}/{group}")).to_vec());
    let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
    match shares {
        Shares::Folds(n) => {
            let mut filled = vec![0; n as usize];
            for (group, size) in drawn {
                let least = (0..n).min_by_key(|fold| filled[*fold as usize]).unwrap_or_default();
                filled[least as usize] += size;
                parts.insert(group, Part::Fold(least));
            }
        }
        Shares::Parts { val, test } => {
            let wanted = |share: f64| share * groups.len() as f64;
            let mut left = [(Part::Test, wanted(test)), (Part::Val, wanted(val))];
            for (group, size) in drawn {
                // A group goes where at least half of it is wanted.
                let open = left.iter_mut().find(|(_, wanted)| *wanted >= size as f64 / 2.0 && *wanted > 0.0);
                let part = open.map_or(Part::Train, |(part, wanted)| {
                    *wanted -= size as f64;
                    *part
                });
                parts.insert(group, part);
            }
        }
    }
    groups.iter().map(|group| parts.get(group.as_str()).copied().unwrap_or(Part::All)).collect()
}

/// Shares pairs out into folds `0..n`, one by one, unless a list has done so. Those to be looked at once stay apart. Where pairs of several
/// parts are joined, their names say of which they are.
///
/// # Errors
/// When there are fewer than folds, or a list has other folds.
pub fn share_out(pairs: &mut [Pair], n: u32) -> Result<(), String> {
    let parts: BTreeSet<Part> = pairs.iter().map(|pair| pair.part).filter(|part| *part != Part::Test).collect();
    let listed: Vec<Part> = parts.iter().copied().filter(|part| matches!(part, Part::Fold(_))).collect();
    if !listed.is_empty() {
        let wanted: Vec<Part> = (0..n).map(Part::Fold).collect();
        let there: Vec<String> = listed.iter().map(ToString::to_string).collect();
        return (listed == wanted).then_some(()).ok_or_else(|| {
            format!("it has the folds {}, and --folds {n} needs all of fold0 to fold{}", there.join(", "), n - 1)
        });
    }
    let mut shared: Vec<&mut Pair> = pairs.iter_mut().filter(|pair| pair.part != Part::Test).collect();
    if shared.len() < n as usize {
        return Err(format!("{} cannot be shared out into {n} folds", count(shared.len() as u64, "pair")));
    }
    if parts.len() > 1 {
        shared.iter_mut().for_each(|pair| pair.name = pair.full_name());
    }
    let names: Vec<String> = shared.iter().map(|pair| pair.name.clone()).collect();
    shared.iter_mut().zip(split(&names, Shares::Folds(n), 0)).for_each(|(pair, part)| pair.part = part);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(n: usize, per_group: usize) -> Vec<String> {
        (0..n).map(|i| format!("g{}", i / per_group)).collect()
    }

    #[test]
    fn groups_stay_together_and_shares_are_kept() {
        for (n, per_group) in [(100, 1), (100, 4), (7, 1)] {
            let groups = groups(n, per_group);
            let parts = split(&groups, Shares::Parts { val: 0.2, test: 0.1 }, 5);
            let count = |part| parts.iter().filter(|p| **p == part).count() as f64;
            let near = |part, share: f64| (count(part) - share * n as f64).abs() <= per_group as f64;
            assert!(near(Part::Val, 0.2) && near(Part::Test, 0.1), "{n} by {per_group}: {parts:?}");
            for (group, part) in groups.iter().zip(&parts) {
                let first = groups.iter().position(|g| g == group).unwrap();
                assert_eq!(parts[first], *part);
            }
        }
    }

    #[test]
    fn the_order_of_names_is_nothing_and_the_seed_is_all() {
        let mut groups = groups(40, 1);
        let shares = Shares::Parts { val: 0.25, test: 0.25 };
        let by_name = |groups: &[String], seed| -> BTreeMap<String, Part> {
            groups.iter().cloned().zip(split(groups, shares, seed)).collect()
        };
        let before = by_name(&groups, 1);
        assert_ne!(before, by_name(&groups, 2));
        groups.reverse();
        assert_eq!(before, by_name(&groups, 1));
    }

    #[test]
    fn folds_are_of_one_size() {
        let parts = split(&groups(50, 1), Shares::Folds(5), 0);
        for fold in 0..5 {
            assert_eq!(parts.iter().filter(|part| **part == Part::Fold(fold)).count(), 10);
        }
    }
    #[test]
    fn pairs_are_shared_out_and_a_list_of_folds_is_taken_as_it_is() {
        let pair =
            |name: &str, part| Pair { name: name.into(), images: Vec::new(), mask: name.into(), part, weight: 1.0 };
        let parts = |pairs: &[Pair]| pairs.iter().map(|pair| pair.part).collect::<Vec<_>>();
        let mut pairs =
            vec![pair("a", Part::Train), pair("b", Part::Train), pair("a", Part::Val), pair("c", Part::Test)];
        share_out(&mut pairs, 3).unwrap();
        let names: Vec<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
        assert_eq!(names, ["train/a", "train/b", "val/a", "c"]);
        let mut folds = parts(&pairs[..3]);
        folds.sort_unstable();
        assert_eq!((folds, pairs[3].part), (vec![Part::Fold(0), Part::Fold(1), Part::Fold(2)], Part::Test));
        let before = pairs.clone();
        share_out(&mut pairs, 3).unwrap();
        assert_eq!(pairs, before);
        let error = share_out(&mut pairs, 2).unwrap_err();
        assert!(
            error.contains("it has the folds fold0, fold1, fold2, and --folds 2 needs all of fold0 to fold1"),
            "{error}"
        );
        let mut few = vec![pair("a", Part::All)];
        assert_eq!(share_out(&mut few, 2).unwrap_err(), "1 pair cannot be shared out into 2 folds");
    }
}
