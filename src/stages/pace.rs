//! How fast the members are, how much has begun, and how much more may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counters of every member. Pixels are those that the networks see.
#[derive(Debug)]
pub struct Pace {
    members: Vec<MemberPace>,
    ahead: Mutex<BatchesAhead>,
    changed: Condvar,
}

/// Batches of units that have begun and have not passed the networks. What has begun can no longer be given fewer members.
#[derive(Debug)]
struct BatchesAhead {
    begun: usize,
    most: usize,
}

#[derive(Debug, Default)]
struct MemberPace {
    begun: AtomicU64,
    ran: AtomicU64,
    ran_ns: AtomicU64,
    /// Tiles that ran again in f32.
    reruns: AtomicU64,
}

/// What a member has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemberRan {
    /// Pixels of the units that have begun and that it sees.
    pub begun: u64,
    /// Those of them that have passed it: run, brought back, or without data.
    pub ran: u64,
    /// Time that this took, all devices together.
    pub time: Duration,
}

impl MemberRan {
    /// Pixels of units that have begun and have not passed it.
    pub fn under_way(&self) -> u64 {
        self.begun.saturating_sub(self.ran)
    }
}

impl Pace {
    /// Nothing has begun.
    pub(super) fn new(n_members: usize) -> Self {
        let ahead = Mutex::new(BatchesAhead { begun: 0, most: usize::MAX });
        Self { members: (0..n_members).map(|_| MemberPace::default()).collect(), ahead, changed: Condvar::new() }
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

    /// Counts a unit that begins and that the first `members` will see.
    pub(super) fn begin(&self, members: usize, pixels: u64, batches: usize) {
        self.batches().begun += batches.saturating_sub(1);
        for member in self.members.iter().take(members) {
            member.begun.fetch_add(pixels, Ordering::Relaxed);
        }
    }

    /// Counts a batch that has passed a member.
    pub(super) fn pass(&self, member: usize, pixels: u64, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.members[member].ran_ns.fetch_add(ns, Ordering::Relaxed);
        self.members[member].ran.fetch_add(pixels, Ordering::Relaxed);
    }

    /// Counts tiles that ran again in f32.
    pub(super) fn rerun(&self, member: usize, tiles: u64) {
        self.members[member].reruns.fetch_add(tiles, Ordering::Relaxed);
    }

    /// Tiles that ran again in f32, member by member: their logits in half precision were not finite.
    pub fn reruns(&self) -> Vec<u64> {
        self.members.iter().map(|m| m.reruns.load(Ordering::Relaxed)).collect()
    }

    /// Reads the counters, member by member.
    pub fn read(&self) -> Vec<MemberRan> {
        let read = |m: &MemberPace| {
            // In this order: what has run has begun.
            let (ran, begun) = (m.ran.load(Ordering::Relaxed), m.begun.load(Ordering::Relaxed));
            MemberRan { begun, ran, time: Duration::from_nanos(m.ran_ns.load(Ordering::Relaxed)) }
        };
        self.members.iter().map(read).collect()
    }
}
