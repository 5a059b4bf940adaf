//! What earlier runs left that still holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use crate::app::Error;
use crate::atomic::TEMP_PREFIX;
use crate::journal::{
    ArchiveRecord, Checkpoints, Conceded, ConcessionRecord, FailureRecord, FileRecord, OutputRecord, SceneRecord,
    StageKey, State,
};
use crate::outputs::{OutputLayout, kinds_of};
use crate::plan::{Concessions, Plan, Unit, UnitGeometry};
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

/// How much of what earlier runs left is used, as far as it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// All of it.
    #[default]
    Everything,
    /// All of it, and what has failed is not tried again.
    Verdicts,
    /// The results of stages before this one.
    Before(StageName),
    /// Nothing, not even what they recorded of devices or against their plan.
    Nothing,
}

pub(in crate::app) struct Found {
    pub(in crate::app) prior: PriorResults,
    /// What holds of each scene by index: all of it where the scene is done, otherwise outputs that need not be made again.
    pub(in crate::app) scenes: Vec<Option<SceneRecord>>,
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
    /// Units that need a device, if only to combine what is stored.
    pub(in crate::app) for_networks: Vec<usize>,
    /// Scenes that have failed and are not tried again, by index.
    pub(in crate::app) failed: Vec<(u32, FailureRecord)>,
}

/// Stored results of scenes that are not done, as far as a plan takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct Usable {
    /// How many: labels of a unit's scene, or a tile's logits of a member.
    pub(in crate::app) checkpoints: u64,
    /// Pixels that the networks need not see because of them.
    pub(in crate::app) network_pixels: u64,
}

/// Looks through a journal for what a plan can use under concessions: what was done otherwise is of no use.
///
/// # Errors
/// When results are to be used that are not stored.
pub(in crate::app) fn look_back(
    plan: &Plan,
    concessions: &Concessions,
    mut state: State,
    layout: &OutputLayout,
    reuse: Reuse,
) -> Result<Found, Error> {
    let recorded: Vec<StageKey> = state.entries.keys().cloned().collect();
    let mut prior = PriorResults::nothing(plan, Checkpoints::of(&layout.dir));
    let gone: HashSet<&String> =
        state.artefacts.values().filter(|file| !file.is_there(&layout.dir)).map(|file| &file.path).collect();
    prior.entries = state.entries;
    prior.entries.retain(|_, location| !gone.contains(&location.path));
    let (mut scenes, mut damaged) = (vec![None; plan.scenes.len()], 0);
    // Of each scene that is recorded: how many outputs were, and whether it was done. A copy of 10^6 records would be hundreds of megabytes.
    let mut recorded_as: BTreeMap<usize, (usize, bool)> = BTreeMap::new();
    if matches!(reuse, Reuse::Everything | Reuse::Verdicts | Reuse::Before(StageName::Pack)) {
        for (scene, own) in prior.keys.outputs(plan, concessions).into_iter().enumerate() {
            let Some(recorded) = state.scenes.remove(&plan.scenes[scene].name) else { continue };
            recorded_as.insert(scene, (recorded.outputs.len(), recorded.complete));
            let holding = holding(plan, &own, recorded, &layout.dir, &mut damaged);
            scenes[scene] = Some(holding).filter(|holding| !holding.outputs.is_empty());
        }
    }
    let mut work = Work { plan, concessions, done: scenes.iter().map(is_done).collect(), prior };
    work.forget_damaged(&state.artefacts, &layout.dir);
    let failed = match reuse {
        Reuse::Before(stage) => work.discard(stage).map(|()| Vec::new())?,
        Reuse::Verdicts => work.give_up(&state.failures),
        Reuse::Everything | Reuse::Nothing => Vec::new(),
    };
    work.keep_what_labels_complete(&mut scenes);
    let lost =
        recorded_as.keys().filter(|scene| scenes[**scene].is_none()).map(|scene| plan.scenes[*scene].name.clone());
    let stale = state.scenes.into_keys().chain(lost).collect();
    let is_reduced = |(scene, was): (&usize, &(usize, bool))| {
        scenes[*scene]
            .as_ref()
            .filter(|holding: &&SceneRecord| (holding.outputs.len(), holding.complete) != *was)
            .cloned()
    };
    let reduced = recorded_as.iter().filter_map(is_reduced).collect();
    let discarded = recorded.into_iter().filter(|key| !work.prior.has(key)).collect();
    let holds = matches!(reuse, Reuse::Everything | Reuse::Verdicts);
    let archive = state.archive.filter(|archive| holds && archive.file.is_whole(&layout.dir));
    let (usable, for_networks) = (work.usable(), work.for_networks());
    let Work { prior, .. } = work;
    Ok(Found { prior, scenes, archive, damaged, stale, reduced, discarded, usable, for_networks, failed })
}

