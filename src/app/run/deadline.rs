//! Watches the time that is left: measures how fast the forward passes are, says when fewer of them must do, how far ahead of them units may
//! begin, and when nothing more can be finished in time.

use std::time::Duration;

use super::options::PartialArchive;
use super::outlook::Outlook;
use crate::plan::Plan;
use crate::stages::{Ahead, PassTotals};

/// Shares of the deadline: what is kept for what comes after the networks, at least; what must have been seen of the networks before
/// anything is given up; how long passes must have been too many, for a step is never taken back; and the time after which what was
/// measured counts half, for a machine may slow down.
const RESERVE: f64 = 0.02;
const SEEN: f64 = 0.02;
const PATIENCE: f64 = 0.01;
const HALF_LIFE: f64 = 0.05;

/// Share of the time that is left: no more than that many seconds of work begin ahead of the networks. What has begun is done with the
/// passes that it began with, however short time becomes.
const AHEAD: f64 = 0.05;

/// What the archive takes: pixels per second and seconds per scene. Measured on two CPU cores (2026-11-25): 1.3 s for one scene of 400
/// megapixels, 6.3 s for 10 000 of 256 x 256; this is about half as much again.
const ARCHIVE_PIXELS: f64 = 200e6;
const ARCHIVE_SCENE: f64 = 0.7e-3;

/// Time between two looks: each walks over all units.
const INTERVAL: Duration = Duration::from_millis(100);

/// What time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// That only the first of the passes that are kept run on what has not begun.
    Passes {
        /// How many of them.
        passes: usize,
        /// Whether it is enough.
        fits: bool,
    },
    /// That no further unit begins.
    Over,
    /// That no further forward pass begins: it would not end in time.
    Cut,
}

/// A deadline, and what is known of the time that things take.
#[derive(Debug)]
pub(super) struct Deadline {
    limit: f64,
    /// For what comes after the networks when all scenes are done.
    reserve: f64,
    /// And when some are left over: then there may be no archive to make.
    least_reserve: f64,
    devices: usize,
    speed: Speed,
    /// Pixels of the unit that the pass begins with.
    unit: u64,
    /// Pixels of a batch, as far as is known.
    batch: u64,
    /// Since when passes have been too many, or a next unit has been.
    short_since: Option<f64>,
    looked: Option<Duration>,
}

/// How fast the passes are, each in the order in which they are kept, the last while counting most. Seconds and pixels.
#[derive(Debug)]
struct Speed {
    half_life: f64,
    last: Option<(f64, Vec<PassTotals>)>,
    /// Time in which units were under way, all of it.
    active: f64,
    wall: f64,
    pixels: f64,
    busy: Vec<f64>,
    ran: Vec<f64>,
}

impl Deadline {
    /// That long after the command began.
    pub(super) fn new(limit: Duration, plan: &Plan, devices: usize, partial: PartialArchive) -> Self {
        let archive = plan.totals().pixels as f64 / ARCHIVE_PIXELS + plan.scenes.len() as f64 * ARCHIVE_SCENE;
        let of_partial = if partial == PartialArchive::Withhold { 0.0 } else { archive };
        Self::of(limit, [archive, of_partial], devices, plan.passes.len())
    }

    fn of(limit: Duration, archive: [f64; 2], devices: usize, n_passes: usize) -> Self {
        let limit = limit.as_secs_f64();
        let speed = Speed::new(HALF_LIFE * limit, n_passes);
        let [reserve, least_reserve] = archive.map(|seconds| seconds.max(RESERVE * limit));
        Self {
            limit,
            reserve,
            least_reserve,
            devices: devices.max(1),
            speed,
            unit: 0,
            batch: 0,
            short_since: None,
            looked: None,
        }
    }

    pub(super) fn begin_pass(&mut self, ahead: &Ahead) {
        (self.unit, self.batch) = (ahead.next, ahead.batch);
        self.short_since = None;
    }

    /// Whether it is time for another look.
    pub(super) fn is_due(&mut self, elapsed: Duration) -> bool {
        let is_due = self.looked.is_none_or(|looked| elapsed.saturating_sub(looked) >= INTERVAL);
        if is_due {
            self.looked = Some(elapsed);
        }
        is_due
    }

