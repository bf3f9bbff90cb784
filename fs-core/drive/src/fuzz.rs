//! The decoders of what is on a drive, for a fuzzer. Checksums are put right first, or nothing would get past them.

use crate::chunk::{self, ChunkHeader, ChunkInfo, ChunkKey, Incarnation, Shape, crc_without};
use crate::directory::DriveIdentity;
use crate::journal;
use crate::log::LogRecord;
use crate::superblock::{self, Superblock};
use bytes::Bytes;
use std::path::Path;
use types::limits::BLOCK_BYTES;
use types::{ChunkId, DriveId, GroupId, StripeId};

/// Reads `bytes` as each of the things that a drive holds.
pub fn decode(bytes: &[u8]) {
    let block = || {
        let mut block = vec![0; BLOCK_BYTES];
        let length = bytes.len().min(BLOCK_BYTES);
        block[..length].copy_from_slice(&bytes[..length]);
        block
    };
    let _ = ChunkHeader::decode(&with_crc(block(), chunk::CRC_AT));
    let _ = Superblock::decode(&with_crc(block(), superblock::CRC_AT), 64 << 20);
    journal::decode_page(&Incarnation([6; 16]), &mut block());
    let _ = LogRecord::decode(Bytes::copy_from_slice(bytes));
    let identity = Path::new("identity");
    let _ = DriveIdentity::decode(identity, bytes);
    let mut headed = format!("plexus-drive 1 crc32c {:08x}\n", crc_fast::crc32_iscsi(bytes)).into_bytes();
    headed.extend_from_slice(bytes);
    let _ = DriveIdentity::decode(identity, &headed);
}

/// One of each, whole.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let incarnation = Incarnation([6; 16]);
    let chunk = ChunkId { stripe: StripeId(7), index: 5 };
    let header = ChunkHeader {
        info: ChunkInfo {
            key: ChunkKey { group: GroupId(7), chunk },
            shape: Shape { data: 4, parity: 2, cells: 0b11_1111, stripe_length: 12_345 },
            blocks: 2,
        },
        writer: 3,
        epoch: 9,
        sequence: 77,
        unit: 1234,
        incarnation,
        crcs: vec![1, 2],
    };
    let mut block = vec![0; BLOCK_BYTES];
    header.encode(&mut block);
    let superblock = Superblock::plan(DriveId(4), incarnation, 64 << 20).encode();
    let record = LogRecord { index: 7, term: 3, body: Bytes::from_static(b"body") }.encode();
    vec![block, superblock, journal::page_of(&incarnation, header.info), record]
}

fn with_crc(mut block: Vec<u8>, at: usize) -> Vec<u8> {
    let crc = crc_without(&block, at);
    block[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    block
}
