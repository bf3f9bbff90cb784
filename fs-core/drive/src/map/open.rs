//! Opening a drive's map, also after a power cut.

use super::fence::Fences;
use super::{MapOpenError, MapOptions, ShardMap};
use env::durable::FileLock;
use fjall::{Database, Error, Keyspace, KeyspaceCreateOptions};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::ShardId;

/// Names of keyspaces begin so; the number is the version of what is in them. Shard and generation follow.
const KEYSPACE: &str = "shard.3.";

/// The engine's folder of tables.
const KEYSPACES: &str = "keyspaces";

/// The LSM's floor for all its journals together.
const JOURNAL_BYTES: u64 = 64 << 20;

/// The maps of all shards of one drive. Clones are handles of the same.
#[derive(Clone)]
pub struct DriveMap {
    db: Database,
    dir: PathBuf,
    memtable_bytes: u64,
    fences: Arc<Fences>,
    lock: Option<Arc<FileLock>>,
}

impl DriveMap {
    /// Opens or creates the map in `dir`. Blocks on the disk.
    ///
    /// # Errors
    /// [`MapOpenError`] says what to look at; nothing was changed then.
    pub fn open(dir: &Path, options: &MapOptions) -> Result<DriveMap, MapOpenError> {
        keep_a_journal(dir)?;
        let db = match attempt(dir, options) {
            Ok(db) => db,
            Err(Failure::Journal(why)) => {
                tracing::warn!(dir = %dir.display(), why, "map journal torn, dropped: the log has its content");
                drop_journals(dir)?;
                attempt(dir, options).map_err(|failure| match failure {
                    Failure::Journal(why) => MapOpenError::Engine(why),
                    Failure::Other(error) => error,
                })?
            }
            Err(Failure::Other(error)) => return Err(error),
        };
        for name in db.list_keyspace_names() {
            if parse(&name).is_none() {
                return Err(MapOpenError::UnknownFormat(name.to_string()));
            }
        }
        let (dir, memtable_bytes) = (dir.to_path_buf(), options.memtable_bytes);
        Ok(DriveMap { db, dir, memtable_bytes, fences: Arc::default(), lock: None })
    }

    /// Keeps the drive's lock as long as anything of its maps is at work: the engine names its files by
    /// path, and would write into those of a later drive in the same folder.
    #[must_use]
    pub(crate) fn with_lock(self, lock: Arc<FileLock>) -> DriveMap {
        DriveMap { lock: Some(lock), ..self }
    }

    /// The copy of `shard`'s map with the highest generation, if there is one. From now on only this handle
    /// and its clones can write to maps of the shard.
    ///
    /// # Errors
    /// [`MapOpenError::Engine`] when it cannot be opened, or a write of a former handle does not come to an end.
    pub fn newest(&self, shard: ShardId) -> Result<Option<ShardMap>, MapOpenError> {
        self.generations(shard).into_iter().max().map(|generation| self.take(shard, generation)).transpose()
    }

    /// A new, empty copy of `shard`'s map, which only this handle and its clones can write to. A generation is never used twice: the engine's journal may still
    /// have what was in the former one, under the same name.
    ///
    /// # Errors
    /// [`MapOpenError::Engine`] when it cannot be created, or when there is one of this or a later generation.
    pub fn create(&self, shard: ShardId, generation: u64) -> Result<ShardMap, MapOpenError> {
        if let Some(last) = self.generations(shard).into_iter().max().filter(|last| *last >= generation) {
            return Err(MapOpenError::Engine(format!("generation {generation} after {last}")));
        }
        let map = self.take(shard, generation)?;
        // The engine syncs what is in the new folder; its entry in the folder above is ours to sync.
        for dir in [self.dir.join(KEYSPACES), self.dir.clone()] {
            sync_dir(&dir)?;
        }
        Ok(map)
    }

    /// Deletes every copy of `shard`'s map but `kept`. Its files go with the last handle of it.
    ///
    /// # Errors
    /// [`MapOpenError::Engine`]; what was not deleted is the next time.
    pub fn keep_only(&self, shard: ShardId, kept: Option<&ShardMap>) -> Result<(), MapOpenError> {
        for generation in self.generations(shard) {
            if kept.is_some_and(|kept| kept.generation() == generation) {
                continue;
            }
            let gone = self.keyspace(shard, generation)?;
            self.db.delete_keyspace(gone).map_err(|e| MapOpenError::Engine(e.to_string()))?;
        }
        Ok(())
    }

    /// The generations of `shard` that are here.
    fn generations(&self, shard: ShardId) -> Vec<u64> {
        let names = self.db.list_keyspace_names();
        let all = names.iter().filter_map(|name| parse(name));
        all.filter(|(of, _)| *of == shard).map(|(_, generation)| generation).collect()
    }

