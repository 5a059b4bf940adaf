//! What compressed weights cost: measured on tiles of given scenes, which also say where a budget is spent best.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ablate::scored;
use super::interrupt::interruptible;
use super::masks::Truth;
use super::replace::Output;
use super::run::{JobRequest, What};
use super::weights::{Amount, check_outputs, row, threads};
use super::{DriftRequest, Error, Job, prepare, wire_tiles};
use crate::config::{Pipeline, Weights};
use crate::flow::Stop;
use crate::infer::{Logits, OutputDrift, Probe, RawBatch};
use crate::journal::Checkpoints;
use crate::lifecycle::machine;
use crate::plan::{Concessions, DeviceId, Plan, Planned, ScanOptions};
use crate::raster::OpenSource;
use crate::report::{self, CompressedFile, CompressedFiles, Event};
use crate::stages::{Board, PriorResults, Scenes};
use crate::weights::swz::is_kept_exact;
use crate::weights::{self, WeightsFile};
use crate::words::format_bytes;

/// Distance of the levels that a tensor is rounded to, relative to its root mean square: about what two bits per weight leave.
const STEP: f64 = 1.5;

/// Powers to which a measured sensitivity is raised, one after the other: 0 counts all tensors alike. Small errors say how much a tensor
/// matters, but not how the large ones of a tight budget add up, so the power that drifts least is found by trying.
const POWERS: [f64; 4] = [0.0, 0.25, 0.5, 1.0];

/// Compresses `files` into the folder `out` and tells what became of the outputs on the scenes of `data`. A budget is spent in several ways
/// that follow from what each tensor's error does to the outputs; the best of them stays.
///
/// # Errors
/// When a file cannot be read, or may not or cannot be written, no choice fits the budget, or the drift cannot be measured.
pub fn compress_measured(
    files: &[PathBuf],
    amount: Amount,
    out: &Output,
    data: &DriftRequest,
) -> Result<CompressedFiles, Error> {
    check_outputs(files, out)?;
    // Before anything is measured, which takes long.
    weights::check_compressible(files)?;
    let trial = Trial::new(data, files)?;
    let attempt = |known: &[BTreeMap<String, f64>], power: f64| -> Result<Vec<CompressedFile>, Error> {
        // What the network does not run with has no sensitivity.
        let of = |file: &BTreeMap<String, f64>, name: &str| file.get(name).map_or(0.0, |known| known.powf(power));
        let sensitivity = |file: usize, name: &str| known.get(file).map_or(1.0, |file| of(file, name));
        let compressed = weights::compress(files, amount, &out.path, threads(), sensitivity)?;
        let measured = |(idx, file): (usize, weights::Compressed)| {
            let drift = trial.drift(idx, &file.path)?;
            let (answers_error, masks_agree) = (Some(drift.relative.sqrt()), Some(drift.agreement));
            Ok(CompressedFile { answers_error, masks_agree, ..row(file) })
        };
        compressed.into_iter().enumerate().map(measured).collect()
    };
    let scoring = data.truth.as_ref().map(|truth| Scoring::new(data, truth, &trial.members, &out.path)).transpose()?;
    let before = scoring.as_ref().map(|scoring| scoring.of(None)).transpose()?;
    let mut power = 0.0;
    let mut known = Vec::new();
    if matches!(amount, Amount::Budget(_)) {
        known = (0..files.len()).map(|file| trial.sensitivities(file)).collect::<Result<Vec<_>, Error>>()?;
        let mut least = f64::INFINITY;
        for tried in POWERS {
            let made = attempt(&known, tried)?;
            let errors = made.iter().filter_map(|file| file.answers_error);
            let error = errors.map(|error| error * error).sum::<f64>().sqrt();
            let miou = scoring.as_ref().map(|scoring| scoring.of(Some(&made))).transpose()?;
            let scored = miou.map(|miou| format!(", mean IoU {miou:.4}")).unwrap_or_default();
            note(&format!("sensitivity to the power of {tried}: answers {:.2} % off{scored}", error * 100.0));
            // Where truth is known it decides, and not how much changes.
            let cost = miou.map_or(error, |miou| -miou);
            if cost < least {
                (least, power) = (cost, tried);
            }
        }
    }
    let files = attempt(&known, power)?;
    let after = scoring.as_ref().map(|scoring| scoring.of(Some(&files))).transpose()?;
    Ok(CompressedFiles { files, miou: before.zip(after).map(|(before, after)| [before, after]) })
}

/// Runs the job's scenes with other weights, and holds the masks against the truth.
struct Scoring<'a> {
    job: &'a JobRequest,
    truth: &'a Truth,
    pipeline: Pipeline,
    scan: ScanOptions,
    /// For each file the position of its member.
    members: Vec<usize>,
    folder: tempfile::TempDir,
}

