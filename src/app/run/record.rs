//! The report of a run in the making, and what follows from it: the archive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::DateTime;

use super::options::PartialArchive;
use super::outputs::Outputs;
use super::resume::{Usable, is_done};
use crate::app::Error;
use crate::atomic::Fingerprint;
use crate::config::Pipeline;
use crate::config::classes::{Class, NODATA_LABEL};
use crate::flow::StageReport;
use crate::geom::Size;
use crate::journal::{
    ArchiveRecord, Conceded, ConcessionRecord, FailureRecord, FileRecord, KeyHasher, SceneFacts, SceneRecord,
};
use crate::lifecycle::machine;
use crate::outputs::{OutputLayout, Packing, kinds_of};
use crate::package::{self, Content, Entry, Packed, Rules};
use crate::plan::{Concessions, Plan, Planned, Promise, Refusal, Scene};
use crate::report::{
    BudgetReport, DeadlineReport, DeadlineStep, Event, FailedScene, PackageReport, REPORT_FORMAT, ReducedScene,
    RunInfo, RunReport, RunState, SceneReport, SceneResolution, Snapshot, StageLine, Totals, Watch,
};
use crate::stages::{Board, Verdict};

/// The report in the making.
pub(in crate::app) struct ReportBuilder {
    pub(in crate::app) report: RunReport,
    /// The archive of an earlier run, as long as it still holds.
    pub(in crate::app) archive: Option<ArchiveRecord>,
    /// Names of the scenes that are left to another run.
    missing_names: BTreeSet<String>,
    found: FoundSummary,
}

/// What earlier runs left, for people.
#[derive(Clone, Copy, Debug, Default)]
struct FoundSummary {
    damaged: u64,
    usable: Usable,
    temporaries: u64,
}

impl ReportBuilder {
    /// Writes the report of a run that has begun, so that whatever it leaves is known as its own.
    pub(in crate::app) fn begin(
        job: &Planned,
        promise: &Promise,
        outputs: &Outputs,
        run: RunInfo,
    ) -> Result<Self, Error> {
        let Planned { plan, ignored, outside, .. } = job;
        let planned = planned_outputs(plan);
        let report = RunReport {
            format: REPORT_FORMAT,
            swath: env!("CARGO_PKG_VERSION").to_owned(),
            state: RunState::Running,
            plan: digest(plan)?,
            run,
            totals: Totals { ignored: *ignored, outside: *outside, ..Totals::default() },
            restarts: Vec::new(),
            scenes: BTreeMap::new(),
            reruns: BTreeMap::new(),
            failed: Vec::new(),
            missing: Vec::new(),
            cut: plan.part.iter().flat_map(|part| &part.cut).map(|scene| plan.label_of(*scene)).collect(),
            deadline: None,
            reduced: Vec::new(),
            earlier: outputs.left_over(&planned, &plan.pipeline),
            outputs: planned,
            package: None,
            stages: Vec::new(),
            bottleneck: None,
            memory: memory(promise),
        };
        report.write(&outputs.book.report())?;
        Ok(Self::of(report))
    }

    /// Goes on from a report.
    pub(in crate::app) fn of(report: RunReport) -> Self {
        Self { report, archive: None, missing_names: BTreeSet::new(), found: FoundSummary::default() }
    }

    /// What the report says beside what a plan and the records of scenes tell: that is kept with the record of the run.
    pub(in crate::app) fn own_part(&mut self) -> Result<serde_json::Value, Error> {
        // Set aside, and not copied: of 10^6 scenes they are a gigabyte.
        let RunReport { scenes, outputs, failed, reduced, package, .. } = &mut self.report;
        let (scenes, outputs, package) = (std::mem::take(scenes), std::mem::take(outputs), package.take());
        let (failed, reduced) = (std::mem::take(failed), std::mem::take(reduced));
        let own = serde_json::to_value(&self.report).map_err(|e| Error::Internal(e.to_string()));
        let report = &mut self.report;
        (report.scenes, report.outputs, report.package) = (scenes, outputs, package);
        (report.failed, report.reduced) = (failed, reduced);
        own
    }

    /// Notes what earlier runs have done.
    pub(in crate::app) fn found(
        &mut self,
        plan: &Plan,
        scenes: &[Option<SceneRecord>],
        archive: Option<ArchiveRecord>,
        damaged: u64,
        usable: Usable,
        temporaries: u64,
    ) {
        for (idx, record) in scenes.iter().enumerate().filter(|(_, record)| is_done(record)) {
            record.iter().for_each(|record| self.done(plan, idx, record.clone(), true));
        }
        self.archive = archive;
        self.found = FoundSummary { damaged, usable, temporaries };
    }

