//! `swath bench samples`: what the loader gives to training, without a network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{interruptible, report};
use crate::app::Error;
use crate::app::data::{self, DataRequest};
use crate::config::data::Sampling;
use crate::dataset::{Crop, Drawer, Feed, Index, LoadError, Loader, Refused, Setup};
use crate::flow::Stop;
use crate::lifecycle::machine;
use crate::report::{BenchReport, SampleRow, SamplesFigures};

/// What `swath bench samples` is asked.
#[derive(Clone, Debug)]
pub struct SamplesRequest {
    /// The labelled scenes.
    pub data: DataRequest,
    /// Which places are drawn.
    pub sampling: Sampling,
    /// Side of the crops.
    pub side: u32,
    /// Crops of a step.
    pub batch: u32,
    /// Steps of each row.
    pub steps: u32,
    /// Threads; none for as many as there are cores, up to four.
    pub readers: Option<usize>,
    /// Bytes that may be held.
    pub memory: u64,
    /// What places follow from.
    pub seed: u64,
}

/// Loads the same steps with nothing kept and with scenes kept, and then as many more with what is kept by then.
///
/// # Errors
/// When there is no pair to take crops from, one fails, or somebody stops it.
pub fn samples(request: &SamplesRequest) -> Result<BenchReport<SamplesFigures>, Error> {
    let scenes = data::scenes(&request.data)?;
    let setup = Setup::of(&scenes.pipeline, &request.data.input, &scenes.found.pairs).map_err(Error::Usage)?;
    let readers = request.readers.unwrap_or_else(|| Feed::usual_readers(machine::cores()));
    let figures = interruptible(|stop| {
        let began = Instant::now();
        let built = Index::build(&setup, &scenes.found.pairs, data::threads(), stop, &|| {});
        let (index, refused) = built.ok_or(LoadError::Stopped)?;
        let index_seconds = began.elapsed().as_secs_f64();
        let told = |Refused { name, cause }| format!("{name}: {cause}");
        let (pairs, refused) = (index.len(), refused.into_iter().map(told).collect());
        let drawer = Drawer::new(Arc::new(index), request.sampling, request.side, request.seed);
        let (rows, same_crops) = measured(&drawer, request, readers, stop)?;
        let SamplesRequest { side, batch, .. } = *request;
        Ok(SamplesFigures { pairs, refused, index_seconds, side, batch, readers, same_crops, rows })
    })?;
    Ok(report("samples", figures))
}

fn measured(
    drawer: &Drawer,
    request: &SamplesRequest,
    readers: usize,
    stop: &Stop,
) -> Result<(Vec<SampleRow>, bool), Error> {
    let feed = |memory| Feed { from_step: 0, batch: request.batch, readers, memory };
    let start = |memory| Loader::start(drawer, &feed(memory), stop.clone());
    let (none, by_window) = row("nothing", &mut start(0)?, request)?;
    let mut loader = start(request.memory)?;
    let (first, as_kept) = row("scenes, from none on", &mut loader, request)?;
    let (then, _) = row("scenes, as they are by then", &mut loader, request)?;
    Ok((vec![none, first, then], by_window == as_kept))
}

/// Takes some steps, and what tells their crops from others.
fn row(kept: &'static str, loader: &mut Loader, request: &SamplesRequest) -> Result<(SampleRow, [u32; LANES]), Error> {
    let (began, waited, mut told) = (Instant::now(), loader.waited(), [0; LANES]);
    for _ in 0..request.steps {
        loader.next()?.iter().for_each(|crop| fingerprint(crop, &mut told));
    }
    let (seconds, samples) = (began.elapsed().as_secs_f64(), u64::from(request.steps) * u64::from(request.batch));
    let waited: Duration = loader.waited().saturating_sub(waited);
    let samples_per_second = samples as f64 / seconds.max(1e-9);
    Ok((SampleRow { kept, samples, seconds, samples_per_second, waited_seconds: waited.as_secs_f64() }, told))
}

/// So many numbers that tell crops from others: one would take longer than what is measured.
const LANES: usize = 16;

fn fingerprint(crop: &Crop, told: &mut [u32; LANES]) {
    let image: &[u32] = bytemuck::cast_slice(&crop.image);
    let add = |(told, word): (&mut u32, u32)| *told = (*told ^ word).wrapping_mul(0x0100_0193);
    for words in image.chunks(LANES) {
        told.iter_mut().zip(words.iter().copied()).for_each(add);
    }
    for labels in crop.labels.chunks(LANES) {
        told.iter_mut().zip(labels.iter().copied().map(u32::from)).for_each(add);
    }
}
