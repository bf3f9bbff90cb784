//! Which chunks are on the drive and where: ordered by group, stripe, index.

use crate::chunk::{ChunkInfo, ChunkKey};
use std::collections::BTreeMap;

/// A chunk and the unit of its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Located {
    pub(crate) info: ChunkInfo,
    pub(crate) unit: u64,
}

impl Located {
    /// Units it takes: header and data.
    pub(crate) fn units(&self) -> u64 {
        u64::from(self.info.blocks) + 1
    }
}

/// What the store needs of an index. A paged one on the drive's map can take the place of the one in memory.
pub(crate) trait ChunkIndex: Send {
    fn get(&self, key: &ChunkKey) -> Option<Located>;
    fn insert(&mut self, chunk: Located) -> Option<Located>;
    fn remove(&mut self, key: &ChunkKey) -> Option<Located>;
    /// Up to `limit` chunks from `from` on, in order.
    fn list(&self, from: ChunkKey, limit: usize) -> Vec<Located>;
    fn len(&self) -> usize;
}

/// The index in memory, about 100 bytes a chunk.
#[derive(Default)]
pub(crate) struct MemoryIndex {
    chunks: BTreeMap<ChunkKey, Located>,
}

impl ChunkIndex for MemoryIndex {
    fn get(&self, key: &ChunkKey) -> Option<Located> {
        self.chunks.get(key).copied()
    }

    fn insert(&mut self, chunk: Located) -> Option<Located> {
        self.chunks.insert(chunk.info.key, chunk)
    }

    fn remove(&mut self, key: &ChunkKey) -> Option<Located> {
        self.chunks.remove(key)
    }

    fn list(&self, from: ChunkKey, limit: usize) -> Vec<Located> {
        self.chunks.range(from..).take(limit).map(|(_, located)| *located).collect()
    }

    fn len(&self) -> usize {
        self.chunks.len()
    }
}