    /// Notes a scene that has its mask.
    pub(in crate::app) fn done(&mut self, plan: &Plan, scene: usize, record: SceneRecord, done_before: bool) {
        let totals = &mut self.report.totals;
        totals.done += 1;
        totals.reused += u64::from(done_before);
        totals.pixels += if done_before { 0 } else { plan.scenes[scene].header.size.area() };
        let SceneRecord { name, outputs, facts, .. } = record;
        // A kind may have nothing to write of a scene: of one that lies nowhere there are no polygons.
        OutputLayout::files(&name, &plan.pipeline).for_each(|file| drop(self.report.outputs.remove(&file)));
        for file in outputs.into_iter().flat_map(|output| output.files) {
            self.report.outputs.insert(file.path, Some(file.content));
        }
        self.report.scenes.insert(name, scene_report(plan, scene, facts, done_before));
    }

    pub(in crate::app) fn earlier(&self, plan: &Plan) -> Event<'static> {
        let FoundSummary { damaged, usable: Usable { checkpoints, .. }, temporaries } = self.found;
        Event::Earlier {
            done: self.report.totals.reused,
            of_scenes: plan.scenes.len() as u64,
            checkpoints,
            damaged,
            fewer_members: self.report.deadline.as_ref().is_some_and(|deadline| !deadline.steps.is_empty()),
            unfinished: temporaries,
        }
    }

    /// Whether a scene has its outputs.
    pub(in crate::app) fn is_done(&self, name: &str) -> bool {
        self.report.scenes.contains_key(name)
    }

    /// Scenes and tiles that were done before this run, and the pixels that the networks need not see any more.
    pub(in crate::app) fn known_extent(&self, plan: &Plan) -> Snapshot {
        let mut known = Snapshot { network_pixels: self.found.usable.network_pixels, ..Snapshot::default() };
        for scene in plan.scenes.iter().filter(|s| self.is_done(&s.name)) {
            known.scenes += 1;
            known.tiles += scene.n_tiles();
            known.network_pixels += scene.network_pixels();
        }
        known
    }

    /// Notes the end of a scene.
    pub(in crate::app) fn take(
        &mut self,
        verdict: Verdict,
        board: &Board,
        outputs: &Outputs,
        watch: &Watch,
    ) -> Result<(), Error> {
        let plan = board.plan();
        match verdict.outcome {
            Ok(record) => {
                self.done(plan, verdict.scene as usize, record, false);
                Ok(())
            }
            Err(failure) => self.fail(outputs, &plan.pipeline, failure, watch),
        }
    }

    /// Notes a scene without a mask, takes away what an earlier run made of it, and tells.
    pub(in crate::app) fn fail(
        &mut self,
        outputs: &Outputs,
        pipeline: &Pipeline,
        failure: FailureRecord,
        watch: &Watch,
    ) -> Result<(), Error> {
        outputs.withdraw_scene(&failure.name, pipeline)?;
        watch.tell(&Event::Failed { scene: &failure.file, stage: &failure.stage, cause: &failure.cause });
        self.failed(pipeline, failure, action(PartialArchive::Withhold, None));
        Ok(())
    }

    /// Notes a scene without a mask.
    pub(in crate::app) fn failed(&mut self, pipeline: &Pipeline, failure: FailureRecord, action: String) {
        OutputLayout::files(&failure.name, pipeline).for_each(|file| drop(self.report.outputs.remove(&file)));
        self.report.totals.failed += 1;
        self.report.failed.push(failed_scene(failure, action));
    }

    pub(in crate::app) fn measure(&mut self, board: &Board, wall: Duration, peak_units: u64) {
        let counts = board.progress.read();
        let totals = &mut self.report.totals;
        totals.seconds = wall.as_secs_f64();
        totals.tiles = counts.tiles;
        totals.network_pixels = counts.seen_pixels;
        (totals.void_tiles, totals.repeated_tiles) = (counts.void, counts.repeated);
        totals.forwards = counts.forwards;
        totals.decoded = counts.decoded;
        self.report.reruns.clear();
        for (pass, tiles) in board.plan().passes.iter().zip(board.pace.reruns()).filter(|(_, tiles)| *tiles > 0) {
            let member = board.plan().members[pass.member].member.name.clone();
            *self.report.reruns.entry(member).or_default() += tiles;
        }
        self.report.memory.peak_units = peak_units.max(self.report.memory.peak_units);
    }

    /// Notes which scenes are not done as planned, and brings what came in any order into that of names.
    pub(in crate::app) fn close(&mut self, plan: &Plan, concessions: &Concessions) {
        self.report.failed.sort_by(|a, b| (&a.scene, &a.name).cmp(&(&b.scene, &b.name)));
        let mut conceded: BTreeMap<usize, ReducedScene> = BTreeMap::new();
        for unit in concessions.units().into_iter().filter(|unit| *unit < plan.units.len()) {
            for scene in plan.units[unit].scenes() {
                let entry = conceded.entry(scene).or_insert_with(|| ReducedScene {
                    scene: plan.label_of(scene),
                    units: plan.units_of(scene).len() as u64,
                    single_tiles: Vec::new(),
                    members: BTreeMap::new(),
                });
                if concessions.batch_of(unit, u32::MAX) == 1 {
                    entry.single_tiles.push(unit as u64);
                }
            }
        }
        for (scene, entry) in &mut conceded {
            if self.missing_names.contains(&plan.scenes[*scene].name) {
                continue;
            }
            let passes = plan.units_of(*scene).map(|unit| concessions.passes_of(unit, plan.passes.len()));
            let passes: Vec<Vec<usize>> = passes.collect();
            if passes.iter().any(|own| own.len() < plan.passes.len()) {
                let sees = |name: &str, own: &[usize]| plan.names_of(own).iter().any(|own| own == name);
                let of = |name: &str| passes.iter().filter(|own| sees(name, own)).count() as u64;
                let all: Vec<usize> = (0..plan.passes.len()).collect();
                entry.members = plan.names_of(&all).into_iter().map(|name| (name.clone(), of(&name))).collect();
            }
        }
        conceded.retain(|_, entry| !entry.single_tiles.is_empty() || !entry.members.is_empty());
        self.report.reduced = conceded.into_values().collect();
    }

    /// Notes the deadline and what it has asked for before.
    pub(in crate::app) fn steps(&mut self, deadline: Option<Duration>, plan: &Plan, before: &[ConcessionRecord]) {
        let Some(limit) = deadline else { return };
        self.report.deadline = Some(DeadlineReport { seconds: limit.as_secs_f64(), ..DeadlineReport::default() });
        for conceded in before.iter().map(|record| &record.what) {
            if let Conceded::FewerPasses { passes, seconds, .. } = conceded {
                let passes: Vec<usize> = passes.iter().map(|pass| *pass as usize).collect();
                let elapsed = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                self.step(elapsed, conceded.n_units(), &plan.names_of(&passes));
            }
        }
    }

    /// Notes a step that the deadline asks for.
    pub(in crate::app) fn step(&mut self, elapsed: Duration, units: usize, members: &[String]) {
        if let Some(deadline) = &mut self.report.deadline {
            let (seconds, units) = (elapsed.as_secs_f64(), units as u64);
            deadline.steps.push(DeadlineStep {
                seconds,
                units,
                members: members.iter().map(|m| (*m).to_owned()).collect(),
            });
        }
    }

    /// Notes scenes without a verdict: those of them that have not failed are left to another run.
    pub(in crate::app) fn left_over(&mut self, board: &Board, scenes: &[u32]) {
        for idx in scenes.iter().filter(|idx| !board.scenes.has_failed(**idx)) {
            self.leave(board.plan(), *idx as usize);
        }
    }

    /// Notes a scene that is left to another run.
    pub(in crate::app) fn leave(&mut self, plan: &Plan, scene: usize) {
        self.missing_names.insert(plan.scenes[scene].name.clone());
        self.report.missing.push(plan.label_of(scene));
    }

    /// Notes what the stages did with their time, all passes together. The busiest one sets the pace.
    pub(in crate::app) fn stages(&mut self, stages: &[StageReport], wall: Duration) {
        let busy = |s: &StageReport| s.percent(s.busy, wall);
        let busiest = stages.iter().max_by(|a, b| busy(a).total_cmp(&busy(b)));
        self.report.bottleneck = busiest.map(|s| s.name.clone());
        let line = |s: &StageReport| StageLine {
            name: s.name.clone(),
            workers: s.workers,
            items: s.items,
            busy_percent: busy(s),
            wait_in_percent: s.percent(s.wait_in, wall),
            wait_out_percent: s.percent(s.wait_out, wall),
            cpu_seconds: s.cpu.as_secs_f64(),
        };
        self.report.stages = stages.iter().map(line).collect();
    }

    /// Every scene must have ended one way or the other, or be left over, or be for others to finish.
    pub(in crate::app) fn check_complete(&self, board: &Board) -> Result<(), Error> {
        let scenes = board.plan().scenes.len() as u64;
        let is_kept = |scene: &u32| {
            let name = &board.plan().scenes[*scene as usize].name;
            let has_failed = self.report.failed.iter().any(|failed| failed.name == *name);
            !(has_failed || self.missing_names.contains(name))
        };
        let planned = scenes - board.scenes.cut().iter().filter(|scene| is_kept(scene)).count() as u64;
        let refused = self.report.failed.iter().filter(|f| f.stage == Refusal::STAGE).count() as u64;
        let ended = self.report.totals.done + self.report.totals.failed + self.missing_names.len() as u64 - refused;
        if ended == planned { Ok(()) } else { Err(Error::Internal(format!("{ended} of {planned} scenes have ended"))) }
    }

    /// Makes the archive, unless scenes have no mask and it is withheld, or it is there already; its record if it is new. `alive` is
    /// called again and again meanwhile.
    pub(in crate::app) fn pack(
        &mut self,
        outputs: &Outputs,
        partial: PartialArchive,
        sizes: &[(String, Option<Size>)],
        board: &Board,
        alive: &dyn Fn(),
    ) -> Result<Option<ArchiveRecord>, Error> {
        let complete = self.report.failed.is_empty() && self.missing_names.is_empty();
        if (partial == PartialArchive::Withhold && !complete) || self.report.totals.done == 0 {
            return Ok(None);
        }
        let pipeline = &board.plan().pipeline;
        let entries = self.entries(outputs, pipeline, partial, sizes)?;
        let key = board.packed_keys().iter().fold(KeyHasher::new("pack"), KeyHasher::key);
        let key = key.value(&pipeline.package).finish();
        let key = entries.iter().fold(KeyHasher::new("pack").key(&key), |key, entry| {
            let blank = matches!(entry.content, Content::Blank(_)).then_some(&entry.size);
            key.text(&entry.name).value(&blank).value(&partial_value(partial))
        });
        let key = key.finish();
        if let Some(archive) = self.archive.take().filter(|archive| archive.key == key) {
            self.archive = Some(archive);
            self.keep_archive(&outputs.layout);
            return Ok(None);
        }
        outputs.withdraw_archive()?;
        let rules = Rules {
            depth: pipeline.outputs.mask_depth,
            classes: &pipeline.classes,
            prefix: &pipeline.package.prefix,
            manifest: pipeline.package.manifest,
        };
        let path = outputs.book.archive();
        let Packed { entries, content } = package::pack(&path, entries, &rules, alive)?;
        let file = FileRecord { path: outputs.layout.relative(&path), content };
        let record = ArchiveRecord { key, file, entries, blank: partial_value(partial) };
        self.report.package = Some(package_report(&outputs.layout, record.clone()));
        Ok(Some(record))
    }

    /// Leaves the archive of an earlier run as it is, if it still holds.
    pub(in crate::app) fn keep_archive(&mut self, layout: &OutputLayout) {
        self.report.package = self.archive.take().map(|archive| package_report(layout, archive));
    }

    /// What the archive is to hold.
    fn entries(
        &mut self,
        outputs: &Outputs,
        pipeline: &Pipeline,
        partial: PartialArchive,
        sizes: &[(String, Option<Size>)],
    ) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for (name, size) in sizes {
            let failed = self.report.failed.iter_mut().find(|failed| failed.name == *name);
            let lacks = failed.is_some() || self.missing_names.contains(name);
            let blank = partial_value(partial);
            if let Some(failed) = failed {
                failed.action = action(partial, *size);
            }
            if lacks && (blank.is_none() || size.is_none()) {
                continue;
            }
            let size = size.ok_or_else(|| Error::Internal(format!("`{name}` has no size")))?;
            for (kind, packing) in kinds_of(pipeline).filter_map(|kind| Some((kind, kind.packing()?))) {
                let file = kind.files(name).swap_remove(0);
                let path = outputs.layout.dir.join(&file);
                let is_there = matches!(self.report.outputs.get(&file), Some(Some(_)));
                let (name, content) = match (packing, blank.filter(|_| lacks)) {
                    (Packing::Mask, Some(value)) => (&file[kind.folder().len() + 1..], Content::Blank(value)),
                    (Packing::Mask, None) => (&file[kind.folder().len() + 1..], Content::File(path)),
                    (Packing::Copy, None) if is_there => (file.as_str(), Content::Copy(path)),
                    (Packing::Copy, _) => continue,
                };
                entries.push(Entry { name: name.to_owned(), size, content });
            }
        }
        Ok(entries)
    }
}

