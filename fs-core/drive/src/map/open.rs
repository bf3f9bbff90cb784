//! Opening a drive's map, also after a power cut.

use super::cells::Copies;
use super::fence::Fences;
use super::tables::{KEYSPACES, Tables};
use super::{MapOpenError, MapOptions, ShardMap};
use crate::directory::Keeper;
use fjall::{Database, Error};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::ShardId;

/// The LSM's floor for all its journals together.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Threads that flush and compact. The engine leaves compaction to all but one of them, and that one asks again and again,
/// without a pause, as long as all others are at it: with two threads it takes a processor during every compaction.
const WORKERS: usize = 4;

/// The maps of all shards of one drive. Clones are handles of the same.
#[derive(Clone)]
pub struct DriveMap {
    copies: Arc<dyn Copies>,
    fences: Arc<Fences>,
}

impl DriveMap {
    /// Opens or creates the map in `dir`. Blocks on the disk.
    ///
    /// # Errors
    /// [`MapOpenError`] says what to look at; nothing was changed then.
    pub fn open(dir: &Path, options: &MapOptions) -> Result<DriveMap, MapOpenError> {
        DriveMap::open_kept(dir, options, None)
    }

    /// [`DriveMap::open`], and keeps the drive as long as anything of its maps is at work.
    pub(crate) fn open_kept(
        dir: &Path,
        options: &MapOptions,
        drive: Option<Arc<Keeper>>,
    ) -> Result<DriveMap, MapOpenError> {
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
        Ok(DriveMap::over(Arc::new(Tables::new(db, dir, options, drive)?)))
    }

    /// The maps that `copies` keeps.
    pub(super) fn over(copies: Arc<dyn Copies>) -> DriveMap {
        DriveMap { copies, fences: Arc::default() }
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
        self.copies.keep_new()?;
        Ok(map)
    }

    /// Deletes every copy of `shard`'s map but `kept`. Its files go with the last handle of it.
    ///
    /// # Errors
    /// [`MapOpenError::Engine`]; what was not deleted is the next time.
    pub fn keep_only(&self, shard: ShardId, kept: Option<&ShardMap>) -> Result<(), MapOpenError> {
        let kept = kept.map(ShardMap::generation);
        let gone = self.generations(shard).into_iter().filter(|generation| Some(*generation) != kept);
        gone.into_iter().try_for_each(|generation| self.copies.delete(shard, generation))
    }

    /// The generations of `shard` that are here.
    fn generations(&self, shard: ShardId) -> Vec<u64> {
        let all = self.copies.all().into_iter();
        all.filter(|(of, _)| *of == shard).map(|(_, generation)| generation).collect()
    }

    fn take(&self, shard: ShardId, generation: u64) -> Result<ShardMap, MapOpenError> {
        let pass = self.fences.pass(shard).ok_or_else(|| {
            MapOpenError::Engine(format!("a write to the map of shard {} does not come to an end", shard.0))
        })?;
        Ok(ShardMap::new(self.copies.open(shard, generation)?, generation, pass))
    }

    /// The shards that have a map here.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        let all: BTreeSet<ShardId> = self.copies.all().into_iter().map(|(of, _)| of).collect();
        all.into_iter().collect()
    }

    /// Bytes on disk, journals included.
    ///
    /// # Errors
    /// [`MapOpenError::Engine`] when the folder cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, MapOpenError> {
        self.copies.disk_bytes()
    }

    /// Whether a write has met an error of the disk, as when the file system was full. Nothing more can be written then before the
    /// map is opened by another process, whatever becomes of the disk.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.copies.has_failed()
    }
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
            .worker_threads(WORKERS)
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

pub(super) fn sync_dir(dir: &Path) -> Result<(), MapOpenError> {
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io(dir))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> MapOpenError + use<> {
    let path: PathBuf = path.to_path_buf();
    move |source| MapOpenError::Io { path, source }
}
