//! The applied map of the shards of one drive: an LSM behind [`map::OrderedMap`].
//!
//! Nothing here is synced on the path: what a power cut takes is applied again from the log.
//! [`ShardMap::persist`] is the only promise: what was committed before it is in tables, synced.
//! The LSM's journal is a convenience after a mere process crash; a journal that a power cut has
//! torn is dropped, never interpreted.

mod cell;
mod cells;
mod fence;
mod open;
mod shard;
pub mod sim;
mod tables;
#[cfg(test)]
mod tests;

pub use open::DriveMap;
pub use shard::{MARK_KEY, MapSnapshot, ShardMap};

/// Budgets of a drive's map.
#[derive(Clone, Copy, Debug)]
pub struct MapOptions {
    /// Bytes of the block cache that all shards of the drive share.
    pub cache_bytes: u64,
    /// Bytes that one shard gathers in memory before they go to a table.
    pub memtable_bytes: u64,
    /// Files kept open.
    pub open_files: usize,
}

impl Default for MapOptions {
    fn default() -> MapOptions {
        MapOptions { cache_bytes: 64 << 20, memtable_bytes: 8 << 20, open_files: 512 }
    }
}

/// The drive's map could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MapOpenError {
    /// Another process has it.
    #[error("the map in {0} is in use by another process")]
    InUse(std::path::PathBuf),
    /// The directory holds a format that this version does not know.
    #[error("the map holds {0:?}, a format this version does not know")]
    UnknownFormat(String),
    /// The folder cannot be read or written.
    #[error("the map in {path}: {source}")]
    Io {
        /// Where.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The engine refused.
    #[error("the map's engine: {0}")]
    Engine(String),
}
