//! What each stage did with its time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one stage, summed over its workers.
#[derive(Debug, Default)]
pub struct StageMeter {
    items: AtomicU64,
    busy_ns: AtomicU64,
    wait_in_ns: AtomicU64,
    wait_out_ns: AtomicU64,
    cpu_ns: AtomicU64,
}

/// A reading of a [`StageMeter`].
#[derive(Clone, Debug, PartialEq)]
pub struct StageReport {
    /// Name of the stage.
    pub name: String,
    /// Threads that ran it.
    pub workers: usize,
    /// Items that it took in, all workers together.
    pub items: u64,
    /// Time at work, all workers together.
    pub busy: Duration,
    /// Time waiting for input: the stages before are slower.
    pub wait_in: Duration,
    /// Time waiting for room in the output: the stages behind are slower.
    pub wait_out: Duration,
    /// Processor time of its workers that have ended.
    pub cpu: Duration,
}

fn add(counter: &AtomicU64, time: Duration) {
    counter.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl StageMeter {
    /// Adds one item's times.
    pub(super) fn record(&self, items: u64, busy: Duration, wait_in: Duration, wait_out: Duration) {
        self.items.fetch_add(items, Ordering::Relaxed);
        add(&self.busy_ns, busy);
        add(&self.wait_in_ns, wait_in);
        add(&self.wait_out_ns, wait_out);
    }

    /// Adds the processor time of a worker that ends.
    pub(super) fn record_cpu(&self, time: Duration) {
        add(&self.cpu_ns, time);
    }

    pub(super) fn report(&self, name: &str, workers: usize) -> StageReport {
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        StageReport {
            name: name.to_owned(),
            workers,
            items: self.items.load(Ordering::Relaxed),
            busy: time(&self.busy_ns),
            wait_in: time(&self.wait_in_ns),
            wait_out: time(&self.wait_out_ns),
            cpu: time(&self.cpu_ns),
        }
    }
}

impl StageReport {
    /// The reports of one graph after another, stage by stage.
    pub fn sum(first: Vec<Self>, second: Vec<Self>) -> Vec<Self> {
        second.into_iter().fold(first, |mut all, new| {
            match all.iter_mut().find(|stage| stage.name == new.name) {
                None => all.push(new),
                Some(stage) => {
                    stage.items += new.items;
                    stage.busy += new.busy;
                    stage.wait_in += new.wait_in;
                    stage.wait_out += new.wait_out;
                    stage.cpu += new.cpu;
                }
            }
            all
        })
    }

    /// A part of its workers' time in percent, of a run that took `wall`.
    pub fn percent(&self, part: Duration, wall: Duration) -> f64 {
        let all = wall.as_secs_f64() * self.workers as f64;
        if all > 0.0 { 100.0 * part.as_secs_f64() / all } else { 0.0 }
    }
}
