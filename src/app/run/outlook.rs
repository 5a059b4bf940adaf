//! Whether what lies ahead fits into the time that is left, and with how many passes. Pure: it knows no clock.

/// Where a run stands against its deadline. Times in seconds since the command began, pixels as the networks see them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outlook {
    /// When it is looked at.
    pub(super) elapsed: f64,
    /// When all must be done.
    pub(super) deadline: f64,
    /// What comes after the networks: the last files, the archive.
    pub(super) reserve: f64,
    /// Number of devices that share the work.
    pub(super) devices: f64,
    /// Per pass, in the order in which they are kept: seconds that one device takes for a pixel.
    pub(super) rates: Vec<f64>,
    /// Seconds per pixel in which the devices do something else, or wait for pixels.
    pub(super) other: f64,
    /// Per pass: pixels of units that have begun and have not gone through it. They stay as they have begun.
    pub(super) under_way: Vec<u64>,
    /// Per pass: pixels of units that have not begun and on which it is to run; never more than an earlier one.
    pub(super) ahead: Vec<u64>,
    /// Pixels of the next unit to begin.
    pub(super) next: u64,
}

impl Outlook {
    /// The most passes, counted from the first, with which what lies ahead is done in time; one if it is not even with one, none if
    /// nothing lies ahead.
    pub(super) fn passes(&self) -> usize {
        let most = self.ahead.iter().take_while(|pixels| **pixels > 0).count();
        (1..=most).rev().find(|passes| self.end(*passes) <= self.deadline).unwrap_or(most.min(1))
    }

    /// Whether what lies ahead is done in time by the first passes.
    pub(super) fn fits(&self, passes: usize) -> bool {
        self.end(passes) <= self.deadline
    }

    /// Whether not even the next unit would be done in time, by those that are to run on it.
    pub(super) fn is_over(&self) -> bool {
        let next = self.ahead.iter().map(|pixels| self.next.min(*pixels)).collect();
        Self { ahead: next, ..self.clone() }.end(self.ahead.len()) > self.deadline
    }

