//! When only another life of the daemon goes on: some shard has stopped, as the map of a drive has met an error of its disk, which
//! has got over it. Clients take a restart for a pause.

use crate::bays::OpenDrive;
use crate::drives::Drives;
use crate::shards::standing;
use drive::headroom::Headroom;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked, and how often in a row it has to be so.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 3;
/// How long a life lasts at least, however soon its maps fail.
const LIFE: Duration = Duration::from_secs(10);
/// What must be left of a file system before a map is opened again that found it full: a few tables.
const LEFT: u64 = 16 << 20;

/// Becomes another life of the daemon, under the same number. Nothing is drained: threads may hang in what has failed, and
/// whatever was acknowledged is in the log. Comes back only with why it cannot.
pub(crate) fn begin() -> io::Error {
    let mut arguments = std::env::args_os();
    let mut next = Command::new(std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()));
    if let Some(name) = arguments.next() {
        next.arg0(name);
    }
    next.args(arguments).exec()
}

/// Ends when another life is needed, and can begin.
pub(crate) async fn needed(drives: Arc<Drives>) {
    tokio::time::sleep(LIFE).await;
    let mut seen = 0;
    while seen < LOOKS {
        tokio::time::sleep(LOOK).await;
        let stopped = standing(drives.shards()).is_none();
        seen = if stopped && one_has_got_over_it(&drives).await { seen + 1 } else { 0 };
    }
}

/// Whether a map has failed, and its drive serves and has space.
async fn one_has_got_over_it(drives: &Drives) -> bool {
    let now = drives.now();
    let failed = |(open, _): &(Arc<OpenDrive>, Headroom)| open.map.has_failed();
    let failed: Vec<(Arc<OpenDrive>, Headroom)> = now.seated_maps().filter(failed).collect();
    if failed.is_empty() {
        return false;
    }
    // A file system may take minutes to answer.
    let has_space =
        move || failed.iter().any(|(_, headroom)| headroom.left().is_ok_and(|left| left.bytes >= LEFT));
    tokio::task::spawn_blocking(has_space).await.unwrap_or(false)
}
