//! `swath bench`: how fast this machine is, one file per kind of measurement.
//!
//! `forward` times networks through the seam that runs use, `pipeline` whole runs, `scaling` runs with more and more devices, `feed` runs
//! whose device does nothing, `decode` and `encode` what feeds and drains them, and `samples` what is read to train on. Scenes are drawn where none are given, into a temporary folder.

mod decode;
mod encode;
mod forward;
mod runs;
mod samples;
mod scaling;
mod scenes;

pub use decode::{DecodeRequest, decode};
pub use encode::{EncodeRequest, encode};
pub(super) use forward::{Bench, agreement, default_device, used};
pub use forward::{ForwardRequest, forward};
pub use runs::{Pixels, RunRequest, run};
pub use samples::{SamplesRequest, samples};
pub use scaling::scaling;
pub(super) use scenes::temporary_folder;

use std::path::Path;
use std::time::Duration;

use super::Error;
use super::interrupt::interruptible;
use super::replace::Output;
use super::run::record::now;
use crate::atomic::{self, WriteError};
use crate::infer;
use crate::lifecycle::machine;
use crate::plan::DeviceId;
use crate::random::SplitMix64;
use crate::raster::gdal_report;
use crate::report::{BenchMachine, BenchReport};

/// Figures with the machine that they are of.
fn report<R>(bench: &'static str, result: R) -> BenchReport<R> {
    let gpu = |number| infer::gpu(number).map_or_else(|why| why, |gpu| gpu.to_string());
    let total = |number| infer::device_memory(DeviceId::Cuda(number)).map_or(0, |(_, total)| total);
    let machine = BenchMachine {
        cpu: machine::processor(),
        cores: machine::cores(),
        gpus: (0..infer::cuda_devices()).map(gpu).collect(),
        gpu_memory: (0..infer::cuda_devices()).map(total).collect(),
        swath: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("SWATH_COMMIT").map(str::to_owned),
        libtorch: infer::libtorch_version(),
        gdal: gdal_report().ok().map(|report| report.version),
        taken: now(),
    };
    BenchReport { bench: bench.to_owned(), machine, result }
}

/// Refuses a file for the document that may not be written, before anything is measured.
///
/// # Errors
/// When it is there already.
pub fn check_document(Output { path, overwrite }: &Output) -> Result<(), Error> {
    let what = match (path.symlink_metadata().is_ok(), path.is_dir()) {
        (_, true) => "is a folder; name a file",
        (true, false) if !overwrite => "exists; add --overwrite to replace it, or name another file",
        (_, false) => return Ok(()),
    };
    Err(Error::Usage(format!("--json `{}` {what}", path.display())))
}

/// Writes the document.
///
/// # Errors
/// When it cannot be written.
pub fn write_document<R: serde::Serialize>(file: &Path, report: &BenchReport<R>) -> Result<(), Error> {
    let failed = |e: serde_json::Error| WriteError { operation: "write", path: file.into(), source: e.into() };
    let text = serde_json::to_string_pretty(report).map_err(failed)?;
    Ok(atomic::write(file, format!("{text}\n").as_bytes())?)
}

/// The median and the smallest of some times.
fn spread(times: &mut [Duration]) -> Option<(Duration, Duration)> {
    times.sort_unstable();
    Some((*times.get(times.len() / 2)?, *times.first()?))
}

/// Numbers that look random, and are the same each time (SplitMix64).
fn random(seed: u64) -> impl Iterator<Item = u64> {
    let mut numbers = SplitMix64::new(seed);
    std::iter::repeat_with(move || numbers.next_u64())
}
