//! What heads keep with files beyond what their clients see.
//!
//! System attributes are apart from extended attributes: no client's request names or lists them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{Attr, FileId, FsId, Guard, Name, Retention};

/// A directory of the filesystem for what heads keep, made when it is not there. No name leads to it, and its content
/// belongs to the superuser.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct System {
    /// The filesystem.
    pub fs: FsId,
}

/// Where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SystemReply {
    /// The directory.
    pub dir: FileId,
}

/// All system attributes of an inode. Needs no right.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetSystem {
    /// The inode.
    pub file: FileId,
}

/// A system attribute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SystemValue {
    /// Its bytes.
    pub value: Bytes,
    /// Whether the content of the file is still what it was when this was set.
    pub fresh: bool,
}

/// What the inode has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetSystemReply {
    /// The attributes of the same moment.
    pub attr: Attr,
    /// In the order of names.
    pub values: Vec<(Name, SystemValue)>,
    /// What keeps a file as it is.
    pub retention: Retention,
    /// What guards a directory.
    pub guard: Guard,
}

/// Sets or removes (no value) a system attribute. Needs the right to write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetSystem {
    /// The inode.
    pub file: FileId,
    /// The attribute.
    pub name: Name,
    /// At most [`types::limits::XATTR_VALUE_BYTES_MAX`] bytes.
    pub value: Option<Bytes>,
    /// Only while the content of the file is this ([`Attr::content`]), else [`types::FsError::Busy`].
    pub if_content: Option<u64>,
    /// Only while the value is this (`Some(None)`: there is none), else [`types::FsError::Busy`].
    pub if_value: Option<Option<Bytes>>,
}
