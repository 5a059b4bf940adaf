//! The scenes of a plan and what becomes of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::message::Ticket;
use crate::journal::{FailureRecord, SceneRecord};
use crate::plan::{Concessions, Plan};
use crate::raster::{Identity, OpenSource, Warnings};

/// Where a scene stands in a pass over the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SceneState {
    /// It is to be done, or is under way.
    Open,
    /// It had its end before this pass: it was done, or has failed.
    DoneBefore,
    /// It has failed in this pass: work on it is pointless, and its parts travel on as blanks.
    Failed(FailureRecord),
    /// Some unit of it is left to a further pass, or to another run, or is no part of the plan: this pass makes no files of it, and gives it
    /// no verdict.
    Deferred,
}

/// The scenes of a plan, in a pass over it.
pub struct Scenes {
    plan: Arc<Plan>,
    source: Arc<dyn OpenSource>,
    /// The number of the run.
    attempt: u64,
    /// Scenes that were under way when an earlier attempt died: each has the dataflow to itself.
    suspects: BTreeSet<u32>,
    /// What still holds of scenes that are not done: those of their outputs are not made again.
    kept: Vec<Option<SceneRecord>>,
    fates: Mutex<Fates>,
}

#[derive(Clone)]
struct Fates {
    scenes: Vec<Fate>,
    /// Units that are left to a further pass.
    put_off: Vec<bool>,
    /// Units that a further pass does again because what their tiles are blended with was left to it.
    waiting: Vec<bool>,
}

#[derive(Clone)]
struct Fate {
    state: SceneState,
    /// When the first of its units began.
    began: Option<Instant>,
    warnings: Warnings,
    /// What its files looked like when they were found to be those that were planned, where it is a mosaic of many.
    glance: Option<u64>,
    /// Whether its files were looked at and found to be those that were planned.
    looked: bool,
    /// What they were then, where the plan says otherwise: they are copies, or were touched since.
    seen: Option<Identity>,
}

impl Scenes {
    /// Those of a plan, of which earlier runs have left so much by index.
    pub fn new(
        plan: Arc<Plan>,
        source: Arc<dyn OpenSource>,
        mut earlier: Vec<Option<SceneRecord>>,
        suspects: BTreeSet<u32>,
        attempt: u64,
    ) -> Self {
        earlier.resize(plan.scenes.len(), None);
        let fate = |record: &mut Option<SceneRecord>| {
            let done = record.take_if(|record| record.complete);
            let state = done.map_or(SceneState::Open, |_| SceneState::DoneBefore);
            Fate { state, began: None, warnings: Warnings::default(), glance: None, looked: false, seen: None }
        };
        let fates = Fates {
            scenes: earlier.iter_mut().map(fate).collect(),
            put_off: vec![false; plan.units.len()],
            waiting: vec![false; plan.units.len()],
        };
        let scenes = Self { plan, source, attempt, suspects, kept: earlier, fates: Mutex::new(fates) };
        scenes.defer(scenes.cut());
        scenes
    }

    /// Scenes of which the plan has a part only: what is kept of them is for whoever finishes them.
    pub fn cut(&self) -> Vec<u32> {
        let cut = self.plan.part.iter().flat_map(|part| &part.cut);
        cut.filter_map(|scene| u32::try_from(*scene).ok()).collect()
    }

    /// Says that nothing is to be done about a scene.
    pub fn end(&self, scene: u32) {
        self.fates().scenes[scene as usize].state = SceneState::DoneBefore;
    }

    /// The same in a further pass, over those that this one has deferred. What their outputs at hand were made of may come out otherwise
    /// under these concessions.
    pub(super) fn of_next_pass(&self, concessions: &Concessions) -> Self {
        let (mut kept, mut fates, cut) = (self.kept.clone(), self.fates().clone(), self.cut());
        let Fates { scenes, put_off, waiting } = &mut fates;
        for (idx, Fate { state, .. }) in (0..).zip(scenes) {
            let is_cut = cut.contains(&idx);
            // Of a scene that is cut, what was not put off is kept by now.
            let of_scene = || self.plan.units_of(idx as usize);
            let waits = || !is_cut || put_off[of_scene()].contains(&true) || waiting[of_scene()].contains(&true);
            *state = match (*state == SceneState::Deferred && waits(), is_cut) {
                (true, true) => SceneState::Deferred,
                (true, false) => SceneState::Open,
                (false, _) => SceneState::DoneBefore,
            };
        }
        put_off.fill(false);
        waiting.fill(false);
        for unit in concessions.units().into_iter().filter_map(|unit| self.plan.units.get(unit)) {
            kept[unit.scenes()].fill(None);
        }
        let (plan, source, suspects) = (Arc::clone(&self.plan), Arc::clone(&self.source), self.suspects.clone());
        Self { plan, source, attempt: self.attempt, suspects, kept, fates: Mutex::new(fates) }
    }

