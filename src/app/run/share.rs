//! A run directory that several runs share, each at a part of one plan: what this one takes in of the others' work, what it publishes of
//! its own, and what lacks when all of it is put together.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::{Merge, Part, RunOptions, Sharing};
use super::record::digest;
use super::resume;
use crate::app::Error;
use crate::journal::ledger::{self, AttemptHead, FolderStore, Publisher, RECORDS_FOLDER, ShardName, Union};
use crate::journal::{
    ArtefactRecord, ConcessionRecord, FailureRecord, FileRecord, JOURNAL_FILE, Journal, JournalError, Publishing,
    Record, SceneRecord, StageKey,
};
use crate::lifecycle::machine;
use crate::outputs::kinds_of;
use crate::plan::{Concessions, Keys, Plan, PlanFile, ShardCut};
use crate::report::{self, Event, RunInfo, in_ranges};
use crate::words::{count, shell_word, time};

/// Puts what others have published, as far as the plan has it, into the journal that this run goes by. Returns one of their shards, of the
/// cut that was begun last.
///
/// # Errors
/// When the directory is shared and the run is not, or the other way round; when records cannot be read, are of another plan or contradict
/// each other; when the journal cannot be written.
pub(super) fn take_in(plan: &Plan, options: &RunOptions) -> Result<Option<ShardName>, Error> {
    let has_records = options.out.join(RECORDS_FOLDER).is_dir();
    let dir = options.out.display();
    let patience = match &options.sharing {
        Sharing::Alone if has_records && !Journal::knows_a_run(&options.out)? => {
            return Err(Error::Usage(format!(
                "`{dir}` is shared by runs of parts of a plan; swath merge puts together what they have done"
            )));
        }
        Sharing::Alone => return Ok(None),
        Sharing::Part(_) | Sharing::Merge(_) if !has_records && options.out.join(JOURNAL_FILE).exists() => {
            return Err(Error::Usage(format!(
                "`{dir}` is the directory of a run of all of a plan; name another one for runs of its parts"
            )));
        }
        Sharing::Merge(_) if !has_records => {
            return Err(Error::Usage(format!(
                "`{dir}` holds no records of runs of parts of a plan (swath run --shard)"
            )));
        }
        Sharing::Part(_) => Duration::ZERO,
        Sharing::Merge(Merge { patience, .. }) => *patience,
    };
    let units = numbers(plan.part.as_ref().map_or(0..plan.units.len(), |part| part.units.clone()));
    let union = ledger::union(&FolderStore::of(&options.out), &whole(plan)?, units.clone(), patience)
        .map_err(JournalError::from)?;
    let is_merge = matches!(options.sharing, Sharing::Merge(_));
    if let Some(conflict) = union.conflicts.first().filter(|_| is_merge) {
        return Err(Error::Conflict(conflict.to_string()));
    }
    tell_problems(&union);
    let last = ledger::last_shard(union.attempts.iter().map(|attempt| &attempt.head));
    let taken = Taken::of(union);
    taken.wait(&options.out, patience);
    let records = taken.records(plan, &units, is_merge)?;
    let mut journal = Journal::open(options.journal_dir())?;
    if is_merge {
        // An earlier merge may have taken in what somebody else has done better since.
        journal.forget_concessions()?;
    }
    journal.append(&records)?;
    Ok(last)
}

/// Says which records do not count, and why. What they were about is done again, or missing.
fn tell_problems(union: &Union) {
    let problems: Vec<&String> =
        union.problems.iter().chain(union.attempts.iter().flat_map(|attempt| &attempt.problems)).collect();
    for text in problems.iter().take(PROBLEMS) {
        report::tell(&Event::Warning { text });
    }
    if problems.len() > PROBLEMS {
        let more = count((problems.len() - PROBLEMS) as u64, "more file");
        report::tell(&Event::Warning { text: &format!("{more} of records cannot be used") });
    }
}

/// Problems that are named.
const PROBLEMS: usize = 10;

/// SHA-256 of the whole plan.
fn whole(plan: &Plan) -> Result<String, Error> {
    match &plan.part {
        Some(part) => Ok(part.whole.clone()),
        None => digest(plan),
    }
}

fn numbers(units: Range<usize>) -> Range<u32> {
    let number = |unit| u32::try_from(unit).unwrap_or(u32::MAX);
    number(units.start)..number(units.end)
}

/// How often files are looked for that are not seen yet.
const AGAIN: Duration = Duration::from_millis(500);

