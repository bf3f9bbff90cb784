//! What becomes of commands, and how it travels.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{Attr, FileId, FileKind, FsError, FsId, InodeId, StripeId};

/// What a command did, or why it did nothing.
pub type Outcome = Result<Reply, Failure>;

/// Why a command did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Failure {
    /// For the caller.
    Fs(FsError),
    /// Another inode stands at the name than the proposer saw: look again.
    Moved,
    /// The inode has work to be drained first.
    DrainFirst,
    /// The range covers too many extents for one command: commit up to `at`, then the rest.
    Split {
        /// Where to split, an offset in the file.
        at: u64,
    },
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Failure {
        Failure::Fs(error)
    }
}

/// The change attribute of a directory around a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DirChange {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// An inode that lost a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// Which.
    pub file: FileId,
    /// What it is.
    pub kind: FileKind,
    /// Names left.
    pub links: u32,
    /// It lives on as an orphan until [`crate::Action::DropOrphan`].
    pub kept: bool,
    /// Work is left: [`crate::Action::Drain`] it.
    pub drain: bool,
}

/// What a command did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing to tell.
    Done,
    /// A filesystem.
    Filesystem(FsId),
    /// A name was made or, when accepted, found.
    Created {
        /// The inode.
        attr: Attr,
        /// The directory.
        dir: DirChange,
        /// Whether it was made.
        created: bool,
    },
    /// A name was removed.
    Removed {
        /// The directory.
        dir: DirChange,
        /// The inode.
        removed: Removed,
    },
    /// A name was moved.
    Renamed {
        /// The old directory.
        from: DirChange,
        /// The new directory.
        to: DirChange,
        /// The inodes that have another name now.
        moved: Vec<InodeId>,
        /// What was replaced.
        removed: Option<Removed>,
    },
    /// A file was put.
    Put {
        /// It.
        attr: Attr,
        /// What it replaced.
        removed: Option<Removed>,
    },
    /// Attributes after a change.
    Attr {
        /// All of them.
        attr: Attr,
        /// The change attribute before.
        before: u64,
        /// Work is left: [`crate::Action::Drain`] it.
        drain: bool,
    },
    /// Stripe identities `first..first + count`.
    Granted {
        /// The first.
        first: StripeId,
        /// How many.
        count: u32,
    },
    /// Bytes were moved.
    Relocated {
        /// How many; none, and a stripe that was new is nobody's.
        bytes: u64,
    },
    /// Work was done; more may be left. Stripes that became garbage are to be freed.
    Drained {
        /// Whether more is left.
        more: bool,
    },
    /// To `EmptySlot`: the key to go on from, or nothing where all is gone that can go now. Garbage goes when its chunks
    /// have been freed.
    Emptied {
        /// Where to go on.
        next: Option<Bytes>,
    },
    /// To `Bury`: these will never be committed.
    Buried(Vec<StripeId>),
    /// To an append that was written back.
    Appended(crate::Appended),
}
