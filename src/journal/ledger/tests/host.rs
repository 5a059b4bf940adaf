//! A process on a virtual host: it takes in what others recorded, works through a shard step by step, and publishes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::faulty::{Fate, LATE, Ms, Rng, View, World};
use super::plan::Plan;
use super::{PLAN, head};
use crate::journal::ledger::{AttemptCounts, AttemptHead, Batcher, RecordFile, ShardName, Survey, Union};
use crate::journal::{Conceded, ConcessionRecord, FileRecord, Record, StageKey};

/// Listings are up to so old.
pub(super) const STALE: Ms = 30_000;

/// How long a process waits for records that should be there before it begins without them.
const PATIENCE: Ms = 5_000;

/// A host that is lost costs at most so many units: one in flight, and ten seconds of records at two seconds each.
pub(super) const LOSS: usize = 6;

/// What all processes of one run share, and what is counted.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) world: World,
    pub(super) rng: Rng,
    /// Digests of the files in the run directory beside the records.
    pub(super) files: BTreeMap<String, String>,
    /// The forward passes on each unit.
    pub(super) passes: Vec<Vec<Pass>>,
    /// A unit meets too little memory one time in so many.
    pub(super) single: Option<u64>,
    /// Units that were done tile by tile.
    pub(super) singles: BTreeSet<u32>,
    /// When processes ended, one way or the other.
    pub(super) ended: BTreeMap<usize, Ms>,
    pub(super) tally: Tally,
}

/// A unit was done.
pub(super) struct Pass {
    pub(super) process: usize,
    /// When others see its record.
    pub(super) visible: Option<Ms>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Units done although they were done before.
    pub(super) redone: usize,
    /// Those of them that another process did at the same time, or whose record was not in sight yet.
    pub(super) overlapping: usize,
    /// Units that processes had done or begun and not published when they were killed.
    pub(super) killed: usize,
    /// Units whose records the store lost or damaged.
    pub(super) spoilt: usize,
    /// Where processes were when they were killed.
    pub(super) steps: BTreeMap<Step, usize>,
}

/// What a process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Survey,
    Load,
    Pass,
    ArtefactWritten,
    ArtefactNamed,
    MaskWritten,
    MaskNamed,
    Close,
    /// Beside any of the others.
    Publish,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Unit(u32),
    Scene(usize),
    Failure(usize),
}

/// How a process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Goes,
    Closed,
    /// The store refused.
    Ends,
}

pub(super) struct Process {
    pub(super) id: usize,
    pub(super) surveyed: Ms,
    pub(super) cut_off: Ms,
    units: Range<u32>,
    view: View,
    survey: Survey,
    records: Vec<(usize, Record)>,
    batcher: Option<Batcher>,
    begun: Ms,
    step: Step,
    at: Ms,
    todo: VecDeque<Work>,
    kept: BTreeMap<u32, StageKey>,
    waiting: Vec<u32>,
    writing: Option<Writing>,
}

struct Writing {
    until: Ms,
    /// Each with the units whose results it records.
    files: VecDeque<(RecordFile, Vec<u32>)>,
}

