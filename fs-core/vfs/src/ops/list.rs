//! Listing a directory in the order of names.

use crate::SystemValue;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{Attr, FileId, Name};

/// Needs the right to read `dir`. Entries are in byte order, directories as if their names ended in `/`: so whoever
/// goes down into each as it comes has all paths in their byte order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct List {
    /// The directory.
    pub dir: FileId,
    /// Where to begin: the first name that is not less, with the `/` of a directory. Empty: with the first.
    pub from: Bytes,
    /// Leave out what is exactly at `from`.
    pub past: bool,
    /// Most entries to give, at most [`types::limits::READDIR_ENTRIES_MAX`].
    pub limit: u32,
    /// The system attribute to give with each.
    pub value: Option<Name>,
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListEntry {
    /// Its name.
    pub name: Name,
    /// The inode behind it.
    pub attr: Attr,
    /// The system attribute asked for, where it has it.
    pub value: Option<SystemValue>,
}

/// A run of entries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListReply {
    /// The entries.
    pub entries: Vec<ListEntry>,
    /// Whether the listing ends here.
    pub end: bool,
}
