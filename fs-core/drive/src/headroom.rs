//! Room for log and map: a file beside them that holds space of their file system until they need it.
//!
//! Neither a log nor a map survives to be told in the middle of a write that the file system is full. So it is found
//! out before: new names are refused while the file has not all of its space, and what removes has the file's. Who
//! looks now and then cannot see a file system that runs full in between, so log and map take what they are short of
//! themselves.

use env::space;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the file in a drive's directory.
pub const FILE: &str = "headroom";

/// What it holds: this part of the drive, within these bounds. Log and map together take several times 64 MiB before
/// either lets go of old files.
const PART: u64 = 32;
const BYTES_MIN: u64 = 32 << 20;
const BYTES_MAX: u64 = 256 << 20;
/// The least that is let go of at once.
const STEP: u64 = 64 << 10;

/// The headroom of one drive.
#[derive(Clone, Debug)]
pub struct Headroom {
    path: PathBuf,
    /// Bytes that it holds when nobody needs them.
    pub whole: u64,
}

impl Headroom {
    /// That of the drive of `size` bytes in `directory`.
    #[must_use]
    pub fn of(directory: &Path, size: u64) -> Headroom {
        Headroom { path: directory.join(FILE), whole: (size / PART).clamp(BYTES_MIN, BYTES_MAX) }
    }

    /// The file system it is on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn left(&self) -> io::Result<space::Left> {
        space::left(self.path.parent().unwrap_or(&self.path))
    }

    /// Bytes that it holds now.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn held(&self) -> io::Result<u64> {
        space::held(&self.path)
    }

    /// Holds so many bytes from now on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn hold(&self, bytes: u64) -> io::Result<()> {
        space::hold(&self.path, bytes)
    }

    /// Runs `work`, which writes about so many bytes; as often as the file system is full for it, lets go of as much
    /// and runs it again, until nothing is held any more.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn giving_way<T>(&self, bytes: u64, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match work() {
                Err(error) if error.kind() == io::ErrorKind::StorageFull && self.let_go(bytes)? => {}
                outcome => return outcome,
            }
        }
    }

    /// Lets go of as much as there is less than `bytes` left beside it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn leave(&self, bytes: u64) -> io::Result<()> {
        let left = self.left()?.bytes;
        if left < bytes {
            self.let_go(bytes - left)?;
        }
        Ok(())
    }

    /// Whether there was something to let go of.
    fn let_go(&self, bytes: u64) -> io::Result<bool> {
        let held = self.held()?;
        self.hold(held.saturating_sub(bytes.max(STEP)))?;
        Ok(held > 0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use io::ErrorKind;

    #[test]
    fn who_finds_no_space_has_it_from_the_headroom_until_that_is_used_up() {
        let dir = tempfile::tempdir().unwrap();
        let headroom = Headroom::of(dir.path(), 0);
        headroom.hold(10 * STEP).unwrap();
        let mut runs = 0;
        let third = headroom.giving_way(2 * STEP, || {
            runs += 1;
            if runs == 3 { Ok(runs) } else { Err(ErrorKind::StorageFull.into()) }
        });
        assert_eq!((third.unwrap(), headroom.held().unwrap()), (3, 6 * STEP));
        let never: io::Result<()> = headroom.giving_way(1, || Err(ErrorKind::StorageFull.into()));
        assert_eq!((never.unwrap_err().kind(), headroom.held().unwrap()), (ErrorKind::StorageFull, 0));

        headroom.hold(10 * STEP).unwrap();
        let other: io::Result<()> = headroom.giving_way(1, || Err(ErrorKind::PermissionDenied.into()));
        assert_eq!(
            (other.unwrap_err().kind(), headroom.held().unwrap()),
            (ErrorKind::PermissionDenied, 10 * STEP)
        );
        headroom.leave(STEP).unwrap();
        assert_eq!(headroom.held().unwrap(), 10 * STEP, "there was enough");
        headroom.leave(u64::MAX).unwrap();
        assert_eq!(headroom.held().unwrap(), 0);
    }
}