    /// When all is done, if the first passes run on what lies ahead.
    fn end(&self, passes: usize) -> f64 {
        let first = |pixels: &[u64]| pixels.first().copied().unwrap_or(0) as f64;
        let of = |pixels: &[u64]| pixels.iter().zip(&self.rates).map(|(n, rate)| *n as f64 * rate).sum::<f64>();
        let ahead = &self.ahead[..passes.min(self.ahead.len())];
        let networks = (of(&self.under_way) + of(ahead)) / self.devices.max(1.0);
        let other = self.other * (first(&self.under_way) + first(ahead));
        self.elapsed + networks + other + self.reserve
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// A run with a clock of its own.
    #[derive(Clone, Debug)]
    struct World {
        costs: Vec<u64>,
        rates: Vec<f64>,
        other: f64,
        devices: f64,
        /// From the end of that many units on, everything takes that many times longer.
        slowdowns: Vec<(usize, f64)>,
        /// Units that begin before the first of them is done.
        early: usize,
        deadline: f64,
        reserve: f64,
    }

    #[derive(Debug, Default)]
    struct Ended {
        at: f64,
        members: Vec<usize>,
        drained: bool,
        /// Whether one member would do, when it was last asked after the last slowdown.
        one_fitted: Option<bool>,
    }

    impl World {
        fn slowness(&self, done: usize) -> f64 {
            let past = self.slowdowns.iter().filter(|(from, _)| *from <= done);
            past.map(|(_, factor)| factor).product()
        }

        fn outlook(&self, now: f64, done: usize, under_way: &VecDeque<(u64, usize)>, members: usize) -> Outlook {
            let (n, slow) = (self.rates.len(), self.slowness(done));
            let begun = done + under_way.len();
            let left: u64 = self.costs[begun..].iter().sum();
            Outlook {
                elapsed: now,
                deadline: self.deadline,
                reserve: self.reserve,
                devices: self.devices,
                rates: self.rates.iter().map(|r| r * slow).collect(),
                other: self.other * slow,
                under_way: (0..n).map(|m| under_way.iter().filter(|u| u.1 > m).map(|u| u.0).sum()).collect(),
                ahead: (0..n).map(|m| if m < members { left } else { 0 }).collect(),
                next: self.costs.get(begun).copied().unwrap_or(0),
            }
        }

        fn run(&self) -> Ended {
            let mut ended = Ended::default();
            let (mut done, mut members, mut under_way) = (0, self.rates.len(), VecDeque::new());
            let last_change = self.slowdowns.iter().map(|s| s.0).max().unwrap_or(0);
            loop {
                while under_way.len() < self.early && done + under_way.len() < self.costs.len() && !ended.drained {
                    let outlook = self.outlook(ended.at, done, &under_way, members);
                    let fewer = outlook.passes();
                    assert!(fewer <= members && fewer >= 1);
                    assert!(fewer == members || !outlook.fits(fewer + 1), "fewer than needed: {outlook:?}");
                    if done >= last_change && ended.one_fitted.is_none() {
                        ended.one_fitted = Some(outlook.fits(1));
                    }
                    members = fewer;
                    ended.drained = self.outlook(ended.at, done, &under_way, members).is_over();
                    if !ended.drained {
                        under_way.push_back((self.costs[done + under_way.len()], members));
                        ended.members.push(members);
                    }
                }
                let Some((cost, members)) = under_way.pop_front() else { return ended };
                let networks = self.rates[..members].iter().sum::<f64>() / self.devices;
                ended.at += cost as f64 * (networks + self.other) * self.slowness(done);
                done += 1;
            }
        }
    }

    fn worlds() -> impl Strategy<Value = World> {
        let rate = 0.01..2.0f64;
        (
            prop::collection::vec(1u64..1000, 1..40),
            prop::collection::vec(rate, 1..6),
            0.0..1.0f64,
            1u32..5,
            prop::collection::vec((0usize..40, 0.5..4.0f64), 0..4),
            1usize..6,
            0.05..3.0f64,
            0.0..50.0f64,
        )
            .prop_map(|(costs, rates, other, devices, slowdowns, early, share, reserve)| {
                let devices = f64::from(devices);
                let all = costs.iter().sum::<u64>() as f64 * (rates.iter().sum::<f64>() / devices + other);
                World { costs, rates, other, devices, slowdowns, early, deadline: all * share + reserve, reserve }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn the_deadline_is_met_whenever_one_member_fits_and_no_member_goes_in_vain(world in worlds()) {
            let ended = world.run();
            let in_time = ended.at <= world.deadline - world.reserve + 1e-6 * world.deadline;
            if ended.one_fitted == Some(true) {
                prop_assert!(in_time && !ended.drained, "{ended:?}");
                prop_assert_eq!(ended.members.len(), world.costs.len());
            }
            prop_assert!(ended.members.is_sorted_by(|a, b| a >= b));
        }

        #[test]
        fn without_slowdowns_what_begins_ends_in_time_and_all_members_stay_where_they_fit(world in worlds()) {
            let world = World { slowdowns: Vec::new(), ..world };
            let ended = world.run();
            prop_assert!(ended.at <= world.deadline - world.reserve + 1e-6 * world.deadline, "{ended:?}");
            let all = world.outlook(0.0, 0, &VecDeque::new(), world.rates.len());
            if all.end(world.rates.len()) <= world.deadline * (1.0 - 1e-6) {
                prop_assert!(ended.members.iter().all(|m| *m == world.rates.len()), "{ended:?}");
            }
        }
    }

    #[test]
    fn as_few_members_go_as_needed() {
        let outlook = |deadline| Outlook {
            elapsed: 10.0,
            deadline,
            reserve: 2.0,
            devices: 2.0,
            rates: vec![1.0, 2.0, 3.0],
            other: 0.5,
            under_way: vec![4, 4, 0],
            ahead: vec![10, 10, 10],
            next: 5,
        };
        // Past and reserve 12, under way 6 + 2; ahead 5 and, by the members, 5, 15 or 30.
        let members = [45.0, 54.9, 40.0, 39.9, 30.0, 29.9, 12.0].map(|d| outlook(d).passes());
        assert_eq!(members, [2, 2, 2, 1, 1, 1, 1]);
        assert_eq!(outlook(55.0).passes(), 3);
        assert_eq!([30.0, 29.9].map(|d| outlook(d).fits(1)), [true, false]);
        assert_eq!([37.5, 37.4].map(|d| outlook(d).is_over()), [false, true]);
        assert_eq!(Outlook { ahead: vec![0; 3], ..outlook(0.0) }.passes(), 0);
    }
}
