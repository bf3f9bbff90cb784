//! Identities. Each is its own type, so that none can be taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One of 65,536 parts of the inode space, for ever; the upper 16 bits of every [`InodeId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Slot(pub u16);

/// `slot (16 bits) | sequence (48 bits)`; never reused. The root of every filesystem is [`InodeId::ROOT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct InodeId(pub u64);

impl InodeId {
    /// The root directory of every filesystem: slot 0, sequence 1.
    pub const ROOT: InodeId = InodeId(1);
    /// Number of bits of the sequence.
    pub const SEQUENCE_BITS: u32 = 48;

    /// Joins a slot and a sequence; the sequence must be below 2^48.
    #[must_use]
    pub const fn new(slot: Slot, sequence: u64) -> InodeId {
        assert!(sequence < 1 << Self::SEQUENCE_BITS);
        InodeId((slot.0 as u64) << Self::SEQUENCE_BITS | sequence)
    }

    /// The slot that holds everything of this inode.
    #[must_use]
    pub const fn slot(self) -> Slot {
        Slot((self.0 >> Self::SEQUENCE_BITS) as u16)
    }

    /// The sequence within the slot.
    #[must_use]
    pub const fn sequence(self) -> u64 {
        self.0 & ((1 << Self::SEQUENCE_BITS) - 1)
    }
}

impl fmt::Display for InodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot().0, self.sequence())
    }
}

/// A filesystem of the cluster; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FsId(pub u32);

/// A file, directory or other inode of a filesystem: what heads hold as a handle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FileId {
    /// The filesystem.
    pub fs: FsId,
    /// The inode in it.
    pub ino: InodeId,
}

impl FileId {
    /// The root directory of `fs`.
    #[must_use]
    pub const fn root(fs: FsId) -> FileId {
        FileId { fs, ino: InodeId::ROOT }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.fs.0, self.ino)
    }
}

/// A Raft group that holds slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ShardId(pub u16);

/// A drive of the cluster; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DriveId(pub u32);

/// A row of the stripe group table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GroupId(pub u16);

/// `slot (16 bits) | sequence (48 bits)`; the slot's shard owns the stripe; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StripeId(pub u64);

/// One chunk of a stripe; indexes below D are data, the others parity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ChunkId {
    /// The stripe.
    pub stripe: StripeId,
    /// Position in the stripe, 0 to D + P - 1.
    pub index: u8,
}

/// The place of an entry in its directory: 63 bits, stable for the life of the entry.
/// [`Cookie::START`] lists from the beginning; values below [`Cookie::FIRST`] belong to no entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Cookie(pub u64);

impl Cookie {
    /// Before the first entry.
    pub const START: Cookie = Cookie(0);
    /// The smallest cookie of an entry; the values below are for a head's own use ("." and "..").
    pub const FIRST: Cookie = Cookie(16);
    /// The largest cookie of an entry.
    pub const LAST: Cookie = Cookie((1 << 63) - 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_number_splits_into_what_it_was_joined_from() {
        let ino = InodeId::new(Slot(0xabcd), 0x1234_5678_9abc);
        assert_eq!(ino.slot(), Slot(0xabcd));
        assert_eq!(ino.sequence(), 0x1234_5678_9abc);
        assert_eq!(InodeId::ROOT, InodeId::new(Slot(0), 1));
    }
}
