//! How fast the passes are, how much has begun, and how much more may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::infer::PassRan;
use crate::plan::Plan;

/// Counters of every forward pass. Pixels are those that the networks see.
#[derive(Debug)]
pub struct Pace {
    passes: Vec<PassPace>,
    began: Instant,
    devices: Mutex<DeviceTimes>,
    /// The passes in the order in which a deadline keeps them.
    kept_first: Vec<usize>,
    ahead: Mutex<BatchesAhead>,
    changed: Condvar,
}

/// Batches of units that have begun and have not passed the networks. What has begun can no longer be given fewer passes.
#[derive(Debug)]
struct BatchesAhead {
    begun: usize,
    most: usize,
}

#[derive(Debug, Default)]
struct PassPace {
    begun: AtomicU64,
    ran: AtomicU64,
    ran_ns: AtomicU64,
    /// Tiles that ran again in f32.
    reruns: AtomicU64,
}

/// When devices were at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTimes {
    /// By place in the schedule, as far as a device had anything to do: the time of its passes.
    pub busy: Vec<Duration>,
    /// From the beginning until the first pass began, on whichever.
    pub first: Duration,
    /// And until the last one ended.
    pub last: Duration,
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassTotals {
    /// Pixels of the units that have begun and on which it runs.
    pub begun: u64,
    /// Those of them that have passed it: run, brought back, or without data.
    pub ran: u64,
    /// Time that this took, all devices together.
    pub time: Duration,
}

impl PassTotals {
    /// Pixels of units that have begun and have not passed it.
    pub fn under_way(&self) -> u64 {
        self.begun.saturating_sub(self.ran)
    }
}

impl Pace {
    /// Nothing has begun.
    pub(super) fn new(plan: &Plan) -> Self {
        let ahead = Mutex::new(BatchesAhead { begun: 0, most: usize::MAX });
        let passes = plan.passes.iter().map(|_| PassPace::default()).collect();
        let (began, devices) = (Instant::now(), Mutex::default());
        Self { passes, began, devices, kept_first: plan.kept_first().collect(), ahead, changed: Condvar::new() }
    }

    fn batches(&self) -> MutexGuard<'_, BatchesAhead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a unit begins only while fewer batches than this are ahead of the networks.
    pub fn allow(&self, batches: usize) {
        self.batches().most = batches.max(1);
        self.changed.notify_all();
    }

    /// Waits until one more unit may begin, and counts it as one batch until it begins. False once `give_up`.
    pub fn enter(&self, give_up: impl Fn() -> bool) -> bool {
        let mut ahead = self.batches();
        while ahead.begun >= ahead.most {
            if give_up() {
                return false;
            }
            // The timeout only serves to ask whether to give up.
            let wait = self.changed.wait_timeout(ahead, Duration::from_millis(50));
            ahead = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        ahead.begun += 1;
        true
    }

    /// Counts a batch that has passed the networks, or a unit that has entered and does not need them.
    pub fn leave(&self) {
        let mut ahead = self.batches();
        ahead.begun = ahead.begun.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Counts a unit that begins and on which these passes will run.
    pub(super) fn begin(&self, passes: &[usize], pixels: u64, batches: usize) {
        self.batches().begun += batches.saturating_sub(1);
        for pass in passes {
            self.passes[*pass].begun.fetch_add(pixels, Ordering::Relaxed);
        }
    }

    /// Counts a batch that has gone through a pass.
    pub(super) fn ran(&self, pass: usize, pixels: u64, ran: PassRan) {
        let ns = u64::try_from(ran.time.as_nanos()).unwrap_or(u64::MAX);
        self.passes[pass].ran_ns.fetch_add(ns, Ordering::Relaxed);
        self.passes[pass].ran.fetch_add(pixels, Ordering::Relaxed);
        self.passes[pass].reruns.fetch_add(ran.reruns, Ordering::Relaxed);
    }

    /// Counts what all passes over a batch took of a device, now that they have ended.
    pub(super) fn worked(&self, device: usize, time: Duration) {
        let (now, mut devices) = (self.began.elapsed(), self.devices.lock().unwrap_or_else(PoisonError::into_inner));
        if devices.busy.is_empty() {
            devices.first = now.saturating_sub(time);
        }
        if devices.busy.len() <= device {
            devices.busy.resize(device + 1, Duration::ZERO);
        }
        devices.busy[device] += time;
        devices.last = now;
    }

    /// When devices were at work.
    pub fn devices(&self) -> DeviceTimes {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tiles that ran again in f32, pass by pass: their logits in half precision were not finite.
    pub fn reruns(&self) -> Vec<u64> {
        self.passes.iter().map(|m| m.reruns.load(Ordering::Relaxed)).collect()
    }

    /// Reads the counters of every pass, in the order in which a deadline keeps them.
    pub fn read(&self) -> Vec<PassTotals> {
        let read = |m: &PassPace| {
            // In this order: what has run has begun.
            let (ran, begun) = (m.ran.load(Ordering::Relaxed), m.begun.load(Ordering::Relaxed));
            PassTotals { begun, ran, time: Duration::from_nanos(m.ran_ns.load(Ordering::Relaxed)) }
        };
        self.kept_first.iter().map(|pass| read(&self.passes[*pass])).collect()
    }
}
