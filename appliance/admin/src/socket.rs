//! The Unix socket in the data folder, however long the folder's path is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Longest path that fits into `sockaddr_un` with its NUL.
const SUN_PATH_MAX: usize = 107;
const NAME: &str = "admin.sock";

/// Where the socket of a data folder is.
#[must_use]
pub fn socket_path(data: &Path) -> PathBuf {
    data.join(NAME)
}

/// A path that fits into an address, and what must stay open while it is used.
pub(crate) fn short_path(data: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = socket_path(data);
    if path.as_os_str().len() <= SUN_PATH_MAX {
        return Ok((path, None));
    }
    let folder = File::open(data)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()));
    Ok((path, Some(folder)))
}
