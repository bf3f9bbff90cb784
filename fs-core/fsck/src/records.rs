//! Records of a shard's map, read as `docs/formats/keys.md` has them: a version byte, then postcard.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// A record with the only version of it that there is.
pub(crate) trait Record: DeserializeOwned {
    const VERSION: u8 = 1;
}

macro_rules! records {
    ($($name:ident)*) => { $(impl Record for $name {})* };
}

records! {
    Buried Scrub Unfolded Reserved Client Ended Renames Filesystem Removal Entry EntryName Extent Piece Stripe Xattr SystemValue Orphan Intent Replay
}

impl Record for Account {
    const VERSION: u8 = 2;
}

impl Record for Counters {
    const VERSION: u8 = 2;
}

impl Record for Inode {
    const VERSION: u8 = 4;
}

/// Why a record cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads all of `value`; a byte too many is as wrong as one too few.
pub(crate) fn decode<R: Record>(value: &[u8]) -> Result<R, Unreadable> {
    match value.split_first() {
        None => Err(Unreadable("it is empty".into())),
        Some((version, rest)) if *version == R::VERSION => match postcard::take_from_bytes::<R>(rest) {
            Ok((record, [])) => Ok(record),
            Ok((_, more)) => Err(Unreadable(format!("{} bytes too many", more.len()))),
            Err(error) => Err(Unreadable(error.to_string())),
        },
        Some((version, _)) => Err(Unreadable(format!("unknown version {version}"))),
    }
}

#[derive(Deserialize, Default)]
pub(crate) struct Counters {
    pub(crate) inode: u64,
    pub(crate) stripe: u64,
    pub(crate) inodes: u64,
    /// No inode is made any more: only where the filesystem is being removed.
    pub(crate) closed: bool,
}

#[derive(Deserialize)]
pub(crate) struct Renames {
    #[expect(dead_code, reason = "any number will do")]
    count: u64,
}

/// What the files of a filesystem in a slot take.
#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    pub(crate) used: u64,
    pub(crate) unfolded: u64,
    pub(crate) unfolded_bytes: u64,
    pub(crate) stripes: u64,
    pub(crate) data: u64,
    pub(crate) live: u64,
    pub(crate) stored: u64,
    pub(crate) garbage: u64,
    pub(crate) garbage_stored: u64,
    pub(crate) reserved: u64,
}

/// A stripe was never committed and never will be.
#[derive(Deserialize)]
pub(crate) struct Buried;

/// How far the stripes of a slot have been read again: the last whole pass, and the one under way with the
/// filesystem and the stripe that it has come to.
#[derive(Deserialize)]
pub(crate) struct Scrub {
    pub(crate) whole: Option<Time>,
    pub(crate) now: Option<(Time, u32, u64)>,
}

#[derive(Deserialize)]
pub(crate) struct Unfolded {
    pub(crate) bytes: u32,
}

#[derive(Deserialize)]
pub(crate) struct Reserved {
    pub(crate) bytes: u64,
}

#[derive(Deserialize, PartialEq, Eq)]
pub(crate) struct Filesystem {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) hash_key: [u8; 16],
    pub(crate) fold_version: u8,
}

/// A filesystem that has no name any more, and whose records are being removed.
#[derive(Deserialize)]
pub(crate) struct Removal {
    pub(crate) name: String,
    pub(crate) since: Time,
}

/// What an inode is; the numbers of the format.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Symlink => "symbolic link",
            Kind::Fifo => "FIFO",
            Kind::Socket => "socket",
            Kind::CharDevice => "character device",
            Kind::BlockDevice => "block device",
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct Time {
    #[expect(dead_code, reason = "any second is a good one")]
    seconds: i64,
    pub(crate) nanoseconds: u32,
}

#[derive(Deserialize)]
pub(crate) struct Inode {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    #[expect(dead_code, reason = "anybody may own it")]
    owner_and_group: (u32, u32),
    pub(crate) links: u32,
    pub(crate) device: (u32, u32),
    pub(crate) size: u64,
    pub(crate) used: u64,
    pub(crate) times: [Time; 4],
    pub(crate) change: u64,
    pub(crate) xattrs: u32,
    pub(crate) content: u64,
    pub(crate) body: Body,
}

