//! Virtual hosts share a plan through a store that loses, delays and damages: they are killed at every step, cut off and come back,
//! the plan is cut anew, and in the end everything is as one undisturbed process would have recorded it.
//!
//! The engine, the clock and the pixels are virtual; what publishes and what reads is the real thing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::PLAN;
use super::faulty::{Ms, Rng, World};
use super::host::{Course, Known, Process, Shared, Step, Tally};
use super::plan::Plan;
use crate::journal::ledger::{ShardName, Survey, Union, covered};
use crate::journal::{Journal, OutputRecord, Record};

const SEEDS: u64 = 1000;

/// A merge waits so long for what it should see.
const PATIENCE: Ms = 120_000;

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    CutOff,
    /// Everything is killed, and the plan cut into so many shards.
    Anew(u32),
}

/// A batch engine: it starts shards, lowest index first, and those of lost hosts again.
struct Engine {
    shared: Shared,
    cut: Vec<Range<u32>>,
    slots: usize,
    pending: BTreeSet<u32>,
    /// What it believes to be running: the process of each shard.
    assigned: BTreeMap<u32, usize>,
    running: Vec<Process>,
    /// When it notices that a process is lost.
    notices: Vec<(Ms, usize)>,
    troubles: Vec<(Ms, Trouble)>,
    paused: Ms,
    n_processes: usize,
}

/// What is there in the end, of each scene by its name.
type Outcome = (BTreeMap<String, Vec<OutputRecord>>, BTreeSet<String>);

impl Engine {
    fn new(seed: u64, is_quiet: bool) -> Self {
        let mut rng = Rng(seed);
        let plan = Plan::draw(&mut rng);
        let world = if is_quiet { World::default() } else { World::faulty(seed ^ 0xFA17, 40) };
        let (slots, count) = if is_quiet { (1, 1) } else { (rng.between(2, 6), rng.between(3, 14)) };
        let count = u32::try_from(count).unwrap();
        let mut troubles = Vec::new();
        if !is_quiet {
            troubles.extend((0..rng.below(6)).map(|_| (rng.between(1_000, 200_000), Trouble::Kill)));
            troubles.extend((0..rng.below(3)).map(|_| (rng.between(1_000, 200_000), Trouble::CutOff)));
            let n = u32::try_from(rng.between(2, 14)).unwrap();
            troubles.extend(rng.one_in(2).then(|| (rng.between(30_000, 150_000), Trouble::Anew(n))));
            troubles.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        }
        let single = (!is_quiet && rng.one_in(4)).then_some(30);
        let passes = (0..plan.n_units()).map(|_| Vec::new()).collect();
        let (cut, files, tally) = (plan.cut(count), BTreeMap::new(), Tally::default());
        let shared =
            Shared { plan, world, rng, files, passes, single, singles: BTreeSet::new(), ended: BTreeMap::new(), tally };
        Self {
            shared,
            cut,
            slots: usize::try_from(slots).unwrap(),
            pending: (0..count).collect(),
            assigned: BTreeMap::new(),
            running: Vec::new(),
            notices: Vec::new(),
            troubles,
            paused: 0,
            n_processes: 0,
        }
    }

    /// Until it believes that every shard has ended.
    fn run(&mut self) {
        while !(self.pending.is_empty() && self.assigned.is_empty()) {
            let now = self.shared.world.now();
            while now >= self.paused && self.assigned.len() < self.slots && self.launch() {}
            let paused = (!self.pending.is_empty() && self.paused > now).then_some(self.paused);
            let next = self.next().into_iter().chain(paused).min().unwrap();
            self.advance(next);
        }
    }

    /// Starts the lowest index that is pending, if there is any.
    fn launch(&mut self) -> bool {
        let Some(index) = self.pending.pop_first() else { return false };
        let (id, units) = (self.n_processes, self.cut[index as usize].clone());
        self.n_processes += 1;
        assert!(id < 500, "it does not come to an end");
        self.assigned.insert(index, id);
        let shard = ShardName { index, count: u32::try_from(self.cut.len()).unwrap(), slots: None };
        match Process::begin(&mut self.shared, id, shard, units) {
            Some(process) => self.running.push(process),
            None => self.notices.push((self.shared.world.now() + 10_000, id)),
        }
        true
    }

    /// When something happens next.
    fn next(&self) -> Option<Ms> {
        let acts = self.running.iter().map(Process::next);
        let notices = self.notices.iter().map(|(at, _)| *at);
        acts.chain(notices).chain(self.troubles.last().map(|(at, _)| *at)).min()
    }