    fn keyspace(&self, shard: ShardId, generation: u64) -> Result<Keyspace, MapOpenError> {
        let bytes = self.memtable_bytes;
        let options =
            || KeyspaceCreateOptions::default().max_memtable_size(bytes).manual_journal_persist(true);
        let opened = self.db.keyspace(&format!("{KEYSPACE}{}.{generation}", shard.0), options);
        opened.map_err(|e| MapOpenError::Engine(e.to_string()))
    }

    fn take(&self, shard: ShardId, generation: u64) -> Result<ShardMap, MapOpenError> {
        let pass = self.fences.pass(shard).ok_or_else(|| {
            MapOpenError::Engine(format!("a write to the map of shard {} does not come to an end", shard.0))
        })?;
        let cells = self.keyspace(shard, generation)?;
        Ok(ShardMap::new(self.db.clone(), cells, generation, pass, self.lock.clone()))
    }

    /// The shards that have a map here.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        let names = self.db.list_keyspace_names();
        let all: BTreeSet<ShardId> = names.iter().filter_map(|name| parse(name)).map(|(of, _)| of).collect();
        all.into_iter().collect()
    }

    /// Bytes on disk, journals included.
    ///
    /// # Errors
    /// [`MapOpenError::Engine`] when the folder cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, MapOpenError> {
        self.db.disk_space().map_err(|e| MapOpenError::Engine(e.to_string()))
    }
}

/// Shard and generation of a keyspace, from its name.
fn parse(keyspace: &str) -> Option<(ShardId, u64)> {
    let (shard, generation) = keyspace.strip_prefix(KEYSPACE)?.split_once('.')?;
    Some((ShardId(shard.parse().ok()?), generation.parse().ok()?))
}

enum Failure {
    Journal(String),
    Other(MapOpenError),
}

fn attempt(dir: &Path, options: &MapOptions) -> Result<Database, Failure> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Database::builder(dir)
            .cache_size(options.cache_bytes)
            .max_cached_files(Some(options.open_files))
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .open()
    }));
    match opened {
        Ok(Ok(db)) => Ok(db),
        // What the engine says of a journal that ends well by length but not by content.
        Ok(Err(e @ (Error::JournalRecovery(_) | Error::Unrecoverable))) => {
            Err(Failure::Journal(e.to_string()))
        }
        Ok(Err(Error::Locked)) => Err(Failure::Other(MapOpenError::InUse(dir.to_path_buf()))),
        Ok(Err(Error::InvalidVersion(version))) => {
            Err(Failure::Other(MapOpenError::UnknownFormat(format!("{version:?}"))))
        }
        Ok(Err(Error::Io(source))) => {
            Err(Failure::Other(MapOpenError::Io { path: dir.to_path_buf(), source }))
        }
        Ok(Err(e)) => Err(Failure::Other(MapOpenError::Engine(e.to_string()))),
        Err(_) => Err(Failure::Journal("the engine panicked in recovery".to_owned())),
    }
}

/// The journals in `dir`, oldest first.
fn journals(dir: &Path) -> Result<Vec<PathBuf>, MapOpenError> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        if path.extension().is_some_and(|e| e == "jnl") {
            let number = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u64>().ok());
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// An engine that finds no journal at all takes the map for new and counts its versions from 0,
/// below those in the tables: what is written then would be hidden by what it replaces.
fn keep_a_journal(dir: &Path) -> Result<(), MapOpenError> {
    if !dir.join(KEYSPACES).exists() || !journals(dir)?.is_empty() {
        return Ok(());
    }
    tracing::warn!(dir = %dir.display(), "the map has no journal: begun anew");
    let path = dir.join("0.jnl");
    fs::File::create(&path).and_then(|file| file.sync_all()).map_err(io(&path))?;
    sync_dir(dir)
}

/// Empties the journals. Nothing that was persisted is in them alone.
fn drop_journals(dir: &Path) -> Result<(), MapOpenError> {
    let mut journals = journals(dir)?;
    let newest = journals.pop();
    for path in journals {
        fs::remove_file(&path).map_err(io(&path))?;
    }
    if let Some(path) = newest {
        let file = fs::OpenOptions::new().write(true).open(&path).map_err(io(&path))?;
        file.set_len(0).and_then(|()| file.sync_all()).map_err(io(&path))?;
    }
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), MapOpenError> {
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io(dir))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> MapOpenError + use<> {
    let path: PathBuf = path.to_path_buf();
    move |source| MapOpenError::Io { path, source }
}
