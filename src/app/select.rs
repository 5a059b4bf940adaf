//! `swath eval --select`: which members of an ensemble, with which weights, are worth their time.
//!
//! A greedy search with replacement, as Caruana et al. (Ensemble selection from libraries of models, 2004) have it: the best member alone, then
//! again and again the one that helps most, which may be in already and then weighs more. All forward passes are those of one run, whose logits
//! are stored; a selection is their sum.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, value};

use super::ablate::score;
use super::interrupt::interruptible;
use super::masks::Truth;
use super::replace::exist;
use super::run::{JobRequest, Reuse, RunOptions, What, execute, prepare};
use super::{Error, Output};
use crate::atomic;
use crate::config::{Checkpoint, Member, Pipeline};
use crate::flow::Stop;
use crate::lifecycle::SupervisorLink;
use crate::plan::ScanOptions;
use crate::report::{self, Event, Selection, SelectionMember, SelectionStep};
use crate::words::absolute;

/// What a further member has to add to the mean IoU.
const LEAST_GAIN: f64 = 1e-4;

/// The sum of weights at most.
const MOST: u32 = 8;

/// What is asked.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    /// The run of all members.
    pub job: JobRequest,
    /// What masks are held against.
    pub truth: Truth,
    /// The folder for the run, and for the pipeline file of what was selected.
    pub out: Output,
}

/// Selects members, and writes the pipeline file of those.
///
/// # Errors
/// When there is nothing to select from, a run fails or cannot be scored, the folder holds something, or somebody stops it.
pub fn select(request: &SelectRequest) -> Result<Selection, Error> {
    let What::Pipeline { file, settings, scan } = &request.job.what else {
        let text = "--select: the run was made from a saved plan; run its pipeline file, and select from that run";
        return Err(Error::Usage(text.to_owned()));
    };
    let out = &request.out;
    if !out.overwrite && std::fs::read_dir(&out.path).is_ok_and(|mut files| files.next().is_some()) {
        return Err(exist(&[&out.path]));
    }
    let pipeline = Pipeline::load(file, settings)?;
    if pipeline.members.len() < 2 {
        return Err(Error::Usage(format!("`{}` has one member: there is nothing to select from", file.display())));
    }
    let library = Library::new(request, pipeline, scan);
    let (weights, mut found) = interruptible(|stop| library.search(stop))?;
    let text = selected(file, settings, &library.whole, &weights)?;
    let path = out.path.join("selected.toml");
    atomic::write(&path, text.as_bytes())?;
    found.pipeline = text;
    found.path = path.display().to_string();
    Ok(found)
}

/// Members to select from.
struct Library<'a> {
    request: &'a SelectRequest,
    whole: Pipeline,
    scan: &'a ScanOptions,
    run: PathBuf,
}

/// How often each member counts.
type Weights = Vec<u32>;

impl<'a> Library<'a> {
    fn new(request: &'a SelectRequest, pipeline: Pipeline, scan: &'a ScanOptions) -> Self {
        let whole = Pipeline { checkpoints: vec![Checkpoint::MemberLogits], ..pipeline.masks_alone() };
        Self { request, whole, scan, run: request.out.path.join("run") }
    }

    fn search(&self, stop: &Stop) -> Result<(Weights, Selection), Error> {
        let n = self.whole.members.len();
        let (all, seconds) = self.masks(&vec![1; n], Reuse::Nothing, stop)?;
        let mut members = Vec::new();
        let mut known: BTreeMap<Weights, Option<f64>> = BTreeMap::from([(vec![1; n], all)]);
        for (at, (member, seconds)) in self.whole.members.iter().zip(&seconds).enumerate() {
            let miou = self.known(&mut known, &with(&vec![0; n], at), stop)?;
            members.push(SelectionMember { name: member.name.clone(), miou, seconds: *seconds });
        }
        let mut chosen = vec![0; n];
        let mut steps: Vec<SelectionStep> = Vec::new();
        while chosen.iter().sum::<u32>() < MOST {
            let before = steps.last().and_then(|step| step.miou);
            let mut best: Option<(usize, Option<f64>)> = None;
            for at in 0..n {
                let miou = self.known(&mut known, &with(&chosen, at), stop)?;
                if best.is_none_or(|(_, best)| miou > best) {
                    best = Some((at, miou));
                }
            }
            let Some((at, miou)) = best.filter(|(_, miou)| is_better(*miou, before)) else { break };
            chosen = with(&chosen, at);
            let costs =
                chosen.iter().zip(&seconds).filter(|(weight, _)| **weight > 0).map(|(_, seconds)| seconds).sum();
            let step =
                SelectionStep { added: members[at].name.clone(), weights: self.named(&chosen), miou, seconds: costs };
            report::tell(&Event::Note { text: &step.text() });
            steps.push(step);
        }
        let whole = SelectionStep {
            added: String::new(),
            weights: self.named(&vec![1; n]),
            miou: all,
            seconds: seconds.iter().sum(),
        };
        Ok((chosen, Selection { members, steps, all: whole, ..Selection::default() }))
    }