/// Whether all outputs of a scene hold.
pub(in crate::app) fn is_done(holding: &Option<SceneRecord>) -> bool {
    holding.as_ref().is_some_and(|holding| holding.complete)
}

/// What of a recorded scene holds for a plan whose kinds of output have these keys for it, all files read again.
fn holding(plan: &Plan, keys: &[StageKey], mut recorded: SceneRecord, dir: &Path, damaged: &mut u64) -> SceneRecord {
    let is_planned = |output: &OutputRecord| {
        kinds_of(&plan.pipeline).zip(keys).any(|(kind, key)| kind.folder() == output.kind && *key == output.key)
    };
    recorded.outputs.retain(is_planned);
    let n_planned = recorded.outputs.len();
    recorded.outputs.retain(|output| output.files.iter().all(|file| file.is_whole(dir)));
    *damaged += u64::from(recorded.outputs.len() < n_planned);
    recorded.complete = recorded.outputs.len() == keys.len();
    recorded
}

/// Whether what was given up holds for this plan. Without a deadline nobody is short of time: what was done with fewer passes is done
/// again.
pub(in crate::app) fn holds(conceded: &ConcessionRecord, plan: &str, has_deadline: bool) -> bool {
    conceded.plan == plan && (has_deadline || !matches!(conceded.what, Conceded::FewerPasses { .. }))
}

/// What is to be done, and what is stored of it.
struct Work<'a> {
    plan: &'a Plan,
    concessions: &'a Concessions,
    /// Of each scene, whether nothing is to be done about it.
    done: Vec<bool>,
    prior: PriorResults,
}