    /// How many batches may be ahead of the networks: one for each device as long as nothing is known of their speed or a step is about
    /// to be taken, and otherwise so many that nobody waits for pixels and little time is spoken for.
    pub(super) fn batches_ahead(&self, elapsed: Duration, ahead: &Ahead) -> usize {
        let seconds = self.speed.of_batch(self.batch, &ahead.pixels, self.devices as f64);
        let Some(seconds) = seconds.filter(|_| self.short_since.is_none()) else { return self.devices };
        let left = (self.limit - elapsed.as_secs_f64()).max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
        let batches = (AHEAD * left / seconds) as usize;
        batches.max(2 * self.devices)
    }

    /// What is to be done now that `elapsed` has passed since the command began; `draining` when no further unit begins as it is.
    pub(super) fn look(
        &mut self,
        elapsed: Duration,
        ran: Vec<PassTotals>,
        ahead: &Ahead,
        draining: bool,
    ) -> Option<Step> {
        let now = elapsed.as_secs_f64();
        let under_way: Vec<u64> = ran.iter().map(PassTotals::under_way).collect();
        let is_seen = |(ran, ahead): (&PassTotals, &u64)| *ahead == 0 || ran.ran >= self.unit.max(1);
        let all_seen = ran.iter().zip(&ahead.pixels).all(is_seen);
        self.speed.note(now, ran);
        self.batch = if ahead.units > 0 { ahead.batch } else { self.batch };
        let is_idle = ahead.all == 0 && under_way.iter().all(|pixels| *pixels == 0);
        if !is_idle && now + self.longest_pass() + self.least_reserve >= self.limit {
            return Some(Step::Cut);
        }
        if ahead.units == 0 || draining || !all_seen || self.speed.active < SEEN * self.limit {
            return None;
        }
        let outlook = Outlook {
            elapsed: now,
            deadline: self.limit,
            reserve: self.reserve,
            devices: self.devices as f64,
            rates: self.speed.rates(),
            other: self.speed.other(self.devices as f64),
            under_way,
            ahead: ahead.pixels.clone(),
            next: ahead.next,
        };
        let (most, passes) = (ahead.pixels.iter().take_while(|n| **n > 0).count(), outlook.passes());
        let is_over = || Outlook { reserve: self.least_reserve, ..outlook.clone() }.is_over();
        let step = match (passes < most, is_over()) {
            (true, _) => Some(Step::Passes { passes, fits: outlook.fits(passes) }),
            (false, true) => Some(Step::Over),
            (false, false) => None,
        };
        self.after_patience(now, step)
    }

    /// Seconds that a forward pass takes at most, as far as is known.
    fn longest_pass(&self) -> f64 {
        self.speed.rates().into_iter().fold(0.0, f64::max) * self.batch as f64
    }

    /// The step, once some step has been due for a while.
    fn after_patience(&mut self, now: f64, step: Option<Step>) -> Option<Step> {
        if step.is_none() {
            self.short_since = None;
            return None;
        }
        let since = *self.short_since.get_or_insert(now);
        let due = step.filter(|_| now - since >= PATIENCE * self.limit);
        if due.is_some() {
            self.short_since = None;
        }
        due
    }
}

impl Speed {
    fn new(half_life: f64, n_passes: usize) -> Self {
        let none = || vec![0.0; n_passes];
        Self { half_life, last: None, active: 0.0, wall: 0.0, pixels: 0.0, busy: none(), ran: none() }
    }

    /// Takes the counters in. Time counts when a batch has passed, up to then: what is half done is not taken for slow. Time in which
    /// nothing is under way (stored labels are brought back) does not count at all.
    fn note(&mut self, now: f64, ran: Vec<PassTotals>) {
        let Some((then, before)) = &self.last else {
            self.last = Some((now, ran));
            return;
        };
        let first = |ran: &[PassTotals]| ran.first().copied().unwrap_or_default();
        let passed = first(&ran).ran.saturating_sub(first(before).ran);
        if passed == 0 {
            if first(before).under_way() == 0 {
                self.last = Some((now, ran));
            }
            return;
        }
        let time = now - then;
        let fade = 0.5_f64.powf(time / self.half_life);
        self.active += time;
        self.wall = self.wall * fade + time;
        self.pixels = self.pixels * fade + passed as f64;
        for (idx, (ran, before)) in ran.iter().zip(before).enumerate() {
            self.busy[idx] = self.busy[idx] * fade + ran.time.saturating_sub(before.time).as_secs_f64();
            self.ran[idx] = self.ran[idx] * fade + ran.ran.saturating_sub(before.ran) as f64;
        }
        self.last = Some((now, ran));
    }

