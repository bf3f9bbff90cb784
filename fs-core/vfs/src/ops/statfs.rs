//! Capacity and counts of a filesystem.

use serde::{Deserialize, Serialize};
use types::FsId;

/// Which filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatFs {
    /// The filesystem.
    pub fs: FsId,
}

/// What it has; bytes are net of protection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatFsReply {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that nobody uses.
    pub free: u64,
    /// Bytes that callers may still use.
    pub available: u64,
    /// Inodes that exist.
    pub files: u64,
    /// Inodes that may still be made.
    pub files_free: u64,
}
