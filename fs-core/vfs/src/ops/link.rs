//! Another name for an inode.

use crate::DirChange;
use serde::{Deserialize, Serialize};
use types::{Attr, FileId, Name};

/// Needs the right to write and search `dir`; directories cannot be linked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// The inode.
    pub file: FileId,
    /// The directory of the new name.
    pub dir: FileId,
    /// The new name.
    pub name: Name,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkReply {
    /// The inode.
    pub attr: Attr,
    /// The directory's change.
    pub dir: DirChange,
}
