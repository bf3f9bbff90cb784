//! Finding data and holes.

use serde::{Deserialize, Serialize};
use types::FileId;

/// What to find (lseek(2)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SeekWhat {
    /// The first byte of data at or after the offset.
    Data,
    /// The first byte of a hole at or after the offset; the end of the file is one.
    Hole,
}

/// Beyond the end of the file, and when no data follow: [`types::FsError::NothingThere`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seek {
    /// The file.
    pub file: FileId,
    /// Where to begin.
    pub offset: u64,
    /// What to find.
    pub what: SeekWhat,
}

/// Where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SeekReply {
    /// The byte.
    pub offset: u64,
}
