//! One page of the journal: 64 bytes of header and up to 126 records of 32 bytes.

use super::Record;
use crate::chunk::{CHUNK_BLOCKS_MAX, ChunkInfo, ChunkKey, Incarnation, Shape, get};
use crate::index::Located;
use crate::service::Writer;
use crc_fast::{CrcAlgorithm, Digest};
use types::limits::BLOCK_BYTES;
use types::{ChunkId, GroupId, StripeId};

const MAGIC: &[u8; 8] = b"PLXINDEX";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 64;
const RECORD_BYTES: usize = 32;
const CRC_AT: usize = 60;
/// Records that a page holds.
pub(crate) const RECORDS_PER_PAGE: usize = (BLOCK_BYTES - HEADER_BYTES) / RECORD_BYTES;

/// What a page is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageKind {
    Checkpoint = 1,
    /// The last page of a checkpoint: without it the checkpoint was cut off.
    CheckpointEnd = 2,
    Batch = 3,
    /// The drive was closed: nothing was in flight.
    Clean = 4,
    /// The other half has a complete checkpoint.
    Superseded = 5,
}

/// A page without its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page {
    pub(super) kind: PageKind,
    /// The last page of its batch.
    pub(super) ends_batch: bool,
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) session: u64,
    pub(super) batch: u64,
    /// Sequence numbers below this have been given to chunks.
    pub(super) sequence: u64,
    pub(super) previous_crc: u32,
}

/// Why a block is no page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageError {
    Damaged,
    Version(u16),
}

fn crc(incarnation: &Incarnation, block: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&incarnation.0);
    digest.update(&block[..CRC_AT]);
    digest.update(&block[CRC_AT + 4..]);
    digest.finalize() as u32
}

