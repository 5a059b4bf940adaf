//! What a process may take, set by itself before it does what it is not trusted with.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// From now on this process may add at most `allowance` bytes to its address space; returns the limit. What it asks for beyond that
/// it does not get.
///
/// # Errors
/// When the system does not tell the size so far, or refuses.
pub fn limit_memory(allowance: u64) -> io::Result<u64> {
    let limit = address_space()?.saturating_add(allowance);
    set(Resource::As, limit)?;
    Ok(limit)
}

/// From now on this process may use `time` more of a processor, then SIGXCPU kills it. Can be renewed.
///
/// # Errors
/// When the system refuses.
pub fn limit_processor(time: Duration) -> io::Result<()> {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    // Whole seconds, rounded up twice: whoever watches the clock on the wall is to be first.
    set(Resource::Cpu, used.saturating_add(time.as_secs()).saturating_add(2))
}

/// From now on no file that this process writes grows beyond `bytes`, and it leaves no core dump.
///
/// # Errors
/// When the system refuses.
pub fn limit_files(bytes: u64) -> io::Result<()> {
    set(Resource::Fsize, bytes)?;
    set(Resource::Core, 0)
}

/// Raises the number of files that this process may have open as far as it may.
///
/// # Errors
/// When the system refuses.
pub fn raise_file_limit() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Sets the limit that holds, not the one up to which it may be raised again.
fn set(resource: Resource, limit: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = maximum.map_or(limit, |maximum| limit.min(maximum));
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum })?)
}

/// Bytes of address space that this process has.
fn address_space() -> io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| io::Error::other("/proc/self/statm has no size"))?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}

/// The most that another process ever had resident that no other process shares, in bytes; `None` where the system does not tell, or
/// the process has ended.
pub fn own_peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    // Pages of files (programs and libraries) are shared with whoever runs the same.
    Some(kib("VmHWM:")?.saturating_sub(kib("RssFile:")?) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_an_address_space_and_a_peak() {
        assert!(address_space().unwrap() > 1 << 20);
        assert!(own_peak(std::process::id()).unwrap() > 1 << 16);
        assert_eq!(own_peak(u32::MAX), None);
    }
}
