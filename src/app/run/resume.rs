//! What earlier runs left that still holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use crate::app::Error;
use crate::atomic::{self, TEMP_PREFIX};
use crate::journal::{
    ArchiveRecord, Checkpoints, Conceded, ConcessionRecord, FileRecord, OutputRecord, SceneRecord, StageKey, State,
};
use crate::outputs::{OutputLayout, kinds_of};
use crate::plan::{Concessions, Keys, Plan, UnitGeometry};
use crate::stages::PriorResults;

/// A stage by its name on the command line, in the order of the dataflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageName {
    /// The members' forward passes.
    Infer,
    /// Their combination to labels.
    Average,
    /// Tiles to rows.
    Stitch,
    /// What is done to a whole label map.
    Post,
    /// Files.
    Encode,
    /// submit.zip.
    Pack,
}

impl StageName {
    /// All of them.
    pub const NAMED: [(&'static str, Self); 6] = [
        ("infer", Self::Infer),
        ("average", Self::Average),
        ("stitch", Self::Stitch),
        ("post", Self::Post),
        ("encode", Self::Encode),
        ("pack", Self::Pack),
    ];
}

/// What was found.
pub(in crate::app) struct Found {
    /// For the stages.
    pub(in crate::app) prior: PriorResults,
    /// Records of the scenes that are done, by index.
    pub(in crate::app) done: Vec<Option<SceneRecord>>,
    /// The archive, if it is whole.
    pub(in crate::app) archive: Option<ArchiveRecord>,
    /// Scenes whose files were recorded and are damaged or gone.
    pub(in crate::app) damaged: u64,
    /// Recorded scenes that this plan cannot use.
    pub(in crate::app) stale: Vec<String>,
    /// Records of scenes of which less holds than was recorded.
    pub(in crate::app) reduced: Vec<SceneRecord>,
    /// Stage results that are gone, damaged or to be discarded.
    pub(in crate::app) discarded: Vec<StageKey>,
    /// Those that this plan takes.
    pub(in crate::app) usable: Usable,
}

/// Stored results of scenes that are not done, as far as a plan takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct Usable {
    /// How many: labels of a unit's scene, or a tile's logits of a member.
    pub(in crate::app) checkpoints: u64,
    /// Pixels that the networks need not see because of them.
    pub(in crate::app) network_pixels: u64,
}

/// Looks through a journal for what a plan can use under concessions: what was done otherwise is of no use. `from` discards the results
/// of that stage and later ones.
///
/// # Errors
/// When `from` needs results that are not stored.
pub(in crate::app) fn look_back(
    plan: &Plan,
    concessions: &Concessions,
    mut state: State,
    layout: &OutputLayout,
    from: Option<StageName>,
) -> Result<Found, Error> {
    let mut stale: BTreeSet<String> = state.scenes.keys().cloned().collect();
    let recorded: Vec<StageKey> = state.entries.keys().cloned().collect();
    let checkpoints = Checkpoints::of(&layout.dir);
    let gone: HashSet<String> =
        state.artefacts.values().filter(|file| !checkpoints.has(file)).map(|file| file.path.clone()).collect();
    state.entries.retain(|_, location| !gone.contains(&location.path));
    let keys = Keys::new(plan);
    let mut prior = PriorResults::nothing(plan.scenes.len(), checkpoints);
    let (mut done, mut damaged) = (vec![None; plan.scenes.len()], 0);
    if from.is_none_or(|from| from == StageName::Pack) {
        for (scene, own) in keys.outputs(plan, concessions).into_iter().enumerate() {
            let Some(recorded) = state.scenes.get(&plan.scenes[scene].name) else { continue };
            let holding = holding(plan, &own, recorded.clone(), &layout.dir, &mut damaged);
            prior.done[scene] = holding.complete;
            let place = if holding.complete { &mut done } else { &mut prior.kept };
            place[scene] = Some(holding).filter(|holding| !holding.outputs.is_empty());
        }
    }
    prior.entries = state.entries;
    let work = Work { plan, concessions, keys: &keys };
    work.forget_damaged(&mut prior, &state.artefacts, &layout.dir);
    if let Some(from) = from {
        work.discard(&mut prior, from)?;
    }
    work.keep_what_labels_complete(&mut prior);
    let holding = || done.iter().chain(&prior.kept).flatten();
    let names: HashSet<&String> = holding().map(|holding| &holding.name).collect();
    stale.retain(|name| !names.contains(name));
    let reduced = holding().filter(|holding| state.scenes.get(&holding.name) != Some(holding)).cloned().collect();
    let discarded = recorded.into_iter().filter(|key| !prior.entries.contains_key(key)).collect();
    let archive = state.archive.filter(|archive| from.is_none() && is_whole(&layout.dir, &archive.file));
    let usable = work.usable(&prior);
    Ok(Found { prior, done, archive, damaged, stale: stale.into_iter().collect(), reduced, discarded, usable })
}