/// What others have published, by kind.
#[derive(Default)]
struct Taken {
    scenes: Vec<SceneRecord>,
    failures: Vec<FailureRecord>,
    artefacts: Vec<ArtefactRecord>,
    concessions: Vec<ConcessionRecord>,
}

impl Taken {
    fn of(union: Union) -> Self {
        let mut taken = Self::default();
        for (_, record) in union.records {
            match record {
                Record::Scene(scene) => taken.scenes.push(scene),
                Record::Failure(failure) => taken.failures.push(failure),
                Record::Artefact(artefact) => taken.artefacts.push(artefact),
                Record::Concession(conceded) => taken.concessions.push(conceded),
                Record::Archive(_) | Record::Run(_) | Record::DeviceFault(_) => {}
            }
        }
        taken
    }

    /// Waits until the files that are recorded are seen here, and no longer than that.
    fn wait(&self, dir: &Path, patience: Duration) {
        let of_scenes = self.scenes.iter().flat_map(SceneRecord::files);
        let files = of_scenes.chain(self.artefacts.iter().map(|artefact| &artefact.file));
        let mut missing: Vec<&FileRecord> = if patience.is_zero() { Vec::new() } else { files.collect() };
        missing.retain(|file| !file.is_there(dir));
        let (begun, mut is_told) = (Instant::now(), false);
        while !missing.is_empty() && begun.elapsed() < patience {
            if !std::mem::replace(&mut is_told, true) {
                let n = count(missing.len() as u64, "file");
                let text = format!(
                    "{n} (`{}` among them) that others have recorded cannot be seen from here yet; waiting up to {}",
                    missing[0].path,
                    time(patience.as_secs_f64())
                );
                report::tell(&Event::Note { text: &text });
            }
            std::thread::sleep(AGAIN.min(patience.saturating_sub(begun.elapsed())));
            missing.retain(|file| !file.is_there(dir));
        }
    }

    /// What goes into the journal, in its order: the later one of a scene counts. What was done as planned goes before what a device had
    /// not the memory for, and what is done before what has failed somewhere.
    fn records(mut self, plan: &Plan, units: &Range<u32>, with_failures: bool) -> Result<Vec<Record>, Error> {
        self.prefer_as_planned(plan, units);
        let done: HashSet<&String> = self.scenes.iter().map(|scene| &scene.name).collect();
        self.failures.retain(|failure| with_failures && !done.contains(&failure.name));
        let plan = digest(plan)?;
        let own = |conceded: ConcessionRecord| {
            let what = conceded.what.within(units)?;
            Some(Record::Concession(ConcessionRecord { plan: plan.clone(), what }))
        };
        let concessions = self.concessions.into_iter().filter_map(own);
        let results = self.artefacts.into_iter().map(Record::Artefact);
        let verdicts = self.failures.into_iter().map(Record::Failure).chain(self.scenes.into_iter().map(Record::Scene));
        Ok(concessions.chain(results).chain(verdicts).collect())
    }

    /// Forgets that a unit ran tile by tile where it also ran as planned: somebody else had the memory.
    fn prefer_as_planned(&mut self, plan: &Plan, units: &Range<u32>) {
        if self.concessions.is_empty() {
            return;
        }
        let keys = Keys::new(plan);
        let none = Concessions::default();
        let of_name: BTreeMap<&str, usize> =
            (0..).zip(&plan.scenes).map(|(idx, scene)| (scene.name.as_str(), idx)).collect();
        let is_as_planned = |record: &SceneRecord| {
            let Some(scene) = of_name.get(record.name.as_str()) else { return false };
            let of_kind = |kind: &str| kinds_of(&plan.pipeline).find(|own| own.folder() == kind);
            let holds = |kind: &str, key: &StageKey| {
                of_kind(kind).is_some_and(|kind| keys.output(plan, &none, *scene, kind) == *key)
            };
            record.complete && record.outputs.iter().all(|output| holds(&output.kind, &output.key))
        };
        self.scenes.sort_by_cached_key(|record| is_as_planned(record));
        let (done, otherwise): (Vec<&SceneRecord>, Vec<&SceneRecord>) =
            self.scenes.iter().partition(|record| is_as_planned(record));
        let names =
            |records: Vec<&SceneRecord>| -> BTreeSet<String> { records.into_iter().map(|r| r.name.clone()).collect() };
        let (done, otherwise) = (names(done), names(otherwise));
        let stored: HashSet<&StageKey> =
            self.artefacts.iter().flat_map(|artefact| &artefact.entries).map(|entry| &entry.key).collect();
        let is_needless = |unit: u32| {
            let Some(unit) = plan.units.get((unit - units.start) as usize) else { return false };
            let geometry = unit.geometry(plan);
            (0..).zip(&geometry.parts).all(|(part, own)| {
                let name = &plan.scenes[own.scene as usize].name;
                let is_stored = || keys.planes(&geometry, part).all(|key| stored.contains(&key));
                done.contains(name) || (!otherwise.contains(name) && is_stored())
            })
        };
        self.concessions
            .retain(|conceded| !conceded.what.unit().is_some_and(|unit| units.contains(&unit) && is_needless(unit)));
    }
}