/// A failure as reports have it.
pub(in crate::app) fn failed_scene(failure: FailureRecord, action: String) -> FailedScene {
    let FailureRecord { name, file, stage, cause, .. } = failure;
    FailedScene { name, scene: file, stage, cause, action }
}

/// What is done about the place of a scene without a mask in the archive.
pub(in crate::app) fn action(partial: PartialArchive, size: Option<Size>) -> String {
    match (partial, size) {
        (PartialArchive::Withhold, _) => "not in submit.zip".into(),
        (PartialArchive::Blank(value), Some(_)) => format!("blank mask of {value}"),
        (PartialArchive::Blank(_), None) => "left out of submit.zip: its size is unknown".into(),
        (PartialArchive::Omit, _) => "left out of submit.zip".into(),
    }
}

/// The files of a plan, of which none is written.
pub(in crate::app) fn planned_outputs(plan: &Plan) -> BTreeMap<String, Option<Fingerprint>> {
    plan.scenes.iter().flat_map(|s| OutputLayout::files(&s.name, &plan.pipeline)).map(|file| (file, None)).collect()
}

/// The value of blank masks.
fn partial_value(partial: PartialArchive) -> Option<u16> {
    match partial {
        PartialArchive::Blank(value) => Some(value),
        PartialArchive::Withhold | PartialArchive::Omit => None,
    }
}