#[derive(Deserialize)]
pub(crate) enum Body {
    None,
    Symlink(Bytes),
    Directory {
        parent: u64,
        _depth: u16,
        displaced: u32,
        hash_key: [u8; 16],
        _guard: (i64, bool),
    },
    File {
        inline: Option<Bytes>,
        _verifier: Option<[u8; 8]>,
        cut: Option<u64>,
        _retention: (i64, bool, bool),
    },
}

#[derive(Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: Bytes,
    pub(crate) ino: u64,
    pub(crate) kind: Kind,
}

#[derive(Deserialize)]
pub(crate) struct EntryName {
    pub(crate) cookie: u64,
    pub(crate) ino: u64,
    pub(crate) kind: Kind,
}

#[derive(Deserialize)]
pub(crate) struct Extent {
    pub(crate) length: u64,
    pub(crate) source: Source,
}

#[derive(Deserialize)]
pub(crate) enum Source {
    Unwritten,
    Inline(Bytes),
    Piece { stripe: u64, piece: u32, within: u32, codec: u8, key: u32, raw_length: u32 },
}

#[derive(Deserialize)]
pub(crate) struct Piece {
    pub(crate) length: u32,
    pub(crate) references: u32,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stripe {
    pub(crate) group: u16,
    pub(crate) data_chunks: u8,
    pub(crate) parity_chunks: u8,
    pub(crate) cells: u32,
    pub(crate) length: u32,
    pub(crate) pieces: u32,
    pub(crate) live: u32,
}

#[derive(Deserialize)]
pub(crate) struct SystemValue {
    pub(crate) content: u64,
    pub(crate) value: Bytes,
}

#[derive(Deserialize)]
pub(crate) struct Xattr {
    pub(crate) value: Bytes,
}

#[derive(Deserialize)]
pub(crate) struct Orphan {
    pub(crate) since: Time,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    Cut(Progress),
    Delete(Progress),
}

/// How far it is done: any offset will do, as an extent that is left without its inode is found by itself.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    from: u64,
}

impl Intent {
    pub(crate) fn deletes(self) -> bool {
        matches!(self, Intent::Delete(_))
    }
}

#[derive(Deserialize)]
pub(crate) struct Replay {
    #[expect(dead_code, reason = "any number will do")]
    sequence: u64,
    pub(crate) replies: Vec<(u16, Bytes)>,
}

#[derive(Deserialize)]
pub(crate) struct Client {
    pub(crate) holds: (bool, bool, bool),
    /// The number of a head, and what it keeps.
    pub(crate) kept: Option<(u8, Bytes)>,
}

/// That a client has ended.
#[derive(Deserialize)]
pub(crate) struct Ended {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_the_format() {
        let inode = b"\x04\0\xed\x13\xe8\x07\x05\x02\x08\x01\xac\x02\x03\x01\x02\x06\x04\x0a\x06\x0e\xff\x93\xeb\xdc\x03\x09\x01\x08\
            \x03\x01\x03abc\x01\x07\x07\x07\x07\x07\x07\x07\x07\x01\xc8\x01\xd8\x04\x01\0";
        let inode: Inode = decode(inode).unwrap();
        assert_eq!((inode.mode, inode.links, inode.size, inode.used), (0o4755, 2, 300, 3));
        assert!(
            matches!(&inode.body, Body::File { inline: Some(bytes), cut: Some(200), .. } if &bytes[..] == b"abc")
        );
        let stripe: Stripe = decode(b"\x01\x01\x04\x02\x3f\xac\x02\x01\xac\x02").unwrap();
        assert_eq!((stripe.data_chunks, stripe.cells, stripe.length, stripe.live), (4, 63, 300, 300));
    }

    #[test]
    fn another_version_and_other_lengths_are_refused() {
        assert!(decode::<Piece>(b"\x01\x05\x02").is_ok());
        for wrong in [&b""[..], b"\x02\x05\x02", b"\x01\x05", b"\x01\x05\x02\x00"] {
            assert!(decode::<Piece>(wrong).is_err(), "{wrong:?}");
        }
    }
}
