//! Ends a mount whose process was killed and cannot end: one of its threads has a name forgotten and waits in the kernel for the
//! lock of a folder (`FUSE_NOTIFY_INVAL_ENTRY`), whose holder waits for an answer that nobody gives any more. The kernel
//! does not notice, as the process keeps its connection until its last thread has ended. Only another process can.

use rustix::mount::{UnmountFlags, unmount};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// A process that ends in order is seen without its first thread for a moment, too.
const LOOKS: u32 = 3;

/// A mount and who serves it; to be watched by another process.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The number of the serving process.
    pub process: u32,
    /// The number of its connection to the kernel (fuse(4), `/sys/fs/fuse/connections`).
    pub connection: u32,
    /// Where it is mounted.
    pub path: PathBuf,
}

/// A process, as proc(5) tells of it in `stat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    /// Its first thread has ended.
    headless: bool,
    threads: u64,
    /// When it was started; another process of the same number was so at another time.
    started: u64,
}

fn parse(stat: &str) -> Option<State> {
    // The name before may have anything in it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse().ok();
    Some(State { headless: *fields.first()? == "Z", threads: number(17)?, started: number(19)? })
}

impl Watched {
    fn state(&self) -> Option<State> {
        parse(&fs::read_to_string(format!("/proc/{}/stat", self.process)).ok()?)
    }

    /// Returns when the process has ended, which this sees to when only the kernel keeps it. Blocks.
    pub fn until_ended(&self) {
        let Some(first) = self.state() else { return };
        let mut seen = 0;
        while let Some(state) = self.state().filter(|state| state.started == first.started) {
            // Dead, and nobody has asked how it died.
            if state.headless && state.threads <= 1 {
                return;
            }
            seen = if state.headless { seen + 1 } else { 0 };
            if seen >= LOOKS {
                self.end();
            }
            thread::sleep(LOOK);
        }
    }

    fn end(&self) {
        let abort = format!("/sys/fs/fuse/connections/{}/abort", self.connection);
        if fs::write(abort, "1").is_err() {
            // By force, which ends the connection first; so it may be in use. Nobody hears of an error, and it is tried again.
            let _ = unmount(&self.path, UnmountFlags::FORCE | UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let stat = "42 (a) Z 1 (b)) Z 1 42 42 0 -1 4 0 0 0 0 0 0 0 0 20 0 3 0 987 0 0 1";
        assert_eq!(parse(stat), Some(State { headless: true, threads: 3, started: 987 }));
        assert_eq!(parse("42 (a) S 1"), None);
        let this = Watched { process: std::process::id(), connection: 0, path: PathBuf::new() }.state();
        assert!(this.is_some_and(|this| !this.headless && this.threads > 0 && this.started > 0));
    }
}
