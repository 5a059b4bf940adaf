//! What this machine has, as far as a schedule needs it.

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Of the machine, or of the control group where that allows less.
    pub(crate) total: u64,
    /// Not in use.
    pub(crate) available: u64,
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the processor calls itself; empty where the system does not tell.
pub(crate) fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map(|(_, name)| name.trim().to_owned()).unwrap_or_default()
}

/// Instruction sets that the processor has beyond the least, as Linux calls them; empty where the system does not tell.
pub(crate) fn processor_flags() -> Vec<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.map(|(_, flags)| flags.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

/// The driver of NVIDIA's GPUs with its version, where there is one.
pub(crate) fn nvidia_driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let is_version = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    Some(format!("nvidia {}", text.lines().next()?.split_whitespace().find(is_version)?))
}

/// Name of the machine; empty where the system does not tell.
pub(crate) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The memory; `None` where the system does not tell.
pub(crate) fn memory() -> Option<Memory> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = Memory { total: kib(&info, "MemTotal:")?, available: kib(&info, "MemAvailable:")? };
    let Some((limit, used)) = control_group() else { return Some(machine) };
    Some(Memory { total: machine.total.min(limit), available: machine.available.min(limit.saturating_sub(used)) })
}

/// The file of a library that this process has loaded, by its name.
pub(crate) fn library(name: &str) -> Option<std::path::PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut files = maps.lines().filter_map(|line| line.find('/').map(|at| std::path::Path::new(&line[at..])));
    files.find(|file| file.file_name().is_some_and(|n| n == name)).map(Into::into)
}

/// Limit and use of the control group (version 2, then 1), where there is a limit.
fn control_group() -> Option<(u64, u64)> {
    let read = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let pairs = [
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ];
    pairs.iter().find_map(|(limit, used)| Some((read(limit)?, read(used)?)))
}

/// Whether the NVIDIA driver is there.
pub(crate) fn has_nvidia_driver() -> bool {
    std::path::Path::new("/proc/driver/nvidia/version").exists()
}

/// The most that this process ever had resident, in bytes; 0 where the system does not tell.
pub(crate) fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib(&status, "VmHWM:").unwrap_or(0)
}

/// Lets [`peak_rss`] tell of what comes from here on, where the system can do that.
pub(crate) fn forget_peak_rss() {
    // 5 stands for the high-water mark (proc_pid_clear_refs(5)).
    let file = std::fs::OpenOptions::new().write(true).open("/proc/self/clear_refs");
    file.and_then(|mut file| std::io::Write::write_all(&mut file, b"5")).unwrap_or_default();
}

/// A figure in KiB of a `name: figure kB` text, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Seconds since 1970, by this host's clock.
pub(crate) fn seconds_since_1970() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_in_kib() {
        assert_eq!(kib("A: 1 kB\nVmHWM:\t  2048 kB\n", "VmHWM:"), Some(2 << 20));
        assert_eq!(kib("A: 1 kB", "B:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_some_memory() {
        assert!(peak_rss() > 1 << 20);
        assert!(memory().unwrap().total >= memory().unwrap().available);
    }
}
