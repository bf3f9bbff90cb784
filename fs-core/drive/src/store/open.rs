//! Making and opening a chunk store; recovery after a stop of any kind.

use super::{BLOCKS_IN_FLIGHT, COMMIT_QUEUE, ChunkStore, Fence, HeaderCache, Shared, State, commit, read};
use crate::chunk::{ChunkKey, Incarnation};
use crate::index::{ChunkIndex, MemoryIndex};
use crate::journal::{Journal, Record, RecoverError, recover};
use crate::scan::scan;
use crate::service::DriveError;
use crate::space::FreeSpace;
use crate::superblock::{COPIES, FILE_BYTES_MIN, Superblock};
use env::block::SharedBlockFile;
use env::{AlignedBuf, Random};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{Semaphore, mpsc};
use types::DriveId;
use types::limits::BLOCK_BYTES;

/// Numbers skipped at each open: chunks that were in flight may carry them.
const SEQUENCE_SKIP: u64 = 1 << 20;
/// Generations skipped after damage: pages that could not be read may carry them.
const GENERATION_SKIP: u64 = 1 << 32;

struct Recovered {
    journal: Journal,
    index: MemoryIndex,
    fences: BTreeMap<u64, u64>,
    sequence: u64,
    tail: Vec<ChunkKey>,
    /// The journal must begin anew with a checkpoint.
    rebuilt: bool,
}

impl ChunkStore {
    /// Makes an empty store in a new file of zeros; durable on return. What the file held is lost.
    ///
    /// # Errors
    /// `Invalid` for a file under 8 MiB, `Failed` with the device's words.
    pub async fn format(
        file: &SharedBlockFile,
        drive: DriveId,
        incarnation: Incarnation,
        random: &dyn Random,
    ) -> Result<(), DriveError> {
        if file.len() < FILE_BYTES_MIN || file.len() / BLOCK_BYTES as u64 > u64::from(u32::MAX) * 64 {
            return Err(DriveError::Invalid(format!(
                "a drive of {} bytes: at least {FILE_BYTES_MIN}",
                file.len()
            )));
        }
        let layout = Superblock::plan(drive, incarnation, file.len());
        let mut journal = Journal::start(file.clone(), layout, random.next(), 0);
        journal.checkpoint(&[], 0).await?;
        for copy in 0..COPIES {
            let block = AlignedBuf::padded_copy(&layout.encode());
            file.write_at(copy * BLOCK_BYTES as u64, block).await?;
        }
        file.sync().await?;
        Ok(())
    }

    /// Opens a store: replays the journal, checks what was in flight, and rebuilds the index from
    /// the chunks when it is damaged.
    ///
    /// # Errors
    /// `Invalid` when the file is no store of this release, `Failed` with the device's words.
    pub async fn open(file: SharedBlockFile, random: &dyn Random) -> Result<ChunkStore, DriveError> {
        let layout = superblock(&file).await?;
        let mut recovered = replay(&file, &layout, random.next()).await?;
        let space = match free_space(&layout, &recovered.index) {
            Some(space) => space,
            None => {
                tracing::error!(drive = layout.drive.0, "the index names overlapping chunks");
                recovered = rebuild(&file, &layout, random.next(), GENERATION_SKIP).await?;
                free_space(&layout, &recovered.index)
                    .ok_or_else(|| DriveError::Failed("chunks overlap after a rebuild".into()))?
            }
        };
        let Recovered { mut journal, index, fences, sequence, tail, rebuilt } = recovered;
        let state = State {
            index: Box::new(index),
            space,
            writing: HashSet::new(),
            fences: fences.into_iter().map(|(id, epoch)| (id, Fence { epoch, durable: true })).collect(),
            sequence: sequence + SEQUENCE_SKIP,
            failed: None,
        };
        let shared = Arc::new(Shared {
            file,
            layout,
            state: Mutex::new(state),
            headers: Mutex::new(HeaderCache::default()),
            corrupt: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            reads: Semaphore::new(BLOCKS_IN_FLIGHT),
            writes: Arc::new(Semaphore::new(BLOCKS_IN_FLIGHT)),
            lock: Mutex::new(None),
        });
        drop_torn(&shared, &mut journal, &tail, rebuilt).await?;
        let (commits, queue) = mpsc::channel(COMMIT_QUEUE);
        let committer = tokio::spawn(commit::run(shared.clone(), journal, queue));
        Ok(ChunkStore { shared, commits: Mutex::new(Some(commits)), committer: Mutex::new(Some(committer)) })
    }
}