    fn known(
        &self,
        known: &mut BTreeMap<Weights, Option<f64>>,
        weights: &Weights,
        stop: &Stop,
    ) -> Result<Option<f64>, Error> {
        // Twice each is once each.
        let common = weights.iter().fold(0, |a, b| divisor(a, *b)).max(1);
        let key: Weights = weights.iter().map(|weight| weight / common).collect();
        if let Some(miou) = known.get(&key) {
            return Ok(*miou);
        }
        let (miou, _) = self.masks(&key, Reuse::Everything, stop)?;
        known.insert(key, miou);
        Ok(miou)
    }

    /// The mean IoU of some members' mean, and the seconds of each one's forward passes in this run.
    fn masks(&self, weights: &Weights, reuse: Reuse, stop: &Stop) -> Result<(Option<f64>, Vec<f64>), Error> {
        let members = self.whole.members.iter().zip(weights).filter(|(_, weight)| **weight > 0);
        let members = members.map(|(member, weight)| Member { weight: f64::from(*weight), ..member.clone() });
        let pipeline = Pipeline { members: members.collect(), ..self.whole.clone() };
        let what = What::Checked { pipeline: Box::new(pipeline), scan: self.scan.clone() };
        let job = prepare(&JobRequest { what, ..self.request.job.clone() })?;
        let owners: Vec<usize> = job.planned.plan.passes.iter().map(|pass| pass.member).collect();
        let again = RunOptions::masks_into(&self.run, &SupervisorLink::default(), stop);
        let ended = execute(job, &RunOptions { reuse, ..again })?;
        // Selections are compared on the same scenes, or not at all.
        if let Some(failed) = ended.report.failed.first().filter(|_| !stop.is_cut()) {
            return Err(Error::Usage(format!(
                "the scene `{}` has no mask: {}; mend it, or run without it (--exclude), and select from that run",
                failed.scene, failed.cause
            )));
        }
        let mut seconds = vec![0.0; self.whole.members.len()];
        for (pass, totals) in &ended.passes {
            seconds[owners[*pass]] += totals.time.as_secs_f64();
        }
        Ok((score(&ended, &self.request.truth)?, seconds))
    }

    fn named(&self, weights: &Weights) -> Vec<(String, u32)> {
        let names = self.whole.members.iter().map(|member| member.name.clone());
        names.zip(weights.iter().copied()).filter(|(_, weight)| *weight > 0).collect()
    }
}

fn with(weights: &Weights, at: usize) -> Weights {
    let mut weights = weights.clone();
    weights[at] += 1;
    weights
}

const fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

fn is_better(miou: Option<f64>, before: Option<f64>) -> bool {
    miou.is_some_and(|miou| before.is_none_or(|before| miou > before + LEAST_GAIN))
}

/// The pipeline file with the members that were selected, and their weights. Their files are named from anywhere.
fn selected(file: &Path, settings: &[String], whole: &Pipeline, weights: &Weights) -> Result<String, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::Usage(format!("`{}`: {e}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| failed(&e))?;
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| failed(&e))?;
    let Some(Item::ArrayOfTables(members)) = document.get_mut("members") else {
        return Err(failed(&"members are no [[members]] tables, which the selection could be written into"));
    };
    let folder = absolute(file);
    let folder = folder.parent().unwrap_or(Path::new("/"));
    for (at, weight) in weights.iter().enumerate().rev() {
        let Some(member) = members.get_mut(at) else { continue };
        if *weight == 0 {
            members.remove(at);
            continue;
        }
        member.insert("name", value(whole.members[at].name.as_str()));
        member.insert("weight", value(f64::from(*weight)));
        if let Some(weights) = member.get("weights").and_then(Item::as_str).map(|own| folder.join(own)) {
            member.insert("weights", value(weights.display().to_string()));
        }
    }
    let changed = settings.iter().map(|setting| format!("# It was run with --set {setting}\n")).collect::<String>();
    Ok(format!("# Selected by `swath eval --select` from `{}`.\n{changed}{document}", file.display()))
}