/// What a report says of a scene.
fn scene_report(plan: &Plan, scene: usize, facts: SceneFacts, done_before: bool) -> SceneReport {
    let (planned, classes) = (&plan.scenes[scene], plan.pipeline.classes.classes());
    let (header, area) = (&planned.header, planned.header.size.area().max(1) as f64);
    let share = |label: &u8| facts.pixels.iter().find(|(l, _)| l == label).map_or(0.0, |(_, n)| *n as f64 / area);
    let of_class = |class: &Class| (class.name.clone(), share(&class.id));
    SceneReport {
        scene: plan.label_of(scene),
        size: [header.size.width, header.size.height],
        resolution: resolution(plan, planned),
        bands: header.n_bands,
        pixel_type: header.dtype.to_string(),
        done_before,
        seconds: facts.milliseconds as f64 / 1e3,
        nodata: share(&NODATA_LABEL),
        classes: classes.iter().map(of_class).filter(|(_, share)| *share > 0.0).collect(),
        warnings: facts.warnings,
    }
}

/// What became of a scene's resolution.
pub(in crate::app) fn resolution(plan: &Plan, scene: &Scene) -> Option<SceneResolution> {
    let Size { width, height } = scene.network_size();
    let (metres, wanted) = (scene.header.pixel_metres?, plan.pipeline.reading.resolution?);
    let resampled = scene.resampling().is_some();
    Some(SceneResolution { metres, wanted, network_size: [width, height], resampled })
}

/// SHA-256 of a plan.
pub(in crate::app) fn digest(plan: &Plan) -> Result<String, Error> {
    plan.digest().map_err(|e| Error::Internal(e.to_string()))
}

/// The time now, as reports have it.
pub(in crate::app) fn now() -> String {
    let time = i64::try_from(machine::seconds_since_1970()).ok().and_then(|now| DateTime::from_timestamp(now, 0));
    time.map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

/// The promise as reports have it.
pub(in crate::app) fn memory(promise: &Promise) -> BudgetReport {
    BudgetReport {
        budget: promise.budget,
        decoder_cache: promise.decoder_cache,
        decoders: promise.decoders,
        weights: promise.weights,
        activations: promise.activations,
        staging: promise.staging,
        post: promise.post,
        outputs: promise.outputs,
        base: promise.base,
        reserved: promise.total(),
        ..BudgetReport::default()
    }
}

/// The archive as reports have it.
pub(in crate::app) fn package_report(layout: &OutputLayout, archive: ArchiveRecord) -> PackageReport {
    let ArchiveRecord { file: FileRecord { path, content }, entries, .. } = archive;
    PackageReport { path: layout.dir.join(path).display().to_string(), entries, content }
}
