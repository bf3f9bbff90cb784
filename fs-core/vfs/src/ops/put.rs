//! Giving a name to a whole file at once.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{Attr, FileId, Mode, Name, Retention};

/// What to put.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PutSource {
    /// A file made by [`crate::Stage`], with all that was written to it.
    Staged(FileId),
    /// A new file of at most [`types::limits::IO_BYTES_MAX`] bytes.
    Content {
        /// All of it.
        data: Bytes,
        /// Permission bits, after the umask.
        mode: Mode,
    },
}

/// On what condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PutIf {
    /// Always.
    Any,
    /// The name is free, else [`types::FsError::Exists`].
    Absent,
    /// The name is this file's, with this content, else [`types::FsError::Busy`].
    Is {
        /// The file.
        file: FileId,
        /// Its [`Attr::content`].
        content: u64,
    },
}

/// Puts a whole file at a name, in one step and durable: whoever looks sees what was there before or the new file with
/// all its system attributes. A file that is there is replaced as by a rename; a directory is not. Needs the right to
/// write and search `dir`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Put {
    /// The directory.
    pub dir: FileId,
    /// The name in it.
    pub name: Name,
    /// The file.
    pub source: PutSource,
    /// System attributes that it gets.
    pub values: Vec<(Name, Bytes)>,
    /// The condition.
    pub only: PutIf,
    /// Where the file that was there goes: a directory in which nobody's rights are asked, and a free name in it. `None`:
    /// it is removed, unless it is retained ([`types::FsError::NotPermitted`]).
    pub keep: Option<(FileId, Name)>,
    /// What keeps the new file as it is from now on.
    pub retention: Retention,
}

/// What was put.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PutReply {
    /// The file.
    pub attr: Attr,
}
