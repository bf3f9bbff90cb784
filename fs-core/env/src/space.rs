//! Space of file systems: what is left, and files that do nothing but hold some.

use rustix::fs::FallocateFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is left of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Which file system, as stat(2) numbers devices.
    pub device: u64,
    /// Bytes that an ordinary user may still write.
    pub bytes: u64,
}

/// What is left of the file system that `path` is on.
///
/// # Errors
/// What the file system says.
pub fn left(path: &Path) -> io::Result<Left> {
    let found = rustix::fs::statvfs(path)?;
    let device = std::fs::metadata(path)?.dev();
    Ok(Left { device, bytes: found.f_bavail.saturating_mul(found.f_frsize) })
}

/// Bytes that the file `path` holds; 0 when there is none.
///
/// # Errors
/// What the file system says.
pub fn held(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Makes the file `path` hold exactly `bytes`; what is in it does not matter. Where it has to grow and cannot, it
/// stays as it was.
///
/// # Errors
/// What the file system says.
pub fn hold(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let before = file.metadata()?.len();
    if bytes <= before {
        return file.set_len(bytes);
    }
    grow(&file, before, bytes).inspect_err(|_| {
        if let Err(error) = file.set_len(before) {
            tracing::warn!(path = %path.display(), %error, "a file that holds space is not as it was");
        }
    })
}

fn grow(file: &File, before: u64, bytes: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), before, bytes - before)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_what_it_is_told_to_and_lets_go_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("held");
        assert_eq!(held(&path).unwrap(), 0);
        for bytes in [3 << 20, 8 << 20, 1 << 20, 0] {
            hold(&path, bytes).unwrap();
            assert_eq!(held(&path).unwrap(), bytes);
            assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= bytes, "it is no more than a number");
        }
        let before = left(dir.path()).unwrap();
        assert!(before.bytes > 0);
        hold(&path, 1 << 20).unwrap();
        assert!(hold(&path, 1 << 60).is_err());
        assert_eq!(held(&path).unwrap(), 1 << 20);
    }
}
