//! The durable index: a journal of what was put and freed, in two halves that take turns.
//!
//! A half begins with a checkpoint (all that lives), then come batches, each made durable before
//! the next begins. Pages are written once per generation and chained by checksum, so that what
//! an earlier life left behind cannot be taken for a continuation. The argument for power cuts and
//! rot is in docs/formats/chunks.md.

mod page;
mod recover;

use crate::chunk::ChunkKey;
use crate::index::Located;
use crate::service::Writer;
use crate::superblock::Superblock;
use env::block::SharedBlockFile;
use env::{AlignedBuf, BlockError};
use page::{Page, PageKind};
use types::limits::BLOCK_BYTES;

pub(crate) use page::RECORDS_PER_PAGE;
pub(crate) use recover::{RecoverError, recover};

/// Records of one batch, at most; a half always has room for it after a checkpoint.
pub(crate) const BATCH_RECORDS_MAX: usize = 1536;
/// Pages written by one request.
const PAGES_PER_WRITE: usize = 256;

/// One change of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Record {
    Put(Located),
    Free(ChunkKey),
    Fence(Writer),
}

/// The end of the journal, where the next batch goes.
pub(crate) struct Journal {
    file: SharedBlockFile,
    layout: Superblock,
    session: u64,
    half: usize,
    generation: u64,
    next_page: u64,
    previous_crc: u32,
    batch: u64,
}

impl Journal {
    /// Records that may live: a checkpoint of them leaves a quarter of the half for batches.
    pub(crate) fn capacity(layout: &Superblock) -> usize {
        usize::try_from(layout.journal_units * 3 / 4).unwrap_or(usize::MAX) * RECORDS_PER_PAGE
    }

    /// A journal that has nothing yet; [`Journal::checkpoint`] gives it its first generation.
    /// `generation` is above all that the file may hold.
    pub(crate) fn start(file: SharedBlockFile, layout: Superblock, session: u64, generation: u64) -> Journal {
        Journal { file, layout, session, half: 1, generation, next_page: 0, previous_crc: 0, batch: 0 }
    }

    /// Whether a batch of `records` fits; one page is kept for the note that a half is superseded.
    pub(crate) fn has_room(&self, records: usize) -> bool {
        self.next_page + pages(records) < self.layout.journal_units
    }

    /// Writes a batch and makes it durable, with everything written before. The batch before it must be durable.
    pub(crate) async fn append(&mut self, records: &[Record], sequence: u64) -> Result<(), BlockError> {
        self.batch += 1;
        self.write(PageKind::Batch, PageKind::Batch, records, sequence, Sync::AtTheEnd).await
    }

    /// Says that all batches are durable and nothing is in flight, and makes that durable.
    pub(crate) async fn append_clean(&mut self, sequence: u64) -> Result<(), BlockError> {
        self.batch += 1;
        self.write(PageKind::Clean, PageKind::Clean, &[], sequence, Sync::AtTheEnd).await
    }

    /// Writes all that lives into the other half, makes it durable and goes on there. All batches
    /// so far must be durable.
    pub(crate) async fn checkpoint(&mut self, live: &[Record], sequence: u64) -> Result<(), BlockError> {
        let mut next = Journal {
            file: self.file.clone(),
            half: 1 - self.half,
            generation: self.generation + 1,
            next_page: 0,
            previous_crc: 0,
            batch: self.batch + 1,
            ..*self
        };
        next.write(PageKind::Checkpoint, PageKind::CheckpointEnd, live, sequence, Sync::AtTheEnd).await?;
        if self.next_page > 0 {
            // Durable with the first batch of the new half at the latest: from then on a new half
            // that cannot be read is damage, not a checkpoint that was cut off.
            self.batch += 1;
            self.write(PageKind::Superseded, PageKind::Superseded, &[], sequence, Sync::Later).await?;
            next.batch = self.batch;
        }
        *self = next;
        Ok(())
    }

    async fn write(
        &mut self,
        kind: PageKind,
        last: PageKind,
        records: &[Record],
        sequence: u64,
        sync: Sync,
    ) -> Result<(), BlockError> {
        let total = pages(records.len());
        if self.next_page + total > self.layout.journal_units {
            return Err(BlockError::Io {
                operation: "journal",
                code: 28,
                message: "the index is full".into(),
            });
        }
        let mut parts = records.chunks(RECORDS_PER_PAGE);
        let mut left = total as usize;
        while left > 0 {
            let now = left.min(PAGES_PER_WRITE);
            let mut buffer = AlignedBuf::zeroed(now * BLOCK_BYTES);
            let at = self.layout.journal_at(self.half) + self.next_page;
            for block in buffer.chunks_exact_mut(BLOCK_BYTES) {
                left -= 1;
                let page = Page {
                    kind: if left == 0 { last } else { kind },
                    ends_batch: left == 0,
                    generation: self.generation,
                    number: self.next_page,
                    session: self.session,
                    batch: self.batch,
                    sequence,
                    previous_crc: self.previous_crc,
                };
                self.previous_crc =
                    page.encode(&self.layout.incarnation, parts.next().unwrap_or_default(), block);
                self.next_page += 1;
            }
            let at = at * BLOCK_BYTES as u64;
            match sync {
                Sync::AtTheEnd if left == 0 => self.file.write_synced(at, buffer).await?,
                _ => self.file.write_at(at, buffer).await?,
            }
        }
        Ok(())
    }
}

/// When what is written becomes durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// With the last page.
    AtTheEnd,
    /// With what is synced next.
    Later,
}

fn pages(records: usize) -> u64 {
    records.div_ceil(RECORDS_PER_PAGE).max(1) as u64
}

/// Reads `block` as a page, with its checksum put right.
#[cfg(feature = "fuzz")]
pub(crate) fn decode_page(incarnation: &crate::Incarnation, block: &mut [u8]) {
    page::put_crc(incarnation, block);
    let _ = Page::decode(incarnation, block);
}

/// A page with a record of each kind.
#[cfg(feature = "fuzz")]
pub(crate) fn page_of(incarnation: &crate::Incarnation, chunk: crate::ChunkInfo) -> Vec<u8> {
    let put = Record::Put(Located { info: chunk, unit: 77 });
    let records = [put, Record::Free(chunk.key), Record::Fence(Writer { id: 8, epoch: 9 })];
    let page = Page {
        kind: PageKind::Batch,
        ends_batch: true,
        generation: 1,
        number: 2,
        session: 3,
        batch: 4,
        sequence: 5,
        previous_crc: 6,
    };
    let mut block = vec![0; BLOCK_BYTES];
    page.encode(incarnation, &records, &mut block);
    block
}

#[cfg(test)]
mod tests;
