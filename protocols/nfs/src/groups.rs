//! Groups of users as this machine knows them: the wire of AUTH_SYS carries no more than 16 (RFC 5531, appendix A).

use identity::{Accounts, LocalFiles};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Whether the files have changed is looked at this often at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The groups of users, from files that are looked at now and then.
#[derive(Debug)]
pub(crate) struct Groups {
    files: Arc<LocalFiles>,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    looked: Option<Instant>,
    accounts: Arc<Accounts>,
}

impl Groups {
    pub(crate) fn new(files: Arc<LocalFiles>) -> Groups {
        Groups { files, last: Mutex::default() }
    }

    /// The groups of a user; `None` for one that is not known here.
    pub(crate) fn of(&self, uid: u32, now: Instant) -> Option<Arc<[u32]>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY) {
            last.looked = Some(now);
            match self.files.accounts() {
                Ok(accounts) => last.accounts = accounts,
                // What was known stays known.
                Err(error) => tracing::warn!(%error, "groups of users cannot be read"),
            }
        }
        last.accounts.groups_of(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_after_a_while_and_a_file_that_is_gone_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (passwd, group) = (folder.path().join("passwd"), folder.path().join("group"));
        std::fs::write(&passwd, "ann:x:1:5::/:\n").unwrap();
        std::fs::write(&group, "a:x:5:\n").unwrap();
        let groups = Groups::new(Arc::new(LocalFiles::at(&passwd, &group)));
        let start = Instant::now();
        assert_eq!(groups.of(1, start).as_deref(), Some(&[5][..]));
        assert_eq!(groups.of(2, start), None);
        std::fs::write(&group, "a:x:5:\nb:x:6:ann\n").unwrap();
        assert_eq!(groups.of(1, start + LOOK_EVERY / 2).as_deref(), Some(&[5][..]));
        assert_eq!(groups.of(1, start + LOOK_EVERY).as_deref(), Some(&[5, 6][..]));
        std::fs::remove_file(&group).unwrap();
        assert_eq!(groups.of(1, start + 2 * LOOK_EVERY).as_deref(), Some(&[5, 6][..]));
    }
}
