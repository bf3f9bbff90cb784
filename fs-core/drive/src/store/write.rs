//! Writing and freeing chunks.

use super::commit::{Change, Commit, located};
use super::{Shared, WRITERS_MAX, send};
use crate::chunk::{CHUNK_BLOCKS_MAX, ChunkHeader, ChunkInfo, ChunkKey, verify};
use crate::journal::Journal;
use crate::service::{DriveError, FREE_MAX, Purpose, WriteChunk, Writer};
use env::AlignedBuf;
use std::sync::Arc;
use tokio::sync::mpsc;
use types::limits::BLOCK_BYTES;

pub(super) async fn write(
    shared: &Arc<Shared>,
    commits: mpsc::Sender<Commit>,
    write: WriteChunk,
) -> Result<(), DriveError> {
    check(&write)?;
    if let Some(existing) = existing(shared, &write)? {
        return same(shared, &existing, &write).await;
    }
    let blocks = (write.data.len() / BLOCK_BYTES) as u32 + 1;
    let budget = shared.writes.clone().acquire_many_owned(blocks).await.map_err(|_| DriveError::Closed)?;
    let (header, fence) = place(shared, &write)?;
    let shared = shared.clone();
    // A task of its own: what has begun ends, also when the asker gives up.
    let task = tokio::spawn(async move {
        let mut buffer = AlignedBuf::copied(BLOCK_BYTES, &write.data, 0);
        header.encode(&mut buffer);
        let change = Change::Put { header: header.clone(), replace: write.replace, fence };
        if let Err(error) = shared.file.write_at(header.unit * BLOCK_BYTES as u64, buffer).await {
            shared.state.lock().undo(&change);
            return Err(shared.device(error));
        }
        drop(budget);
        send(&commits, change).await
    });
    task.await.map_err(|_| DriveError::Closed)?
}

pub(super) async fn free(
    shared: &Shared,
    commits: &mpsc::Sender<Commit>,
    keys: Vec<ChunkKey>,
    writer: Writer,
) -> Result<(), DriveError> {
    if keys.len() > FREE_MAX {
        return Err(DriveError::Invalid(format!("{} chunks in one request, {FREE_MAX} at most", keys.len())));
    }
    let known = shared.state.lock().hear(writer)?;
    send(commits, Change::Free { keys, fence: (!known).then_some(writer) }).await
}

fn check(write: &WriteChunk) -> Result<(), DriveError> {
    let blocks = write.data.len() / BLOCK_BYTES;
    if !write.data.len().is_multiple_of(BLOCK_BYTES) || !(1..=CHUNK_BLOCKS_MAX).contains(&blocks) {
        return Err(DriveError::Invalid(format!("a chunk of {} bytes", write.data.len())));
    }
    if !write.shape.is_sane(write.key.chunk.index) {
        return Err(DriveError::Invalid(format!("{:?} for index {}", write.shape, write.key.chunk.index)));
    }
    if !verify(write.key.chunk, 0, &write.data, &write.crcs) {
        return Err(DriveError::Corrupt("data and checksums disagree on arrival".into()));
    }
    Ok(())
}

fn info(write: &WriteChunk) -> ChunkInfo {
    ChunkInfo { key: write.key, shape: write.shape, blocks: (write.data.len() / BLOCK_BYTES) as u16 }
}

/// The chunk that already has the name, unless it is to be replaced.
fn existing(shared: &Shared, write: &WriteChunk) -> Result<Option<ChunkInfo>, DriveError> {
    let state = shared.state.lock();
    state.check_fence(write.writer)?;
    if state.writing.contains(&write.key) {
        return Err(DriveError::Busy);
    }
    Ok(state.index.get(&write.key).filter(|_| !write.replace).map(|found| found.info))
}

/// A retry of a write that had its effect is answered well; anything else is a conflict.
async fn same(shared: &Shared, existing: &ChunkInfo, write: &WriteChunk) -> Result<(), DriveError> {
    if *existing != info(write) {
        return Err(DriveError::Conflict);
    }
    let stored = super::read::read(shared, write.key, 0, existing.blocks).await?;
    if stored.crcs == write.crcs { Ok(()) } else { Err(DriveError::Conflict) }
}

/// Takes units and a sequence number.
fn place(shared: &Shared, write: &WriteChunk) -> Result<(Arc<ChunkHeader>, bool), DriveError> {
    let info = info(write);
    let units = u64::from(info.blocks) + 1;
    let mut state = shared.state.lock();
    if state.writing.contains(&write.key) {
        return Err(DriveError::Busy);
    }
    if !write.replace && state.index.get(&write.key).is_some() {
        return Err(DriveError::Busy);
    }
    let known = state.hear(write.writer)?;
    let held_back = match write.purpose {
        Purpose::Ordinary => shared.held_back(),
        Purpose::Promised => shared.held_back() / 2,
        Purpose::Essential => 0,
    };
    let least = units + held_back;
    let live = state.index.len() + state.writing.len() + WRITERS_MAX;
    if state.space.free() < least || live > Journal::capacity(&shared.layout) {
        return Err(DriveError::NoSpace);
    }
    let unit = state.space.take(units).ok_or(DriveError::NoSpace)?;
    state.writing.insert(write.key);
    let sequence = state.sequence;
    state.sequence += 1;
    let header = ChunkHeader {
        info,
        writer: write.writer.id,
        epoch: write.writer.epoch,
        sequence,
        unit,
        incarnation: shared.layout.incarnation,
        crcs: write.crcs.clone(),
    };
    debug_assert_eq!(located(&header).units(), units);
    Ok((Arc::new(header), !known))
}