async fn superblock(file: &SharedBlockFile) -> Result<Superblock, DriveError> {
    let mut why = String::new();
    for copy in 0..COPIES {
        match file.read_at(copy * BLOCK_BYTES as u64, BLOCK_BYTES).await {
            Ok(block) => match Superblock::decode(&block, file.len()) {
                Ok(layout) => return Ok(layout),
                Err(error) => why = error,
            },
            Err(error) => why = error.to_string(),
        }
    }
    Err(DriveError::Invalid(why))
}

async fn replay(file: &SharedBlockFile, layout: &Superblock, session: u64) -> Result<Recovered, DriveError> {
    match recover(file, layout, session).await {
        Ok(found) => Ok(Recovered {
            journal: found.journal,
            index: found.index,
            fences: found.fences,
            sequence: found.sequence,
            tail: found.tail,
            rebuilt: false,
        }),
        Err(RecoverError::Damaged { generation }) => {
            tracing::error!(drive = layout.drive.0, "the index is damaged: reading all chunks");
            rebuild(file, layout, session, generation + GENERATION_SKIP).await
        }
        Err(RecoverError::Device(error)) => Err(error.into()),
        Err(error @ RecoverError::Version(_)) => Err(DriveError::Invalid(error.to_string())),
    }
}

async fn rebuild(
    file: &SharedBlockFile,
    layout: &Superblock,
    session: u64,
    generation: u64,
) -> Result<Recovered, DriveError> {
    let scanned = scan(file, layout).await?;
    Ok(Recovered {
        journal: Journal::start(file.clone(), *layout, session, generation),
        index: scanned.index,
        fences: scanned.fences,
        sequence: scanned.sequence,
        tail: Vec::new(),
        rebuilt: true,
    })
}

/// What no chunk takes; `None` when chunks overlap or lie outside.
fn free_space(layout: &Superblock, index: &MemoryIndex) -> Option<FreeSpace> {
    let mut runs: Vec<(u64, u64)> =
        index.list(ChunkKey::FIRST, usize::MAX).iter().map(|c| (c.unit, c.units())).collect();
    runs.sort_unstable();
    let mut space = FreeSpace::default();
    let mut at = layout.data_at();
    for (unit, units) in runs {
        if unit < at || unit + units > layout.units {
            return None;
        }
        if unit > at {
            space.give(at, unit - at);
        }
        at = unit + units;
    }
    if at < layout.units {
        space.give(at, layout.units - at);
    }
    Some(space)
}

/// Chunks of the last batch count only if they are whole: the cut may have come before their data.
/// None of them that is torn was acknowledged.
async fn drop_torn(
    shared: &Arc<Shared>,
    journal: &mut Journal,
    tail: &[ChunkKey],
    rebuilt: bool,
) -> Result<(), DriveError> {
    let mut torn = Vec::new();
    for key in tail {
        let Some(chunk) = shared.state.lock().index.get(key) else { continue };
        match read::read(shared, *key, 0, chunk.info.blocks).await {
            Ok(_) | Err(DriveError::NotFound) => {}
            Err(DriveError::Corrupt(_)) => torn.push(*key),
            // What cannot be read now is not judged.
            Err(error) => tracing::warn!(drive = shared.layout.drive.0, ?key, %error, "unreadable at open"),
        }
    }
    shared.corrupt.store(0, std::sync::atomic::Ordering::Relaxed);
    let (records, live, sequence) = {
        let mut state = shared.state.lock();
        for key in &torn {
            if let Some(old) = state.index.remove(key) {
                state.release(&old);
            }
        }
        (torn.into_iter().map(Record::Free).collect::<Vec<_>>(), commit::live_records(&state), state.sequence)
    };
    if rebuilt || !(records.is_empty() || journal.has_room(records.len())) {
        journal.checkpoint(&live, sequence).await?;
    } else if !records.is_empty() {
        journal.append(&records, sequence).await?;
    }
    Ok(())
}
