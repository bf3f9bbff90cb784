//! Extended attributes.

use crate::DirChange;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{FileId, Name};

/// Needs the right to read for `user.` names, no right for `security.` and `system.`, and the
/// superuser for `trusted.`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetXattr {
    /// The inode.
    pub file: FileId,
    /// The whole name with its prefix.
    pub name: Name,
}

/// The value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetXattrReply {
    /// At most 64 KiB.
    pub value: Bytes,
}

/// Whether the name may or must exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SetXattrHow {
    /// Either.
    Either,
    /// Fail with [`types::FsError::Exists`] when it is there.
    Create,
    /// Fail with [`types::FsError::NoAttribute`] when it is not.
    Replace,
}

/// Needs the right to write for `user.` names (files and directories only), the superuser
/// for others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetXattr {
    /// The inode.
    pub file: FileId,
    /// The whole name with its prefix.
    pub name: Name,
    /// At most 64 KiB.
    pub value: Bytes,
    /// Whether the name may or must exist.
    pub how: SetXattrHow,
}

/// What became of the inode.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetXattrReply {
    /// Its change.
    pub change: DirChange,
}

/// Needs no right; `trusted.` names only show to the superuser.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListXattr {
    /// The inode.
    pub file: FileId,
}

/// The names in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListXattrReply {
    /// Whole names with their prefixes.
    pub names: Vec<Name>,
}

/// As [`SetXattr`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemoveXattr {
    /// The inode.
    pub file: FileId,
    /// The whole name with its prefix.
    pub name: Name,
}
