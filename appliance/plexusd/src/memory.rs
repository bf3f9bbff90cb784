//! How much memory there is for this process.

use std::fs;
use std::path::Path;

/// Where nobody says how much there is.
const UNKNOWN: u64 = 2 << 30;

/// Bytes that the machine has, or the control groups that this process is in let it have, where that is less.
pub(crate) fn bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| limit(&text, Path::new("/sys/fs/cgroup")));
    machine.into_iter().chain(group).min().unwrap_or(UNKNOWN)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least that a group of version 2, or one above it, may have.
fn limit(cgroup: &str, root: &Path) -> Option<u64> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = root.join(group);
    let limits = own
        .ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok());
    limits.min()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has_and_groups_what_they_let_have() {
        assert_eq!(total("MemTotal:       24578984 kB\nMemFree: 1 kB\n"), Some(24_578_984 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        assert_eq!(limit("0::/a/b\n", root.path()), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("a/memory.max"), "1073741824\n").unwrap();
        assert_eq!(limit("1:name=x:/y\n0::/a/b\n", root.path()), Some(1 << 30));
        fs::write(inner.join("memory.max"), "4096\n").unwrap();
        assert_eq!(limit("0::/a/b\n", root.path()), Some(4096));
        assert!(bytes() > 1 << 20);
    }
}