    /// All that happens until then.
    fn advance(&mut self, until: Ms) {
        while let Some(now) = self.next().filter(|now| *now <= until) {
            self.shared.world.at(now.max(self.shared.world.now()));
            if let Some(at) = self.notices.iter().position(|(at, _)| *at <= now) {
                let (_, id) = self.notices.swap_remove(at);
                self.lose(id);
            } else if let Some((_, trouble)) = self.troubles.pop_if(|(at, _)| *at <= now) {
                self.meet(trouble, now);
            } else if let Some(at) = self.running.iter().position(|process| process.next() <= now) {
                match self.running[at].act(&mut self.shared) {
                    Course::Goes => {}
                    Course::Closed => {
                        let process = self.running.swap_remove(at);
                        self.assigned.retain(|_, id| *id != process.id);
                        self.shared.ended.insert(process.id, self.shared.world.now());
                    }
                    Course::Ends => self.kill(at, 10_000),
                }
            }
        }
        self.shared.world.at(until.max(self.shared.world.now()));
    }

    /// The engine takes a process for lost: its shard is to be done again, whether it lives or not.
    fn lose(&mut self, id: usize) {
        let is_cut_off = |process: &Process| process.cut_off > self.shared.world.now();
        let lives = self.running.iter().any(|process| process.id == id && !is_cut_off(process));
        let index = self.assigned.iter().find(|(_, assigned)| **assigned == id).map(|(index, _)| *index);
        if let Some(index) = index.filter(|_| !lives) {
            self.assigned.remove(&index);
            self.pending.insert(index);
        }
    }

    fn kill(&mut self, at: usize, noticed: Ms) {
        let process = self.running.swap_remove(at);
        self.notices.push((self.shared.world.now() + noticed, process.id));
        process.die(&mut self.shared);
    }

    fn meet(&mut self, trouble: Trouble, now: Ms) {
        let reachable: Vec<usize> = (0..self.running.len()).filter(|at| self.running[*at].cut_off <= now).collect();
        if reachable.is_empty() {
            return;
        }
        let rng = &mut self.shared.rng;
        let at = reachable[usize::try_from(rng.below(reachable.len() as u64)).unwrap()];
        match trouble {
            Trouble::Kill => {
                let noticed = rng.between(30_000, 300_000);
                self.kill(at, noticed);
            }
            Trouble::CutOff => {
                self.running[at].cut_off = now + rng.between(100_000, 900_000);
                self.notices.push((now + 200_000, self.running[at].id));
            }
            Trouble::Anew(count) => {
                reachable.iter().rev().for_each(|at| self.kill(*at, 0));
                self.notices.clear();
                self.assigned.clear();
                self.cut = self.shared.plan.cut(count);
                (self.pending, self.paused) = ((0..count).collect(), now + 60_000);
            }
        }
    }

    /// All records, waited for as a merge does.
    fn union(&mut self) -> Union {
        let all = 0..self.shared.plan.n_units();
        let view = self.shared.world.view(u32::MAX);
        let (begun, mut survey, mut records) = (self.shared.world.now(), Survey::of(PLAN, all.clone()), Vec::new());
        loop {
            let missing = survey.look(&view, |attempt, record| records.push((attempt, record))).unwrap();
            let attempts: Vec<_> = survey.attempts().into_iter().flatten().collect();
            let now = self.shared.world.now();
            if (missing.is_empty() && covered(&attempts) == [all.clone()]) || now >= begun + PATIENCE {
                return Union::from_survey(&survey, records);
            }
            self.advance(now + 20_000);
        }
    }

    /// Brings all together, or says which shards have units without a result.
    fn merge(&mut self) -> Result<Vec<Record>, BTreeSet<u32>> {
        let union = self.union();
        let plan = &self.shared.plan;
        let known = Known::of(&self.shared, &union, &(0..plan.n_units()));
        let open = (0..plan.scenes.len()).filter(|scene| !known.verdicts.contains(scene));
        let lacking: Vec<u32> =
            open.flat_map(|scene| plan.scenes[scene].clone()).filter(|unit| !known.kept.contains_key(unit)).collect();
        if !lacking.is_empty() {
            let shard = |unit: &u32| self.cut.iter().position(|units| units.contains(unit)).unwrap();
            return Err(lacking.iter().map(|unit| u32::try_from(shard(unit)).unwrap()).collect());
        }
        let mut records: Vec<Record> = union.records.into_iter().map(|(_, record)| record).collect();
        for scene in (0..plan.scenes.len()).filter(|scene| !plan.fails.contains(scene)) {
            let units = plan.scenes[scene].clone();
            // A scene may be recorded where its units' own records are lost: then that holds.
            let keys: Option<Vec<_>> = units.map(|unit| known.kept.get(&unit).cloned()).collect();
            let own = keys.map(|keys| Plan::scene(scene, &keys, 0));
            records.extend(own.map(Record::Scene));
        }
        Ok(records)
    }

