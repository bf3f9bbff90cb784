//! Who calls: supplementary groups, the system call they are in, the signals that wait for them.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::Cred;
use types::limits::GROUPS_MAX;

/// How long groups are believed; setgroups(2) is seen after this time at the latest.
const GROUPS_LIFE: Duration = Duration::from_secs(1);
/// Callers remembered at once.
const CALLERS_MAX: usize = 1024;

/// Process, user, group: a process that changes its user is another caller.
type Key = (u32, u32, u32);
type Known = HashMap<Key, (Instant, Arc<[u32]>)>;

/// A bounded memory of callers' supplementary groups, which the kernel does not send.
#[derive(Default)]
pub(crate) struct Callers {
    known: Mutex<Known>,
}

impl Callers {
    pub(crate) fn cred(&self, uid: u32, gid: u32, pid: u32) -> Cred {
        // The superuser passes without groups; the kernel itself has no process.
        if uid == 0 || pid == 0 {
            return Cred { uid, gid, groups: Arc::from([]) };
        }
        let now = Instant::now();
        let key = (pid, uid, gid);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, groups)) = known.get(&key)
            && now.duration_since(*since) < GROUPS_LIFE
        {
            return Cred { uid, gid, groups: groups.clone() };
        }
        drop(known);
        let groups: Arc<[u32]> = status_of(pid).map(|status| groups_in(&status)).unwrap_or_default().into();
        known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CALLERS_MAX {
            known.retain(|_, (since, _)| now.duration_since(*since) < GROUPS_LIFE);
        }
        if known.len() >= CALLERS_MAX {
            known.clear();
        }
        known.insert(key, (now, groups.clone()));
        Cred { uid, gid, groups }
    }
}

fn status_of(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn groups_in(status: &str) -> Vec<u32> {
    let groups = field(status, "Groups").unwrap_or_default();
    groups.split_whitespace().filter_map(|group| group.parse().ok()).take(GROUPS_MAX).collect()
}

/// Whether a signal waits that the caller neither blocks nor ignores; `None` when nobody can say.
pub(crate) fn has_signal(pid: u32) -> Option<bool> {
    if pid == 0 {
        return None;
    }
    signal_in(&status_of(pid)?)
}

fn signal_in(status: &str) -> Option<bool> {
    Some(pending_in(status)? & !mask_in(status, "SigBlk")? & !mask_in(status, "SigIgn")? != 0)
}

/// Whether the caller has been killed and only waits for our answer to die.
pub(crate) fn is_killed(pid: u32) -> bool {
    const SIGKILL: u64 = 1 << 8;
    status_of(pid).and_then(|status| pending_in(&status)).is_some_and(|pending| pending & SIGKILL != 0)
}

fn mask_in(status: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(field(status, name)?, 16).ok()
}

fn pending_in(status: &str) -> Option<u64> {
    Some(mask_in(status, "SigPnd")? | mask_in(status, "ShdPnd")?)
}

/// Whether the caller is in flock(2), as far as procfs tells.
pub(crate) fn is_in_flock(pid: u32) -> bool {
    // flock's number: 73 on x86-64, 143 for 32-bit programs there, 32 where numbers are generic.
    let flock: &[&str] = if cfg!(target_arch = "x86_64") { &["73", "143"] } else { &["32"] };
    pid != 0
        && fs::read_to_string(format!("/proc/{pid}/syscall"))
            .is_ok_and(|text| text.split_whitespace().next().is_some_and(|number| flock.contains(&number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nGroups:\t4 24 1000 \nSigPnd:\t0000000000000000\n\
        ShdPnd:\t0000000000000002\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\n";

    #[test]
    fn status_is_read() {
        assert_eq!(groups_in(STATUS), [4, 24, 1000]);
        assert_eq!(signal_in(STATUS), Some(true));
        assert_eq!(signal_in(&STATUS.replace("SigBlk:\t0000000000000000", "SigBlk:\t2")), Some(false));
        assert_eq!(signal_in("Name:\tx\n"), None);
    }

    #[test]
    fn the_table_of_callers_is_bounded() {
        let callers = Callers::default();
        for pid in 1_000_000..1_003_000 {
            assert_eq!(callers.cred(5, 6, pid).groups.len(), 0);
        }
        assert!(callers.known.lock().unwrap().len() <= CALLERS_MAX);
    }
}
