//! `swath eval --ablate`: a run over labelled scenes again, without one part of its pipeline after the other.

use std::path::Path;
use std::time::Instant;

use super::interrupt::interruptible;
use super::masks::{Masks, Truth};
use super::replace::exist;
use super::run::{Ended, JobRequest, RunOptions, What, execute, prepare};
use super::{Error, Output};
use crate::config::{Combine, Pipeline, Precision};
use crate::flow::Stop;
use crate::geom::View;
use crate::lifecycle::SupervisorLink;
use crate::plan::ScanOptions;
use crate::report::{self, Ablation, AblationRow, AblationRun, Event};
use crate::tiler::{Blend, Dilation, Rule, Strategy};
use crate::words::explain;

/// What `swath ablate` is asked.
#[derive(Clone, Debug)]
pub struct AblateRequest {
    /// What is run: once as it is, and once without each part.
    pub job: JobRequest,
    /// What its masks are held against.
    pub truth: Truth,
    /// The folder for runs.
    pub out: Output,
}

/// A pipeline that lacks a part.
struct Variant {
    /// The part, and what takes its place.
    names: [String; 2],
    pipeline: Pipeline,
}

/// Runs a pipeline as it is, and without each of its parts, and scores what comes of it.
///
/// # Errors
/// When the pipeline as it is cannot be run or scored, the folder holds something, or somebody stops it.
pub fn ablate(request: &AblateRequest) -> Result<Ablation, Error> {
    let What::Pipeline { file, settings, scan } = &request.job.what else {
        let text =
            "--ablate: the run was made from a saved plan; run its pipeline file, and ablate that run".to_owned();
        return Err(Error::Usage(text));
    };
    let out = &request.out;
    if !out.overwrite && std::fs::read_dir(&out.path).is_ok_and(|mut files| files.next().is_some()) {
        return Err(exist(&[&out.path]));
    }
    let whole = Pipeline::load(file, settings)?.masks_alone();
    interruptible(|stop| {
        let (first, is_exact) = measured(request, scan, &whole, "whole", stop)?;
        // What is read for the first time takes longer.
        let (second, _) = measured(request, scan, &whole, "whole", stop)?;
        let run = AblationRun { seconds: first.seconds.min(second.seconds), ..first };
        let mut found = Ablation { whole: run, rows: Vec::new() };
        for (number, Variant { names, pipeline }) in (1..).zip(variants(&whole, is_exact)) {
            report::tell(&Event::Note { text: &format!("{}: {}", names[0], names[1]) });
            let run = measured(request, scan, &pipeline, &format!("{number}"), stop);
            if stop.is_cut() {
                break;
            }
            let run = run.map(|(run, _)| run).map_err(|e| explain(&e));
            found.rows.push(AblationRow::new(names, run, &found.whole));
        }
        Ok(found)
    })
}

/// What comes of a pipeline, and whether all its members work in f32.
fn measured(
    request: &AblateRequest,
    scan: &ScanOptions,
    pipeline: &Pipeline,
    folder: &str,
    stop: &Stop,
) -> Result<(AblationRun, bool), Error> {
    let what = What::Checked { pipeline: Box::new(pipeline.clone()), scan: scan.clone() };
    let job = JobRequest { what, ..request.job.clone() };
    scored(&job, &request.truth, &request.out.path.join(folder), stop)
}

/// What comes of a job in a folder, held against the truth, and whether all its members work in f32.
pub(super) fn scored(
    job: &JobRequest,
    truth: &Truth,
    folder: &Path,
    stop: &Stop,
) -> Result<(AblationRun, bool), Error> {
    let job = prepare(job)?;
    let is_exact = job.planned.plan.members.iter().all(|member| member.resolved_precision == Precision::F32);
    let options = RunOptions::masks_into(folder, &SupervisorLink::default(), stop);
    let begun = Instant::now();
    let ended = execute(job, &options)?;
    let seconds = begun.elapsed().as_secs_f64();
    let miou = score(&ended, truth)?;
    Ok((AblationRun { miou, seconds, failed: ended.report.failed.len() as u64 }, is_exact))
}

/// The mean IoU of the masks that a run has left.
pub(super) fn score(ended: &Ended, truth: &Truth) -> Result<Option<f64>, Error> {
    let masks = Masks::open(&ended.out, None, &[])?;
    Ok(masks.scored(masks.paired(truth)?, None)?.scores.miou)
}

/// A pipeline without each of the parts that it has.
fn variants(whole: &Pipeline, is_exact: bool) -> Vec<Variant> {
    let mut all = Vec::new();
    let mut add = |part: String, instead: &str, change: &dyn Fn(&mut Pipeline)| {
        let mut pipeline = whole.clone();
        change(&mut pipeline);
        all.push(Variant { names: [part, instead.to_owned()], pipeline });
    };
    for view in whole.views.iter().filter(|view| **view != View::Identity) {
        add(format!("view {}", view.name()), "without it", &|pipeline| pipeline.views.retain(|other| other != view));
    }
    if whole.views.len() > 2 {
        add("all views".into(), "the scene as it is", &|pipeline| pipeline.views = vec![View::Identity]);
    }
    let Dilation { x, y } = whole.tiling.dilation;
    if x.max(y) > 0 {
        let part = if x == y { format!("dilation {x}") } else { format!("dilation {x} x {y}") };
        let without = if whole.tiling.blend.is_none() { "without it" } else { "without it, so not blended" };
        add(part, without, &|pipeline| pipeline.tiling.dilation = Dilation::all(0));
    }
    if !whole.tiling.blend.is_none() {
        add("blended tiles".into(), "centres alone", &|pipeline| pipeline.tiling.blend = Blend::None);
    }
    if let Strategy::Adaptive { rule: own, .. } = &whole.tiling.strategy {
        for other in Rule::ALL.into_iter().filter(|other| other != own) {
            let part = format!("tiler rule {}", own.name());
            add(part, other.name(), &|pipeline| {
                if let Strategy::Adaptive { rule, .. } = &mut pipeline.tiling.strategy {
                    *rule = other;
                }
            });
        }
    }
    let named = |member: &crate::config::Member| ![Precision::Auto, Precision::F32].contains(&member.precision);
    if !is_exact || whole.members.iter().any(named) {
        add("precision".into(), "f32", &|pipeline| {
            pipeline.members.iter_mut().for_each(|member| member.precision = Precision::F32);
        });
    }
    if whole.members.len() * whole.views.len() > 1 {
        let (own, other) = match whole.combine {
            Combine::Logits => ("logits", ("probabilities", Combine::Probabilities)),
            Combine::Probabilities => ("probabilities", ("logits", Combine::Logits)),
        };
        add(format!("mean of {own}"), other.0, &|pipeline| pipeline.combine = other.1);
    }
    for member in whole.members.iter().filter(|_| whole.members.len() > 1) {
        let part = format!("member {}", member.name);
        add(part, "without it", &|pipeline| pipeline.members.retain(|other| other.name != member.name));
    }
    all
}
