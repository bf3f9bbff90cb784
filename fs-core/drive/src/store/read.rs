//! Reading blocks of a chunk, verified against its header.

use super::Shared;
use crate::chunk::{ChunkHeader, ChunkKey, verify};
use crate::index::Located;
use crate::service::{ChunkData, DriveError};
use bytes::Bytes;
use env::AlignedBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::limits::BLOCK_BYTES;

/// Up to this block it is cheaper to read from the header on than to read twice.
const NEAR_HEADER: u16 = 16;

/// Reads that are begun again because the chunk was replaced meanwhile.
const RETRIES: usize = 3;

pub(super) async fn read(
    shared: &Shared,
    key: ChunkKey,
    first: u16,
    count: u16,
) -> Result<ChunkData, DriveError> {
    let mut result = read_once(shared, key, first, count).await;
    for _ in 0..RETRIES {
        if result != Err(DriveError::Busy) {
            break;
        }
        result = read_once(shared, key, first, count).await;
    }
    result
}

async fn read_once(shared: &Shared, key: ChunkKey, first: u16, count: u16) -> Result<ChunkData, DriveError> {
    let Some(chunk) = shared.state.lock().index.get(&key) else { return Err(DriveError::NotFound) };
    let end = first.checked_add(count).filter(|&end| count > 0 && end <= chunk.info.blocks);
    let Some(end) = end else {
        return Err(DriveError::Invalid(format!("blocks {first}+{count} of {}", chunk.info.blocks)));
    };
    let blocks = u32::from(end - first) + u32::from(NEAR_HEADER) + 1;
    let budget = shared.reads.acquire_many(blocks).await.map_err(|_| DriveError::Closed)?;
    let result = fetch(shared, &chunk, first, end).await;
    drop(budget);
    if let Err(DriveError::Corrupt(why)) = &result {
        // Freed or replaced while it was read: that is no damage.
        match shared.state.lock().index.get(&key) {
            Some(now) if now == chunk => {}
            Some(_) => return Err(DriveError::Busy),
            None => return Err(DriveError::NotFound),
        }
        shared.corrupt.fetch_add(1, Ordering::Relaxed);
        shared.headers.lock().remove(&key);
        tracing::warn!(drive = shared.layout.drive.0, ?key, why, "damaged chunk");
    }
    result
}

async fn fetch(shared: &Shared, chunk: &Located, first: u16, end: u16) -> Result<ChunkData, DriveError> {
    let cached = shared.headers.lock().get(&chunk.info.key, chunk.unit);
    let blocks = |from: u64, to: u64| {
        let offset = (chunk.unit + from) * BLOCK_BYTES as u64;
        shared.file.read_at(offset, (to - from) as usize * BLOCK_BYTES)
    };
    let (begin, stop) = (u64::from(first) + 1, u64::from(end) + 1);
    let (header, data) = match cached {
        Some(header) => (header, freeze(shared, blocks(begin, stop).await)?),
        None if first < NEAR_HEADER => {
            let all = freeze(shared, blocks(0, stop).await)?;
            (check_header(shared, chunk, &all)?, all.slice(begin as usize * BLOCK_BYTES..))
        }
        None => {
            let (header, data) = tokio::join!(blocks(0, 1), blocks(begin, stop));
            (check_header(shared, chunk, &freeze(shared, header)?)?, freeze(shared, data)?)
        }
    };
    let crcs = header.crcs[usize::from(first)..usize::from(end)].to_vec();
    if !verify(chunk.info.key.chunk, u32::from(first), &data, &crcs) {
        return Err(DriveError::Corrupt("a data block's checksum is wrong".into()));
    }
    Ok(ChunkData { info: chunk.info, data, crcs, verified: true })
}

fn freeze(shared: &Shared, read: Result<AlignedBuf, env::BlockError>) -> Result<Bytes, DriveError> {
    read.map(AlignedBuf::freeze).map_err(|error| shared.device(error))
}

fn check_header(shared: &Shared, chunk: &Located, block: &[u8]) -> Result<Arc<ChunkHeader>, DriveError> {
    let header = ChunkHeader::decode(block).map_err(|error| DriveError::Corrupt(error.to_string()))?;
    let right = header.info == chunk.info
        && header.unit == chunk.unit
        && header.incarnation == shared.layout.incarnation;
    if !right {
        return Err(DriveError::Corrupt("the header is another chunk's".into()));
    }
    let header = Arc::new(header);
    shared.headers.lock().insert(header.clone());
    Ok(header)
}
