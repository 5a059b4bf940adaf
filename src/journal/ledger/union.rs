//! All that all attempts recorded, and what of it is missing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::claims::Conflict;
use super::error::LedgerError;
use super::frame::{self, Fingerprint};
use super::store::Store;
use super::survey::{AttemptState, Survey};
use crate::journal::Record;

/// How often what is missing is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

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
    Union::wait(store, plan, units, patience, |_| true)
}

impl Union {
    /// As [`union`], and meanwhile also waits until the attempts that are seen are `enough`: a whole attempt may come into sight late.
    ///
    /// # Errors
    /// As [`union`].
    pub fn wait(
        store: &dyn Store,
        plan: &str,
        units: Range<u32>,
        patience: Duration,
        enough: impl Fn(&[AttemptState]) -> bool,
    ) -> Result<Self, LedgerError> {
        let (begun, mut survey, mut records) = (Instant::now(), Survey::of(plan, units), Vec::new());
        loop {
            let missing = survey.look(store, |attempt, record| records.push((attempt, record)))?;
            let attempts: Vec<_> = survey.attempts().into_iter().flatten().collect();
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() || (missing.is_empty() && enough(&attempts)) {
                return Ok(Self::from_survey(&survey, records));
            }
            std::thread::sleep(left.min(AGAIN));
        }
    }

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
        records.sort_by_cached_key(|(_, record)| rank(record));
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

/// What comes later in the union holds against what comes before.
fn rank(record: &Record) -> (u8, usize, Fingerprint) {
    let mark = fingerprint_of(record);
    match record {
        Record::Failure(_) => (0, 0, mark),
        Record::Concession(_) | Record::DeviceFault(_) | Record::Run(_) | Record::Archive(_) => (1, 0, mark),
        Record::Artefact(_) => (2, 0, mark),
        Record::Scene(scene) => (if scene.complete { 4 } else { 3 }, scene.outputs.len(), mark),
    }
}

fn fingerprint_of(record: &Record) -> Fingerprint {
    frame::fingerprint(&[&frame::line(record)])
}
