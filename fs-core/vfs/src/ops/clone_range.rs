//! Sharing data between files.

use crate::OpenId;
use serde::{Deserialize, Serialize};
use types::FileId;

/// Replaces bytes of `to` by those of `from`, atomically. The offsets are multiples of 4,096, and so
/// is the length unless it reaches the end of `from`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CloneRange {
    /// The source; needs the right to read.
    pub from: FileId,
    /// The open of the source.
    pub from_open: Option<OpenId>,
    /// First byte of the source.
    pub from_offset: u64,
    /// The destination; needs the right to write.
    pub to: FileId,
    /// The open of the destination.
    pub to_open: Option<OpenId>,
    /// First byte of the destination.
    pub to_offset: u64,
    /// Number of bytes; 0 is all to the end of the source.
    pub length: u64,
}

impl CloneRange {
    /// All of one file into the beginning of another, without opens.
    #[must_use]
    pub fn whole(from: FileId, to: FileId) -> CloneRange {
        CloneRange { from, from_open: None, from_offset: 0, to, to_open: None, to_offset: 0, length: 0 }
    }
}
