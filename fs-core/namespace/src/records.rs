//! What stands behind the keys. Every value is a version byte and postcard; an unknown version is refused.

use bytes::Bytes;
use locking::Holds;
use map::MapError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::limits::BLOCK_BYTES;
use types::{Cookie, Device, FileKind, FsId, GroupId, Guard, InodeId, Mode, Name, Retention, StripeId, Time};

/// A record with its place in the line of versions.
pub trait Record: Serialize + DeserializeOwned {
    /// The version that is written.
    const VERSION: u8 = 1;

    /// The value to store.
    #[must_use]
    fn encode(&self) -> Bytes {
        #[expect(
            clippy::expect_used,
            reason = "postcard fails only on types without a length; records have none"
        )]
        postcard::to_extend(self, vec![Self::VERSION]).map(Bytes::from).expect("a record encodes")
    }

    /// Reads a stored value.
    ///
    /// # Errors
    /// A value that is no such record, or of an unknown version: the map is damaged or from the future.
    fn decode(value: &[u8]) -> Result<Self, MapError> {
        let fail =
            |what: String| MapError::Broken(format!("{} record: {what}", std::any::type_name::<Self>()));
        match value.split_first() {
            Some((&version, rest)) if version == Self::VERSION => {
                postcard::from_bytes(rest).map_err(|e| fail(e.to_string()))
            }
            Some((version, _)) => Err(fail(format!("unknown version {version}"))),
            None => Err(fail("empty".into())),
        }
    }
}

/// Counters of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The last inode sequence given out.
    pub inode: u64,
    /// The last stripe sequence granted.
    pub stripe: u64,
    /// Inodes that exist.
    pub inodes: u64,
    /// No inode is made here any more: the filesystem is being removed.
    pub closed: bool,
}

/// What the files of a filesystem in one slot take; there is none where all is zero. What of it is kept on
/// drives is counted as the formats have it, whether the drives are there or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Bytes of files: the sum of `used` of the inodes.
    pub used: u64,
    /// Extents that hold their bytes themselves.
    pub unfolded: u64,
    /// Bytes in these.
    pub unfolded_bytes: u64,
    /// Stripes with live pieces.
    pub stripes: u64,
    /// Bytes of data in these stripes.
    pub data: u64,
    /// Of `data`, the bytes in live pieces.
    pub live: u64,
    /// Bytes that the chunks of these stripes take on drives.
    pub stored: u64,
    /// Stripes without live pieces, not freed yet.
    pub garbage: u64,
    /// Bytes that the chunks of these take on drives.
    pub garbage_stored: u64,
    /// Bytes of files that are reserved and were never written.
    pub reserved: u64,
}

impl Account {
    fn each(&self, other: &Account, with: impl Fn(u64, u64) -> u64) -> Account {
        Account {
            used: with(self.used, other.used),
            unfolded: with(self.unfolded, other.unfolded),
            unfolded_bytes: with(self.unfolded_bytes, other.unfolded_bytes),
            stripes: with(self.stripes, other.stripes),
            data: with(self.data, other.data),
            live: with(self.live, other.live),
            stored: with(self.stored, other.stored),
            garbage: with(self.garbage, other.garbage),
            garbage_stored: with(self.garbage_stored, other.garbage_stored),
            reserved: with(self.reserved, other.reserved),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Account) -> Account {
        self.each(other, u64::saturating_add)
    }

    /// What is left without `other`; nothing falls below zero.
    #[must_use]
    pub fn minus(&self, other: &Account) -> Account {
        self.each(other, u64::saturating_sub)
    }

    /// Adds a stripe with live pieces.
    pub fn add_live(&mut self, stripe: &Stripe) {
        self.stripes += 1;
        self.data += u64::from(stripe.length);
        self.live += u64::from(stripe.live);
        self.stored = self.stored.saturating_add(stripe.stored_bytes());
    }

    /// Adds a stripe that is to be freed.
    pub fn add_garbage(&mut self, stripe: &Stripe) {
        self.garbage += 1;
        self.garbage_stored = self.garbage_stored.saturating_add(stripe.stored_bytes());
    }
}

/// A stripe was never committed and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buried;

/// How far the stripes of a slot have been read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// When the last pass began that came to its end.
    pub whole: Option<Time>,
    /// The pass that is under way.
    pub now: Option<ScrubAt>,
}

