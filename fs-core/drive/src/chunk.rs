//! What a chunk looks like on a drive: one header block that names it and holds the checksums of
//! its data blocks, then the data. Layout: docs/formats/chunks.md.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX, DATA_CHUNKS_MAX, PARITY_CHUNKS_MAX};
use types::{ChunkId, GroupId, StripeId};

/// Most data blocks of a chunk.
pub const CHUNK_BLOCKS_MAX: usize = CHUNK_BYTES_MAX / BLOCK_BYTES;
const MAGIC: &[u8; 8] = b"PLXCHUNK";
const VERSION: u16 = 1;
pub(crate) const CRC_AT: usize = 96;
const TABLE_AT: usize = 1024;
const _: () = assert!(TABLE_AT + 4 * CHUNK_BLOCKS_MAX <= BLOCK_BYTES);

/// One life of a drive's `chunks` file: what another life left there is nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Incarnation(pub [u8; 16]);

/// The name of a chunk on a drive; the order of listings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ChunkKey {
    /// The group whose cell the drive fills.
    pub group: GroupId,
    /// Stripe and index.
    pub chunk: ChunkId,
}

impl ChunkKey {
    /// Before every other key.
    pub const FIRST: ChunkKey =
        ChunkKey { group: GroupId(0), chunk: ChunkId { stripe: StripeId(0), index: 0 } };

    /// The next key in order; `None` after the last.
    #[must_use]
    pub fn next(self) -> Option<ChunkKey> {
        let ChunkKey { group, chunk: ChunkId { stripe, index } } = self;
        let key = |group, stripe, index| ChunkKey { group, chunk: ChunkId { stripe, index } };
        if let Some(index) = index.checked_add(1) {
            return Some(key(group, stripe, index));
        }
        if let Some(next) = stripe.0.checked_add(1) {
            return Some(key(group, StripeId(next), 0));
        }
        group.0.checked_add(1).map(|group| key(GroupId(group), StripeId(0), 0))
    }
}

/// How the stripe of a chunk is cut: enough to find and rebuild its fellows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Shape {
    /// Data chunks of the stripe, 1 to 16.
    pub data: u8,
    /// Parity chunks, 0 to 4.
    pub parity: u8,
    /// Bit n is set when the stripe has a chunk in cell n of its group; as many bits as chunks.
    pub cells: u32,
    /// Bytes of user data in the whole stripe.
    pub stripe_length: u32,
}

/// A chunk as an index or a listing shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChunkInfo {
    /// Its name.
    pub key: ChunkKey,
    /// Its stripe.
    pub shape: Shape,
    /// 4 KiB blocks of data, without the header.
    pub blocks: u16,
}

/// Why a header block is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("no chunk header")]
    Absent,
    #[error("a chunk header of format version {0}, which this release does not know")]
    Version(u16),
    #[error("a chunk header whose checksum or fields are wrong")]
    Damaged,
}

/// The header block, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChunkHeader {
    pub(crate) info: ChunkInfo,
    pub(crate) writer: u64,
    pub(crate) epoch: u64,
    /// Grows with every chunk the drive writes: of two that claim the same place, the higher is right.
    pub(crate) sequence: u64,
    /// Where the header lies: a header elsewhere was misdirected.
    pub(crate) unit: u64,
    pub(crate) incarnation: Incarnation,
    /// CRC of each data block.
    pub(crate) crcs: Vec<u32>,
}

/// CRC32C of a data block, seeded with the chunk's id and the number of the block in it, so that
/// a block in the wrong place is as wrong as a flipped bit.
#[must_use]
pub fn block_crc(chunk: ChunkId, block: u32, data: &[u8]) -> u32 {
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&chunk.stripe.0.to_le_bytes());
    seed[8] = chunk.index;
    seed[12..].copy_from_slice(&block.to_le_bytes());
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&seed);
    digest.update(data);
    digest.finalize() as u32
}

/// CRCs of consecutive blocks, the first of which has number `first` in the chunk.
#[must_use]
pub fn block_crcs(chunk: ChunkId, first: u32, data: &[u8]) -> Vec<u32> {
    (first..).zip(data.chunks(BLOCK_BYTES)).map(|(n, block)| block_crc(chunk, n, block)).collect()
}

