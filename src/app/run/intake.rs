//! What others have published goes into the journal that a run goes by, record by record: of 10^6 scenes, what is known at a time is which
//! there are and which bytes they have, in a few dozen bytes each.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use super::record::digest;
use crate::app::Error;
use crate::journal::ledger::{Best, Claimed, Conflict, FolderStore, Rank, Survey};
use crate::journal::{
    Conceded, ConcessionRecord, FailureRecord, FileRecord, Import, Journal, JournalError, Record, SceneRecord, StageKey,
};
use crate::outputs::kinds_of;
use crate::plan::{Concessions, Keys, Plan, Unit};
use crate::report::{self, Event, in_ranges};
use crate::words::{count, listed, time};

/// What is taken in, and from where.
pub(super) struct Intake<'a> {
    /// The plan, or the part of it that the run is about.
    pub(super) plan: &'a Plan,
    /// Its units, as the whole plan counts them.
    pub(super) units: Range<u32>,
    /// SHA-256 of the whole plan.
    pub(super) whole: &'a str,
    /// What is shared.
    pub(super) dir: &'a Path,
    /// How long what is recorded may take to be seen.
    pub(super) patience: Duration,
    /// Whether all of it is put together: then it must be of one piece, and what has failed somewhere has failed.
    pub(super) is_merge: bool,
}

/// What is known while records go by.
#[derive(Default)]
struct Passing {
    /// Of several records of a scene the best one is to be the last in the journal.
    scenes: Best,
    failures: Vec<(Rank, FailureRecord)>,
    concessions: Vec<ConcessionRecord>,
    /// Files that are recorded and not seen here.
    missing: Vec<FileRecord>,
    error: Option<JournalError>,
}