/// A pass over the stripes of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubAt {
    /// When it began.
    pub begun: Time,
    /// The filesystem of the last stripe that was read.
    pub fs: FsId,
    /// That stripe.
    pub stripe: StripeId,
}

/// A filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Its identity.
    pub id: FsId,
    /// Its name.
    pub name: String,
    /// The key of the hash in its cookies.
    pub hash_key: [u8; 16],
    /// Version of the folding table in its cookies.
    pub fold_version: u8,
}

/// A filesystem that is being removed: it has no name any more, and nobody comes to what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The name that it had.
    pub name: String,
    /// When it lost it.
    pub since: Time,
}

/// The lease under which directories move to other parents: who moves one counts it here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renames {
    /// Moves so far.
    pub count: u64,
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names; of a directory 2 plus its subdirectories; 0 once removed.
    pub links: u32,
    /// Of a device node.
    pub device: Device,
    /// Bytes; of a directory the number of its entries.
    pub size: u64,
    /// Bytes in extents and inline.
    pub used: u64,
    /// Last read.
    pub atime: Time,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of anything.
    pub ctime: Time,
    /// Creation.
    pub btime: Time,
    /// Grows with every change.
    pub change: u64,
    /// Number of extended and system attributes.
    pub xattrs: u32,
    /// What `change` was when the content of a file changed last.
    pub content: u64,
    /// What the kind needs beyond.
    pub body: Body,
}

/// The part of an inode that depends on its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// FIFO, socket, device.
    None,
    /// A symbolic link's target.
    Symlink(Bytes),
    /// A directory.
    Directory(Directory),
    /// A regular file.
    File(File),
}

/// What a directory knows beside its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// The directory it is in; the root is in itself.
    pub parent: InodeId,
    /// Levels below the root when it was made; the first ones spread over slots.
    pub depth: u16,
    /// Entries that do not stand at their natural cookie.
    pub displaced: u32,
    /// The filesystem's, so that a name is found without a look into the slot that the filesystem is in.
    pub hash_key: [u8; 16],
    /// What is retained may be below it.
    pub guard: Guard,
}

/// What a regular file knows beside its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The whole content, up to 4 KiB; then there are no extents.
    pub inline: Option<Bytes>,
    /// The verifier of the exclusive create that made it.
    pub verifier: Option<[u8; 8]>,
    /// Extents at or beyond this offset are cut off and wait to be removed; they read as a hole.
    pub cut: Option<u64>,
    /// What keeps it as it is.
    pub retention: Retention,
}

/// A directory entry by cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// The inode.
    pub ino: InodeId,
    /// What that is.
    pub kind: FileKind,
}

/// A directory entry by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryName {
    /// Where its other record is.
    pub cookie: Cookie,
    /// The inode.
    pub ino: InodeId,
    /// What that is.
    pub kind: FileKind,
}

/// A run of a file's bytes; its offset is in the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Bytes of the file.
    pub length: u64,
    /// Where they are.
    pub source: Source,
}

/// Where the bytes of an extent are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Reserved but never written: zeros.
    Unwritten,
    /// Here.
    Inline(Bytes),
    /// In a piece of a stripe.
    Piece {
        /// The stripe.
        stripe: StripeId,
        /// Where the piece begins in the stripe, in bytes.
        piece: u32,
        /// Where this extent begins in the piece, in bytes.
        within: u32,
        /// 0: as it is. Others are refused until they exist.
        codec: u8,
        /// Encryption key; 0: none.
        key_id: u32,
        /// Bytes before compression; 0: as many as stored.
        raw_length: u32,
    },
}

