//! What the kernel has been told to trust, and how it is told to do so no more.
//!
//! Only attributes are trusted. The kernel is told without waiting for anything of its own, so that two mounts that
//! change the same do not wait for each other. An answer that is on its way when the kernel hears of a change does not
//! count where the kernel has the inode already: its own counter of versions sees to that. Where it has not, it is told
//! again until it has, or until the trust has ended.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::FileId;

/// Inodes at once, at most; others are not trusted.
const TRUSTED_MAX: usize = 1 << 16;
/// How long to wait before the kernel is told again of an inode that it does not have yet.
const AGAIN: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(crate) struct Trusted(Mutex<HashMap<FileId, Instant>>);

impl Trusted {
    /// How long the kernel may trust the attributes of `file`, which this remembers.
    pub(crate) fn for_how_long(&self, file: FileId, trust: Duration) -> Duration {
        if trust.is_zero() {
            return trust;
        }
        let now = Instant::now();
        let mut trusted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted.len() >= TRUSTED_MAX && !trusted.contains_key(&file) {
            trusted.retain(|_, until| *until > now);
        }
        if trusted.len() >= TRUSTED_MAX && !trusted.contains_key(&file) {
            return Duration::ZERO;
        }
        trusted.insert(file, now + trust);
        trust
    }

    /// The file is about to change: returns when the kernel trusts nothing of before any more. `tell` tells it.
    pub(crate) async fn end(&self, file: FileId, tell: impl Fn(FileId) -> io::Result<()>) {
        loop {
            let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&file).copied();
            match tell(file) {
                Ok(()) => break,
                // Not there yet, or not any more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%file, %error, "the kernel trusts for a while what is changed"),
            }
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep(AGAIN).await,
                _ => break,
            }
        }
        // What was said meanwhile is of after the change, and stays.
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use types::{FsId, InodeId};

    const FILE: FileId = FileId { fs: FsId(1), ino: InodeId(7) };

    #[tokio::test]
    async fn the_kernel_is_told_until_it_has_heard_or_trusts_no_more() {
        let trusted = Trusted::default();
        let times = AtomicU32::new(0);
        let absent = |_| {
            times.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::NotFound.into())
        };
        trusted.end(FILE, absent).await;
        assert_eq!(times.swap(0, Ordering::Relaxed), 1, "nothing was said of it");
        assert_eq!(trusted.for_how_long(FILE, Duration::from_millis(30)), Duration::from_millis(30));
        let third = |_| {
            if times.fetch_add(1, Ordering::Relaxed) == 1 {
                Ok(())
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        };
        trusted.end(FILE, third).await;
        assert_eq!(times.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_is_trusted_is_bounded() {
        let trusted = Trusted::default();
        let file = |number| FileId { ino: InodeId(number), ..FILE };
        for number in 0..TRUSTED_MAX as u64 {
            assert!(!trusted.for_how_long(file(number), Duration::from_secs(100)).is_zero());
        }
        assert!(trusted.for_how_long(file(1 << 40), Duration::from_secs(1)).is_zero());
        assert!(!trusted.for_how_long(file(3), Duration::from_secs(1)).is_zero());
    }
}
