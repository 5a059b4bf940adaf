//! What the stages of a run share: the plan, what is known of it already, which scenes failed, and how far it is.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::message::Ticket;
use super::pace::Pace;
use super::terms::{Ahead, Terms};
use crate::journal::{Checkpoints, Conceded, FailureRecord, Location, SceneRecord, StageKey};
use crate::outputs::{OutputKind, kinds_of};
use crate::plan::{Concessions, Keys, Plan, UnitGeometry};
use crate::raster::{OpenSource, RasterError, Warnings};

/// Counters for whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    tiles: AtomicU64,
    network_pixels: AtomicU64,
    /// Of scenes that ended in an earlier pass.
    settled_tiles: AtomicU64,
    recalled_pixels: AtomicU64,
    seen_pixels: AtomicU64,
    forwards: AtomicU64,
    decoded: AtomicU64,
    records: AtomicU64,
    first_tiles: OnceLock<Instant>,
}

/// What earlier runs left that this one may use, and what it leaves itself.
#[derive(Debug)]
pub struct PriorResults {
    /// Scenes that are done already, by index, or have failed in an earlier pass.
    pub done: Vec<bool>,
    /// What still holds of scenes that are not done, by index: those of their outputs are not made again.
    pub kept: Vec<Option<SceneRecord>>,
    /// Results of stages by key.
    pub entries: HashMap<StageKey, Location>,
    /// Where they are, and where new ones go.
    pub checkpoints: Checkpoints,
    /// Scenes that were under way when an earlier attempt died: each has the dataflow to itself.
    pub suspects: BTreeSet<u32>,
    /// Whether labels are kept.
    pub keep_labels: bool,
    /// Whether members' logits are kept.
    pub keep_logits: bool,
}

impl PriorResults {
    /// Nothing is done and nothing is kept.
    pub fn nothing(n_scenes: usize, checkpoints: Checkpoints) -> Self {
        let entries = HashMap::new();
        let (done, kept, suspects) = (vec![false; n_scenes], vec![None; n_scenes], BTreeSet::new());
        Self { done, kept, entries, checkpoints, suspects, keep_labels: false, keep_logits: false }
    }
}

/// The plan of a run and the fate of its scenes.
pub struct Board {
    plan: Plan,
    keys: Keys,
    terms: Mutex<Terms>,
    prior: PriorResults,
    put_off: PutOff,
    source: Arc<dyn OpenSource>,
    failed: Vec<AtomicBool>,
    failures: Mutex<Vec<Option<FailureRecord>>>,
    /// When the first unit of each scene began.
    began: Vec<OnceLock<Instant>>,
    warnings: Mutex<Vec<Warnings>>,
    progress: Progress,
    pace: Pace,
}

/// What this pass cannot do and a further one shall.
struct PutOff {
    units: Vec<AtomicBool>,
    scenes: Vec<AtomicBool>,
}

impl PutOff {
    fn nothing(plan: &Plan) -> Self {
        let none = |n: usize| (0..n).map(|_| AtomicBool::new(false)).collect();
        Self { units: none(plan.units.len()), scenes: none(plan.scenes.len()) }
    }
}