/// That an extent, whose place is in the key, holds its bytes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfolded {
    /// How many.
    pub bytes: u32,
}

/// That an extent, whose place is in the key, is reserved and was never written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// How many bytes.
    pub bytes: u64,
}

/// A run of a stripe's bytes that extents refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Bytes.
    pub length: u32,
    /// Extents that refer to it.
    pub references: u32,
}

/// A stripe with at least one live piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stripe {
    /// The row of the group table that its chunks are on.
    pub group: GroupId,
    /// Data chunks.
    pub data_chunks: u8,
    /// Parity chunks.
    pub parity_chunks: u8,
    /// The cells of the group that hold a chunk, one bit each.
    pub cells: u32,
    /// Bytes of data.
    pub length: u32,
    /// Live pieces.
    pub pieces: u32,
    /// Bytes in live pieces.
    pub live: u32,
}

/// The value of an extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattr {
    /// The bytes.
    pub value: Bytes,
}

/// The value of a system attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemValue {
    /// What [`Inode::content`] was when it was set.
    pub content: u64,
    /// The bytes.
    pub value: Bytes,
}

/// An inode without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// When it lost its last name.
    pub since: Time,
}

/// Work that is left to be done in steps. Extents before `from` are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// Remove extents at and beyond the inode's `cut`.
    Cut {
        /// An offset in the file, not before `cut`.
        from: u64,
    },
    /// Remove everything of the inode.
    Delete {
        /// An offset in the file.
        from: u64,
    },
}

impl Intent {
    /// Where to go on.
    #[must_use]
    pub fn from(&self) -> u64 {
        let (Intent::Cut { from } | Intent::Delete { from }) = *self;
        from
    }

    /// The same, to go on at `from`.
    #[must_use]
    pub fn at(&self, from: u64) -> Intent {
        match self {
            Intent::Cut { .. } => Intent::Cut { from },
            Intent::Delete { .. } => Intent::Delete { from },
        }
    }
}

/// The changes of a client's last request on a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The request's place on the channel.
    pub sequence: u64,
    /// Which change of the request, and the encoded reply; in order, the newest
    /// [`Replay::STEPS_MAX`].
    pub replies: Vec<(u16, Bytes)>,
}

impl Replay {
    /// Most changes of one request that are remembered.
    pub const STEPS_MAX: usize = 64;
}

/// What is remembered of a client over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The kinds of state that it may have.
    pub holds: Holds,
    /// What a head has to know of it.
    pub kept: Option<Kept>,
}

/// A head's own record of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The number of the head.
    pub head: u8,
    /// What only the head understands.
    pub data: Bytes,
}

/// That a client has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {}

impl Record for Client {}
impl Record for Ended {}
impl Stripe {
    /// Bytes that the chunks of the stripe take on drives when all are there: a header block and the data of
    /// each, filled up to whole blocks (docs/formats/chunks.md).
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let (data, block) = (u64::from(self.data_chunks.max(1)), BLOCK_BYTES as u64);
        let blocks = u64::from(self.length).div_ceil(data * block);
        (blocks + 1) * block * (u64::from(self.data_chunks) + u64::from(self.parity_chunks))
    }
}

impl Record for Counters {
    const VERSION: u8 = 2;
}
impl Record for Removal {}
impl Record for Renames {}
impl Record for Account {
    const VERSION: u8 = 2;
}
impl Record for Buried {}
impl Record for Scrub {}
impl Record for Filesystem {}
impl Record for Inode {
    const VERSION: u8 = 4;
}
impl Record for Entry {}
impl Record for EntryName {}
impl Record for Extent {}
impl Record for Unfolded {}
impl Record for Reserved {}
impl Record for Piece {}
impl Record for Stripe {}
impl Record for Xattr {}
impl Record for SystemValue {}
impl Record for Orphan {}
impl Record for Intent {}
impl Record for Replay {}

#[cfg(test)]
mod tests;
