//! Who locks, and what kinds of locks there are.

use serde::{Deserialize, Serialize};

/// An end client: locks and opens live and die with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Client(pub u128);

/// One of a client's lock owners: a process, an open file description, an NFSv4 lock owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// The client it belongs to.
    pub client: Client,
    /// Which of the client's owners.
    pub owner: u64,
}

/// Two families of locks that do not see each other, as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Space {
    /// Byte ranges: fcntl(2), NFSv4.
    Range,
    /// flock(2): always the whole file, whatever range is given.
    Flock,
}

/// How a range is held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum LockMode {
    /// Together with other readers.
    Shared,
    /// Alone.
    Exclusive,
}

impl LockMode {
    /// Whether two owners may not hold these on the same byte.
    #[must_use]
    pub const fn conflicts(self, other: LockMode) -> bool {
        matches!((self, other), (LockMode::Exclusive, _) | (_, LockMode::Exclusive))
    }
}

/// Names one waiting request; chosen by the caller, unique over all inodes of a [`crate::Waits`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WaitId(pub u64);

/// Names one open of the inode; chosen by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OpenKey(pub u64);