    /// Seconds that one device takes for a pixel of each pass; 0 where it has seen none.
    fn rates(&self) -> Vec<f64> {
        self.busy.iter().zip(&self.ran).map(|(busy, ran)| if *ran > 0.0 { busy / ran } else { 0.0 }).collect()
    }

    /// Seconds in which a batch passes, all devices together, by the passes that have something ahead; `None` as long as one of them has
    /// seen nothing.
    fn of_batch(&self, pixels: u64, ahead: &[u64], devices: f64) -> Option<f64> {
        let passes = ahead.iter().take_while(|pixels| **pixels > 0).count();
        let all_seen = self.pixels > 0.0 && self.ran[..passes].iter().all(|ran| *ran > 0.0);
        let networks = self.rates()[..passes].iter().sum::<f64>() / devices;
        all_seen.then(|| pixels as f64 * (networks + self.other(devices)))
    }

    /// Seconds per pixel in which devices do something else.
    fn other(&self, devices: f64) -> f64 {
        let busy: f64 = self.busy.iter().sum();
        if self.pixels > 0.0 { (self.wall - busy / devices).max(0.0) / self.pixels } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(begun: u64, passed: u64, milliseconds: u64) -> PassTotals {
        PassTotals { begun, ran: passed, time: Duration::from_millis(milliseconds) }
    }

    #[test]
    fn time_counts_by_whole_batches_and_not_while_nothing_is_under_way() {
        let mut speed = Speed::new(1e9, 2);
        speed.note(0.0, vec![ran(0, 0, 0); 2]);
        // Ten seconds of labels brought back.
        speed.note(10.0, vec![ran(0, 0, 0); 2]);
        speed.note(10.1, vec![ran(100, 0, 0); 2]);
        speed.note(14.0, vec![ran(100, 0, 0); 2]);
        speed.note(15.1, vec![ran(100, 10, 1000), ran(100, 10, 3000)]);
        speed.note(16.0, vec![ran(100, 10, 1000), ran(100, 10, 3000)]);
        assert_eq!(speed.rates(), [0.1, 0.3]);
        assert!((speed.active - 5.0).abs() < 1e-9 && (speed.other(1.0) - 0.1).abs() < 1e-9, "{speed:?}");
        assert!((speed.other(2.0) - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_machine_that_slows_down_is_seen_to() {
        let mut speed = Speed::new(5.0, 1);
        let (mut time, mut passed, mut now) = (0, 0, 0.0);
        let mut run = |seconds: u64, n: u64, speed: &mut Speed| {
            for _ in 0..n {
                (time, passed, now) = (time + seconds * 1000, passed + 10, now + seconds as f64);
                speed.note(now, vec![ran(1000, passed, time)]);
            }
            speed.rates()[0]
        };
        assert!((run(1, 100, &mut speed) - 0.1).abs() < 1e-9);
        let slowed = run(3, 5, &mut speed);
        assert!(slowed > 0.24, "after three half-lives: {slowed}");
        assert!(run(3, 20, &mut speed) > 0.29);
    }

    fn ahead(units: usize, members: usize) -> Ahead {
        Ahead {
            all: units,
            units,
            next: 10,
            batch: 10,
            pixels: (0..3).map(|m| if m < members { 10 * units as u64 } else { 0 }).collect(),
        }
    }

    /// One unit of 10 pixels a second and member; a look every half second.
    #[test]
    fn members_go_when_they_have_been_too_many_for_a_while_and_at_the_end_nothing_begins() {
        let mut deadline = Deadline::of(Duration::from_secs(100), [0.0; 2], 1, 3);
        let (mut members, mut steps, mut left) = (3, Vec::new(), 60);
        deadline.begin_pass(&ahead(left, members));
        let (mut now, mut done) = (0.0, [0u64; 3]);
        while left > 0 {
            let current: Vec<PassTotals> = (0..3)
                .map(|m| ran(done[m] * 10 + if m < members { 10 } else { 0 }, done[m] * 10, done[m] * 1000))
                .collect();
            let at = Duration::from_secs_f64(now);
            match deadline.look(at, current, &ahead(left, members), false) {
                Some(Step::Passes { passes: fewer, fits }) => {
                    assert!(fewer < members);
                    steps.push((now, fewer, fits));
                    members = fewer;
                }
                Some(Step::Over | Step::Cut) => {
                    steps.push((now, 0, false));
                    break;
                }
                None => {}
            }
            now += members as f64;
            done[..members].iter_mut().for_each(|n| *n += 1);
            left -= 1;
        }
        // 60 units by one member are 60 of 98 seconds: two members do not fit, and one does.
        assert_eq!(steps.len(), 1, "{steps:?}");
        assert!(steps[0].0 <= 7.0 && steps[0].1 == 1 && steps[0].2, "{steps:?}");
        assert!(now < 98.0);
    }

    #[test]
    fn no_pass_begins_that_would_end_too_late() {
        let mut deadline = Deadline::of(Duration::from_secs(100), [0.0; 2], 1, 1);
        let ahead = Ahead { all: 1, units: 1, next: 40, batch: 10, pixels: vec![40] };
        deadline.begin_pass(&ahead);
        let mut look = |now: u64, passed: u64| {
            let ran = vec![ran(40, passed, passed * 1000)];
            deadline.look(Duration::from_secs(now), ran, &Ahead::default(), true)
        };
        assert_eq!([look(1, 0), look(11, 10), look(87, 10)], [None, None, None]);
        assert_eq!(look(88, 10), Some(Step::Cut), "ten seconds for a batch, and two are kept");
    }

    #[test]
    fn little_begins_ahead_of_networks_that_are_slow_or_of_which_nothing_is_known() {
        let mut deadline = Deadline::of(Duration::from_secs(100), [0.0; 2], 2, 1);
        let ahead = Ahead { all: 9, units: 9, next: 40, batch: 10, pixels: vec![360] };
        deadline.begin_pass(&ahead);
        deadline.look(Duration::ZERO, vec![ran(40, 0, 0)], &ahead, false);
        assert_eq!(deadline.batches_ahead(Duration::ZERO, &ahead), 2);
        // Two devices, a batch in a second.
        deadline.look(Duration::from_secs(1), vec![ran(40, 20, 2000)], &ahead, false);
        let batches = [1, 21, 61, 99].map(|now| deadline.batches_ahead(Duration::from_secs(now), &ahead));
        assert_eq!(batches, [9, 7, 4, 4]);
    }

    #[test]
    fn without_a_measurement_nothing_is_given_up_before_the_time_is_over() {
        let mut deadline = Deadline::of(Duration::from_secs(100), [4.0; 2], 1, 3);
        deadline.begin_pass(&ahead(60, 3));
        let mut look =
            |now, units| deadline.look(Duration::from_secs(now), vec![ran(10, 0, 0); 3], &ahead(units, 3), false);
        assert_eq!([look(1, 60), look(95, 60)], [None, None]);
        assert_eq!(look(96, 60), Some(Step::Cut), "the archive takes four seconds");
        assert_eq!(look(99, 0), Some(Step::Cut), "something is under way");
        let passed = vec![ran(10, 10, 0); 3];
        assert_eq!(deadline.look(Duration::from_secs(99), passed, &ahead(0, 3), false), None, "nothing waits");
        let mut deadline = Deadline::of(Duration::from_secs(100), [4.0, 0.0], 1, 3);
        let mut look = |now| deadline.look(Duration::from_secs(now), vec![ran(10, 0, 0); 3], &ahead(60, 3), false);
        assert_eq!([look(97), look(98)], [None, Some(Step::Cut)], "what is left over has no archive");
    }
}
