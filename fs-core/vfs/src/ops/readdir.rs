//! Listing a directory.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::{Attr, Cookie, FileId, FileKind, Name};

/// Needs the right to read `dir`. An entry that exists during the whole listing is given exactly
/// once, however many others come and go; "." and ".." are never given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadDir {
    /// The directory.
    pub dir: FileId,
    /// The cookie of the last entry seen, or [`Cookie::START`].
    pub after: Cookie,
    /// Most entries to give, at most [`types::limits::READDIR_ENTRIES_MAX`].
    pub limit: u32,
    /// Whether to give attributes too.
    pub attrs: bool,
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DirEntry {
    /// Its place.
    pub cookie: Cookie,
    /// Its name.
    pub name: Name,
    /// The inode behind it.
    pub file: FileId,
    /// What that is.
    pub kind: FileKind,
    /// Its attributes, when asked for.
    pub attr: Option<Attr>,
    /// For how long from the request on neither these nor where the name leads change without this being told before
    /// ([`crate::Vfs::listen`]).
    pub trust: Duration,
}

/// A run of entries in cookie order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadDirReply {
    /// The entries.
    pub entries: Vec<DirEntry>,
    /// Whether the listing ends here.
    pub end: bool,
}
