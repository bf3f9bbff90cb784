//! Byte-range and whole-file locks.

use crate::{ClientId, OpenId};
use serde::{Deserialize, Serialize};
use types::{ByteRange, FileId};

/// Two families that do not see each other (as on Linux).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum LockSpace {
    /// fcntl(2) locks, POSIX and open-file-description ones, and NFSv4 byte ranges.
    Range,
    /// flock(2); the range is the whole file.
    Flock,
}

/// Who holds a lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LockOwner {
    /// The client it lives and dies with.
    pub client: ClientId,
    /// Which of the client's owners.
    pub owner: u64,
}

/// What to hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum LockKind {
    /// Together with other readers.
    Shared,
    /// Alone.
    Exclusive,
    /// Nothing: gives up what the owner holds there.
    Unlock,
}

/// An owner's locks replace each other where they overlap (POSIX). With `wait` the reply comes when the
/// lock is granted, or [`types::FsError::Deadlock`]; dropping the request gives up waiting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// The file.
    pub file: FileId,
    /// The open it goes through.
    pub open: Option<OpenId>,
    /// For whom.
    pub owner: LockOwner,
    /// Which family.
    pub space: LockSpace,
    /// Which bytes.
    pub range: ByteRange,
    /// What to hold.
    pub kind: LockKind,
    /// Wait for others instead of [`types::FsError::LockConflict`].
    pub wait: bool,
    /// A claim of what this client held before a restart; [`types::FsError::NoGrace`] when it is owed nothing
    /// (any more).
    pub reclaim: bool,
}

/// Asks without taking.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestLock {
    /// The file.
    pub file: FileId,
    /// For whom.
    pub owner: LockOwner,
    /// Which family.
    pub space: LockSpace,
    /// Which bytes.
    pub range: ByteRange,
    /// What would be held.
    pub kind: LockKind,
}

/// The first lock in the way, if any.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestLockReply {
    /// Its owner, range and kind.
    pub conflict: Option<(LockOwner, ByteRange, LockKind)>,
}

/// Gives up all that `owner` holds on `file` in both families, and its waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReleaseOwner {
    /// The file.
    pub file: FileId,
    /// The owner.
    pub owner: LockOwner,
}
