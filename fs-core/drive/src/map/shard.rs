//! One shard's map: reads, the atomic commit, the consistent snapshot.

use super::cell;
use super::fence::Pass;
use bytes::Bytes;
use env::durable::FileLock;
use fjall::{Database, Guard, Keyspace, PersistMode, Readable, Snapshot};
use map::{MapError, OrderedMap, Visit, WriteSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The host's own key: its mark lives beside the content, because only one keyspace is one unit
/// after a power cut. Machines neither see nor write it.
pub const MARK_KEY: &[u8] = &[0];

/// The engine's own limit on a key in bytes.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// How long [`ShardMap::persist`] waits before it calls the drive stuck.
const PERSIST_WAIT: Duration = Duration::from_secs(120);

/// A copy of the map of one shard. Clones are handles of the same; reads see the last commit.
#[derive(Clone)]
pub struct ShardMap {
    // In this order: the lock goes when nothing can write into the drive's folder any more.
    db: Database,
    cells: Keyspace,
    generation: u64,
    pass: Pass,
    lock: Option<Arc<FileLock>>,
}

/// A consistent view of a [`ShardMap`]; later commits do not change it. Keep it short: what it
/// sees is not compacted away.
pub struct MapSnapshot {
    at: Snapshot,
    cells: Keyspace,
    _lock: Option<Arc<FileLock>>,
}

impl ShardMap {
    pub(super) fn new(
        db: Database,
        cells: Keyspace,
        generation: u64,
        pass: Pass,
        lock: Option<Arc<FileLock>>,
    ) -> ShardMap {
        ShardMap { db, cells, generation, pass, lock }
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
        value(MARK_KEY, self.cells.get(MARK_KEY).map_err(engine)?)
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
        let mut batch = self.db.batch();
        for (key, change) in changes.iter() {
            if !is_machines(key) {
                return Err(MapError::Broken(format!("no key of a machine: {}", key.escape_ascii())));
            }
            match change {
                Some(value) => batch.insert(&self.cells, key, cell::seal(key, value)),
                None => batch.remove(&self.cells, key),
            }
        }
        batch.insert(&self.cells, MARK_KEY, cell::seal(MARK_KEY, mark));
        batch.commit().map_err(engine)
    }

    /// The map as it is now.
    #[must_use]
    pub fn snapshot(&self) -> MapSnapshot {
        MapSnapshot { at: self.db.snapshot(), cells: self.cells.clone(), _lock: self.lock.clone() }
    }

    /// Makes everything committed so far durable, as synced tables. Blocks on the disk.
    ///
    /// # Errors
    /// [`MapError`]: it is not known to be durable.
    pub fn persist(&self) -> Result<(), MapError> {
        let begun = Instant::now();
        self.cells.rotate_memtable().map_err(engine)?;
        while self.cells.sealed_memtable_count() > 0 {
            // Also tells whether the engine gave up after an error of the disk.
            self.db.persist(PersistMode::Buffer).map_err(engine)?;
            if begun.elapsed() > PERSIST_WAIT {
                return Err(MapError::Broken("writing tables does not come to an end".to_owned()));
            }
            // The engine has no call that waits without the danger of waiting for ever.
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Bytes of the tables of this shard.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.cells.disk_space()
    }
}

impl MapSnapshot {
    /// [`ShardMap::mark`] as it was then.
    ///
    /// # Errors
    /// [`MapError`] when it cannot be read or has a wrong checksum.
    pub fn mark(&self) -> Result<Option<Bytes>, MapError> {
        value(MARK_KEY, self.at.get(&self.cells, MARK_KEY).map_err(engine)?)
    }
}

/// Whether `key` can be one of a machine's: the engine panics at an empty one and at a longer one.
fn is_machines(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_MAX && key != MARK_KEY
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The range `from..to` in bounds that the engine can take; none where no key can be.
fn range<'a>(from: &'a [u8], to: &'a [u8]) -> Option<Bounds<'a>> {
    // Of all keys, only the cut bound itself lies between it and the bound that was too long.
    let cut = |key: &'a [u8]| (&key[..key.len().min(KEY_BYTES_MAX)], key.len() > KEY_BYTES_MAX);
    let ((first, beyond_first), (last, with_last)) = (cut(from), cut(to));
    let lower = if beyond_first { Bound::Excluded(first) } else { Bound::Included(first) };
    let upper = if with_last { Bound::Included(last) } else { Bound::Excluded(last) };
    let is_empty = from >= to || (first == last && beyond_first);
    (!is_empty).then_some((lower, upper))
}

fn engine(error: fjall::Error) -> MapError {
    MapError::Broken(error.to_string())
}

fn value(key: &[u8], found: Option<fjall::UserValue>) -> Result<Option<Bytes>, MapError> {
    found.map(|c| cell::open(key, &c).map(Bytes::copy_from_slice)).transpose()
}

fn walk(cells: impl Iterator<Item = Guard>, visit: &mut Visit<'_>) -> Result<(), MapError> {
    for guard in cells {
        let (key, stored) = guard.into_inner().map_err(engine)?;
        if *key != *MARK_KEY && !visit(&key, cell::open(&key, &stored)?) {
            break;
        }
    }
    Ok(())
}

impl OrderedMap for ShardMap {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        if !is_machines(key) {
            return Ok(None);
        }
        value(key, self.cells.get(key).map_err(engine)?)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        let Some(range) = range(from, to) else { return Ok(()) };
        walk(self.cells.range::<&[u8], _>(range), visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        let Some(range) = range(from, to) else { return Ok(()) };
        walk(self.cells.range::<&[u8], _>(range).rev(), visit)
    }
}

impl OrderedMap for MapSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        if !is_machines(key) {
            return Ok(None);
        }
        value(key, self.at.get(&self.cells, key).map_err(engine)?)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        let Some(range) = range(from, to) else { return Ok(()) };
        walk(self.at.range::<&[u8], _>(&self.cells, range), visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        let Some(range) = range(from, to) else { return Ok(()) };
        walk(self.at.range::<&[u8], _>(&self.cells, range).rev(), visit)
    }
}
