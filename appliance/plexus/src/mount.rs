//! Mounting a filesystem here through FUSE.

use crate::run::Failure;
use std::path::Path;

/// Mounts `filesystem` of the daemon of `data` at `folder`, and returns when it is unmounted, or at
/// once when it is mounted and `background` is set.
pub(crate) async fn mount(
    _data: &Path,
    _filesystem: &str,
    _folder: &Path,
    _background: bool,
) -> Result<(), Failure> {
    Err(Failure::NotYet("mount"))
}
