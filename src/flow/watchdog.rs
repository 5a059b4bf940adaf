//! Notices that nothing moves any more.
//!
//! A worker that is at work on one item for much longer than its stage ever was, or a graph in which everybody waits for somebody,
//! will not recover by itself. What to do about it is up to whoever asks: a thread cannot be ended from outside.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Graph;
use super::pulse::Pulse;

/// Nothing has moved for longer than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The stage whose worker does not come back; `None` when all of them wait.
    pub stage: Option<String>,
    /// Time since something moved last.
    pub quiet: Duration,
}

/// A stage is given this many times the longest that one of its items has taken so far.
const TIMES_LONGEST: u32 = 5;

/// Time between two looks counts no further than this: a process that was stopped and continued has not stalled.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// Time between two looks at work that is watched over.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Looks at a graph now and then.
#[derive(Debug)]
pub struct Watchdog {
    patience: Duration,
    looked: Instant,
    workers: BTreeMap<usize, Seen>,
    longest: BTreeMap<String, Duration>,
    idle: Duration,
}

#[derive(Debug, Default)]
struct Seen {
    beats: u64,
    quiet: Duration,
}

impl Watchdog {
    /// A watchdog that bears at least `patience` without a sign of life.
    pub fn new(patience: Duration) -> Self {
        let (workers, longest) = (BTreeMap::new(), BTreeMap::new());
        Self { patience, looked: Instant::now(), workers, longest, idle: Duration::ZERO }
    }

    /// Looks once; meant to be called several times a second.
    pub fn look<E: Send + 'static>(&mut self, graph: &Graph<E>) -> Option<Stall> {
        self.look_at(graph.pulses())
    }

    fn look_at<'a>(&mut self, pulses: impl Iterator<Item = (&'a str, &'a Pulse)>) -> Option<Stall> {
        let step = self.looked.elapsed().min(LONGEST_STEP);
        self.looked = Instant::now();
        self.step(pulses, step)
    }

    fn step<'a>(&mut self, pulses: impl Iterator<Item = (&'a str, &'a Pulse)>, step: Duration) -> Option<Stall> {
        let (mut all_wait, mut stalled) = (true, None);
        for (idx, (stage, pulse)) in pulses.enumerate() {
            let (beats, at_work) = (pulse.beats.load(Ordering::Acquire), pulse.at_work.load(Ordering::Acquire));
            let seen = self.workers.entry(idx).or_default();
            let longest = self.longest.entry(stage.to_owned()).or_default();
            let moved = beats != seen.beats;
            if moved {
                *longest = (*longest).max(seen.quiet);
                *seen = Seen { beats, quiet: Duration::ZERO };
            } else if at_work {
                seen.quiet += step;
            }
            all_wait &= !moved && !at_work;
            if seen.quiet > self.patience.max(*longest * TIMES_LONGEST) {
                stalled = Some(Stall { stage: Some(stage.to_owned()), quiet: seen.quiet });
            }
        }
        self.idle = if all_wait { self.idle + step } else { Duration::ZERO };
        let deadlock = || Stall { stage: None, quiet: self.idle };
        stalled.or_else(|| (self.idle > self.patience).then(deadlock))
    }
}

/// Does `work`, which is to call what it is given whenever it gets on; `stalled` is called when it does not for longer than `patience`
/// (`None`: never), and ought to end the process: work that does not come back cannot be left behind.
pub fn watch_over<T>(
    stage: &str,
    patience: Option<Duration>,
    stalled: impl Fn(&Stall) + Sync,
    work: impl FnOnce(&dyn Fn()) -> T,
) -> T {
    let (pulse, (ends, ended)) = (&Pulse::default(), crossbeam_channel::bounded::<()>(0));
    std::thread::scope(|scope| {
        let stalled = &stalled;
        if let Some(patience) = patience {
            let watch = move || {
                let mut dog = Watchdog::new(patience);
                while ended.recv_timeout(LOOK_AGAIN) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
                    if let Some(stall) = dog.look_at(std::iter::once((stage, pulse))) {
                        stalled(&stall);
                    }
                }
            };
            // Without a thread nobody watches; the work is done all the same.
            drop(std::thread::Builder::new().name("watch".into()).spawn_scoped(scope, watch));
        }
        pulse.beat(true);
        let result = work(&|| pulse.beat(true));
        drop(ends);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn steps(dog: &mut Watchdog, pulses: &[(&'static str, Pulse)], n: u32) -> Option<Stall> {
        (0..n).find_map(|_| dog.step(pulses.iter().map(|(name, pulse)| (*name, pulse)), SECOND))
    }

    #[test]
    fn a_worker_that_does_not_come_back_is_told_by_its_stage() {
        let pulses = [("read", Pulse::default()), ("infer", Pulse::default())];
        let mut dog = Watchdog::new(10 * SECOND);
        pulses[1].1.beat(true);
        assert_eq!(steps(&mut dog, &pulses, 11), None);
        let stall = steps(&mut dog, &pulses, 1).unwrap();
        assert_eq!((stall.stage.as_deref(), stall.quiet), (Some("infer"), 11 * SECOND));
    }

    #[test]
    fn a_stage_whose_items_take_long_is_given_longer() {
        let pulses = [("infer", Pulse::default())];
        let mut dog = Watchdog::new(10 * SECOND);
        pulses[0].1.beat(true);
        assert_eq!(steps(&mut dog, &pulses, 9), None);
        pulses[0].1.beat(true);
        assert_eq!(steps(&mut dog, &pulses, 40), None, "five times eight seconds are not over");
        assert!(steps(&mut dog, &pulses, 2).is_some());
    }

    #[test]
    fn everybody_waiting_is_a_deadlock_and_a_single_one_at_work_is_none() {
        let pulses = [("read", Pulse::default()), ("infer", Pulse::default())];
        let mut dog = Watchdog::new(5 * SECOND);
        assert_eq!(steps(&mut dog, &pulses, 6).unwrap().stage, None);
        let mut dog = Watchdog::new(5 * SECOND);
        for _ in 0..20 {
            pulses[0].1.beat(true);
            assert_eq!(steps(&mut dog, &pulses, 1), None);
        }
    }
}
