//! `swath shard`: how a saved plan is cut for several processes. Reads the head of the file, and the blocks around the borders.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::forecast::Throughput;
use crate::config::Span;
use crate::plan::{Plan, PlanFile, ShardCut, Stretch};
use crate::report::{ShardDocument, ShardFigure, ShardRow};
use crate::words::percent;

/// What `swath shard` is asked.
#[derive(Clone, Debug)]
pub struct ShardRequest {
    /// The saved plan.
    pub file: PathBuf,
    /// Processes that work at a time.
    pub slots: u32,
    /// Devices that each of them has.
    pub per_slot: u32,
    /// How many shards.
    pub amount: ShardAmount,
    /// How long a process takes to start, if somebody knows.
    pub start_up: Option<Duration>,
    /// Files that say how fast the devices are.
    pub throughput: Vec<PathBuf>,
    /// The only one that is wanted.
    pub only: Option<u32>,
}

/// How many shards are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardAmount {
    /// As many as keep the slots at work.
    Usual,
    /// So many, of falling sizes.
    Falling(u32),
    /// So many of equal cost.
    Uniform(u32),
}

/// Seconds that a process takes to start, where nobody has measured it: libraries, weights and the first pass on a GPU.
const START_UP: f64 = 30.0;

/// Floating-point operations per second of a GPU and of a core, where nobody has measured the networks on it.
const GPU: f64 = 20e12;
const CORE: f64 = 50e9;

/// What costs are counted in.
const MILLION: f64 = 1e6;

/// More of the work than this should not be starting.
const MOST_START_UP: f64 = 0.1;

/// Cuts a saved plan.
///
/// # Errors
/// When the plan or a file of figures cannot be read, or there is no such shard.
pub fn shard(request: &ShardRequest) -> Result<ShardDocument, Error> {
    let mut file = PlanFile::open(&request.file)?;
    let figures = Throughput::read(&request.throughput)?;
    let (rate, is_measured) = rate(request, &figures, &mut file)?;
    let start_up = start_up(request, &figures, file.head());
    let per_second = rate.value / MILLION * f64::from(request.per_slot);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it ends at the largest number")]
    let start_up_cost = (start_up.value * per_second) as u64;
    let cut = match request.amount {
        ShardAmount::Usual => ShardCut::usual(file.cost(), start_up_cost, request.slots),
        ShardAmount::Falling(count) => ShardCut { slots: Some(request.slots), count },
        ShardAmount::Uniform(count) => ShardCut { slots: None, count },
    };
    let mut all = Vec::new();
    for index in 0..cut.count {
        let units = file.shard(&cut, index)?;
        all.push(file.stretch(units)?);
    }
    if let Some(index) = request.only.filter(|index| *index >= cut.count) {
        file.shard(&cut, index)?;
    }
    let takes: Vec<f64> = all.iter().map(|own| start_up.value + own.cost as f64 / per_second).collect();
    let (total, seconds) = (file.cost() as f64 / per_second, makespan(&takes, request.slots));
    let starting = start_up.value * f64::from(cut.count);
    let rows = (0..).zip(&all).map(|(index, stretch)| ShardRow {
        seconds: is_measured.then(|| takes[index as usize]),
        ..row(index, stretch, file.cost())
    });
    let mut document = ShardDocument {
        file: request.file.display().to_string(),
        plan: file.digest().to_owned(),
        scenes: file.n_scenes() as u64,
        units: file.n_units() as u64,
        cost: file.cost(),
        slots: request.slots,
        per_slot: request.per_slot,
        count: cut.count,
        uniform: cut.slots.is_none(),
        start_up,
        rate,
        is_measured,
        seconds,
        over_ideal: if total > 0.0 { seconds * f64::from(request.slots) / total } else { 1.0 },
        start_up_share: ratio(starting, starting + total),
        empty: all.iter().filter(|stretch| stretch.units.is_empty()).count() as u64,
        shards: rows.filter(|row| request.only.is_none_or(|only| only == row.index)).collect(),
        run: line(request, &cut),
        warnings: Vec::new(),
    };
    document.warnings = warnings(&document);
    Ok(document)
}

fn row(index: u32, stretch: &Stretch, total: u64) -> ShardRow {
    let Stretch { units, scenes, cut, cost } = stretch;
    ShardRow {
        index,
        units: [units.start, units.end],
        scenes: [scenes.start, scenes.end],
        cut: cut.len(),
        cost: *cost,
        share: ratio(*cost as f64, total as f64),
        seconds: None,
    }
}