/// Whether `data` are whole blocks that have exactly the checksums `crcs`.
#[must_use]
pub fn verify(chunk: ChunkId, first: u32, data: &Bytes, crcs: &[u32]) -> bool {
    data.len() == crcs.len() * BLOCK_BYTES
        && (first..)
            .zip(data.chunks(BLOCK_BYTES).zip(crcs))
            .all(|(n, (block, &crc))| block_crc(chunk, n, block) == crc)
}

/// CRC32C of a block with the four bytes at `at` taken as zero.
pub(crate) fn crc_without(block: &[u8], at: usize) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&block[..at]);
    digest.update(&[0; 4]);
    digest.update(&block[at + 4..]);
    digest.finalize() as u32
}

pub(crate) fn get<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&block[at..at + N]);
    out
}

impl Shape {
    /// Whether data, parity, cells and the index fit each other.
    #[must_use]
    pub fn is_sane(&self, index: u8) -> bool {
        let (data, parity) = (usize::from(self.data), usize::from(self.parity));
        (1..=DATA_CHUNKS_MAX).contains(&data)
            && parity <= PARITY_CHUNKS_MAX
            && self.cells.count_ones() as usize == data + parity
            && usize::from(index) < data + parity
            && self.stripe_length as usize <= data * CHUNK_BYTES_MAX
    }
}

