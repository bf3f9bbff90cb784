//! `plexus fsck`: has the independent reader look at this daemon's drives and map while they are in use.

use crate::drives::Drives;
use crate::shards::OneShard;
use admin::{ControlError, ErrorKind, FsckReport};
use bytes::Bytes;
use drive::service::LIST_MAX;
use drive::{ChunkKey, ChunkStore, DriveError};
use fsck::{Chunks, Report};
use map::{MapError, OrderedMap, Visit};
use metadata::View;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use types::{DriveId, ShardId};

/// How often chunks in doubt are looked at again, and how long after the last time: longer in all than a
/// stripe may take from its first chunk to its commit.
const LOOKS: usize = 30;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Checks, one at a time.
pub(crate) struct Checker {
    parts: Arc<Drives>,
    one: Mutex<()>,
    /// Records that the check under way has read.
    read: Arc<AtomicU64>,
}

impl Checker {
    /// Of everything that is open.
    pub(crate) fn new(parts: Arc<Drives>) -> Checker {
        Checker { parts, one: Mutex::new(()), read: Arc::default() }
    }

    /// Records that the check under way has read, if there is one.
    pub(crate) fn reading(&self) -> Option<u64> {
        // Whoever checks has the other ones.
        (Arc::strong_count(&self.read) > 1).then(|| self.read.load(Ordering::Relaxed))
    }

    /// Checks everything; only what stays wrong on a second look is damage.
    pub(crate) async fn run(&self) -> Result<FsckReport, ControlError> {
        let _one = self.one.lock().await;
        self.read.store(0, Ordering::Relaxed);
        let (parts, read) = (self.parts.clone(), self.read.clone());
        let (mut checked, shards) = blocking(move || {
            let chunks = listing(&parts);
            let shards = snapshot(&parts, &read)?;
            let mut checked = fsck::check(&shards, chunks)?;
            checked.look_at_shards(&shards)?;
            Ok((checked, shards))
        })
        .await?;
        for _ in 0..LOOKS {
            if !checked.has_doubts() {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let (parts, read) = (self.parts.clone(), self.read.clone());
            checked = blocking(move || {
                let present = |drive: DriveId, key: ChunkKey| has(&parts, drive, key);
                checked.reconsider(present, || snapshot(&parts, &read))?;
                Ok(checked)
            })
            .await?;
        }
        let Report { inodes, entries, chunks, removing, damage } =
            blocking(move || checked.finish(&shards)).await?;
        let damage = damage
            .into_iter()
            .map(|d| admin::Damage { kind: d.kind.word().to_owned(), what: d.what })
            .collect();
        Ok(FsckReport { inodes, entries, chunks, removing, damage })
    }
}

/// The map of a shard as it is stored, and what of it was read.
struct Stored(View, Arc<AtomicU64>);

impl Stored {
    fn counted<'a>(&'a self, visit: &'a mut Visit<'_>) -> impl FnMut(&[u8], &[u8]) -> bool + 'a {
        |key, value| {
            self.1.fetch_add(1, Ordering::Relaxed);
            visit(key, value)
        }
    }
}

impl OrderedMap for Stored {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.0.stored().get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.stored().scan(from, to, &mut self.counted(visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.stored().scan_back(from, to, &mut self.counted(visit))
    }
}

/// All shards at one moment. Blocks until transactions under way have ended.
fn snapshot(parts: &Drives, read: &Arc<AtomicU64>) -> Result<fsck::Shards<Stored>, MapError> {
    let away = |error: metadata::MetadataError| MapError::Away(error.to_string());
    let view = |(id, shard): (ShardId, &OneShard)| Ok((id, Stored(shard.view_here()?, read.clone())));
    let still = parts.shards().still(|| parts.shards().members().map(view).collect());
    let stored = tokio::runtime::Handle::current().block_on(still).map_err(away)?;
    fsck::Shards::new(parts.now().recorded.slots.clone(), stored)
}

fn has(parts: &Drives, drive: DriveId, key: ChunkKey) -> bool {
    let now = parts.now();
    let open = now.bay(drive).and_then(|bay| bay.open.as_ref().ok());
    open.is_some_and(|open| open.chunks.locate(key).is_some())
}

/// The chunks of all drives; one that cannot be listed counts as away.
fn listing(parts: &Drives) -> Chunks {
    let mut chunks = Chunks::new(parts.store().map());
    for bay in &parts.now().bays {
        let Ok(open) = &bay.open else { continue };
        match list(bay.drive, &open.chunks, &mut chunks) {
            Ok(()) => chunks.listed(bay.drive),
            Err(error) => tracing::warn!(drive = bay.drive.0, %error, "chunks not listed"),
        }
    }
    chunks
}

fn list(id: DriveId, drive: &ChunkStore, chunks: &mut Chunks) -> Result<(), DriveError> {
    let mut from = Some(ChunkKey::FIRST);
    while let Some(at) = from {
        let listed = drive.list(at, LIST_MAX)?;
        chunks.add(id, &listed);
        from = listed.last().and_then(|last| last.key.next());
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MapError> + Send + 'static,
) -> Result<T, ControlError> {
    let failed = |why: String| ControlError::new(ErrorKind::Failed, format!("fsck: {why}"));
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| failed(error.to_string()))?;
    done.map_err(|error| failed(error.to_string()))
}
