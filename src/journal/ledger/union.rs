//! All that all attempts recorded, and what of it is missing.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use super::claims::Conflict;
use super::error::LedgerError;
use super::frame::{self, Mark};
use super::store::Store;
use super::survey::{AttemptState, Survey};
use crate::journal::{Record, SceneRecord};

/// All that attempts recorded about some units of a plan.
#[derive(Clone, Debug, Default)]
pub struct Union {
    /// The attempts, by the names of their folders.
    pub attempts: Vec<AttemptState>,
    /// What they recorded, each with the index of its attempt; what several recorded to the last letter, once.
    ///
    /// The order follows from content alone, so it is the same for everybody who reads the same records, whoever's clock is wrong. A
    /// journal that takes them in in this order ends with what holds: failures come first, because what another attempt
    /// could do has not failed, and of a scene's records the one with most outputs last. Between records of a scene that differ in
    /// their keys alone (one attempt was out of memory, another was not) the order says nothing: who knows the plan chooses.
    pub records: Vec<(usize, Record)>,
    /// Where attempts disagree. There should be none.
    pub conflicts: Vec<Conflict>,
    /// What is wrong and is no attempt's.
    pub problems: Vec<String>,
}

/// Reads the union of what was recorded about these units of a plan. What should be there and is not is asked for again until `patience`
/// is over; what is missing then is among the problems.
///
/// # Errors
/// When the store refuses, or there are records of another plan or of another format.
pub fn union(store: &dyn Store, plan: &str, units: Range<u32>, patience: Duration) -> Result<Union, LedgerError> {
    let (mut survey, mut records) = (Survey::of(plan, units), Vec::new());
    survey.follow(store, patience, |attempt, record| records.push((attempt, record)), |_| {})?;
    Ok(Union::from_survey(&survey, records))
}

impl Union {
    /// What a survey has found, and the records that it handed on.
    pub fn from_survey(survey: &Survey, records: Vec<(usize, Record)>) -> Self {
        let states = survey.attempts();
        let mut order: Vec<usize> = (0..states.len()).filter(|i| states[*i].is_some()).collect();
        order.sort_by_key(|i| states[*i].as_ref().map(|state| state.head.folder()));
        let mut place = vec![usize::MAX; states.len()];
        for (at, i) in order.iter().enumerate() {
            place[*i] = at;
        }
        let mut records: Vec<_> = records.into_iter().map(|(i, record)| (place[i], record)).collect();
        records.sort_by_cached_key(|(_, record)| Rank::of(record));
        let attempts = order.iter().filter_map(|i| states[*i].clone()).collect();
        Self { attempts, records, conflicts: survey.conflicts(), problems: survey.problems() }
    }

    /// Shards of a cut that no attempt has completed, ascending.
    pub fn missing_shards(&self, count: u32, slots: Option<u32>) -> Vec<u32> {
        let complete = self.attempts.iter().filter(|attempt| attempt.is_complete()).filter_map(|a| a.head.shard);
        let of_cut = complete.filter(|shard| (shard.count, shard.slots) == (count, slots));
        let there: BTreeSet<u32> = of_cut.map(|shard| shard.index).collect();
        (0..count).filter(|index| !there.contains(index)).collect()
    }

    /// Runs of units that attempts have completed, whatever cut they are of: ascending, none touching the next.
    pub fn covered(&self) -> Vec<Range<u32>> {
        covered(&self.attempts)
    }
}

/// Runs of units that these attempts have completed.
pub fn covered(attempts: &[AttemptState]) -> Vec<Range<u32>> {
    let complete = attempts.iter().filter(|attempt| attempt.is_complete());
    let mut runs: Vec<Range<u32>> = complete.map(|attempt| attempt.head.units.clone()).collect();
    runs.sort_by_key(|run| (run.start, run.end));
    let mut joined: Vec<Range<u32>> = Vec::new();
    for run in runs.into_iter().filter(|run| !run.is_empty()) {
        match joined.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => joined.push(run),
        }
    }
    joined
}

/// The best record of each scene so far, for whoever takes in records one by one.
#[derive(Debug, Default)]
pub struct Best {
    known: HashMap<Mark, Rank>,
}

impl Best {
    /// Whether this is the best one of its scene.
    pub fn is_best(&mut self, scene: &SceneRecord) -> bool {
        let rank = Rank::of(&Record::Scene(scene.clone()));
        let best = self.known.entry(frame::mark(&[&scene.name])).or_insert(rank);
        *best = rank.max(*best);
        *best == rank
    }

    /// Whether there is one of this scene.
    pub fn has(&self, name: &str) -> bool {
        self.known.contains_key(&frame::mark(&[name]))
    }
}

/// Where a record comes in the union: it follows from content alone, and what comes later holds against what comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u8, u8, Mark);

impl Rank {
    /// That of a record.
    pub fn of(record: &Record) -> Self {
        let mark = frame::mark(&[&frame::line(record)]);
        match record {
            Record::Failure(_) => Self(0, 0, mark),
            Record::Concession(_) | Record::DeviceFault(_) | Record::Run(_) | Record::Archive(_) => Self(1, 0, mark),
            Record::Artefact(_) => Self(2, 0, mark),
            Record::Scene(scene) => {
                let outputs = u8::try_from(scene.outputs.len()).unwrap_or(u8::MAX);
                Self(if scene.complete { 4 } else { 3 }, outputs, mark)
            }
        }
    }
}
