//! Reserving, freeing and zeroing.

use crate::OpenId;
use serde::{Deserialize, Serialize};
use types::{ByteRange, FileId};

/// What to do with the range (fallocate(2)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AllocateHow {
    /// Reserve space, and extend the file over the range.
    Reserve,
    /// Reserve space and leave the size.
    ReserveKeepSize,
    /// Free it: it reads as zeros, the size stays.
    Punch,
    /// It reads as zeros, and the file extends over it.
    Zero,
    /// It reads as zeros, the size stays.
    ZeroKeepSize,
}

/// Needs `open` to allow writing, or without one the right to write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Allocate {
    /// The file.
    pub file: FileId,
    /// The open it goes through.
    pub open: Option<OpenId>,
    /// Which bytes; not empty.
    pub range: ByteRange,
    /// What to do with them.
    pub how: AllocateHow,
}
