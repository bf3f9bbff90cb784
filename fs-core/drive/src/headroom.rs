//! Room for log and map: a file beside them that holds space of their file system until they need it.
//!
//! Neither a log nor a map survives to be told in the middle of a write that the file system is full. So it is found
//! out before: new names are refused while the file has not all of its space, and what removes has the file's.

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
}
