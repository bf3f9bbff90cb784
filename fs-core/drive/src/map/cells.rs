//! What a drive's maps are kept in: the LSM, or memory in a simulation.

use super::MapOpenError;
use bytes::Bytes;
use map::{MapError, OrderedMap, WriteSet};
use std::sync::Arc;
use types::ShardId;

/// The copies of shards' maps that one drive has.
pub(super) trait Copies: Send + Sync {
    /// Shard and generation of each.
    fn all(&self) -> Vec<(ShardId, u64)>;

    /// The copy, made anew when there is none.
    fn open(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Cells>, MapOpenError>;

    /// Makes it durable that copies which were made are there.
    fn keep_new(&self) -> Result<(), MapOpenError>;

    /// Deletes a copy. What it takes goes with its last user.
    fn delete(&self, shard: ShardId, generation: u64) -> Result<(), MapOpenError>;

    /// Bytes on disk.
    fn disk_bytes(&self) -> Result<u64, MapOpenError>;

    /// Whether a write has failed, after which none is taken.
    fn has_failed(&self) -> bool;
}

/// Keys of machines, and the host's mark beside them. Never asked for a key that cannot be one of a machine's.
pub(super) trait Stored: OrderedMap + Send + Sync {
    /// The mark that was committed last.
    fn mark(&self) -> Result<Option<Bytes>, MapError>;
}

/// One copy.
pub(super) trait Cells: Stored {
    /// All or nothing, also after a crash.
    fn commit(&self, changes: &WriteSet, mark: &[u8]) -> Result<(), MapError>;

    /// What it has now.
    fn snapshot(&self) -> Box<dyn Stored>;

    /// Makes everything committed so far durable. Blocks on the disk.
    fn persist(&self) -> Result<(), MapError>;

    /// Bytes that it takes.
    fn disk_bytes(&self) -> u64;
}
