//! Processor time, which tells what something costs however busy the machine is.

use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// That of this thread so far.
pub fn cpu_of_thread() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// That of this process so far.
pub fn cpu_of_process() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// That of the children which have ended, in ticks of 10 ms as a rule; nothing where the system does not tell.
pub fn cpu_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    Duration::from_secs_f64(child_ticks(&stat) as f64 / clock_ticks_per_second().max(1) as f64)
}

fn child_ticks(stat: &str) -> u64 {
    behind_name(stat).skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Time since this process was started.
pub fn age_of_process() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = behind_name(&stat).nth(19).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    let started = Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second().max(1) as f64);
    duration(clock_gettime(ClockId::Boottime)).saturating_sub(started)
}

/// Fields of proc_pid_stat(5) from the third on. The second one, a name in brackets, may hold spaces and brackets itself.
fn behind_name(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_children_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 130 45 20 0 9 0";
        assert_eq!(child_ticks(stat), 175);
        assert_eq!(child_ticks(""), 0);
    }

    #[test]
    fn this_process_is_seconds_old_and_not_years() {
        assert!((Duration::ZERO..Duration::from_secs(86_400)).contains(&age_of_process()));
    }

    #[test]
    fn work_takes_processor_time_and_waiting_takes_none() {
        let before = (cpu_of_thread(), cpu_of_process());
        let mut sum = 0_u64;
        while cpu_of_thread() - before.0 < Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        assert!(cpu_of_process() - before.1 >= Duration::from_millis(5));
    }
}
