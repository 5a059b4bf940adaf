//! How fast the members are, and how much has begun.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of every member. Pixels are those that the networks see.
#[derive(Debug)]
pub struct Pace {
    members: Vec<MemberPace>,
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
        Self { members: (0..n_members).map(|_| MemberPace::default()).collect() }
    }

    /// Counts a unit that begins and that the first `members` will see.
    pub(super) fn begin(&self, members: usize, pixels: u64) {
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
