//! Opening a file.

use crate::DirChange;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::{Attr, FileId, Mode, Name, SetAttr};

/// An open: the file, what may be done, on whose behalf. Unique among those of a frontend's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OpenId(pub u64);

/// What an open may do, or denies to others (NFSv4 share reservations).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct OpenAccess {
    /// Read.
    pub read: bool,
    /// Write.
    pub write: bool,
}

/// What to open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OpenTarget {
    /// A known file.
    File(FileId),
    /// An entry of a directory.
    Entry {
        /// The directory.
        dir: FileId,
        /// The name in it.
        name: Name,
    },
}

/// What to do when the name is there already.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum CreateHow {
    /// Open what is there (O_CREAT); its attributes stay, but `set.size` applies.
    Unchecked,
    /// Fail with [`types::FsError::Exists`] (O_CREAT | O_EXCL).
    Guarded,
    /// Open it if it was made by this very verifier, else fail with [`types::FsError::Exists`]
    /// (RFC 8881 18.16.3).
    Exclusive([u8; 8]),
}

/// A file to make when there is none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Create {
    /// What to do when there is one.
    pub how: CreateHow,
    /// Permission bits, after the umask.
    pub mode: Mode,
    /// Further attributes to give it at once.
    pub set: SetAttr,
}

/// Needs the rights that `access` says, on an existing file; none on one that it makes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Open {
    /// What to open.
    pub target: OpenTarget,
    /// What the open may do; neither is allowed (it then only holds the inode).
    pub access: OpenAccess,
    /// What it denies to others.
    pub deny: OpenAccess,
    /// Make it when it is not there; only with [`OpenTarget::Entry`].
    pub create: Option<Create>,
    /// Cut an existing file to nothing (O_TRUNC); needs the right to write.
    pub truncate: bool,
    /// The open is a claim of what this client had before a restart; [`types::FsError::NoGrace`] when it is owed
    /// nothing (any more).
    pub reclaim: bool,
    /// Execution is enough to read (a kernel client pages in a program).
    pub for_execution: bool,
}

/// What was opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenReply {
    /// The open.
    pub open: OpenId,
    /// The file.
    pub attr: Attr,
    /// Whether it was made by this request.
    pub created: bool,
    /// The change of the directory, with [`OpenTarget::Entry`].
    pub dir: Option<DirChange>,
    /// For how long from the request on nobody changes attributes or name of a file that was made without this being told
    /// before ([`crate::Vfs::listen`]).
    pub trust: Duration,
}

/// The same open with other rights, no more than the caller has on the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reopen {
    /// The open.
    pub open: OpenId,
    /// What it may do from now on.
    pub access: OpenAccess,
    /// What it denies from now on.
    pub deny: OpenAccess,
}