impl<'a> Scoring<'a> {
    fn new(data: &'a DriftRequest, truth: &'a Truth, members: &[usize], out: &Path) -> Result<Self, Error> {
        let What::Pipeline { file, settings, scan } = &data.job.what else {
            return Err(Error::Internal("a job without a pipeline".to_owned()));
        };
        let pipeline = Pipeline::load(file, settings)?.masks_alone();
        let failed = |e| Error::Usage(format!("cannot make a folder in `{}`: {e}", out.display()));
        let folder =
            std::fs::create_dir_all(out).and_then(|()| tempfile::Builder::new().prefix(".scored").tempdir_in(out));
        let (job, scan, members) = (&data.job, scan.clone(), members.to_vec());
        Ok(Self { job, truth, pipeline, scan, members, folder: folder.map_err(failed)? })
    }

    /// The mean IoU with these files in the places of their originals.
    fn of(&self, files: Option<&[CompressedFile]>) -> Result<f64, Error> {
        let mut pipeline = self.pipeline.clone();
        for (member, file) in self.members.iter().zip(files.into_iter().flatten()) {
            pipeline.members[*member].weights = Weights::File(PathBuf::from(&file.path));
            pipeline.members[*member].sha256 = None;
        }
        let what = What::Checked { pipeline: Box::new(pipeline), scan: self.scan.clone() };
        let job = JobRequest { what, readers: None, ..self.job.clone() };
        let (run, _) = interruptible(|stop| scored(&job, self.truth, &self.folder.path().join("run"), stop))?;
        run.miou.ok_or_else(|| Error::Usage("--truth: no pixel of the scenes has a class there".to_owned()))
    }
}

/// The members that belong to the files, and the tiles they run on.
struct Trial {
    plan: Plan,
    device: DeviceId,
    /// For each file the position of its member.
    members: Vec<usize>,
    tiles: Arc<[RawBatch]>,
}

impl Trial {
    /// Plans the job, finds the member of each file and reads the tiles.
    ///
    /// # Errors
    /// When the job cannot be planned, a file is no member's, no tile can be read, or the memory does not suffice for so many.
    fn new(request: &DriftRequest, files: &[PathBuf]) -> Result<Self, Error> {
        let Job { planned, schedule, source, .. } = prepare(&request.job)?;
        let Planned { plan, refused, .. } = planned;
        refused.iter().for_each(|r| note(&format!("left out: {}: {}", r.failure.file, r.failure.cause)));
        let members = files.iter().map(|file| member_of(&plan, file)).collect::<Result<_, _>>()?;
        let chosen = evenly(&tiles(&plan), request.tiles);
        if chosen.is_empty() {
            return Err(Error::Usage("--data holds no scene that can be read".into()));
        }
        check_memory(&plan, chosen.len())?;
        let tiles = read(&plan, &source, &chosen)?.into();
        let device = schedule.devices.first().copied().unwrap_or(DeviceId::Cpu);
        Ok(Self { plan, device, members, tiles })
    }

    /// The `file`-th file's member on the tiles.
    ///
    /// # Errors
    /// When the weights do not fit, or the device fails.
    fn probe(&self, file: usize) -> Result<Probe, Error> {
        Ok(Probe::open(&self.plan, self.members[file], self.device, Arc::clone(&self.tiles))?)
    }

    /// By how much the squared error of the answers grows with the squared error of each tensor, both relative. Tensors that are kept
    /// exact have none.
    ///
    /// # Errors
    /// As [`Self::probe`].
    fn sensitivities(&self, file: usize) -> Result<BTreeMap<String, f64>, Error> {
        let mut probe = self.probe(file)?;
        let member = &self.plan.members[self.members[file]].member;
        let coded = probe.tensors().filter(|(_, shape, _)| !is_kept_exact(shape));
        let coded: Vec<String> = coded.map(|(name, ..)| name.to_owned()).collect();
        note(&format!("{}: measuring {} tensors on {} tiles", member.name, coded.len(), self.tiles.len()));
        let mut sensitivities = BTreeMap::new();
        for name in coded {
            let own = probe.tensors().find(|(own, ..)| *own == name).map(|(_, _, own)| rounded(own));
            let Some((rounded, error)) = own.filter(|(_, error)| *error > 0.0) else { continue };
            let drift = probe.drift(|changed| (changed == name).then(|| rounded.clone()))?;
            // An answer that is no number any more is as bad as can be.
            let relative = if drift.relative.is_finite() { drift.relative } else { 1.0 };
            sensitivities.insert(name, relative / error);
        }
        Ok(sensitivities)
    }

    /// What the compressed file at `path` changes against the `file`-th file.
    ///
    /// # Errors
    /// As [`Self::probe`], and when the compressed file cannot be read.
    fn drift(&self, file: usize, path: &Path) -> Result<OutputDrift, Error> {
        let mut compressed = WeightsFile::open(path)?;
        let tensors = compressed.tensors().to_vec();
        let values = compressed.read_many(&tensors)?;
        let mut values: BTreeMap<String, Vec<f32>> = tensors.into_iter().map(|t| t.name).zip(values).collect();
        Ok(self.probe(file)?.drift(|name| values.remove(name))?)
    }
}

fn note(text: &str) {
    report::tell(&Event::Note { text });
}

