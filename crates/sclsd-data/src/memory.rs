//! How much memory there is to work in.

/// Bytes of memory that are free, within the limit of the control group where there is one; `None` where the system
/// does not say.
#[must_use]
pub fn available() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10;
    let whole = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = whole("/sys/fs/cgroup/memory.max").zip(whole("/sys/fs/cgroup/memory.current"));
    Some(limit.map_or(free, |(most, used)| free.min(most.saturating_sub(used))))
}