    /// To the end, and until whoever was cut off has come back and ended.
    fn finish(&mut self) -> Vec<Record> {
        self.run();
        let merged = loop {
            match self.merge() {
                Ok(records) => break records,
                Err(shards) => {
                    self.pending.extend(shards);
                    self.run();
                }
            }
        };
        while let Some(next) = self.next() {
            self.advance(next);
        }
        merged
    }
}

/// What a journal that takes these in holds.
fn outcome(records: Vec<Record>) -> Outcome {
    let (mut scenes, mut failures) = (BTreeMap::new(), BTreeSet::new());
    for record in records {
        match record {
            Record::Scene(scene) => {
                failures.remove(&scene.name);
                scenes.insert(scene.name, scene.outputs);
            }
            Record::Failure(failure) => {
                scenes.remove(&failure.name);
                failures.insert(failure.name);
            }
            Record::Artefact(_)
            | Record::Archive(_)
            | Record::Run(_)
            | Record::Concession(_)
            | Record::DeviceFault(_) => {}
        }
    }
    (scenes, failures)
}

/// Runs a seed to its end and compares; returns what it counted.
fn check(seed: u64) -> Tally {
    let mut quiet = Engine::new(seed, true);
    let undisturbed = outcome(quiet.finish());
    assert_eq!((quiet.n_processes, quiet.shared.tally.redone), (1, 0));
    assert_eq!(undisturbed.0.len() + undisturbed.1.len(), quiet.shared.plan.scenes.len());
    let mut engine = Engine::new(seed, false);
    let merged = engine.finish();
    if seed.is_multiple_of(100) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.append(&merged).unwrap();
        let state = journal.state().unwrap();
        let scenes = state.scenes.into_values().map(|scene| (scene.name, scene.outputs)).collect();
        assert_eq!((scenes, state.failures.into_keys().collect()), outcome(merged.clone()));
    }
    let merged = outcome(merged);
    let after = engine.union();
    let known = Known::of(&engine.shared, &after, &(0..engine.shared.plan.n_units()));
    if engine.shared.single.is_none() {
        assert_eq!(merged, undisturbed);
        assert!(known.kept.iter().all(|(unit, key)| *key == Plan::key(*unit, false)));
    } else {
        // Nothing else differs than what was done tile by tile.
        assert_eq!(merged.1, undisturbed.1);
        let differs = |name: &&String| merged.0[*name] != undisturbed.0[*name];
        for name in undisturbed.0.keys().filter(differs) {
            let scene: usize = name.strip_prefix("scene-").unwrap().parse().unwrap();
            assert!(
                engine.shared.plan.scenes[scene].clone().any(|unit| engine.shared.singles.contains(&unit)),
                "{name}"
            );
        }
    }
    engine.shared.tally
}

#[test]
fn whatever_happens_the_union_is_what_one_process_would_have_recorded() {
    let next = std::sync::atomic::AtomicU64::new(0);
    let tallies = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(4) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= SEEDS {
                        break;
                    }
                    let tally = std::panic::catch_unwind(|| check(seed));
                    let tally = tally.unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
                    let Tally { redone, overlapping, killed, spoilt, .. } = tally;
                    assert!(redone <= overlapping + killed + spoilt, "seed {seed}: {tally:?}");
                    tallies.lock().unwrap().push(tally);
                }
            });
        }
    });
    let tallies = tallies.into_inner().unwrap();
    let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum::<usize>();
    let steps = tallies.iter().flat_map(|tally| tally.steps.keys().copied()).collect::<BTreeSet<Step>>();
    assert_eq!(steps.len(), 9, "not every step saw a death: {steps:?}");
    let counts: [fn(&Tally) -> usize; 4] = [|t| t.redone, |t| t.overlapping, |t| t.killed, |t| t.spoilt];
    assert!(counts.map(sum).iter().all(|n| *n > 1000), "too little went wrong");
}
