//! What a hand is told, one step at a time, and what it answers: one line of JSON each.

use serde::{Deserialize, Serialize};

/// The longest line that either side takes.
pub(crate) const LINE_BYTES_MAX: u64 = 16 << 20;
/// Bytes whose hash is one number in an answer.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Before this moment (2001-09-09) are the times that steps set, after it those that clocks say.
pub(crate) const CLOCKS_FROM: i64 = 1_000_000_000;

/// A name for an open file that a hand holds.
pub(crate) type Held = u8;

/// A path from the tree's root, or from a folder that the hand has open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) from: Option<Held>,
    pub(crate) path: String,
}

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flag {
    Read,
    Write,
    Create,
    Exclusive,
    Truncate,
    Append,
    NoFollow,
    Folder,
    Sync,
    /// Past the client's cache; the twin, on a file system that may want aligned offsets, leaves it out.
    Direct,
}

/// Of renameat2(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Renaming {
    Plain,
    NoReplace,
    Exchange,
}

/// Of fallocate(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Allocating {
    Plain,
    KeepSize,
    Punch,
    Zero,
    ZeroKeepSize,
}

/// Of fcntl(2): owned by the process, or by the open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LockOwned {
    Process,
    OpenFile,
}

/// What is asked of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LockMode {
    Shared,
    Exclusive,
    Unlock,
}

/// Bytes under a lock; a length of 0 is "to the end".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockRange {
    pub(crate) start: i64,
    pub(crate) length: i64,
}

/// One step: a few system calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// From here on in this folder below where the hand was put, with nothing open; it is made first.
    Begin {
        tree: String,
        make: bool,
    },
    Open {
        held: Held,
        at: Place,
        flags: Vec<Flag>,
        mode: u32,
    },
    Close {
        held: Held,
    },
    Read {
        held: Held,
        offset: u64,
        length: u64,
    },
    /// At the offset, or at the end where the file is open for appending.
    Write {
        held: Held,
        offset: u64,
        length: u64,
        seed: u64,
    },
    Truncate {
        held: Held,
        size: u64,
    },
    TruncateAt {
        at: Place,
        size: u64,
    },
    Sync {
        held: Held,
        data_only: bool,
    },
    Allocate {
        held: Held,
        how: Allocating,
        offset: u64,
        length: u64,
    },
    SeekData {
        held: Held,
        offset: u64,
    },
    SeekHole {
        held: Held,
        offset: u64,
    },
    Copy {
        from: Held,
        from_offset: u64,
        to: Held,
        to_offset: u64,
        length: u64,
    },
    StatHeld {
        held: Held,
    },
    Stat {
        at: Place,
    },
    List {
        at: Place,
    },
    MakeFolder {
        at: Place,
        mode: u32,
    },
    RemoveFolder {
        at: Place,
    },
    MakeFifo {
        at: Place,
        mode: u32,
    },
    Unlink {
        at: Place,
    },
    Rename {
        from: Place,
        to: Place,
        how: Renaming,
    },
    Link {
        from: Place,
        to: Place,
    },
    Symlink {
        at: Place,
        target: String,
    },
    ReadLink {
        at: Place,
    },
    Mode {
        at: Place,
        mode: u32,
    },
    ModeHeld {
        held: Held,
        mode: u32,
    },
    Owner {
        at: Place,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    /// Seconds before [`CLOCKS_FROM`], and nanoseconds.
    Modified {
        at: Place,
        seconds: i64,
        nanoseconds: i64,
    },
    SetAttribute {
        path: String,
        name: String,
        length: u64,
        seed: u64,
        create: bool,
        replace: bool,
    },
    Attribute {
        path: String,
        name: String,
    },
    Attributes {
        path: String,
    },
    RemoveAttribute {
        path: String,
        name: String,
    },
    Lock {
        held: Held,
        owned: LockOwned,
        mode: LockMode,
        range: LockRange,
    },
    TestLock {
        held: Held,
        owned: LockOwned,
        mode: LockMode,
        range: LockRange,
    },
    Flock {
        held: Held,
        mode: LockMode,
    },
    /// All below a folder.
    Tree {
        path: String,
    },
    /// Asked of twins only: which file it is.
    Number {
        held: Held,
    },
    /// Asked of twins only: where it is in the tree by now.
    Where {
        held: Held,
    },
    /// Asked of twins only: how many names it has.
    Links {
        held: Held,
    },
    /// Asked of twins only: where the first byte that is not zero is, from here on.
    FirstData {
        held: Held,
        offset: u64,
    },
    /// Asked when answers differ: bytes as text.
    Show {
        held: Held,
        offset: u64,
        length: u64,
    },
}

impl Step {
    /// What is open and it begins at, or is about, where that need not be a file.
    pub(crate) fn held(&self) -> Vec<Held> {
        match self {
            Step::StatHeld { held }
            | Step::ModeHeld { held, .. }
            | Step::Read { held, .. }
            | Step::Write { held, .. }
            | Step::Truncate { held, .. }
            | Step::Allocate { held, .. }
            | Step::Sync { held, .. }
            | Step::Copy { from: held, .. } => vec![*held],
            Step::Open { at, .. }
            | Step::TruncateAt { at, .. }
            | Step::Stat { at }
            | Step::List { at }
            | Step::MakeFolder { at, .. }
            | Step::RemoveFolder { at }
            | Step::MakeFifo { at, .. }
            | Step::Unlink { at }
            | Step::Symlink { at, .. }
            | Step::ReadLink { at }
            | Step::Mode { at, .. }
            | Step::Owner { at, .. }
            | Step::Modified { at, .. } => at.from.into_iter().collect(),
            Step::Rename { from, to, .. } | Step::Link { from, to } => {
                from.from.into_iter().chain(to.from).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    File,
    Folder,
    Symlink,
    Fifo,
    Other,
}

/// What stat(2) says as far as it is defined: sizes and counts of links of folders are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: Option<u64>,
    pub(crate) links: Option<u64>,
    /// Only one that a step has set.
    pub(crate) modified: Option<(i64, u64)>,
}

/// Something in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) seen: Seen,
    /// Hash of its bytes, or its target.
    pub(crate) content: Option<String>,
    pub(crate) attributes: Vec<(String, u64)>,
    /// The first path in the tree with the same inode.
    pub(crate) same_as: String,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    /// The number of an error, and its text.
    Failed(i32, String),
    Count(u64),
    /// Bytes: how many, and the hash of each block.
    Bytes(u64, Vec<u64>),
    Text(String),
    Stat(Seen),
    Names(Vec<(String, Kind)>),
    /// The lock in the way, if there is one: whether it is shared, and where.
    InTheWay(Option<(bool, LockRange)>),
    Tree(Vec<Entry>),
}
