//! File handles: stable over restarts, the same on every server of the cluster.

use crate::exports::PseudoId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use types::{FileId, FsId, InodeId};

/// First byte of every handle.
const VERSION: u8 = 1;
const PSEUDO: u8 = 1;
const FILE: u8 = 2;
const PSEUDO_BYTES: usize = 4 + 8;
const FILE_BYTES: usize = 4 + 4 + 4 + 8;

/// What a handle says; whether there is such a file is not known from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handle {
    /// A directory on the way to exports.
    Pseudo(PseudoId),
    /// An inode, reached through an export.
    File { export: u32, file: FileId },
}

impl Handle {
    /// Version, kind, two zero bytes, then the numbers, big end first.
    pub(crate) fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(FILE_BYTES);
        match self {
            Handle::Pseudo(id) => {
                bytes.put_slice(&[VERSION, PSEUDO, 0, 0]);
                bytes.put_u64(id.0);
            }
            Handle::File { export, file } => {
                bytes.put_slice(&[VERSION, FILE, 0, 0]);
                bytes.put_u32(export);
                bytes.put_u32(file.fs.0);
                bytes.put_u64(file.ino.0);
            }
        }
        bytes.freeze()
    }

    /// `None` for bytes that no server of this kind has given out.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Handle> {
        let length = bytes.len();
        if length < 4 || bytes[0] != VERSION || bytes[2..4] != [0, 0] {
            return None;
        }
        let kind = bytes[1];
        bytes.advance(4);
        match (kind, length) {
            (PSEUDO, PSEUDO_BYTES) => Some(Handle::Pseudo(PseudoId(bytes.get_u64()))),
            (FILE, FILE_BYTES) => {
                let export = bytes.get_u32();
                let fs = FsId(bytes.get_u32());
                Some(Handle::File { export, file: FileId { fs, ino: InodeId(bytes.get_u64()) } })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_survive_the_wire_and_never_change() {
        let file = Handle::File { export: 0x0102_0304, file: FileId { fs: FsId(5), ino: InodeId(6) } };
        let bytes = file.encode();
        assert_eq!(&bytes[..], b"\x01\x02\0\0\x01\x02\x03\x04\0\0\0\x05\0\0\0\0\0\0\0\x06");
        assert_eq!(Handle::decode(&bytes), Some(file));
        let root = Handle::Pseudo(PseudoId::ROOT);
        assert_eq!(Handle::decode(&root.encode()), Some(root));
    }

    #[test]
    fn other_bytes_are_no_handle() {
        for bytes in
            [&b""[..], b"\x01", b"\x02\x01\0\0abcdefgh", b"\x01\x01\0\x01abcdefgh", b"\x01\x02\0\0abcdefgh"]
        {
            assert_eq!(Handle::decode(bytes), None);
        }
    }
}