/// Writes the checksum that the page should have.
#[cfg(feature = "fuzz")]
pub(super) fn put_crc(incarnation: &Incarnation, block: &mut [u8]) {
    let crc = crc(incarnation, block);
    block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

impl Page {
    /// Fills `block`, which is zero; the page's checksum comes back, for the next page's chain.
    pub(super) fn encode(&self, incarnation: &Incarnation, records: &[Record], block: &mut [u8]) -> u32 {
        block[..8].copy_from_slice(MAGIC);
        block[8..10].copy_from_slice(&VERSION.to_le_bytes());
        block[10] = self.kind as u8;
        block[11] = u8::from(self.ends_batch);
        block[12..14].copy_from_slice(&(records.len() as u16).to_le_bytes());
        block[16..24].copy_from_slice(&self.generation.to_le_bytes());
        block[24..32].copy_from_slice(&self.number.to_le_bytes());
        block[32..40].copy_from_slice(&self.session.to_le_bytes());
        block[40..48].copy_from_slice(&self.batch.to_le_bytes());
        block[48..56].copy_from_slice(&self.sequence.to_le_bytes());
        block[56..60].copy_from_slice(&self.previous_crc.to_le_bytes());
        for (record, out) in records.iter().zip(block[HEADER_BYTES..].chunks_exact_mut(RECORD_BYTES)) {
            encode_record(record, out);
        }
        let crc = crc(incarnation, block);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        crc
    }

    /// Reads a page, its records and its checksum. Every field is checked before use.
    pub(super) fn decode(
        incarnation: &Incarnation,
        block: &[u8],
    ) -> Result<(Page, Vec<Record>, u32), PageError> {
        if block.len() != BLOCK_BYTES || &block[..8] != MAGIC {
            return Err(PageError::Damaged);
        }
        let stored = u32::from_le_bytes(get(block, CRC_AT));
        if stored != crc(incarnation, block) {
            return Err(PageError::Damaged);
        }
        let version = u16::from_le_bytes(get(block, 8));
        if version != VERSION {
            return Err(PageError::Version(version));
        }
        let kind = match block[10] {
            1 => PageKind::Checkpoint,
            2 => PageKind::CheckpointEnd,
            3 => PageKind::Batch,
            4 => PageKind::Clean,
            5 => PageKind::Superseded,
            _ => return Err(PageError::Damaged),
        };
        let count = usize::from(u16::from_le_bytes(get(block, 12)));
        if count > RECORDS_PER_PAGE {
            return Err(PageError::Damaged);
        }
        let records = block[HEADER_BYTES..].chunks_exact(RECORD_BYTES).take(count).map(decode_record);
        let page = Page {
            kind,
            ends_batch: block[11] == 1,
            generation: u64::from_le_bytes(get(block, 16)),
            number: u64::from_le_bytes(get(block, 24)),
            session: u64::from_le_bytes(get(block, 32)),
            batch: u64::from_le_bytes(get(block, 40)),
            sequence: u64::from_le_bytes(get(block, 48)),
            previous_crc: u32::from_le_bytes(get(block, 56)),
        };
        Ok((page, records.collect::<Option<_>>().ok_or(PageError::Damaged)?, stored))
    }
}

fn encode_record(record: &Record, out: &mut [u8]) {
    let key_into = |out: &mut [u8], key: &ChunkKey| {
        out[1] = key.chunk.index;
        out[4..6].copy_from_slice(&key.group.0.to_le_bytes());
        out[8..16].copy_from_slice(&key.chunk.stripe.0.to_le_bytes());
    };
    match record {
        Record::Put(Located { info, unit }) => {
            out[0] = 1;
            key_into(out, &info.key);
            out[2] = info.shape.data;
            out[3] = info.shape.parity;
            out[6..8].copy_from_slice(&info.blocks.to_le_bytes());
            out[16..24].copy_from_slice(&unit.to_le_bytes());
            out[24..28].copy_from_slice(&info.shape.cells.to_le_bytes());
            out[28..32].copy_from_slice(&info.shape.stripe_length.to_le_bytes());
        }
        Record::Free(key) => {
            out[0] = 2;
            key_into(out, key);
        }
        Record::Fence(writer) => {
            out[0] = 3;
            out[8..16].copy_from_slice(&writer.id.to_le_bytes());
            out[16..24].copy_from_slice(&writer.epoch.to_le_bytes());
        }
    }
}

fn decode_record(bytes: &[u8]) -> Option<Record> {
    let key = ChunkKey {
        group: GroupId(u16::from_le_bytes(get(bytes, 4))),
        chunk: ChunkId { stripe: StripeId(u64::from_le_bytes(get(bytes, 8))), index: bytes[1] },
    };
    match bytes[0] {
        1 => {
            let shape = Shape {
                data: bytes[2],
                parity: bytes[3],
                cells: u32::from_le_bytes(get(bytes, 24)),
                stripe_length: u32::from_le_bytes(get(bytes, 28)),
            };
            let blocks = u16::from_le_bytes(get(bytes, 6));
            let sane =
                shape.is_sane(key.chunk.index) && (1..=CHUNK_BLOCKS_MAX).contains(&usize::from(blocks));
            let unit = u64::from_le_bytes(get(bytes, 16));
            sane.then_some(Record::Put(Located { info: ChunkInfo { key, shape, blocks }, unit }))
        }
        2 => Some(Record::Free(key)),
        3 => Some(Record::Fence(Writer {
            id: u64::from_le_bytes(get(bytes, 8)),
            epoch: u64::from_le_bytes(get(bytes, 16)),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> Vec<Record> {
        let key = ChunkKey { group: GroupId(3), chunk: ChunkId { stripe: StripeId(0xaabb), index: 2 } };
        let shape = Shape { data: 4, parity: 2, cells: 0x3f, stripe_length: 99 };
        let info = ChunkInfo { key, shape, blocks: 256 };
        vec![
            Record::Put(Located { info, unit: 0x12_3456_789a }),
            Record::Free(key),
            Record::Fence(Writer { id: 8, epoch: 9 }),
        ]
    }

    fn page() -> Page {
        Page {
            kind: PageKind::Batch,
            ends_batch: true,
            generation: 2,
            number: 3,
            session: 4,
            batch: 5,
            sequence: 6,
            previous_crc: 7,
        }
    }

    #[test]
    fn a_page_reads_back_only_for_its_incarnation() {
        let mut block = vec![0; BLOCK_BYTES];
        let crc = page().encode(&Incarnation([1; 16]), &records(), &mut block);
        assert_eq!(Page::decode(&Incarnation([1; 16]), &block), Ok((page(), records(), crc)));
        assert_eq!(Page::decode(&Incarnation([2; 16]), &block), Err(PageError::Damaged));
        for bit in (0..BLOCK_BYTES * 8).step_by(11) {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(Page::decode(&Incarnation([1; 16]), &block).is_err());
            block[bit / 8] ^= 1 << (bit % 8);
        }
        let full = vec![records()[0]; RECORDS_PER_PAGE];
        let mut block = vec![0; BLOCK_BYTES];
        page().encode(&Incarnation([1; 16]), &full, &mut block);
        assert_eq!(Page::decode(&Incarnation([1; 16]), &block).map(|d| d.1), Ok(full));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_bytes_make_decoding_panic(mut block in prop::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            block[..8].copy_from_slice(MAGIC);
            block[8..10].copy_from_slice(&VERSION.to_le_bytes());
            block[10] %= 6;
            block[13] = 0;
            let seal = crc(&Incarnation([0; 16]), &block);
            block[CRC_AT..CRC_AT + 4].copy_from_slice(&seal.to_le_bytes());
            let _ = Page::decode(&Incarnation([0; 16]), &block);
        }
    }
}
