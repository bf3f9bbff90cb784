//! Reading the journal after a stop of any kind: which half counts, where it ends, and whether
//! that end is a power cut or damage.

use super::page::{Page, PageError, PageKind};
use super::{BATCH_RECORDS_MAX, Journal, RECORDS_PER_PAGE, Record};
use crate::chunk::ChunkKey;
use crate::index::{ChunkIndex, MemoryIndex};
use crate::superblock::Superblock;
use env::BlockError;
use env::block::SharedBlockFile;
use std::collections::BTreeMap;
use types::limits::BLOCK_BYTES;

/// Pages read at once.
const STRIDE: u64 = 256;
/// How far behind the end a page of a later batch is looked for: it proves that the end is damage.
const LOOK_AHEAD: u64 = 8 * (BATCH_RECORDS_MAX / RECORDS_PER_PAGE) as u64;

/// What the journal says.
pub(crate) struct Recovered {
    pub(crate) journal: Journal,
    pub(crate) index: MemoryIndex,
    pub(crate) fences: BTreeMap<u64, u64>,
    /// Sequence numbers below this have been given to chunks that count.
    pub(crate) sequence: u64,
    /// Chunks put by the last batch, which may not have been durable; empty after a clean close.
    pub(crate) tail: Vec<ChunkKey>,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Device(#[from] BlockError),
    #[error("the index is of format version {0}, which this release does not know")]
    Version(u16),
    /// Neither half can be trusted: the chunks themselves must be read. All generations are at most this.
    #[error("the index is damaged")]
    Damaged { generation: u64 },
}

struct Half {
    number: usize,
    last: Page,
    last_crc: u32,
    complete: bool,
    superseded: bool,
    /// A page of a batch after the next one was found behind the end: pages before it were durable.
    gap: bool,
    index: MemoryIndex,
    fences: BTreeMap<u64, u64>,
    tail: Vec<ChunkKey>,
}

/// Reads both halves and decides.
pub(crate) async fn recover(
    file: &SharedBlockFile,
    layout: &Superblock,
    session: u64,
) -> Result<Recovered, RecoverError> {
    let mut halves = Vec::new();
    for number in 0..2 {
        halves.extend(read_half(file, layout, number).await?);
    }
    halves.sort_by_key(|half| std::cmp::Reverse(half.last.generation));
    let generation = halves.first().map_or(0, |half| half.last.generation);
    let damaged = RecoverError::Damaged { generation };
    let newest_complete = halves.iter().position(|half| half.complete);
    let chosen = match newest_complete {
        // An incomplete newer half is a checkpoint that was cut off, unless the older one says otherwise.
        Some(at) if !halves[at].superseded && !halves[at].gap => halves.swap_remove(at),
        _ => return Err(damaged),
    };
    let journal = Journal {
        file: file.clone(),
        layout: *layout,
        session,
        half: chosen.number,
        generation: chosen.last.generation,
        next_page: chosen.last.number + 1,
        previous_crc: chosen.last_crc,
        // A batch that was cut short is begun again under its number, so that the next number
        // always proves that the one before it was durable.
        batch: if chosen.last.ends_batch { chosen.last.batch } else { chosen.last.batch - 1 },
    };
    Ok(Recovered {
        journal,
        index: chosen.index,
        fences: chosen.fences,
        sequence: chosen.last.sequence,
        tail: chosen.tail,
    })
}

async fn read_half(
    file: &SharedBlockFile,
    layout: &Superblock,
    number: usize,
) -> Result<Option<Half>, RecoverError> {
    let mut half: Option<Half> = None;
    let mut ended_at = None;
    let mut at = 0;
    'pages: while at < layout.journal_units {
        let count = STRIDE.min(layout.journal_units - at);
        let offset = (layout.journal_at(number) + at) * BLOCK_BYTES as u64;
        let bytes = file.read_at(offset, count as usize * BLOCK_BYTES).await?;
        for (block, n) in bytes.chunks_exact(BLOCK_BYTES).zip(at..) {
            let page = match Page::decode(&layout.incarnation, block) {
                Ok(page) => Some(page),
                Err(PageError::Damaged) => None,
                Err(PageError::Version(version)) => return Err(RecoverError::Version(version)),
            };
            if let Some(end) = ended_at {
                let Some(half) = half.as_mut() else { break 'pages };
                // The batch that should come next was durable before the one after it was begun.
                let proof = half.last.batch + if half.last.ends_batch { 2 } else { 1 };
                let later = page
                    .is_some_and(|(page, ..)| page.generation == half.last.generation && page.batch >= proof);
                half.gap |= later;
                if later || n >= end + LOOK_AHEAD {
                    break 'pages;
                }
                continue;
            }
            match page {
                Some((page, records, crc)) if follows(half.as_ref(), &page, n) => {
                    let half = half.get_or_insert_with(|| Half::new(number, page));
                    half.take(page, records, crc);
                }
                _ => ended_at = Some(n),
            }
        }
        at += count;
    }
    Ok(half)
}

fn follows(half: Option<&Half>, page: &Page, number: u64) -> bool {
    let checkpoint = matches!(page.kind, PageKind::Checkpoint | PageKind::CheckpointEnd);
    match half {
        None => page.batch > 0 && page.number == 0 && number == 0 && checkpoint && page.previous_crc == 0,
        Some(half) => {
            page.number == number
                && page.generation == half.last.generation
                && page.previous_crc == half.last_crc
                && page.batch <= half.last.batch + 1
                && page.batch > 0
                && checkpoint != half.complete
                && !half.superseded
        }
    }
}

impl Half {
    fn new(number: usize, first: Page) -> Half {
        Half {
            number,
            last: first,
            last_crc: 0,
            complete: false,
            superseded: false,
            gap: false,
            index: MemoryIndex::default(),
            fences: BTreeMap::new(),
            tail: Vec::new(),
        }
    }

    fn take(&mut self, page: Page, records: Vec<Record>, crc: u32) {
        if page.batch != self.last.batch {
            self.tail.clear();
        }
        for record in records {
            match record {
                Record::Put(chunk) => {
                    self.index.insert(chunk);
                    if page.kind == PageKind::Batch {
                        self.tail.push(chunk.info.key);
                    }
                }
                Record::Free(key) => {
                    self.index.remove(&key);
                }
                Record::Fence(writer) => {
                    let newest = self.fences.entry(writer.id).or_default();
                    *newest = writer.epoch.max(*newest);
                }
            }
        }
        self.complete |= page.kind == PageKind::CheckpointEnd;
        self.superseded |= page.kind == PageKind::Superseded;
        self.last = page;
        self.last_crc = crc;
    }
}
