//! `plexus fsck`: has the independent reader look at this daemon's drives and map while they are in use.

use crate::core::Core;
use admin::{ControlError, ErrorKind, FsckReport};
use data::StripeStore;
use drive::service::LIST_MAX;
use drive::{ChunkKey, ChunkStore, DriveError};
use fsck::{Chunks, Report};
use map::MapError;
use metadata::Shard;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use types::DriveId;

/// How often chunks in doubt are looked at again, and how long after the last time: longer in all than a
/// stripe may take from its first chunk to its commit.
const LOOKS: usize = 30;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Checks, one at a time.
pub(crate) struct Checker(Arc<Parts>);

struct Parts {
    shard: Arc<Shard>,
    store: StripeStore,
    drives: BTreeMap<DriveId, Arc<ChunkStore>>,
    one: Mutex<()>,
}

impl Checker {
    /// Of everything that `core` has open.
    pub(crate) fn new(core: &Core) -> Checker {
        let open = core.drives.iter().filter_map(|drive| Some((drive.id, drive.open.as_ref().ok()?)));
        let drives = open.map(|(id, open)| (id, open.chunks.clone())).collect();
        let (shard, store) = (core.shard.clone(), core.store.clone());
        Checker(Arc::new(Parts { shard, store, drives, one: Mutex::new(()) }))
    }

    /// Checks everything; only what stays wrong on a second look is damage.
    pub(crate) async fn run(&self) -> Result<FsckReport, ControlError> {
        let _one = self.0.one.lock().await;
        let parts = self.0.clone();
        let (mut checked, view) = blocking(move || {
            let chunks = parts.listing();
            let view = parts.view()?;
            Ok((fsck::check(&view, chunks)?, view))
        })
        .await?;
        for _ in 0..LOOKS {
            if !checked.has_doubts() {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let parts = self.0.clone();
            checked = blocking(move || {
                let present = |drive: DriveId, key: ChunkKey| parts.has(drive, key);
                checked.reconsider(present, || parts.view())?;
                Ok(checked)
            })
            .await?;
        }
        let Report { inodes, entries, chunks, damage } = blocking(move || checked.finish(&view)).await?;
        let damage =
            damage.into_iter().map(|d| admin::Damage { kind: d.kind.word().to_owned(), what: d.what }).collect();
        Ok(FsckReport { inodes, entries, chunks, damage })
    }
}

impl Parts {
    fn view(&self) -> Result<metadata::View, MapError> {
        self.shard.view().map_err(|error| MapError(error.to_string()))
    }

    fn has(&self, drive: DriveId, key: ChunkKey) -> bool {
        self.drives.get(&drive).is_some_and(|chunks| chunks.locate(key).is_some())
    }

    /// The chunks of all drives; one that cannot be listed counts as away.
    fn listing(&self) -> Chunks {
        let mut chunks = Chunks::new(self.store.map());
        for (id, drive) in &self.drives {
            match list(*id, drive, &mut chunks) {
                Ok(()) => chunks.listed(*id),
                Err(error) => tracing::warn!(drive = id.0, %error, "chunks not listed"),
            }
        }
        chunks
    }
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
