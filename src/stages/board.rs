//! What the stages of a run share, in parts, so that each takes what it uses.

use std::sync::Arc;

use super::pace::Pace;
use super::prior::PriorResults;
use super::progress::Progress;
use super::scenes::{SceneState, Scenes};
use super::terms::Terms;
use crate::journal::{Conceded, StageKey};
use crate::outputs::kinds_of;
use crate::plan::{Concessions, Lender, Plan, UnitGeometry};

/// One pass over a plan. A clone is another handle on the same parts.
#[derive(Clone)]
pub struct Board {
    /// The scenes, and what becomes of them.
    pub scenes: Arc<Scenes>,
    /// How units are done, and which have begun.
    pub terms: Arc<Terms>,
    /// Results of earlier runs that still hold.
    pub prior: Arc<PriorResults>,
    /// How far the run is.
    pub progress: Arc<Progress>,
    /// How fast the networks are.
    pub pace: Arc<Pace>,
}

impl Board {
    /// The first pass over these scenes.
    pub fn new(scenes: Scenes, concessions: Concessions, prior: PriorResults) -> Self {
        let terms = Arc::new(Terms::new(scenes.shared_plan(), concessions));
        let pace = Arc::new(Pace::new(scenes.plan()));
        Self { scenes: Arc::new(scenes), terms, prior: Arc::new(prior), progress: Arc::default(), pace }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.scenes.plan()
    }

    /// The units of scenes that are not done, as they will be done.
    fn open_units(&self) -> impl Iterator<Item = (usize, UnitGeometry)> + '_ {
        let concessions = self.terms.concessions();
        let units = self.scenes.open_units(|_| true).into_iter();
        units.map(move |unit| (unit, concessions.geometry(self.plan(), unit)))
    }

    /// Keys of all that can be stored of what this pass is about.
    pub fn open_keys(&self) -> impl Iterator<Item = StageKey> + '_ {
        self.open_units().flat_map(|(_, geometry)| self.prior.keys.of_unit(&geometry).collect::<Vec<_>>())
    }

    /// Keys of what goes into the archive, in the plan's order.
    pub fn packed_keys(&self) -> Vec<StageKey> {
        let packed = |keys: Vec<StageKey>| {
            let all = kinds_of(&self.plan().pipeline).zip(keys);
            all.filter(|(kind, _)| kind.packing().is_some()).map(|(_, key)| key)
        };
        let keys = self.prior.keys.outputs(self.plan(), &self.terms.concessions());
        keys.into_iter().flat_map(packed).collect()
    }

    /// Finds out which units this pass is about, and which of them the networks must see: they wait until they begin.
    pub fn look_ahead(&self) {
        let mut open = vec![false; self.plan().units.len()];
        let (mut needs_networks, mut stored) = (open.clone(), open.clone());
        for (unit, geometry) in self.open_units() {
            if !geometry.blend.is_none() {
                // What others lend would be missing otherwise: they may lend something else than when its planes were stored.
                let is_kept = |lender: &Lender| !open[lender.unit] || stored[lender.unit];
                stored[unit] = self.prior.has_planes(&geometry, 0) && geometry.lenders.iter().all(is_kept);
                needs_networks[unit] = !stored[unit] && !self.prior.has_all_logits(&geometry, 0);
                open[unit] = true;
                continue;
            }
            let is_stored = |part| self.prior.has_planes(&geometry, part) || self.prior.has_all_logits(&geometry, part);
            let mut parts = (0..).zip(&geometry.parts).filter(|(_, part)| !self.scenes.is_done(part.scene));
            open[unit] = true;
            needs_networks[unit] = parts.any(|(part, _)| self.prior.entries.is_empty() || !is_stored(part));
        }
        self.terms.note_needs(open, needs_networks);
        self.terms.note_stored(stored);
    }

    /// Leaves the scenes some of whose units have not begun, and will not, to another run: what is done about them already is in vain.
    pub fn leave_unbegun(&self) {
        self.scenes.defer(self.terms.unbegun(self.scenes.all()));
    }

    /// Scenes that this pass leaves undone when nothing more begins: some unit of theirs has not begun, or they are deferred.
    /// Those that have failed have their verdict as soon as all of their units have begun.
    pub fn left_over(&self) -> Vec<u32> {
        let (unbegun, cut) = (self.terms.unbegun(self.scenes.all()), self.scenes.cut());
        let is_left = |scene: &u32| match self.scenes.state(*scene) {
            SceneState::DoneBefore => false,
            SceneState::Deferred if !cut.contains(scene) => true,
            SceneState::Deferred => self.is_left_of_cut(*scene, &unbegun),
            SceneState::Open | SceneState::Failed(_) => unbegun.binary_search(scene).is_ok(),
        };
        self.scenes.all().filter(is_left).collect()
    }

    /// Whether something of a scene that is cut is not kept when nothing more begins.
    fn is_left_of_cut(&self, scene: u32, unbegun: &[u32]) -> bool {
        let mut units = self.plan().units_of(scene as usize);
        unbegun.binary_search(&scene).is_ok() || units.any(|unit| self.scenes.is_put_off(unit))
    }

    /// Begins a pass over the scenes that are deferred, now that all others have their verdicts.
    pub fn begin_pass(&mut self, conceded: &[Conceded]) {
        let mut concessions = self.terms.concessions();
        conceded.iter().for_each(|conceded| concessions.add(conceded));
        let scenes = self.scenes.of_next_pass(&concessions);
        let settled = scenes.all().filter(|scene| scenes.is_done(*scene) && !self.scenes.is_done(*scene));
        let planned = settled.map(|scene| &self.plan().scenes[scene as usize]);
        let (tiles, pixels) =
            planned.fold((0, 0), |(tiles, pixels), scene| (tiles + scene.n_tiles(), pixels + scene.network_pixels()));
        self.progress.counts().begin_pass(tiles, pixels, self.prior.grows());
        self.terms = Arc::new(Terms::new(scenes.shared_plan(), concessions));
        self.scenes = Arc::new(scenes);
    }
}
