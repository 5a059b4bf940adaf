//! A run directory that several runs share, each at a part of one plan: what this one takes in of the others' work, what it publishes of
//! its own, and what lacks when all of it is put together.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::intake::Intake;
use super::options::{Merge, Part, RunOptions, Sharing};
use super::record::digest;
use super::resume;
use crate::app::Error;
use crate::atomic::WriteError;
use crate::faults::{Fault, Faults};
use crate::infer;
use crate::journal::ledger::{
    self, AttemptHead, AttemptState, FolderStore, Publisher, RECORDS_FOLDER, ShardName, Store, StoreError,
};
use crate::journal::{JOURNAL_FILE, Journal, JournalError, Publishing};
use crate::lifecycle::machine;
use crate::plan::{DeviceId, Plan, PlanFile, ShardCut};
use crate::report::{self, Event, RunInfo, in_ranges};
use crate::words::{count, shell_word};

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
    let is_merge = matches!(options.sharing, Sharing::Merge(_));
    let (whole, dir) = (whole(plan)?, &options.out);
    let survey = Intake { plan, units, whole: &whole, dir, patience, is_merge }.run(options.journal_dir())?;
    let attempts: Vec<AttemptState> = survey.attempts().into_iter().flatten().collect();
    tell_problems(survey.problems(), &attempts);
    Ok(ledger::last_shard(attempts.iter().map(|attempt| &attempt.head)))
}

/// Says which records do not count, and why. What they were about is done again, or missing.
fn tell_problems(others: Vec<String>, attempts: &[AttemptState]) {
    let problems: Vec<&String> = others.iter().chain(attempts.iter().flat_map(|attempt| &attempt.problems)).collect();
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
        devices: run.devices.iter().map(|device| sold_as(device)).collect(),
        device_class: run.device_class.clone(),
        drivers: versions.chain(machine::nvidia_driver()).collect(),
    };
    let store = Published { store: FolderStore::of(&options.out), faults: options.faults.at("records") };
    let publisher = Publisher::begin(Arc::new(store), head).map_err(JournalError::from)?;
    let first_unit = numbers(part.units.clone()).start;
    journal.publish(Publishing::new(publisher, part.whole.clone(), first_unit));
    Ok(())
}

/// Where records go, and what goes wrong there on purpose.
struct Published {
    store: FolderStore,
    faults: Faults,
}

impl Store for Published {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.faults.pass(name) == Some(Fault::Full) {
            let path = self.store.locate(name).into();
            return Err(WriteError { operation: "write", path, source: ErrorKind::StorageFull.into() }.into());
        }
        self.store.put(name, bytes)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.store.list(folder)
    }

    fn locate(&self, name: &str) -> String {
        self.store.locate(name)
    }
}

/// What a device of this name is.
fn sold_as(device: &str) -> String {
    let gpu = device.parse().ok().and_then(DeviceId::gpu);
    match gpu.map(infer::gpu) {
        Some(Ok(gpu)) => format!("{device} {gpu}"),
        Some(Err(_)) => device.to_owned(),
        None => format!("{device} {}", machine::processor()),
    }
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