/// What of a recorded scene holds for a plan whose kinds of output have these keys for it, all files read again.
fn holding(plan: &Plan, keys: &[StageKey], mut recorded: SceneRecord, dir: &Path, damaged: &mut u64) -> SceneRecord {
    let is_planned = |output: &OutputRecord| {
        kinds_of(&plan.pipeline).zip(keys).any(|(kind, key)| kind.folder() == output.kind && *key == output.key)
    };
    recorded.outputs.retain(is_planned);
    let n_planned = recorded.outputs.len();
    recorded.outputs.retain(|output| output.files.iter().all(|file| is_whole(dir, file)));
    *damaged += u64::from(recorded.outputs.len() < n_planned);
    recorded.complete = recorded.outputs.len() == keys.len();
    recorded
}

/// Whether what was given up holds for this plan. Without a deadline nobody is short of time: what was done with fewer passes is done
/// again.
pub(in crate::app) fn holds(conceded: &ConcessionRecord, plan: &str, has_deadline: bool) -> bool {
    conceded.plan == plan && (has_deadline || !matches!(conceded.what, Conceded::FewerPasses { .. }))
}

/// Whether a recorded file is there with the recorded bytes.
pub(in crate::app) fn is_whole(dir: &Path, file: &FileRecord) -> bool {
    let path = dir.join(&file.path);
    let has_length = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == file.bytes);
    has_length && atomic::sha256_of(&path).is_ok_and(|found| found == file.sha256)
}

/// What is to be done, and how.
struct Work<'a> {
    plan: &'a Plan,
    concessions: &'a Concessions,
    keys: &'a Keys,
}

