//! What stands behind the keys. Every value is a version byte and postcard; an unknown version is refused.

use bytes::Bytes;
use map::MapError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::{Cookie, Device, FileKind, FsId, GroupId, InodeId, Mode, Name, StripeId, Time};

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
        let fail = |what: String| MapError(format!("{} record: {what}", std::any::type_name::<Self>()));
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// The last inode sequence given out.
    pub inode: u64,
    /// The last stripe sequence granted.
    pub stripe: u64,
    /// Inodes that exist.
    pub inodes: u64,
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
    /// Number of extended attributes.
    pub xattrs: u32,
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

/// An inode without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// When it lost its last name.
    pub since: Time,
}

/// Work that is left to be done in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// Remove extents at and beyond the inode's `cut`.
    Cut,
    /// Remove everything of the inode.
    Delete,
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

impl Record for Counters {}
impl Record for Filesystem {}
impl Record for Inode {}
impl Record for Entry {}
impl Record for EntryName {}
impl Record for Extent {}
impl Record for Piece {}
impl Record for Stripe {}
impl Record for Xattr {}
impl Record for Orphan {}
impl Record for Intent {}
impl Record for Replay {}
