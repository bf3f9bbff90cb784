//! One shard's map: reads, the atomic commit, the consistent snapshot.

use super::cells::{Cells, Stored};
use super::fence::Pass;
use bytes::Bytes;
use map::{MapError, OrderedMap, Visit, WriteSet};
use std::sync::Arc;

/// The host's own key: its mark lives beside the content, because only one keyspace is one unit
/// after a power cut. Machines neither see nor write it.
pub const MARK_KEY: &[u8] = &[0];

/// The engine's own limit on a key in bytes.
pub(super) const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// A copy of the map of one shard. Clones are handles of the same; reads see the last commit.
#[derive(Clone)]
pub struct ShardMap {
    cells: Arc<dyn Cells>,
    generation: u64,
    pass: Pass,
}

/// A consistent view of a [`ShardMap`]; later commits do not change it. Keep it short: what it
/// sees is not compacted away.
pub struct MapSnapshot(Box<dyn Stored>);

impl ShardMap {
    pub(super) fn new(cells: Arc<dyn Cells>, generation: u64, pass: Pass) -> ShardMap {
        ShardMap { cells, generation, pass }
    }

    /// Which of the copies that this drive has had.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the last [`ShardMap::commit`] gave as mark; none in a copy that nothing was ever committed to.
    ///
    /// # Errors
    /// [`MapError`] when it cannot be read or has a wrong checksum.
    pub fn mark(&self) -> Result<Option<Bytes>, MapError> {
        self.cells.mark()
    }

    /// Applies `changes` and sets the mark, all or nothing, visible to every read and snapshot
    /// that begins after it returns. Survives a crash only as a whole, and only once persisted.
    ///
    /// # Errors
    /// [`MapError`]: nothing was changed, and after an error of the disk, or when the map was opened again
    /// since, no later commit is taken.
    pub fn commit(&self, changes: &WriteSet, mark: &[u8]) -> Result<(), MapError> {
        let Some(_alone) = self.pass.hold() else {
            return Err(MapError::Broken("it was opened by another since".to_owned()));
        };
        if let Some((key, _)) = changes.iter().find(|(key, _)| !is_machines(key)) {
            return Err(MapError::Broken(format!("no key of a machine: {}", key.escape_ascii())));
        }
        self.cells.commit(changes, mark)
    }

    /// The map as it is now.
    #[must_use]
    pub fn snapshot(&self) -> MapSnapshot {
        MapSnapshot(self.cells.snapshot())
    }

    /// Makes everything committed so far durable, as synced tables. Blocks on the disk.
    ///
    /// # Errors
    /// [`MapError`]: it is not known to be durable.
    pub fn persist(&self) -> Result<(), MapError> {
        self.cells.persist()
    }

    /// Bytes of the tables of this shard.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.cells.disk_bytes()
    }
}

impl MapSnapshot {
    /// [`ShardMap::mark`] as it was then.
    ///
    /// # Errors
    /// [`MapError`] when it cannot be read or has a wrong checksum.
    pub fn mark(&self) -> Result<Option<Bytes>, MapError> {
        self.0.mark()
    }
}

/// Whether `key` can be one of a machine's: the engine panics at an empty one and at a longer one.
fn is_machines(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_MAX && key != MARK_KEY
}

impl OrderedMap for ShardMap {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        if is_machines(key) { self.cells.get(key) } else { Ok(None) }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.cells.scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.cells.scan_back(from, to, visit)
    }
}

impl OrderedMap for MapSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        if is_machines(key) { self.0.get(key) } else { Ok(None) }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.scan_back(from, to, visit)
    }
}