impl Work<'_> {
    /// The units of scenes that are not done.
    fn open_units<'a>(&'a self, prior: &'a PriorResults) -> impl Iterator<Item = UnitGeometry> + 'a {
        let open = self.plan.units_with(|scene| !prior.done[scene]);
        open.map(|(unit, _)| self.concessions.geometry(self.plan, unit))
    }

    /// Makes all outputs of a scene anew whose labels are not all stored: then networks see it, on terms that may change on the way, and
    /// what is made of it must be of one piece.
    fn keep_what_labels_complete(&self, prior: &mut PriorResults) {
        let mut kept = std::mem::take(&mut prior.kept);
        for geometry in self.open_units(prior) {
            for (idx, part) in (0..).zip(&geometry.parts) {
                if !self.keys.planes(&geometry, idx).all(|key| prior.entries.contains_key(&key)) {
                    kept[part.scene as usize] = None;
                }
            }
        }
        prior.kept = kept;
    }

    /// Forgets results in label files that are damaged. Logits are not looked at before they are used: they are many times larger, and
    /// networks are at hand where they are.
    fn forget_damaged(&self, prior: &mut PriorResults, artefacts: &BTreeMap<String, FileRecord>, dir: &Path) {
        let mut paths = BTreeSet::new();
        for geometry in self.open_units(prior) {
            let planes = (0..).zip(&geometry.parts).flat_map(|(part, _)| self.keys.planes(&geometry, part));
            paths.extend(planes.filter_map(|key| prior.entries.get(&key)).map(|location| location.path.clone()));
        }
        paths.retain(|path| !artefacts.get(path).is_some_and(|file| is_whole(dir, file)));
        prior.entries.retain(|_, location| !paths.contains(&location.path));
    }

    /// What is stored and will be taken.
    fn usable(&self, prior: &PriorResults) -> Usable {
        let mut usable = Usable::default();
        if prior.entries.is_empty() {
            return usable;
        }
        let has = |key: &StageKey| prior.entries.contains_key(key);
        for geometry in self.open_units(prior) {
            for (part, _) in (0..).zip(&geometry.parts).filter(|(_, part)| !prior.done[part.scene as usize]) {
                let tiles = || (0..geometry.tiles.len()).filter(|tile| geometry.tiles[*tile].part == part);
                let logits = |tile| {
                    let is_known = has(&self.keys.validity(&geometry, tile));
                    let passes = self.keys.all_logits(&geometry, tile).filter(has);
                    if is_known { passes.count() } else { 0 }
                };
                let has_planes = self.keys.planes(&geometry, part).all(|key| has(&key));
                let found = if has_planes { 1 } else { tiles().map(logits).sum::<usize>() };
                usable.checkpoints += found as u64;
                if has_planes || found == tiles().count() * geometry.passes.len() {
                    usable.network_pixels += geometry.crop.area() * tiles().count() as u64;
                }
            }
        }
        usable
    }

    /// Forgets results of `from` and later stages, after making sure that those before it are there.
    fn discard(&self, prior: &mut PriorResults, from: StageName) -> Result<(), Error> {
        let keys = self.keys;
        let (missing, what, line) = match from {
            StageName::Infer => {
                prior.entries.clear();
                return Ok(());
            }
            StageName::Average => {
                let has = |key: &StageKey| prior.entries.contains_key(key);
                let is_there = |geometry: &UnitGeometry, tile: usize| {
                    has(&keys.validity(geometry, tile)) && keys.all_logits(geometry, tile).all(|key| has(&key))
                };
                let line = "checkpoints = [\"labels\", \"member-logits\"]";
                (self.missing(prior, &is_there), "the members' logits", line)
            }
            StageName::Stitch | StageName::Post | StageName::Encode => {
                let is_there = |geometry: &UnitGeometry, tile: usize| {
                    keys.planes(geometry, geometry.tiles[tile].part).all(|key| prior.entries.contains_key(&key))
                };
                (self.missing(prior, &is_there), "labels", "checkpoints = [\"labels\"]")
            }
            StageName::Pack => {
                (self.missing(prior, &|_, _| false), "finished masks", "a run without --from makes them")
            }
        };
        if let Some(first) = missing.first() {
            return Err(Error::Usage(format!(
                "--from needs {what} of {} scenes that are not stored (`{first}` and others); in the pipeline: {line}",
                missing.len()
            )));
        }
        if from == StageName::Average {
            for unit in 0..self.plan.units.len() {
                let geometry = self.concessions.geometry(self.plan, unit);
                for (part, _) in (0..).zip(&geometry.parts) {
                    keys.planes(&geometry, part).for_each(|key| drop(prior.entries.remove(&key)));
                }
            }
        }
        Ok(())
    }

    /// Names of the scenes that are not done and some of whose tiles are not there.
    fn missing(&self, prior: &PriorResults, is_there: &dyn Fn(&UnitGeometry, usize) -> bool) -> Vec<String> {
        let mut names = Vec::new();
        for geometry in self.open_units(prior) {
            for (idx, tile) in geometry.tiles.iter().enumerate() {
                let scene = geometry.parts[tile.part as usize].scene as usize;
                if !prior.done[scene] && !is_there(&geometry, idx) {
                    names.push(self.plan.scenes[scene].name.clone());
                }
            }
        }
        names.dedup();
        names
    }
}

/// Whether some scene that is not done needs a network to run.
pub(in crate::app) fn needs_networks(plan: &Plan, concessions: &Concessions, prior: &PriorResults) -> bool {
    let keys = Keys::new(plan);
    plan.units_with(|scene| !prior.done[scene]).any(|(unit, _)| {
        let geometry = concessions.geometry(plan, unit);
        let open = (0..).zip(&geometry.parts).filter(|(_, part)| !prior.done[part.scene as usize]);
        open.into_iter().any(|(part, _)| !keys.planes(&geometry, part).all(|key| prior.entries.contains_key(&key)))
    })
}

/// Removes what attempts that were cut off left under temporary names; returns how many files that were.
pub(in crate::app) fn remove_temporaries(dir: &Path) -> u64 {
    let is_temporary = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(TEMP_PREFIX);
    let files = walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok);
    let leftovers = files.filter(|entry| entry.file_type().is_file() && is_temporary(entry.file_name()));
    leftovers.filter(|entry| std::fs::remove_file(entry.path()).is_ok()).count() as u64
}