impl Board {
    /// A board on which no scene has failed.
    pub fn new(plan: Plan, concessions: Concessions, prior: PriorResults, source: Arc<dyn OpenSource>) -> Self {
        let n = plan.scenes.len();
        Self {
            keys: Keys::new(&plan),
            terms: Mutex::new(Terms::new(&plan, concessions)),
            put_off: PutOff::nothing(&plan),
            prior,
            source,
            failed: (0..n).map(|_| AtomicBool::new(false)).collect(),
            failures: Mutex::new(vec![None; n]),
            began: (0..n).map(|_| OnceLock::new()).collect(),
            warnings: Mutex::new(vec![Warnings::default(); n]),
            progress: Progress::default(),
            pace: Pace::new(&plan),
            plan,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of its scenes.
    pub fn n_scenes(&self) -> u32 {
        u32::try_from(self.plan.scenes.len()).unwrap_or(u32::MAX)
    }

    /// Keys of its results.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    fn terms(&self) -> MutexGuard<'_, Terms> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is given up against the plan.
    pub fn concessions(&self) -> Concessions {
        self.terms().concessions.clone()
    }

    /// Begins a unit and spells out how it is done.
    pub fn begin_unit(&self, unit: usize) -> UnitGeometry {
        for scene in self.plan.units[unit].scenes() {
            self.began[scene].get_or_init(Instant::now);
        }
        self.terms().begin(&self.plan, unit)
    }

    /// Key of an output of a scene whose units have all begun.
    pub fn output_key(&self, scene: u32, kind: &dyn OutputKind) -> StageKey {
        self.keys.output(&self.plan, &self.terms().concessions, scene as usize, kind)
    }

    /// Keys of what goes into the archive, in the plan's order.
    pub fn packed_keys(&self) -> Vec<StageKey> {
        let packed = |keys: Vec<StageKey>| {
            let all = kinds_of(&self.plan.pipeline).zip(keys);
            all.filter(|(kind, _)| kind.is_packed()).map(|(_, key)| key)
        };
        self.keys.outputs(&self.plan, &self.concessions()).into_iter().flat_map(packed).collect()
    }

    /// What still holds of a scene that is not done.
    pub fn kept(&self, scene: u32) -> Option<&SceneRecord> {
        self.prior.kept[scene as usize].as_ref()
    }

    /// Finds out which units this pass is about, and which of them the networks must see: they wait until they begin.
    pub fn look_ahead(&self) {
        let concessions = self.concessions();
        let mut needs = vec![false; self.plan.units.len()];
        let mut open_units = needs.clone();
        for (unit, _) in self.plan.units_with(|scene| !self.prior.done[scene]) {
            let geometry = concessions.geometry(&self.plan, unit);
            let open = (0..).zip(&geometry.parts).filter(|(_, part)| !self.is_done(part.scene));
            let is_stored = |part| self.has_planes(&geometry, part) || self.has_logits(&geometry, part);
            open_units[unit] = true;
            needs[unit] = open.into_iter().any(|(part, _)| self.prior.entries.is_empty() || !is_stored(part));
        }
        self.terms().note_needs(open_units, needs);
    }

    /// What has not begun, as far as it was looked up.
    pub fn ahead(&self) -> Ahead {
        self.terms().ahead(&self.plan)
    }

    /// Lets only the first `n_passes` of those that are kept run on the units that wait. `record` writes it down first, and no unit begins
    /// meanwhile.
    ///
    /// # Errors
    /// When `record` fails; nothing is given up then.
    pub fn concede_passes<E>(
        &self,
        n_passes: usize,
        seconds: f64,
        record: impl FnOnce(&Conceded) -> Result<(), E>,
    ) -> Result<Conceded, E> {
        let mut terms = self.terms();
        let conceded = terms.fewer_passes(&self.plan, n_passes, seconds);
        if conceded.n_units() > 0 {
            record(&conceded)?;
            terms.concessions.add(&conceded);
        }
        Ok(conceded)
    }

    /// Scenes that this pass leaves without a verdict when nothing more begins: some unit of theirs has not begun, or they wait. Those
    /// that have failed have their verdict as soon as all of their units have begun.
    pub fn left_over(&self) -> Vec<u32> {
        let terms = self.terms();
        let is_left = |scene: &u32| {
            let mut units = self.plan.units_of(*scene as usize);
            let waits = self.waits(*scene) && !self.has_failed(*scene);
            !self.is_done(*scene) && (waits || units.any(|unit| !terms.has_begun(unit)))
        };
        (0..).zip(&self.plan.scenes).map(|(scene, _)| scene).filter(is_left).collect()
    }

    /// What is known already.
    pub fn prior(&self) -> &PriorResults {
        &self.prior
    }

    /// Where a stored result is.
    pub fn stored(&self, key: &StageKey) -> Option<&Location> {
        self.prior.entries.get(key)
    }

    /// Whether every plane of a part is stored.
    fn has_planes(&self, geometry: &UnitGeometry, part: u32) -> bool {
        self.keys.planes(geometry, part).all(|key| self.stored(&key).is_some())
    }

    /// Whether every pass's logits of every tile of a part are stored, and which of its pixels are data.
    pub fn has_logits(&self, geometry: &UnitGeometry, part: u32) -> bool {
        let is_stored = |key: StageKey| self.stored(&key).is_some();
        let has = |tile: usize| {
            is_stored(self.keys.validity(geometry, tile)) && self.keys.all_logits(geometry, tile).all(is_stored)
        };
        (0..geometry.tiles.len()).filter(|&tile| geometry.tiles[tile].part == part).all(has)
    }

    /// Time since the first unit of a scene began; nothing where none has.
    pub fn time_of(&self, scene: u32) -> Duration {
        self.began[scene as usize].get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Whether a scene was done before this run.
    pub fn is_done(&self, scene: u32) -> bool {
        self.prior.done[scene as usize]
    }

    /// Whether a scene's file is still the one that was planned.
    pub fn is_unchanged(&self, scene: u32) -> bool {
        let planned = &self.plan.scenes[scene as usize].identity;
        self.source.identify(&self.plan.path_of(scene as usize)).as_ref() == Ok::<_, &RasterError>(planned)
    }

    /// Notes a failure. The first one of a scene counts.
    pub fn fail(&self, scene: u32, stage: &'static str, cause: impl Into<String>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures[scene as usize].get_or_insert_with(|| FailureRecord {
            name: self.plan.scenes[scene as usize].name.clone(),
            file: self.plan.label_of(scene as usize),
            stage: stage.to_owned(),
            cause: cause.into(),
        });
        self.failed[scene as usize].store(true, Ordering::Release);
    }

    /// Whether a scene has failed, so that work on it is pointless.
    pub fn has_failed(&self, scene: u32) -> bool {
        self.failed[scene as usize].load(Ordering::Acquire)
    }

    /// Leaves a unit to a further pass: what the networks make of it in this one counts for nothing, and the scenes that they see get no
    /// verdict. To be called while some part of the unit has not left the networks' stages.
    pub(super) fn put_off(&self, ticket: &Ticket) {
        self.put_off.units[ticket.unit].store(true, Ordering::Release);
        for scene in ticket.classified() {
            self.put_off.scenes[scene as usize].store(true, Ordering::Release);
        }
    }

    /// Leaves the scenes some of whose units have not begun, and will not, to another run: what is done about them already is in vain.
    pub fn leave_unbegun(&self) {
        let terms = self.terms();
        for scene in (0..self.plan.scenes.len()).filter(|scene| !self.prior.done[*scene]) {
            if self.plan.units_of(scene).any(|unit| !terms.has_begun(unit)) {
                self.put_off.scenes[scene].store(true, Ordering::Release);
            }
        }
    }

    /// Whether a unit is left to a further pass.
    pub fn is_put_off(&self, unit: usize) -> bool {
        self.put_off.units[unit].load(Ordering::Acquire)
    }

    /// The units that are left to a further pass.
    pub fn units_put_off(&self) -> Vec<usize> {
        (0..self.plan.units.len()).filter(|unit| self.is_put_off(*unit)).collect()
    }

    /// Whether some unit of a scene is left to a further pass.
    pub fn waits(&self, scene: u32) -> bool {
        self.put_off.scenes[scene as usize].load(Ordering::Acquire)
    }

    /// Whether this pass makes no files of a scene: it has failed, or waits for a further pass. True before the last of its units has
    /// left the averager, or never.
    pub fn is_dropped(&self, scene: u32) -> bool {
        self.has_failed(scene) || self.waits(scene)
    }

    /// Begins a pass over the scenes that wait, now that all others have their verdicts. `entries` are the results that are stored by now.
    pub fn begin_pass(&mut self, conceded: &[Conceded], entries: HashMap<StageKey, Location>) {
        let (mut tiles, mut network_pixels) = (0, 0);
        for (idx, scene) in (0..).zip(&self.plan.scenes) {
            let (was_done, settled) = (self.prior.done[idx as usize], !self.waits(idx) || self.has_failed(idx));
            self.prior.done[idx as usize] = settled;
            if settled && !was_done {
                tiles += scene.grid.n_tiles();
                network_pixels += scene.grid.network_pixels();
            }
        }
        self.progress.settled_tiles.fetch_add(tiles, Ordering::Relaxed);
        self.progress.tiles.store(0, Ordering::Relaxed);
        let of_pass = self.progress.network_pixels.swap(0, Ordering::Relaxed);
        if !self.prior.keep_labels && !self.prior.keep_logits {
            // The rest is seen once more.
            let seen = self.progress.seen_pixels().saturating_sub(of_pass.saturating_sub(network_pixels));
            self.progress.seen_pixels.store(seen, Ordering::Relaxed);
        }
        self.prior.entries = entries;
        self.put_off = PutOff::nothing(&self.plan);
        let mut concessions = self.concessions();
        conceded.iter().for_each(|conceded| concessions.add(conceded));
        // Their labels may come out otherwise than those that the outputs at hand were made of.
        for unit in concessions.units().into_iter().filter_map(|unit| self.plan.units.get(unit)) {
            self.prior.kept[unit.scenes()].fill(None);
        }
        self.terms = Mutex::new(Terms::new(&self.plan, concessions));
    }

    /// Why a scene has failed.
    pub fn failure(&self, scene: u32) -> Option<FailureRecord> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)[scene as usize].clone()
    }

    fn all_warnings(&self) -> MutexGuard<'_, Vec<Warnings>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the decoder warned of while it read a scene's pixels. The first few different ones of a scene are kept.
    pub fn warn(&self, scene: u32, text: impl AsRef<str>) {
        self.all_warnings()[scene as usize].add(text.as_ref());
    }

    /// What the decoder warned of.
    pub fn warnings(&self, scene: u32) -> Vec<String> {
        self.all_warnings()[scene as usize].to_vec()
    }

    /// How far the run is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How fast the passes are.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }
}