impl Work<'_> {
    /// The units of scenes that are not done.
    fn open_units(&self) -> impl Iterator<Item = UnitGeometry> + '_ {
        let open = self.plan.units_with(|scene| !self.done[scene]);
        open.map(|(unit, _)| self.concessions.geometry(self.plan, unit))
    }

    /// The parts of a unit whose scenes are not done.
    fn open_parts<'a>(&'a self, geometry: &'a UnitGeometry) -> impl Iterator<Item = u32> + 'a {
        let open = (0..).zip(&geometry.parts).filter(|(_, part)| !self.done[part.scene as usize]);
        open.map(|(idx, _)| idx)
    }

    /// Makes all outputs of a scene anew whose labels are not all stored: then networks see it, on terms that may change on the way, and
    /// what is made of it must be of one piece.
    fn keep_what_labels_complete(&self, scenes: &mut [Option<SceneRecord>]) {
        for geometry in self.open_units() {
            for part in self.open_parts(&geometry).filter(|part| !self.prior.has_planes(&geometry, *part)) {
                scenes[geometry.parts[part as usize].scene as usize] = None;
            }
        }
    }

    /// Forgets results in label files that are damaged. Logits are not looked at before they are used: they are many times larger, and
    /// networks are at hand where they are.
    fn forget_damaged(&mut self, artefacts: &BTreeMap<String, FileRecord>, dir: &Path) {
        let mut paths = BTreeSet::new();
        for geometry in self.open_units() {
            let planes = (0..).zip(&geometry.parts).flat_map(|(part, _)| self.prior.keys.planes(&geometry, part));
            paths.extend(planes.filter_map(|key| self.prior.entries.get(&key)).map(|location| location.path.clone()));
        }
        paths.retain(|path| !artefacts.get(path).is_some_and(|file| file.is_whole(dir)));
        self.prior.entries.retain(|_, location| !paths.contains(&location.path));
    }

    /// What is stored and will be taken.
    fn usable(&self) -> Usable {
        let (mut usable, prior) = (Usable::default(), &self.prior);
        if prior.entries.is_empty() {
            return usable;
        }
        for geometry in self.open_units() {
            for part in self.open_parts(&geometry) {
                let n_tiles = geometry.tiles_of(part).count();
                let logits = |tile| {
                    let is_known = prior.has(&prior.keys.validity(&geometry, tile));
                    let passes = prior.keys.all_logits(&geometry, tile).filter(|key| prior.has(key));
                    if is_known { passes.count() } else { 0 }
                };
                let has_planes = prior.has_planes(&geometry, part);
                let found = if has_planes { 1 } else { geometry.tiles_of(part).map(logits).sum::<usize>() };
                usable.checkpoints += found as u64;
                if has_planes || found == n_tiles * geometry.passes.len() {
                    usable.network_pixels += geometry.crop.area() * n_tiles as u64;
                }
            }
        }
        usable
    }

    /// The units of scenes that are not done which need a network to run, or its logits to be combined.
    fn for_networks(&self) -> Vec<usize> {
        let lacks = |(unit, _): &(usize, &Unit)| {
            let geometry = self.concessions.geometry(self.plan, *unit);
            self.open_parts(&geometry).any(|part| !self.prior.has_planes(&geometry, part))
        };
        let open = self.plan.units_with(|scene| !self.done[scene]);
        open.filter(lacks).map(|(unit, _)| unit).collect()
    }

    /// Counts scenes that have failed as done, unless all that networks have to do about them is done.
    fn give_up(&mut self, failures: &BTreeMap<String, FailureRecord>) -> Vec<(u32, FailureRecord)> {
        let mut lacks = vec![false; self.done.len()];
        for unit in self.for_networks() {
            lacks[self.plan.units[unit].scenes()].fill(true);
        }
        let scenes = (0..).zip(&self.plan.scenes).filter(|(idx, _)| lacks[*idx as usize] && !self.done[*idx as usize]);
        let failed: Vec<(u32, FailureRecord)> =
            scenes.filter_map(|(idx, scene)| Some((idx, failures.get(&scene.name)?.clone()))).collect();
        failed.iter().for_each(|(idx, _)| self.done[*idx as usize] = true);
        failed
    }

    /// Forgets results of `from` and later stages, after making sure that those before it are there.
    fn discard(&mut self, from: StageName) -> Result<(), Error> {
        let prior = &self.prior;
        let (missing, what, line) = match from {
            StageName::Infer => {
                self.prior.entries.clear();
                return Ok(());
            }
            StageName::Average => {
                let line = "checkpoints = [\"labels\", \"member-logits\"]";
                (self.missing(|unit, part| prior.has_all_logits(unit, part)), "the members' logits", line)
            }
            StageName::Stitch | StageName::Post | StageName::Encode => {
                (self.missing(|unit, part| prior.has_planes(unit, part)), "labels", "checkpoints = [\"labels\"]")
            }
            StageName::Pack => (self.missing(|_, _| false), "finished masks", "a run without --from makes them"),
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
                    let prior = &mut self.prior;
                    prior.keys.planes(&geometry, part).for_each(|key| drop(prior.entries.remove(&key)));
                }
            }
        }
        Ok(())
    }

    /// Names of the scenes that are not done and of which something is not there.
    fn missing(&self, is_there: impl Fn(&UnitGeometry, u32) -> bool) -> Vec<&str> {
        let mut names = Vec::new();
        for geometry in self.open_units() {
            let lacking = self.open_parts(&geometry).filter(|part| !is_there(&geometry, *part));
            let scenes = lacking.map(|part| geometry.parts[part as usize].scene as usize);
            names.extend(scenes.map(|scene| self.plan.scenes[scene].name.as_str()));
        }
        names.dedup();
        names
    }
}

/// Removes what attempts that were cut off left under temporary names; returns how many files that were.
pub(in crate::app) fn remove_temporaries(dir: &Path) -> u64 {
    let is_temporary = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(TEMP_PREFIX);
    let files = walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok);
    let leftovers = files.filter(|entry| entry.file_type().is_file() && is_temporary(entry.file_name()));
    leftovers.filter(|entry| std::fs::remove_file(entry.path()).is_ok()).count() as u64
}