    fn fates(&self) -> MutexGuard<'_, Fates> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn shared_plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan)
    }

    /// The units that touch scenes that are not done and of which some are wanted, ascending.
    pub fn open_units(&self, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        let fates = self.fates();
        let is_meant = |scene: usize| fates.scenes[scene].state != SceneState::DoneBefore && wanted(scene);
        self.plan.units_with(is_meant).map(|(unit, _)| unit).collect()
    }

    /// The number of the run among those of its directory.
    pub(super) fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Indices of the scenes.
    pub fn all(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.plan.scenes.len()).unwrap_or(u32::MAX)
    }

    /// Those that are to be tried alone.
    pub fn suspects(&self) -> &BTreeSet<u32> {
        &self.suspects
    }

    /// Where a scene stands.
    pub fn state(&self, scene: u32) -> SceneState {
        self.fates().scenes[scene as usize].state.clone()
    }

    /// Whether nothing is to be done about a scene.
    pub fn is_done(&self, scene: u32) -> bool {
        self.fates().scenes[scene as usize].state == SceneState::DoneBefore
    }

    /// Why a scene has failed, if it has.
    pub fn failure(&self, scene: u32) -> Option<FailureRecord> {
        match self.state(scene) {
            SceneState::Failed(failure) => Some(failure),
            SceneState::Open | SceneState::DoneBefore | SceneState::Deferred => None,
        }
    }

    /// Whether a scene has failed.
    pub fn has_failed(&self, scene: u32) -> bool {
        matches!(self.fates().scenes[scene as usize].state, SceneState::Failed(_))
    }

    /// Whether this pass makes no files of a scene that it has begun. True before the last of its units has left the averager, or never.
    pub fn is_dropped(&self, scene: u32) -> bool {
        matches!(self.fates().scenes[scene as usize].state, SceneState::Failed(_) | SceneState::Deferred)
    }

    /// Notes a failure, about a unit where it is one. The first one of a scene counts.
    pub fn fail(&self, scene: u32, stage: &'static str, unit: Option<usize>, cause: impl Into<String>) {
        let state = &mut self.fates().scenes[scene as usize].state;
        if matches!(state, SceneState::Open | SceneState::Deferred) {
            *state = SceneState::Failed(FailureRecord {
                name: self.plan.scenes[scene as usize].name.clone(),
                file: self.plan.label_of(scene as usize),
                stage: stage.to_owned(),
                unit: unit.and_then(|unit| u32::try_from(unit).ok()),
                attempt: self.attempt,
                cause: cause.into(),
            });
        }
    }

    /// Leaves scenes to a further pass, or to another run, unless they have their end.
    pub(super) fn defer(&self, scenes: impl IntoIterator<Item = u32>) {
        let mut fates = self.fates();
        for scene in scenes {
            let state = &mut fates.scenes[scene as usize].state;
            if *state == SceneState::Open {
                *state = SceneState::Deferred;
            }
        }
    }

    /// Leaves a unit to a further pass: what the networks make of it in this one counts for nothing, and the scenes that they see get no
    /// verdict. To be called while some part of the unit has not left the networks' stages.
    pub(super) fn put_off(&self, ticket: &Ticket) {
        self.defer(ticket.seen());
        self.fates().put_off[ticket.unit] = true;
    }

    /// The same of a unit that has been run, whose tiles are to be blended with such.
    pub(super) fn let_wait(&self, ticket: &Ticket) {
        self.defer(ticket.seen());
        self.fates().waiting[ticket.unit] = true;
    }

    /// Whether a unit is left to a further pass.
    pub fn is_put_off(&self, unit: usize) -> bool {
        let fates = self.fates();
        fates.put_off[unit] || fates.waiting[unit]
    }

    /// Whether it is because it could not be run.
    pub(super) fn is_undone(&self, unit: usize) -> bool {
        self.fates().put_off[unit]
    }

    /// The units that could not be run and are left to a further pass.
    pub fn units_put_off(&self) -> Vec<usize> {
        self.fates().put_off.iter().enumerate().filter(|(_, put_off)| **put_off).map(|(unit, _)| unit).collect()
    }

    /// Notes that a unit begins.
    pub(super) fn begin(&self, unit: usize) {
        for fate in &mut self.fates().scenes[self.plan.units[unit].scenes()] {
            fate.began.get_or_insert_with(Instant::now);
        }
    }

    /// Time since the first unit of a scene began; nothing where none has.
    pub(super) fn time_of(&self, scene: u32) -> Duration {
        self.fates().scenes[scene as usize].began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Keeps what the decoder warned of.
    pub(super) fn warn(&self, scene: u32, warnings: &Warnings) {
        self.fates().scenes[scene as usize].warnings.add_all(warnings);
    }

    /// What the decoder warned of.
    pub(super) fn warnings(&self, scene: u32) -> Vec<String> {
        self.fates().scenes[scene as usize].warnings.to_vec()
    }

    /// What still holds of a scene that is not done.
    pub(super) fn kept(&self, scene: u32) -> Option<&SceneRecord> {
        self.kept[scene as usize].as_ref()
    }

    /// Whether a scene's file is still the one that was planned: with the planned bytes, as far as it is known by them, and from the first
    /// look on, or where this process has planned it, written at the same time.
    pub(super) fn is_unchanged(&self, scene: u32) -> bool {
        let idx = scene as usize;
        let planned = &self.plan.scenes[idx];
        let files = self.plan.sources_of(idx);
        // A mosaic may have thousands of files, and each unit of it is asked about: they are read once and then looked at.
        let glance = if planned.parts.is_empty() { None } else { Identity::glance(&files) };
        if glance.is_some() && self.fates().scenes[idx].glance == glance {
            return true;
        }
        let Ok(now) = self.source.identify_all(&files) else { return false };
        let Fate { looked, seen, .. } = self.fates().scenes[idx].clone();
        let is_known = match looked || self.plan.is_fresh {
            true => now == seen.unwrap_or_else(|| planned.identity.clone()),
            false => now.is_like(&planned.identity) && planned.content.is_none(),
        };
        let is_same = is_known || self.plan.has_content(idx);
        let fate = &mut self.fates().scenes[idx];
        fate.glance = glance.filter(|_| is_same);
        if is_same {
            fate.looked = true;
            fate.seen = Some(now).filter(|now| *now != planned.identity);
        }
        is_same
    }
}