impl Progress {
    /// Counts tiles that the networks have seen, and their pixels.
    pub(super) fn count_seen(&self, tiles: u64, pixels: u64) {
        self.count_tiles(tiles, pixels);
        self.seen_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Counts tiles whose labels, or all of whose logits, were stored: they are as good as classified, and no network sees them.
    pub(super) fn count_recalled(&self, tiles: u64, pixels: u64) {
        self.count_tiles(tiles, pixels);
        self.recalled_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    fn count_tiles(&self, tiles: u64, pixels: u64) {
        self.first_tiles.get_or_init(Instant::now);
        self.tiles.fetch_add(tiles, Ordering::Relaxed);
        self.network_pixels.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Takes back tiles that were counted as seen, and others as recalled, and that count for nothing after all.
    pub(super) fn uncount(&self, tiles: u64, seen: u64, recalled: u64) {
        self.tiles.fetch_sub(tiles, Ordering::Relaxed);
        self.network_pixels.fetch_sub(seen + recalled, Ordering::Relaxed);
        self.seen_pixels.fetch_sub(seen, Ordering::Relaxed);
        self.recalled_pixels.fetch_sub(recalled, Ordering::Relaxed);
    }

    /// Counts a forward pass.
    pub(super) fn count_forward(&self) {
        self.forwards.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a part of a unit that was decoded.
    pub(super) fn count_decoded(&self) {
        self.decoded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what the journal knows now.
    pub(super) fn count_records(&self, records: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Records that were written: ends of scenes, results of stages.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Tiles classified, those whose labels were stored included.
    pub fn tiles(&self) -> u64 {
        self.settled_tiles.load(Ordering::Relaxed) + self.tiles.load(Ordering::Relaxed)
    }

    /// When the first tiles were classified.
    pub fn first_tiles(&self) -> Option<Instant> {
        self.first_tiles.get().copied()
    }

    /// Pixels that the networks have seen in this run and need not see again.
    pub fn seen_pixels(&self) -> u64 {
        self.seen_pixels.load(Ordering::Relaxed)
    }

    /// Pixels of the tiles whose labels or logits were stored.
    pub fn recalled_pixels(&self) -> u64 {
        self.recalled_pixels.load(Ordering::Relaxed)
    }

    /// Forward passes that ran: one per batch, member and view.
    pub fn forwards(&self) -> u64 {
        self.forwards.load(Ordering::Relaxed)
    }

    /// Parts of units that were decoded.
    pub fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }
}