impl Intake<'_> {
    /// Takes in what is there. Nothing has changed where that fails.
    pub(super) fn run(&self, journal_dir: &Path) -> Result<Survey, Error> {
        let mut journal = Journal::open(journal_dir)?;
        let import = journal.import()?;
        let (mut survey, mut passing) = (Survey::of(self.whole, self.units.clone()), Passing::default());
        let store = FolderStore::of(self.dir);
        let sink = |_, record| self.pass(&mut passing, &import, record);
        survey.follow(&store, self.patience, sink, |missing| self.tell_missing(missing)).map_err(JournalError::from)?;
        passing.error.take().map_or(Ok(()), Err)?;
        if let Some(conflict) = survey.conflicts().first().filter(|_| self.is_merge) {
            return Err(Error::Conflict(named(self.plan, conflict)));
        }
        self.wait(std::mem::take(&mut passing.missing));
        if self.is_merge {
            // An earlier merge may have taken in what somebody else has done better since.
            import.forget_concessions()?;
            passing.failures.sort_by_key(|(rank, _)| *rank);
            for (_, failure) in passing.failures.drain(..) {
                if !passing.scenes.has(&failure.name) {
                    import.put(&Record::Failure(failure))?;
                }
            }
        }
        for record in self.conceded(std::mem::take(&mut passing.concessions))? {
            import.put(&record)?;
        }
        import.commit()?;
        Ok(survey)
    }

    /// Takes in one record, or keeps it for when all are known.
    fn pass(&self, passing: &mut Passing, import: &Import<'_>, record: Record) {
        if passing.error.is_some() {
            return;
        }
        if let Record::Failure(failure) = record {
            if self.is_merge {
                let rank = Rank::of(&Record::Failure(failure.clone()));
                passing.failures.push((rank, failure));
            }
            return;
        }
        let is_put = match &record {
            Record::Scene(scene) => {
                self.look_for(scene.files(), &mut passing.missing);
                passing.scenes.is_best(scene)
            }
            Record::Artefact(artefact) => {
                self.look_for([&artefact.file], &mut passing.missing);
                true
            }
            Record::Concession(conceded) => {
                passing.concessions.push(conceded.clone());
                false
            }
            Record::Failure(_) | Record::Archive(_) | Record::Run(_) | Record::DeviceFault(_) => false,
        };
        if is_put {
            passing.error = import.put(&record).err();
        }
    }

    /// Notes which of these files are not seen here, where that matters.
    fn look_for<'b>(&self, files: impl IntoIterator<Item = &'b FileRecord>, missing: &mut Vec<FileRecord>) {
        if !self.patience.is_zero() {
            missing.extend(files.into_iter().filter(|file| !file.is_there(self.dir)).cloned());
        }
    }

    fn tell_missing(&self, missing: &[String]) {
        let (n, patience) = (count(missing.len() as u64, "file"), time(self.patience.as_secs_f64()));
        let first = &missing[0];
        let text = format!(
            "{n} of records that others name cannot be read from here yet; waiting up to {patience} (--patience): {first}"
        );
        report::tell(&Event::Note { text: &text });
    }

    /// Waits until the files that are recorded are seen here, and no longer than that.
    fn wait(&self, mut missing: Vec<FileRecord>) {
        missing.retain(|file| !file.is_there(self.dir));
        let (begun, mut is_told) = (Instant::now(), false);
        while !missing.is_empty() && begun.elapsed() < self.patience {
            if !std::mem::replace(&mut is_told, true) {
                let n = count(missing.len() as u64, "file");
                let text = format!(
                    "{n} (`{}` among them) that others have recorded cannot be seen from here yet; waiting up to {} (--patience)",
                    missing[0].path,
                    time(self.patience.as_secs_f64())
                );
                report::tell(&Event::Note { text: &text });
            }
            std::thread::sleep(AGAIN.min(self.patience.saturating_sub(begun.elapsed())));
            missing.retain(|file| !file.is_there(self.dir));
        }
    }

    /// What somebody has given up against the plan, as far as nobody has done better, and what it is about again, in an order in which the
    /// better record of a scene is the last.
    fn conceded(&self, concessions: Vec<ConcessionRecord>) -> Result<Vec<Record>, Error> {
        if concessions.is_empty() {
            return Ok(Vec::new());
        }
        let plan = digest(self.plan)?;
        let own = |conceded: ConcessionRecord| {
            let what = conceded.what.within(&self.units)?;
            Some(ConcessionRecord { plan: plan.clone(), what })
        };
        let concessions: Vec<ConcessionRecord> = concessions.into_iter().filter_map(own).collect();
        let mut taken = self.about(concessions)?;
        taken.prefer_as_planned(self.plan);
        let conceded = taken.concessions.into_iter().map(Record::Concession);
        Ok(conceded.chain(taken.scenes.into_iter().map(Record::Scene)).collect())
    }

    /// Reads once more what is recorded of the units of these.
    fn about(&self, concessions: Vec<ConcessionRecord>) -> Result<Taken, Error> {
        let plan = self.plan;
        let units: BTreeSet<u32> = concessions.iter().flat_map(|conceded| conceded.what.units()).collect();
        let units: Vec<&Unit> = units.iter().filter_map(|unit| plan.units.get(*unit as usize)).collect();
        let names = units.iter().flat_map(|unit| unit.scenes()).map(|scene| &plan.scenes[scene].name);
        let names: HashSet<&String> = names.collect();
        let keys = Keys::new(plan);
        let planes = |unit: &&Unit| -> Vec<StageKey> {
            let geometry = unit.geometry(plan);
            (0..).zip(&geometry.parts).flat_map(|(part, _)| keys.planes(&geometry, part)).collect()
        };
        let wanted: HashSet<StageKey> = units.iter().flat_map(planes).collect();
        let (mut scenes, mut stored) = (Vec::new(), HashSet::new());
        let sink = |_, record: Record| {
            if let Record::Scene(scene) = &record
                && names.contains(&scene.name)
            {
                scenes.push(record);
            } else if let Record::Artefact(artefact) = record {
                stored.extend(artefact.entries.into_iter().map(|entry| entry.key).filter(|key| wanted.contains(key)));
            }
        };
        let mut survey = Survey::of(self.whole, self.units.clone());
        survey.look(&FolderStore::of(self.dir), sink).map_err(JournalError::from)?;
        scenes.sort_by_cached_key(Rank::of);
        let scenes =
            scenes.into_iter().filter_map(|record| if let Record::Scene(scene) = record { Some(scene) } else { None });
        Ok(Taken { scenes: scenes.collect(), stored, concessions, keys })
    }
}

