//! Folders in which several mounts are at work at once, whose names are not to be trusted for a while; and files that several
//! mounts use while somebody writes them, whose attributes are not.
//!
//! A kernel forgets a name only under the lock of its folder. Two mounts that remove or rename in one folder what the
//! other has just looked up would each wait for the other's kernel, until what they trust ends: once, not at every name.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use types::FileId;

/// For how long after somebody has changed what somebody else trusted.
const CALM: Duration = Duration::from_secs(10);
/// At once, at most; others are trusted, and waited for.
const INODES_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Shared(Mutex<HashMap<FileId, Instant>>);

impl Shared {
    /// Somebody changes in `file` what somebody else trusts.
    pub(crate) fn note(&self, file: FileId) {
        let now = Instant::now();
        let mut until = self.0.lock();
        if until.len() >= INODES_MAX {
            until.retain(|_, until| *until > now);
        }
        if until.len() < INODES_MAX || until.contains_key(&file) {
            until.insert(file, now + CALM);
        }
    }

    /// Whether that was a short while ago.
    pub(crate) fn has(&self, file: FileId) -> bool {
        self.0.lock().get(&file).is_some_and(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{FsId, InodeId};

    #[tokio::test(start_paused = true)]
    async fn a_folder_calms_down() {
        let shared = Shared::default();
        let dir = |number| FileId { fs: FsId(1), ino: InodeId(number) };
        shared.note(dir(1));
        assert!(shared.has(dir(1)) && !shared.has(dir(2)));
        tokio::time::advance(CALM).await;
        assert!(!shared.has(dir(1)));
        (0..2 * INODES_MAX as u64).for_each(|number| shared.note(dir(number)));
        assert_eq!(shared.0.lock().len(), INODES_MAX);
        tokio::time::advance(CALM).await;
        shared.note(dir(7));
        assert_eq!(shared.0.lock().len(), 1);
    }
}
