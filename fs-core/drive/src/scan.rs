//! The last resort: when the index is damaged, every unit is read and the chunks' own headers say
//! what is on the drive.

use crate::chunk::{ChunkHeader, HeaderError, get};
use crate::index::{ChunkIndex, Located, MemoryIndex};
use crate::space::FreeSpace;
use crate::superblock::Superblock;
use env::BlockError;
use env::block::SharedBlockFile;
use std::collections::BTreeMap;
use types::limits::BLOCK_BYTES;

const STRIDE: u64 = 1024;

/// What the headers say. Freed chunks whose place was not used again are among them: the drive does
/// not decide what lives, metadata does.
pub(crate) struct Scanned {
    pub(crate) index: MemoryIndex,
    pub(crate) fences: BTreeMap<u64, u64>,
    /// Above every sequence number found.
    pub(crate) sequence: u64,
}

/// Reads the whole data area.
pub(crate) async fn scan(file: &SharedBlockFile, layout: &Superblock) -> Result<Scanned, BlockError> {
    let mut found: Vec<(u64, Located)> = Vec::new();
    let mut fences = BTreeMap::new();
    let mut at = layout.data_at();
    while at < layout.units {
        let count = STRIDE.min(layout.units - at);
        let bytes = file.read_at(at * BLOCK_BYTES as u64, count as usize * BLOCK_BYTES).await?;
        for (block, unit) in bytes.chunks_exact(BLOCK_BYTES).zip(at..) {
            let header = match ChunkHeader::decode(block) {
                Ok(header) => header,
                Err(HeaderError::Absent | HeaderError::Damaged) => continue,
                Err(HeaderError::Version(version)) => {
                    // Its place must not be given away by a release that cannot read it.
                    let ours: [u8; 16] = get(block, 72);
                    if ours == layout.incarnation.0 {
                        let message = format!("a chunk of format version {version}");
                        return Err(BlockError::Io { operation: "scan", code: 0, message });
                    }
                    continue;
                }
            };
            let located = Located { info: header.info, unit };
            let ours = header.incarnation == layout.incarnation && header.unit == unit;
            if ours && unit + located.units() <= layout.units {
                let newest: &mut u64 = fences.entry(header.writer).or_default();
                *newest = header.epoch.max(*newest);
                found.push((header.sequence, located));
            }
        }
        at += count;
    }
    // The newest chunk of a name or of a place wins.
    found.sort_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
    let sequence = found.first().map_or(0, |(sequence, _)| sequence + 1);
    let mut index = MemoryIndex::default();
    let mut claimed = FreeSpace::default();
    for (_, located) in found {
        if index.get(&located.info.key).is_none() && claimed.give(located.unit, located.units()) {
            index.insert(located);
        }
    }
    Ok(Scanned { index, fences, sequence })
}