/// How often files are looked for that are not seen yet.
const AGAIN: Duration = Duration::from_millis(500);

/// What is recorded of units that somebody had not the memory for.
struct Taken {
    /// Records of their scenes, in the order of the union.
    scenes: Vec<SceneRecord>,
    /// Their results, as planned, as far as they are stored.
    stored: HashSet<StageKey>,
    concessions: Vec<ConcessionRecord>,
    keys: Keys,
}

impl Taken {
    /// Forgets that a unit ran tile by tile where it also ran as planned: somebody else had the memory. What was done as planned goes behind
    /// what was not.
    fn prefer_as_planned(&mut self, plan: &Plan) {
        let (keys, none) = (&self.keys, Concessions::default());
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
        let stored = &self.stored;
        let is_needless = |unit: u32| {
            let Some(unit) = plan.units.get(unit as usize) else { return false };
            let geometry = unit.geometry(plan);
            (0..).zip(&geometry.parts).all(|(part, own)| {
                let name = &plan.scenes[own.scene as usize].name;
                let is_stored = || keys.planes(&geometry, part).all(|key| stored.contains(&key));
                done.contains(name) || (!otherwise.contains(name) && is_stored())
            })
        };
        self.concessions.retain(|conceded| !conceded.what.unit().is_some_and(is_needless));
    }
}

/// A conflict with the units that it is about, as the whole plan counts them.
fn named(plan: &Plan, conflict: &Conflict) -> String {
    let units: Vec<u32> = match &conflict.what {
        Claimed::Output { scene, .. } => {
            let scene = plan.scenes.iter().position(|own| own.name == *scene);
            scene
                .map(|scene| plan.units_of(scene))
                .unwrap_or_default()
                .filter_map(|unit| u32::try_from(unit).ok())
                .collect()
        }
        Claimed::Artefact { keys, .. } => units_with(plan, conflict, &keys.iter().collect()),
    };
    let touched = |unit: &u32| plan.units.get(*unit as usize).map(Unit::scenes).unwrap_or_default();
    let mut scenes: Vec<usize> = units.iter().flat_map(touched).collect();
    scenes.dedup();
    let scenes: Vec<String> = scenes.into_iter().map(|scene| format!("`{}`", plan.scenes[scene].name)).collect();
    match units.len() {
        // Keys of another version of swath, say.
        0 => conflict.to_string(),
        1 => format!("unit {} of the plan (of {}): {conflict}", units[0], listed(&scenes, 3)),
        _ => format!("units {} of the plan (of {}): {conflict}", in_ranges(&units), listed(&scenes, 3)),
    }
}

/// The units that have these keys, as planned or tile by tile.
fn units_with(plan: &Plan, Conflict { first, second, .. }: &Conflict, wanted: &HashSet<&StageKey>) -> Vec<u32> {
    let keys = Keys::new(plan);
    let both = |unit: &u32| first.head.units.contains(unit) && second.head.units.contains(unit);
    let has = |unit: &u32| {
        let mut single = Concessions::default();
        single.add(&Conceded::SingleTiles { unit: *unit });
        [Concessions::default(), single].iter().any(|terms| {
            let geometry = terms.geometry(plan, *unit as usize);
            keys.of_unit(&geometry).any(|key| wanted.contains(&key))
        })
    };
    let n = u32::try_from(plan.units.len()).unwrap_or(u32::MAX);
    (0..n).filter(both).filter(has).collect()
}