/// Publishes from here on what the journal records.
///
/// # Errors
/// When the system refuses.
pub(super) fn publish(journal: &mut Journal, plan: &Plan, run: &RunInfo, options: &RunOptions) -> Result<(), Error> {
    let (Sharing::Part(Part { shard, plan: file, .. }), Some(part)) = (&options.sharing, &plan.part) else {
        return Ok(());
    };
    let pid = std::process::id();
    let versions = run.versions.iter().map(|(what, version)| format!("{what} {version}"));
    let head = AttemptHead {
        attempt: ledger::attempt_id(&run.host, pid),
        plan: part.whole.clone(),
        plan_file: file.display().to_string(),
        units: numbers(part.units.clone()),
        shard: Some(*shard),
        host: run.host.clone(),
        pid,
        started: machine::seconds_since_1970(),
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        devices: run.devices.clone(),
        device_class: run.device_class.clone(),
        drivers: versions.collect(),
    };
    let publisher = Publisher::begin(Arc::new(FolderStore::of(&options.out)), head).map_err(JournalError::from)?;
    let first_unit = numbers(part.units.clone()).start;
    journal.publish(Publishing::new(publisher, part.whole.clone(), first_unit));
    Ok(())
}

/// That nothing is left for networks where none may run.
///
/// # Errors
/// When something is: it says which shards are to run again, and how.
pub(super) fn check_whole(for_networks: &[usize], cut: Option<ShardName>, options: &RunOptions) -> Result<(), Error> {
    let Sharing::Merge(merge) = &options.sharing else { return Ok(()) };
    if for_networks.is_empty() {
        return Ok(());
    }
    let lacking = count(for_networks.len() as u64, "unit");
    let Some(ShardName { count, slots, .. }) = cut else {
        return Err(Error::PartsMissing(format!("{lacking} of the plan are not done, and no shard of it has begun")));
    };
    let cut = ShardCut { slots, count };
    let missing = missing(&mut PlanFile::open(&merge.plan)?, &cut, for_networks)?;
    Err(Error::PartsMissing(again(&lacking, &missing, &cut, merge, options)))
}

/// The shards of a cut that hold these units.
fn missing(file: &mut PlanFile, cut: &ShardCut, units: &[usize]) -> Result<Vec<u32>, Error> {
    let mut shards = Vec::new();
    for index in 0..cut.count {
        let own = file.shard(cut, index)?;
        let first = units.partition_point(|unit| *unit < own.start);
        if units.get(first).is_some_and(|unit| own.contains(unit)) {
            shards.push(index);
        }
    }
    Ok(shards)
}

/// Which shards lack, and the command that runs them.
fn again(lacking: &str, shards: &[u32], cut: &ShardCut, merge: &Merge, options: &RunOptions) -> String {
    let slots = cut.slots.map_or_else(String::new, |slots| format!(" --slots {slots}"));
    let list = in_ranges(shards);
    let word = |path: &Path| shell_word(&path.display().to_string());
    let (plan, out) = (word(&merge.plan), word(&options.out));
    let each = shards.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let count = cut.count;
    format!(
        "{lacking} of the plan are not done: of {count} shards these are to run again: {list} (as an array of an engine: --shard auto, with \
         these indices); or here, one after the other:\nfor i in {each}; do swath run --plan {plan} -o {out} --shard $i --shards {count}{slots}; done && swath merge {out}"
    )
}

/// Removes what attempts that were cut off left under temporary names, where nobody else may be writing.
pub(super) fn remove_temporaries(options: &RunOptions) -> u64 {
    match options.sharing {
        Sharing::Alone => resume::remove_temporaries(&options.out),
        Sharing::Part(_) | Sharing::Merge(_) => 0,
    }
}
