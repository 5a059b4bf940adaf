//! `swath bench scaling`: what more devices bring. The same scenes are run with one device, with two, with twice as many, and with all.

use super::runs::{Measured, Pixels, RunRequest, measure};
use super::scenes::{temporary_folder, write_scenes};
use super::{interruptible, report};
use crate::app::Error;
use crate::app::forecast::Throughput;
use crate::app::run::default_devices;
use crate::lifecycle::machine;
use crate::report::{BenchReport, RunFigures, ScalingFigures, ScalingRow};

/// Runs, and compares with what the first run's figures predict.
///
/// # Errors
/// As [`super::run`], and when no devices are named.
pub fn scaling(request: &RunRequest) -> Result<BenchReport<ScalingFigures>, Error> {
    let devices = request.devices.clone().unwrap_or_else(|| default_devices(request.backend, machine::cores()));
    let folder = temporary_folder()?;
    let mut request = request.clone();
    if let Pixels::Drawn { scenes, size, keep: None } = request.pixels {
        // Drawn once.
        let files = interruptible(|stop| write_scenes(folder.path(), scenes, size, stop))?;
        request.pixels = Pixels::Given(files);
    }
    let mut runs: Vec<Measured> = Vec::new();
    for n in counts(devices.len()) {
        runs.push(measure(&RunRequest { devices: Some(devices[..n].to_vec()), ..request.clone() })?);
    }
    let [first, ..] = runs.as_slice() else { return Err(Error::Usage("--devices names no device".into())) };
    let BenchReport { machine, .. } = report("pipeline", ());
    let known = Throughput::of_run(&machine, &first.figures);
    let without_host = Throughput::of_run(&machine, &first.figures).without_host();
    let row = |run| row(&first.figures, run, [&known, &without_host]);
    let rows = runs.iter().map(row).collect::<Result<_, _>>()?;
    let equal_outputs = runs.iter().all(|run| run.figures.outputs == first.figures.outputs);
    Ok(report("scaling", ScalingFigures { backend: first.figures.backend.clone(), equal_outputs, rows }))
}

/// One, two, four and so on, and all.
fn counts(n: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |n| Some(n * 2)).take_while(move |count| *count < n).chain((n > 0).then_some(n))
}

fn row(first: &RunFigures, run: &Measured, figures_of: [&Throughput; 2]) -> Result<ScalingRow, Error> {
    let Measured { plan, schedule, figures } = run;
    let play = |throughput: &Throughput| throughput.forecast(plan, schedule, None, &|_| true);
    let [predicted, best] = figures_of.map(play);
    let (predicted, best) = (predicted?, best?);
    let seconds = predicted.seconds - predicted.opening;
    let alone: f64 = first.passes.iter().map(|pass| pass.seconds).sum();
    Ok(ScalingRow {
        devices: figures.devices.clone(),
        seconds: figures.seconds,
        ratio: first.seconds / figures.seconds,
        ratio_at_best: alone / (best.seconds - best.opening).max(1e-9),
        predicted_seconds: seconds,
        error: seconds / figures.seconds - 1.0,
        device_idle: figures.device_idle.clone(),
        predicted_idle: predicted.idle,
    })
}
