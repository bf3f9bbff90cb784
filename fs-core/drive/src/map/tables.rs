//! The LSM: each copy is a keyspace of the drive's one database.

use super::cell;
use super::cells::{Cells, Copies, Stored};
use super::shard::{KEY_BYTES_MAX, MARK_KEY};
use super::{MapOpenError, MapOptions};
use crate::directory::Keeper;
use bytes::Bytes;
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use map::{MapError, OrderedMap, Visit, WriteSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use types::ShardId;

/// Names of keyspaces begin so; the number is the version of what is in them. Shard and generation follow.
const KEYSPACE: &str = "shard.3.";

/// The engine's folder of tables.
pub(super) const KEYSPACES: &str = "keyspaces";

/// How long [`Cells::persist`] waits before it calls the drive stuck.
const PERSIST_WAIT: Duration = Duration::from_secs(120);

/// What must be left of the file system for a commit to the journal; an entry is at most a quarter of it.
const COMMIT_BYTES: u64 = 1 << 20;

/// All of a drive's tables.
pub(super) struct Tables {
    // In this order: the lock goes when nothing can write into the drive's folder any more.
    db: Database,
    dir: PathBuf,
    memtable_bytes: u64,
    drive: Option<Arc<Keeper>>,
    failed: Arc<AtomicBool>,
}

/// Shard and generation of a keyspace, from its name.
fn parse(keyspace: &str) -> Option<(ShardId, u64)> {
    let (shard, generation) = keyspace.strip_prefix(KEYSPACE)?.split_once('.')?;
    Some((ShardId(shard.parse().ok()?), generation.parse().ok()?))
}

impl Tables {
    /// Those of the database `db` in `dir`. They keep the drive's lock as long as anything of them is at work:
    /// the engine names its files by path, and would write into those of a later drive in the same folder.
    pub(super) fn new(
        db: Database,
        dir: &Path,
        options: &MapOptions,
        drive: Option<Arc<Keeper>>,
    ) -> Result<Tables, MapOpenError> {
        for name in db.list_keyspace_names() {
            if parse(&name).is_none() {
                return Err(MapOpenError::UnknownFormat(name.to_string()));
            }
        }
        let (memtable_bytes, failed) = (options.memtable_bytes, Arc::default());
        Ok(Tables { db, dir: dir.to_path_buf(), memtable_bytes, drive, failed })
    }

    fn keyspace(&self, shard: ShardId, generation: u64) -> Result<Keyspace, MapOpenError> {
        let bytes = self.memtable_bytes;
        let options =
            || KeyspaceCreateOptions::default().max_memtable_size(bytes).manual_journal_persist(true);
        let opened = self.db.keyspace(&format!("{KEYSPACE}{}.{generation}", shard.0), options);
        opened.map_err(|e| MapOpenError::Engine(e.to_string()))
    }
}

impl Copies for Tables {
    fn all(&self) -> Vec<(ShardId, u64)> {
        self.db.list_keyspace_names().iter().filter_map(|name| parse(name)).collect()
    }

    fn open(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Cells>, MapOpenError> {
        let (db, cells, drive) = (self.db.clone(), self.keyspace(shard, generation)?, self.drive.clone());
        let (memtable_bytes, failed) = (self.memtable_bytes, self.failed.clone());
        Ok(Arc::new(Table { db, cells, memtable_bytes, drive, failed }))
    }

    fn keep_new(&self) -> Result<(), MapOpenError> {
        // The engine syncs what is in the new folder; its entry in the folder above is ours to sync.
        for dir in [self.dir.join(KEYSPACES), self.dir.clone()] {
            super::open::sync_dir(&dir)?;
        }
        Ok(())
    }

    fn delete(&self, shard: ShardId, generation: u64) -> Result<(), MapOpenError> {
        let gone = self.keyspace(shard, generation)?;
        self.db.delete_keyspace(gone).map_err(|e| MapOpenError::Engine(e.to_string()))
    }

    fn disk_bytes(&self) -> Result<u64, MapOpenError> {
        self.db.disk_space().map_err(|e| MapOpenError::Engine(e.to_string()))
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

struct Table {
    // In this order, as in `Tables`.
    db: Database,
    cells: Keyspace,
    memtable_bytes: u64,
    drive: Option<Arc<Keeper>>,
    failed: Arc<AtomicBool>,
}

impl Table {
    /// What came of a write.
    fn noted(&self, written: Result<(), MapError>) -> Result<(), MapError> {
        if written.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        written
    }

    fn write_tables(&self) -> Result<(), MapError> {
        let begun = Instant::now();
        self.leave(self.memtable_bytes);
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

    /// Sees to it that so much can be written: the engine is lost once it has found no space.
    fn leave(&self, bytes: u64) {
        let left = self.drive.as_ref().map(|drive| drive.headroom.leave(bytes));
        if let Some(Err(error)) = left {
            tracing::debug!(%error, "the space for the map is as it is");
        }
    }
}

impl Cells for Table {
    fn commit(&self, changes: &WriteSet, mark: &[u8]) -> Result<(), MapError> {
        self.leave(COMMIT_BYTES);
        let mut batch = self.db.batch();
        for (key, change) in changes.iter() {
            match change {
                Some(value) => batch.insert(&self.cells, key, cell::seal(key, value)),
                None => batch.remove(&self.cells, key),
            }
        }
        batch.insert(&self.cells, MARK_KEY, cell::seal(MARK_KEY, mark));
        self.noted(batch.commit().map_err(engine))
    }

    fn snapshot(&self) -> Box<dyn Stored> {
        Box::new(At { at: self.db.snapshot(), cells: self.cells.clone(), _drive: self.drive.clone() })
    }

    fn persist(&self) -> Result<(), MapError> {
        self.noted(self.write_tables())
    }

    fn disk_bytes(&self) -> u64 {
        self.cells.disk_space()
    }
}

/// A keyspace at one moment.
struct At {
    at: Snapshot,
    cells: Keyspace,
    _drive: Option<Arc<Keeper>>,
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

impl Stored for Table {
    fn mark(&self) -> Result<Option<Bytes>, MapError> {
        value(MARK_KEY, self.cells.get(MARK_KEY).map_err(engine)?)
    }
}

impl OrderedMap for Table {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
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

impl Stored for At {
    fn mark(&self) -> Result<Option<Bytes>, MapError> {
        value(MARK_KEY, self.at.get(&self.cells, MARK_KEY).map_err(engine)?)
    }
}

impl OrderedMap for At {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
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