impl Process {
    /// Begins; `None` where the store is full.
    pub(super) fn begin(shared: &mut Shared, id: usize, shard: ShardName, units: Range<u32>) -> Option<Self> {
        let (host, begun) = (u32::try_from(id).unwrap(), shared.world.now());
        // Its clock is wrong by up to an hour.
        let started = 1_800_000_000 + begun / 1000 + shared.rng.below(7200) - 3600;
        let name = format!("{:04x}-{id}", shared.rng.below(1 << 16));
        let head = AttemptHead { shard: Some(shard), started, ..head(&name, units.clone()) };
        let batcher = Batcher::new(head);
        let RecordFile { name, bytes } = batcher.begin();
        let fate = shared.world.put(host, &name, &bytes);
        let view = shared.world.stale_view(host, shared.rng.below(STALE));
        let process = Self {
            id,
            surveyed: 0,
            cut_off: 0,
            survey: Survey::of(PLAN, units.clone()),
            units,
            view,
            records: Vec::new(),
            batcher: Some(batcher),
            begun,
            step: Step::Survey,
            at: begun + shared.rng.between(200, 2_000),
            todo: VecDeque::new(),
            kept: BTreeMap::new(),
            waiting: Vec::new(),
            writing: None,
        };
        (fate != Fate::Full).then_some(process)
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Ms {
        let due = || {
            let due = self.batcher.as_ref()?.due()?;
            Some(self.begun + u64::try_from(due.as_millis()).unwrap())
        };
        let publishes = self.writing.as_ref().map(|writing| writing.until).or_else(due).unwrap_or(Ms::MAX);
        // Cut off from the store, it hangs in whatever it wants of it.
        publishes.min(self.at).max(self.cut_off)
    }

    /// What happens now.
    pub(super) fn act(&mut self, shared: &mut Shared) -> Course {
        let now = shared.world.now();
        if self.writing.as_ref().is_some_and(|writing| writing.until <= now) {
            return self.written(shared, now);
        }
        if self.at <= now && self.step != Step::Close {
            self.advance(shared, now);
            return Course::Goes;
        }
        let since = Duration::from_millis(now - self.begun);
        let file = self.batcher.as_mut().and_then(|batcher| batcher.take(since)).unwrap();
        let units = std::mem::take(&mut self.waiting);
        self.write(shared, now, [(file, units)].into());
        Course::Goes
    }

    fn write(&mut self, shared: &mut Shared, now: Ms, files: VecDeque<(RecordFile, Vec<u32>)>) {
        self.writing = Some(Writing { until: now + shared.rng.between(20, 2000), files });
    }

    /// A file has reached the store.
    fn written(&mut self, shared: &mut Shared, now: Ms) -> Course {
        let Some(writing) = &mut self.writing else { return Course::Goes };
        let Some((file, units)) = writing.files.front() else {
            self.writing = None;
            return if self.step == Step::Close && self.batcher.is_none() { Course::Closed } else { Course::Goes };
        };
        let seen = match shared.world.put(u32::try_from(self.id).unwrap(), &file.name, &file.bytes) {
            Fate::Good | Fate::Copied => Some(now),
            Fate::Late => Some(now + LATE),
            Fate::Lost | Fate::Truncated | Fate::Flipped | Fate::Doubled => None,
            Fate::Full => return Course::Ends,
        };
        for unit in units {
            shared.tally.spoilt += usize::from(seen.is_none());
            let own = shared.passes[*unit as usize].iter_mut().filter(|pass| pass.process == self.id);
            own.for_each(|pass| pass.visible = seen);
        }
        writing.files.pop_front();
        Course::Goes
    }

    fn record(&mut self, now: Ms, record: Record) {
        if let Some(batcher) = &mut self.batcher {
            batcher.add(Duration::from_millis(now - self.begun), &[record]);
        }
    }

    /// The step under way is over.
    fn advance(&mut self, shared: &mut Shared, now: Ms) {
        let (step, wait) = match (self.step, self.todo.front().copied()) {
            (Step::Survey, _) => self.look(shared, now),
            (Step::Pass, Some(Work::Unit(unit))) => {
                self.passed(shared, unit);
                (Step::ArtefactWritten, shared.rng.between(5, 50))
            }
            (Step::ArtefactWritten, Some(Work::Unit(unit))) => {
                let file = Plan::artefact(&self.kept[&unit]).file;
                shared.files.insert(file.path, file.content.sha256);
                (Step::ArtefactNamed, shared.rng.between(5, 50))
            }
            (Step::ArtefactNamed, Some(Work::Unit(unit))) => {
                self.record(now, Record::Artefact(Plan::artefact(&self.kept[&unit])));
                self.waiting.push(unit);
                self.todo.pop_front();
                self.go_on(shared, now)
            }
            (Step::MaskWritten, Some(Work::Scene(scene))) => {
                let FileRecord { path, content } = self.scene(shared, scene).files().next().unwrap().clone();
                shared.files.insert(path, content.sha256);
                (Step::MaskNamed, shared.rng.between(5, 50))
            }
            (Step::MaskNamed, Some(Work::Scene(scene))) => {
                let record = self.scene(shared, scene);
                self.record(now, Record::Scene(record));
                self.todo.pop_front();
                self.go_on(shared, now)
            }
            _ => self.go_on(shared, now),
        };
        (self.step, self.at) = (step, if step == Step::Close { Ms::MAX } else { now + wait });
    }

    /// Takes in what is there; the second time whatever is not.
    fn look(&mut self, shared: &mut Shared, now: Ms) -> (Step, Ms) {
        let records = &mut self.records;
        let missing = self.survey.look(&self.view, |attempt, record| records.push((attempt, record))).unwrap();
        if !missing.is_empty() && now < self.begun + PATIENCE {
            return (Step::Survey, PATIENCE);
        }
        self.surveyed = now;
        let union = Union::from_survey(&self.survey, std::mem::take(&mut self.records));
        let known = Known::of(shared, &union, &self.units);
        for (scene, units) in shared.plan.scenes.iter().enumerate() {
            let own = units.start.max(self.units.start)..units.end.min(self.units.end);
            if own.is_empty() || known.verdicts.contains(&scene) {
                continue;
            }
            if shared.plan.fails.contains(&scene) {
                self.todo.push_back(Work::Failure(scene));
                continue;
            }
            self.todo.extend(own.clone().filter(|unit| !known.kept.contains_key(unit)).map(Work::Unit));
            if own == *units {
                self.todo.push_back(Work::Scene(scene));
            }
        }
        self.kept = known.kept;
        (Step::Load, shared.rng.between(5_000, 20_000))
    }

    /// Begins what comes next.
    fn go_on(&mut self, shared: &mut Shared, now: Ms) -> (Step, Ms) {
        while let Some(Work::Failure(scene)) = self.todo.front() {
            let failure = Plan::failure(*scene);
            self.record(now, failure);
            self.todo.pop_front();
        }
        match self.todo.front() {
            Some(Work::Unit(_)) => (Step::Pass, shared.rng.between(2_000, 4_000)),
            Some(Work::Scene(_)) => (Step::MaskWritten, shared.rng.between(5, 100)),
            Some(Work::Failure(_)) | None => {
                // What is on its way comes first.
                let before = self.writing.take().map(|writing| writing.files).unwrap_or_default();
                let counts = AttemptCounts { complete: true, ..AttemptCounts::default() };
                let since = Duration::from_millis(now - self.begun);
                let closing = self.batcher.take().map(|batcher| batcher.close(since, counts)).unwrap_or_default();
                let waiting = std::mem::take(&mut self.waiting);
                let closing = closing.into_iter().zip([waiting].into_iter().chain(std::iter::repeat(Vec::new())));
                self.write(shared, now, before.into_iter().chain(closing).collect());
                (Step::Close, 0)
            }
        }
    }

    /// A forward pass is over.
    fn passed(&mut self, shared: &mut Shared, unit: u32) {
        let is_single = shared.single.is_some_and(|n| shared.rng.one_in(n));
        if is_single {
            shared.singles.insert(unit);
            let what = Conceded::SingleTiles { unit };
            self.record(shared.world.now(), Record::Concession(ConcessionRecord { plan: PLAN.to_owned(), what }));
        }
        self.kept.insert(unit, Plan::key(unit, is_single));
        let before = &mut shared.passes[unit as usize];
        if !before.is_empty() {
            let told = |pass: &Pass| pass.visible.is_some_and(|seen| seen + STALE <= self.surveyed);
            assert!(!before.iter().any(told), "unit {unit} is done again although its record was in sight");
            shared.tally.redone += 1;
            let lived = |pass: &Pass| shared.ended.get(&pass.process).is_none_or(|end| *end > self.surveyed);
            let overlaps = |pass: &Pass| pass.visible.is_some() || lived(pass);
            shared.tally.overlapping += usize::from(before.iter().any(overlaps));
        }
        before.push(Pass { process: self.id, visible: None });
    }

    fn scene(&self, shared: &Shared, scene: usize) -> crate::journal::SceneRecord {
        let keys: Vec<_> = shared.plan.scenes[scene].clone().map(|unit| self.kept[&unit].clone()).collect();
        Plan::scene(scene, &keys, self.begun)
    }

    /// Gone without a word.
    pub(super) fn die(self, shared: &mut Shared) {
        shared.ended.insert(self.id, shared.world.now());
        let is_publishing = self.writing.is_some() && self.step != Step::Close;
        *shared.tally.steps.entry(self.step).or_default() += 1;
        *shared.tally.steps.entry(Step::Publish).or_default() += usize::from(is_publishing);
        let in_flight = [Step::Pass, Step::ArtefactWritten, Step::ArtefactNamed].contains(&self.step);
        let files = self.writing.map(|writing| writing.files).unwrap_or_default();
        let on_its_way: usize = files.iter().map(|(_, units)| units.len()).sum();
        let lost = self.waiting.len() + on_its_way + usize::from(in_flight);
        assert!(lost <= LOSS, "a host that is lost takes {lost} units along");
        shared.tally.killed += lost;
    }
}

/// What a union tells of units and scenes.
pub(super) struct Known {
    pub(super) kept: BTreeMap<u32, StageKey>,
    /// Scenes that are done or have failed.
    pub(super) verdicts: BTreeSet<usize>,
}

impl Known {
    pub(super) fn of(shared: &Shared, union: &Union, units: &Range<u32>) -> Self {
        assert!(union.conflicts.is_empty(), "{:?}", union.conflicts);
        let (mut keys, mut verdicts) = (BTreeSet::new(), BTreeSet::new());
        let number = |name: &str| name.strip_prefix("scene-").unwrap().parse().unwrap();
        for (_, record) in &union.records {
            match record {
                Record::Artefact(artefact) => {
                    let file = &artefact.file;
                    assert_eq!(
                        shared.files.get(&file.path),
                        Some(&file.content.sha256),
                        "recorded before it was there"
                    );
                    keys.extend(artefact.entries.iter().map(|entry| entry.key.clone()));
                }
                Record::Scene(scene) => {
                    let there = |file: &FileRecord| shared.files.contains_key(&file.path);
                    assert!(scene.files().all(there), "recorded before it was there");
                    verdicts.insert(number(&scene.name));
                }
                Record::Failure(failure) => drop(verdicts.insert(number(&failure.name))),
                Record::Archive(_) | Record::Run(_) | Record::Concession(_) | Record::DeviceFault(_) => {}
            }
        }
        // The result of whole batches, where there are both.
        let key = |unit| [false, true].into_iter().map(move |single| Plan::key(unit, single));
        let kept = units.clone().filter_map(|unit| Some((unit, key(unit).find(|key| keys.contains(key))?)));
        Self { kept: kept.collect(), verdicts }
    }
}
