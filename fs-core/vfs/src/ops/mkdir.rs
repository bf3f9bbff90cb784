//! Making a directory.

use serde::{Deserialize, Serialize};
use types::{Attr, FileId, Mode, Name, SetAttr};

/// Needs the right to write and search `dir`. In a directory with setgid the group is that of the
/// directory, and a new directory has setgid too; otherwise the caller's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mkdir {
    /// The parent.
    pub dir: FileId,
    /// The new name.
    pub name: Name,
    /// Permission bits, after the umask.
    pub mode: Mode,
    /// Further attributes to give it at once.
    pub set: SetAttr,
}

/// The change attribute of a directory around an operation, both read atomically with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DirChange {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// What was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateReply {
    /// The new inode.
    pub attr: Attr,
    /// The parent's change.
    pub dir: DirChange,
}