/// Refuses more tiles than memory holds: each with the answers of a member, before and after.
fn check_memory(plan: &Plan, n_tiles: usize) -> Result<(), Error> {
    let answer = |crop| plan.members.iter().map(move |m| Logits::stored_len(&m.member.spec, crop)).max().unwrap_or(0);
    let largest = plan.scenes.iter().map(|s| answer(s.grid.crop())).max().unwrap_or(0) as u64;
    let needed = n_tiles as u64 * (plan.maxima.batch + largest);
    match machine::memory().filter(|memory| needed > memory.available) {
        None => Ok(()),
        Some(memory) => Err(Error::Usage(format!(
            "{n_tiles} tiles and what a member makes of them take {}, and {} are free: choose fewer --tiles",
            format_bytes(needed),
            format_bytes(memory.available)
        ))),
    }
}

/// The chosen tiles, through the stages of a run.
fn read(plan: &Plan, source: &Arc<dyn OpenSource>, chosen: &[(usize, usize)]) -> Result<Vec<RawBatch>, Error> {
    let nothing = PriorResults::nothing(plan, Checkpoints::of(Path::new("")));
    let scenes = Scenes::new(Arc::new(plan.clone()), Arc::clone(source), Vec::new(), BTreeSet::new(), 0);
    let board = Board::new(scenes, Concessions::default(), nothing);
    let mut units: Vec<usize> = chosen.iter().map(|(unit, _)| *unit).collect();
    units.dedup();
    let (graph, tiles) = wire_tiles(&board, source.as_ref(), &units, Stop::new())?;
    let mut raw = Vec::new();
    while let Some(tile) = tiles.recv() {
        if let Some(tile) = Arc::into_inner(tile)
            && chosen.contains(&(tile.ticket.unit, tile.first_tile))
            && !tile.raw.is_blank()
            && let Some(batch) = Arc::into_inner(tile.raw)
        {
            raw.push(batch);
        }
    }
    graph.join()?;
    for failure in board.scenes.all().filter_map(|scene| board.scenes.failure(scene)) {
        note(&format!("left out: {} ({}): {}", failure.file, failure.stage, failure.cause));
    }
    if raw.is_empty() {
        return Err(Error::Usage("no tile of --data can be used: name other scenes".into()));
    }
    Ok(raw)
}

/// The member that has `file` as its weights.
fn member_of(plan: &Plan, file: &Path) -> Result<usize, Error> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let wanted = real(file);
    let is_its = |idx: &usize| path_of(plan, *idx).is_ok_and(|path| real(path) == wanted);
    (0..plan.members.len()).find(is_its).ok_or_else(|| {
        Error::Usage(format!("`{}` is no member's weights in the pipeline: --data measures members", file.display()))
    })
}

fn path_of(plan: &Plan, member: usize) -> Result<&Path, Error> {
    match &plan.members[member].member.weights {
        Weights::File(path) => Ok(path),
        Weights::Seed(_) => Err(Error::Usage(format!("member `{}` has no file", plan.members[member].member.name))),
    }
}

/// Every tile as (unit, position in it).
fn tiles(plan: &Plan) -> Vec<(usize, usize)> {
    let of_unit = |unit: usize| (0..plan.units[unit].geometry(plan).tiles.len()).map(move |tile| (unit, tile));
    (0..plan.units.len()).flat_map(of_unit).collect()
}

/// `n` of them, from all over.
fn evenly<T: Copy>(all: &[T], n: usize) -> Vec<T> {
    let n = n.min(all.len());
    (0..n).map(|i| all[(2 * i + 1) * all.len() / (2 * n)]).collect()
}

/// The values rounded to coarse levels, and the squared error of that relative to their squares; 0 where all are 0. Unlike noise, rounding
/// makes small weights vanish, as compression does.
fn rounded(own: &[f32]) -> (Vec<f32>, f64) {
    let energy = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let own_energy = energy(&mut own.iter().map(|&w| f64::from(w)));
    if own_energy == 0.0 || !own_energy.is_finite() {
        return (own.to_vec(), 0.0);
    }
    let step = STEP * (own_energy / own.len() as f64).sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "it is rounded in any case")]
    let rounded: Vec<f32> = own.iter().map(|&w| ((f64::from(w) / step).round() * step) as f32).collect();
    let error = energy(&mut own.iter().zip(&rounded).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    (rounded, error / own_energy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_taken_from_all_over() {
        assert_eq!(evenly(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 2), [2, 7]);
        assert_eq!(evenly(&[5, 6], 9), [5, 6]);
        assert!(evenly::<u8>(&[], 3).is_empty());
    }

    #[test]
    fn weights_are_rounded_to_coarse_levels_and_zeros_stay() {
        let own: Vec<f32> = (0..5000).map(|i| (i as f32).sin()).collect();
        let (values, error) = rounded(&own);
        assert!((0.1..0.3).contains(&error), "{error}");
        assert!(values.iter().filter(|v| **v == 0.0).count() > own.len() / 4);
        assert_eq!(rounded(&[0.0; 4]), (vec![0.0; 4], 0.0));
    }
}
