//! The first blocks of `chunks`: what the file is, and where its parts begin. Written once.

use crate::chunk::{Incarnation, crc_without, get};
use types::DriveId;
use types::limits::BLOCK_BYTES;

const MAGIC: &[u8; 8] = b"PLXDRIVE";
const VERSION: u16 = 1;
pub(crate) const CRC_AT: usize = 64;
/// Copies, one a block, at the start of the file.
pub(crate) const COPIES: u64 = 2;
/// Smallest file: room for a few chunks of full size.
pub(crate) const FILE_BYTES_MIN: u64 = 8 << 20;
/// Part of the file that each half of the journal takes.
const JOURNAL_SHARE: u64 = 128;
const JOURNAL_PAGES_MIN: u64 = 64;

/// The layout of a `chunks` file, in units of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Superblock {
    pub(crate) drive: DriveId,
    pub(crate) incarnation: Incarnation,
    pub(crate) units: u64,
    /// Units of each of the journal's two halves; the first begins behind the copies.
    pub(crate) journal_units: u64,
}

impl Superblock {
    /// The layout for a file of `length` bytes.
    pub(crate) fn plan(drive: DriveId, incarnation: Incarnation, length: u64) -> Superblock {
        let units = length / BLOCK_BYTES as u64;
        let journal_units = (units / JOURNAL_SHARE).max(JOURNAL_PAGES_MIN);
        Superblock { drive, incarnation, units, journal_units }
    }

    /// First unit of half 0 or 1 of the journal.
    pub(crate) fn journal_at(&self, half: usize) -> u64 {
        COPIES + half as u64 * self.journal_units
    }

    /// First unit that chunks may use; they go up to `units`.
    pub(crate) fn data_at(&self) -> u64 {
        COPIES + 2 * self.journal_units
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; BLOCK_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.drive.0.to_le_bytes());
        out[16..32].copy_from_slice(&self.incarnation.0);
        out[32..40].copy_from_slice(&self.units.to_le_bytes());
        out[40..48].copy_from_slice(&self.journal_units.to_le_bytes());
        let crc = crc_without(&out, CRC_AT);
        out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads one copy; an error says in words what is wrong.
    pub(crate) fn decode(block: &[u8], length: u64) -> Result<Superblock, String> {
        if block.len() != BLOCK_BYTES || &block[..8] != MAGIC {
            return Err("not a chunks file of a Plexus drive".into());
        }
        if u32::from_le_bytes(get(block, CRC_AT)) != crc_without(block, CRC_AT) {
            return Err("the superblock's checksum is wrong".into());
        }
        let version = u16::from_le_bytes(get(block, 8));
        if version != VERSION {
            return Err(format!("format version {version}, this release knows {VERSION}"));
        }
        let found = Superblock {
            drive: DriveId(u32::from_le_bytes(get(block, 12))),
            incarnation: Incarnation(get(block, 16)),
            units: u64::from_le_bytes(get(block, 32)),
            journal_units: u64::from_le_bytes(get(block, 40)),
        };
        let planned = Superblock::plan(found.drive, found.incarnation, length);
        if found == planned && length >= FILE_BYTES_MIN {
            Ok(found)
        } else {
            Err(format!("the file has {length} bytes, the superblock speaks of {} units", found.units))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_reads_back_and_refuses_what_is_not_its_own() {
        let length = 64 << 20;
        let plan = Superblock::plan(DriveId(4), Incarnation([9; 16]), length);
        assert_eq!((plan.units, plan.journal_units, plan.data_at()), (16384, 128, 258));
        let block = plan.encode();
        assert_eq!(Superblock::decode(&block, length), Ok(plan));
        assert!(Superblock::decode(&block, length * 2).is_err());
        assert!(Superblock::decode(&[0; BLOCK_BYTES], length).is_err());
        assert!(Superblock::decode(&[], length).is_err());
        for byte in 0..68 {
            let mut flipped = block.clone();
            flipped[byte] ^= 4;
            assert!(Superblock::decode(&flipped, length).is_err(), "byte {byte}");
        }
    }
}