impl ChunkHeader {
    /// Writes the header over the first block of `out`, which is zero.
    pub(crate) fn encode(&self, out: &mut [u8]) {
        let ChunkInfo { key, shape, blocks } = self.info;
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10] = key.chunk.index;
        out[11] = shape.data;
        out[12] = shape.parity;
        out[14..16].copy_from_slice(&key.group.0.to_le_bytes());
        out[16..24].copy_from_slice(&key.chunk.stripe.0.to_le_bytes());
        out[24..28].copy_from_slice(&shape.cells.to_le_bytes());
        out[28..32].copy_from_slice(&shape.stripe_length.to_le_bytes());
        out[32..40].copy_from_slice(&self.writer.to_le_bytes());
        out[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        out[48..56].copy_from_slice(&self.sequence.to_le_bytes());
        out[56..64].copy_from_slice(&self.unit.to_le_bytes());
        out[64..66].copy_from_slice(&blocks.to_le_bytes());
        out[72..88].copy_from_slice(&self.incarnation.0);
        for (slot, crc) in out[TABLE_AT..].chunks_exact_mut(4).zip(&self.crcs) {
            slot.copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc_without(&out[..BLOCK_BYTES], CRC_AT);
        out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header block. Every field is checked before use.
    pub(crate) fn decode(block: &[u8]) -> Result<ChunkHeader, HeaderError> {
        if block.len() < BLOCK_BYTES || &block[..8] != MAGIC {
            return Err(HeaderError::Absent);
        }
        let block = &block[..BLOCK_BYTES];
        if u32::from_le_bytes(get(block, CRC_AT)) != crc_without(block, CRC_AT) {
            return Err(HeaderError::Damaged);
        }
        let version = u16::from_le_bytes(get(block, 8));
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let index = block[10];
        let shape = Shape {
            data: block[11],
            parity: block[12],
            cells: u32::from_le_bytes(get(block, 24)),
            stripe_length: u32::from_le_bytes(get(block, 28)),
        };
        let blocks = u16::from_le_bytes(get(block, 64));
        if !shape.is_sane(index) || blocks == 0 || usize::from(blocks) > CHUNK_BLOCKS_MAX {
            return Err(HeaderError::Damaged);
        }
        let key = ChunkKey {
            group: GroupId(u16::from_le_bytes(get(block, 14))),
            chunk: ChunkId { stripe: StripeId(u64::from_le_bytes(get(block, 16))), index },
        };
        let table = block[TABLE_AT..].chunks_exact(4).take(usize::from(blocks));
        Ok(ChunkHeader {
            info: ChunkInfo { key, shape, blocks },
            writer: u64::from_le_bytes(get(block, 32)),
            epoch: u64::from_le_bytes(get(block, 40)),
            sequence: u64::from_le_bytes(get(block, 48)),
            unit: u64::from_le_bytes(get(block, 56)),
            incarnation: Incarnation(get(block, 72)),
            crcs: table.map(|c| u32::from_le_bytes(get(c, 0))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(blocks: u16) -> ChunkHeader {
        let chunk = ChunkId { stripe: StripeId(0x0102_0304_0506_0708), index: 5 };
        ChunkHeader {
            info: ChunkInfo {
                key: ChunkKey { group: GroupId(7), chunk },
                shape: Shape { data: 4, parity: 2, cells: 0b11_1111, stripe_length: 12345 },
                blocks,
            },
            writer: 3,
            epoch: 9,
            sequence: 77,
            unit: 1234,
            incarnation: Incarnation([6; 16]),
            crcs: (0..u32::from(blocks)).collect(),
        }
    }

    #[test]
    fn a_header_reads_back_and_every_flipped_bit_shows() {
        for blocks in [1, 255, 256] {
            let mut block = vec![0; BLOCK_BYTES];
            header(blocks).encode(&mut block);
            assert_eq!(ChunkHeader::decode(&block), Ok(header(blocks)));
        }
        let mut block = vec![0; BLOCK_BYTES];
        header(9).encode(&mut block);
        for bit in (0..BLOCK_BYTES * 8).step_by(7) {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(ChunkHeader::decode(&block).is_err(), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        block[8] = 2;
        let crc = crc_without(&block, CRC_AT);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(ChunkHeader::decode(&block), Err(HeaderError::Version(2)));
    }

    #[test]
    fn the_layout_and_checksum_on_disk_are_fixed() {
        let mut block = vec![0; BLOCK_BYTES];
        header(2).encode(&mut block);
        assert_eq!(
            crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, b"123456789"),
            0xe306_9283,
            "CRC-32C check value"
        );
        assert_eq!(
            block[10..32],
            [5, 4, 2, 0, 7, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0x3f, 0, 0, 0, 0x39, 0x30, 0, 0]
        );
        assert_eq!(block[TABLE_AT..TABLE_AT + 8], [0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_block_is_right_only_in_its_own_place() {
        let data = vec![1; BLOCK_BYTES];
        let chunk = |stripe, index| ChunkId { stripe: StripeId(stripe), index };
        let crc = block_crc(chunk(1, 0), 0, &data);
        assert_ne!(crc, block_crc(chunk(1, 0), 1, &data));
        assert_ne!(crc, block_crc(chunk(1, 1), 0, &data));
        assert_ne!(crc, block_crc(chunk(2, 0), 0, &data));
        let bytes = Bytes::from(vec![3; 2 * BLOCK_BYTES]);
        let crcs = block_crcs(chunk(1, 0), 5, &bytes);
        assert!(verify(chunk(1, 0), 5, &bytes, &crcs));
        assert!(!verify(chunk(1, 0), 4, &bytes, &crcs));
        assert!(!verify(chunk(1, 0), 5, &bytes.slice(..BLOCK_BYTES), &crcs));
    }

    #[test]
    fn keys_step_in_order() {
        let key = |g, s, i| ChunkKey { group: GroupId(g), chunk: ChunkId { stripe: StripeId(s), index: i } };
        assert_eq!(key(0, 0, 0).next(), Some(key(0, 0, 1)));
        assert_eq!(key(0, 1, 255).next(), Some(key(0, 2, 0)));
        assert_eq!(key(3, u64::MAX, 255).next(), Some(key(4, 0, 0)));
        assert_eq!(key(u16::MAX, u64::MAX, 255).next(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_bytes_make_decoding_panic(mut block in prop::collection::vec(any::<u8>(), 0..BLOCK_BYTES + 1), seal: bool) {
            if seal && block.len() == BLOCK_BYTES {
                block[..8].copy_from_slice(MAGIC);
                block[8..10].copy_from_slice(&VERSION.to_le_bytes());
                let crc = crc_without(&block, CRC_AT);
                block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
            }
            let _ = ChunkHeader::decode(&block);
        }
    }
}
