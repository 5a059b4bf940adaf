//! The report of a run in the making, and what follows from it: the archive.

use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::execute::Partial;
use super::outputs::Outputs;
use crate::config::Pipeline;
use crate::flow::StageReport;
use crate::geom::Size;
use crate::package::{self, Content, Entry, Rules};
use crate::plan::{Plan, Promise};
use crate::report::{
    BudgetReport, FailedScene, OutputFile, PackageReport, REPORT_FORMAT, RunReport, RunState, StageLine, Totals, Watch,
};
use crate::stages::{Board, Failure, OutputLayout, Verdict};

/// The report in the making.
pub(super) struct Record {
    pub(super) report: RunReport,
    failed_names: Vec<String>,
}

impl Record {
    /// Writes the report of a run that has begun, so that whatever it leaves is known as its own.
    pub(super) fn begin(plan: &Plan, promise: &Promise, outputs: &Outputs, ignored: u64) -> Result<Self, Error> {
        let files = plan.scenes.iter().flat_map(|s| outputs.layout.files(&s.name, &plan.pipeline));
        let planned = files.map(|path| (outputs.relative(&path), None)).collect();
        let report = RunReport {
            format: REPORT_FORMAT,
            swath: env!("CARGO_PKG_VERSION").to_owned(),
            state: RunState::Running,
            plan: plan.digest().map_err(|e| Error::Internal(e.to_string()))?,
            totals: Totals { ignored, ..Totals::default() },
            failed: Vec::new(),
            earlier: outputs.left_over(&planned),
            outputs: planned,
            package: None,
            stages: Vec::new(),
            bottleneck: None,
            memory: memory(promise),
        };
        report.write(&outputs.layout.report())?;
        Ok(Self { report, failed_names: Vec::new() })
    }

    /// Notes the end of a scene.
    pub(super) fn take(
        &mut self,
        verdict: Verdict,
        board: &Board,
        outputs: &Outputs,
        watch: &Watch,
    ) -> Result<(), Error> {
        let plan = board.plan();
        let scene = &plan.scenes[verdict.scene as usize];
        match verdict.outcome {
            Ok(files) => {
                self.report.totals.done += 1;
                self.report.totals.pixels += scene.header.size.area();
                for file in files {
                    let entry = OutputFile { bytes: file.bytes, sha256: file.sha256 };
                    self.report.outputs.insert(outputs.relative(&file.path), Some(entry));
                }
                Ok(())
            }
            Err(failure) => {
                let path = plan.path_of(verdict.scene as usize);
                for file in outputs.layout.files(&scene.name, &plan.pipeline) {
                    self.report.outputs.remove(&outputs.relative(&file));
                }
                self.fail(outputs, &plan.pipeline, &scene.name, path, &failure, watch)
            }
        }
    }

    /// Notes a scene without a mask and says so at once.
    pub(super) fn fail(
        &mut self,
        outputs: &Outputs,
        pipeline: &Pipeline,
        name: &str,
        file: PathBuf,
        failure: &Failure,
        watch: &Watch,
    ) -> Result<(), Error> {
        outputs.withdraw_scene(name, pipeline)?;
        watch.line(&format!("failed: {} ({}): {}", file.display(), failure.stage, failure.cause));
        self.report.totals.failed += 1;
        self.failed_names.push(name.to_owned());
        self.report.failed.push(FailedScene {
            scene: file.display().to_string(),
            stage: failure.stage.to_owned(),
            cause: failure.cause.clone(),
            action: "withheld".to_owned(),
        });
        Ok(())
    }

    pub(super) fn measure(&mut self, board: &Board, wall: Duration, peak_units: u64) {
        let progress = board.progress();
        let totals = &mut self.report.totals;
        totals.seconds = wall.as_secs_f64();
        totals.tiles = progress.tiles();
        totals.network_pixels = progress.network_pixels();
        totals.forwards = progress.forwards();
        self.report.memory.peak_units = peak_units;
    }

    /// Notes what the stages did with their time. The busiest one sets the pace.
    pub(super) fn stages(&mut self, stages: &[StageReport], wall: Duration) {
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
        };
        self.report.stages = stages.iter().map(line).collect();
    }

    /// Every scene must have ended one way or the other.
    pub(super) fn check_complete(&self, board: &Board) -> Result<(), Error> {
        let planned = board.plan().scenes.len() as u64;
        let refused = self.report.failed.iter().filter(|f| f.stage == "plan").count() as u64;
        let ended = self.report.totals.done + self.report.totals.failed - refused;
        if ended == planned { Ok(()) } else { Err(Error::Internal(format!("{ended} of {planned} scenes have ended"))) }
    }

    /// Makes the archive, unless scenes failed and it is withheld.
    pub(super) fn pack(
        &mut self,
        outputs: &Outputs,
        partial: Partial,
        sizes: &[(String, Option<Size>)],
        pipeline: &Pipeline,
    ) -> Result<(), Error> {
        if (partial == Partial::Withhold && !self.failed_names.is_empty()) || self.report.totals.done == 0 {
            return Ok(());
        }
        let mut entries = Vec::new();
        for (name, size) in sizes {
            let failed = self.failed_names.iter().position(|f| f == name);
            let content = match (failed, partial) {
                (None, _) => Content::File(outputs.layout.mask(name)),
                (Some(at), Partial::Blank(value)) if size.is_some() => {
                    self.report.failed[at].action = format!("blank mask of {value}");
                    Content::Blank(value)
                }
                (Some(at), Partial::Blank(_)) => {
                    self.report.failed[at].action = "omitted: its size is unknown".into();
                    continue;
                }
                (Some(at), _) => {
                    self.report.failed[at].action = "omitted".into();
                    continue;
                }
            };
            let size = size.ok_or_else(|| Error::Internal(format!("`{name}` has no size")))?;
            entries.push(Entry { name: format!("{name}.png"), size, content });
        }
        let rules = Rules {
            depth: pipeline.outputs.mask_depth,
            classes: &pipeline.classes,
            prefix: &pipeline.package.prefix,
            manifest: pipeline.package.manifest,
        };
        self.report.package = Some(packed(&outputs.layout, entries, &rules)?);
        Ok(())
    }
}

/// The promise as reports have it.
pub(super) fn memory(promise: &Promise) -> BudgetReport {
    BudgetReport {
        budget: promise.budget,
        decoder_cache: promise.decoder_cache,
        weights: promise.weights,
        activations: promise.activations,
        base: promise.base,
        promised: promise.total(),
        ..BudgetReport::default()
    }
}

fn packed(layout: &OutputLayout, entries: Vec<Entry>, rules: &Rules<'_>) -> Result<PackageReport, Error> {
    let packed = package::pack(&layout.archive(), entries, rules)?;
    Ok(PackageReport {
        path: packed.path.display().to_string(),
        entries: packed.entries,
        bytes: packed.bytes,
        sha256: packed.sha256,
    })
}