/// Operations per second of one device, and whether that was measured.
fn rate(request: &ShardRequest, figures: &Throughput, file: &mut PlanFile) -> Result<(ShardFigure, bool), Error> {
    let crop = file.middle()?.map(|scene| scene.grid.crop());
    let (plan, files) = (file.head(), files(request));
    let of = |known: &Throughput| Some(known.cost_per_second(plan, crop?)? * MILLION);
    if let Some(value) = of(figures) {
        return Ok((ShardFigure::of_files(value, &files), true));
    }
    if crop.is_some() && !files.is_empty() {
        let (files, class) = (files.join(", "), &plan.device_class);
        return Err(Error::Usage(format!(
            "--throughput {files}: there are no figures of every member of the plan on {class}; `swath bench forward PIPELINE --json FILE` \
             on such a machine makes a file of them"
        )));
    }
    let profile = plan.profile.as_ref().and_then(|profile| of(&Throughput::of_profile(profile)));
    Ok(match profile {
        Some(value) => (ShardFigure { value, from: profile_of(plan) }, true),
        None => (assumed(plan), false),
    })
}

fn assumed(plan: &Plan) -> ShardFigure {
    let value = if plan.device_class.starts_with("cuda") { GPU } else { CORE };
    let from = format!(
        "assumed: nothing is measured of {}; --throughput FILE or `swath tune` before the plan",
        plan.device_class
    );
    ShardFigure { value, from }
}

fn start_up(request: &ShardRequest, figures: &Throughput, plan: &Plan) -> ShardFigure {
    let measured = plan.profile.as_ref().and_then(|profile| profile.start_up);
    match (request.start_up, figures.start_up(), measured) {
        (Some(time), _, _) => ShardFigure { value: time.as_secs_f64(), from: "--startup".to_owned() },
        (None, Some(seconds), _) => ShardFigure::of_files(seconds, &files(request)),
        (None, None, Some(value)) => ShardFigure { value, from: profile_of(plan) },
        (None, None, None) => ShardFigure {
            value: START_UP,
            from: format!("assumed; --startup {}, or `swath tune` before the plan", Span::of_seconds(30)),
        },
    }
}

fn profile_of(plan: &Plan) -> String {
    format!("the profile of {} in the plan", plan.device_class)
}

fn files(request: &ShardRequest) -> Vec<String> {
    request.throughput.iter().map(|file| file.display().to_string()).collect()
}

/// When the last one is done, if each begins as soon as a slot is free, in their order.
fn makespan(takes: &[f64], slots: u32) -> f64 {
    let mut free: BinaryHeap<Reverse<Duration>> =
        takes.iter().take(slots as usize).map(|_| Reverse(Duration::ZERO)).collect();
    let mut last = Duration::ZERO;
    for seconds in takes {
        let begins = free.pop().map_or(Duration::ZERO, |Reverse(at)| at);
        let ends = begins.saturating_add(Duration::try_from_secs_f64(*seconds).unwrap_or(Duration::MAX));
        last = last.max(ends);
        free.push(Reverse(ends));
    }
    last.as_secs_f64()
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// What does one of them.
fn line(request: &ShardRequest, cut: &ShardCut) -> String {
    let slots = cut.slots.map(|slots| format!(" --slots {slots}")).unwrap_or_default();
    let index = request.only.map_or_else(|| "I".to_owned(), |only| only.to_string());
    format!("swath run --plan {} -o DIR --shard {index} --shards {}{slots}", request.file.display(), cut.count)
}

fn warnings(document: &ShardDocument) -> Vec<String> {
    let ShardDocument { count, units, empty, start_up_share, .. } = document;
    let empty = (*empty > 0)
        .then(|| format!("{empty} of {count} shards are empty: the plan has {units} units, which are not cut"));
    let starting = (*start_up_share > MOST_START_UP).then(|| {
        format!("{} of the work is starting: fewer shards or slots would take less of it", percent(*start_up_share))
    });
    empty.into_iter().chain(starting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_makespan_is_that_of_whoever_is_free_first() {
        assert_eq!(makespan(&[4.0, 4.0, 2.0, 2.0, 1.0, 1.0], 2), 7.0);
        assert_eq!(makespan(&[1.0, 1.0, 4.0], 2), 5.0);
        assert_eq!((makespan(&[], 3), makespan(&[2.0], 3)), (0.0, 2.0));
    }
}
