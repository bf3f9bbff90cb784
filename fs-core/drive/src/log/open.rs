//! Opening and closing a drive's log.

use super::commit::{self, Pressures, QUEUE, Request};
use super::engine::{Files, Store};
use super::giving_way::GivingWay;
use super::shard::ShardLog;
use super::watched::{Failed, Watched};
use super::{LogError, LogOptions};
use crate::headroom::Headroom;
use env::Workers;
use raft_engine::env::{DefaultFileSystem, FileSystem};
use raft_engine::{Config, Engine, ReadableSize, RecoveryMode};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use tokio::sync::{mpsc, oneshot};
use types::ShardId;

/// The log of one drive. Its thread ends when this and all [`ShardLog`]s are gone, or on
/// [`DriveLog::close`].
pub struct DriveLog {
    queue: mpsc::Sender<Request>,
    store: Arc<dyn Store>,
    pressures: Pressures,
}

impl DriveLog {
    /// Opens or creates the log in `dir` and recovers it: a torn tail, never acknowledged, is cut
    /// off. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Open`] says why not; another process may have it.
    pub fn open(dir: &Path, options: LogOptions) -> Result<DriveLog, LogError> {
        DriveLog::open_on(dir, options, Arc::new(DefaultFileSystem))
    }

    /// [`DriveLog::open`]; what it is short of it takes from `headroom`.
    pub(crate) fn open_giving_way(
        dir: &Path,
        options: LogOptions,
        headroom: Headroom,
    ) -> Result<DriveLog, LogError> {
        DriveLog::open_on(dir, options, Arc::new(GivingWay { inner: DefaultFileSystem, headroom }))
    }

    /// [`DriveLog::open`] with the content of files in another file system; their names are in
    /// `dir` all the same, because the engine lists the real one.
    ///
    /// # Errors
    /// As [`DriveLog::open`].
    pub fn open_on<F: FileSystem + 'static>(
        dir: &Path,
        options: LogOptions,
        files: Arc<F>,
    ) -> Result<DriveLog, LogError> {
        let fail = |reason: String| LogError::Open { dir: dir.display().to_string(), reason };
        let config = Config {
            dir: dir.to_str().ok_or_else(|| fail("its path is not UTF-8".to_owned()))?.to_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: 2,
            // Commands are small and data are compressed above, if at all.
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize(options.file_bytes),
            purge_threshold: ReadableSize(options.purge_bytes.max(options.file_bytes)),
            ..Config::default()
        };
        fs::create_dir_all(dir).map_err(|e| fail(e.to_string()))?;
        let failed = Failed::default();
        let watched = Arc::new(Watched::new(files, failed.clone()));
        let engine = catch_unwind(AssertUnwindSafe(|| Engine::open_with_file_system(config, watched)))
            .map_err(|_| fail("the log engine panicked in recovery".to_owned()))?
            .map_err(|e| fail(e.to_string()))?;
        // The engine syncs the folder when it begins a further file, not for the first one.
        for dir in [Some(dir), dir.parent()].into_iter().flatten() {
            sync_dir(dir).map_err(|e| fail(e.to_string()))?;
        }
        if let Some(reason) = failed.reason() {
            return Err(fail(reason));
        }
        let store = Arc::new(Files::new(engine, failed));
        DriveLog::over(store, options, &Workers::default()).map_err(|e| fail(e.to_string()))
    }

    /// The log that `store` keeps.
    pub(super) fn over(
        store: Arc<dyn Store>,
        options: LogOptions,
        workers: &Workers,
    ) -> std::io::Result<DriveLog> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let pressures = Pressures::default();
        workers.start("log", commit::run(store.clone(), receiver, options, pressures.clone()))?;
        Ok(DriveLog { queue, store, pressures })
    }

    /// The log of `shard`, empty when it is new here.
    #[must_use]
    pub fn shard(&self, shard: ShardId) -> ShardLog {
        let mut pressures = self.pressures.lock().unwrap_or_else(PoisonError::into_inner);
        let pressure = pressures.entry(shard).or_default().clone();
        ShardLog { shard, queue: self.queue.clone(), store: self.store.clone(), pressure }
    }

    /// The shards that have a log here.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        self.store.shards()
    }

    /// Bytes of the files in use.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// Finishes what is queued and ends the thread. The files are free for another opening once
    /// the [`ShardLog`]s are gone too.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Request::Close { done }).await.is_ok() {
            let _ = closed.await;
        }
    }
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    // The parent of a relative path of one part is the empty path.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    fs::File::open(dir)?.sync_all()
}
