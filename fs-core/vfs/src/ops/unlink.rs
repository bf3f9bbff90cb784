//! Removing a name.

use crate::DirChange;
use serde::{Deserialize, Serialize};
use types::{Attr, FileId, Name};

/// Needs the right to write and search `dir`, and in a sticky directory to own it or the inode.
/// An inode that is still open lives on without a name until its last close.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unlink {
    /// The directory.
    pub dir: FileId,
    /// The name to remove.
    pub name: Name,
}

/// What became of the directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemoveReply {
    /// Its change.
    pub dir: DirChange,
    /// The directory that is gone with the name, as it was last but without names; `None` for anything else, and for a
    /// retry. Processes may still have it open.
    pub gone: Option<Attr>,
}
