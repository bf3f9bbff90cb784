//! Capacity and counts.

use crate::{Frontend, Room, Shards, Stripes};
use namespace::queries::accounts;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::{FsError, FsId, InodeId, Slot};
use vfs::{Ctx, StatFs, StatFsReply};

/// What the files of a filesystem are in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilesystemUsage {
    /// Inodes.
    pub inodes: u64,
    /// Bytes, before protection.
    pub used: u64,
}

/// A sum over slots, and how long it is good for: summing looks into every slot.
pub(crate) struct Counted {
    /// With bytes on drives.
    usage: BTreeMap<FsId, (FilesystemUsage, u64)>,
    until: Duration,
}

/// Slots looked into in one step.
const SLOTS: usize = 64;
/// A count is kept for at least this long, and for so many times as long as it took.
const KEPT_MIN: Duration = Duration::from_millis(100);
const KEPT_TIMES: u32 = 100;

pub(crate) async fn statfs<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: StatFs,
) -> Result<StatFsReply, FsError> {
    let mut usage = fe.0.stripes.usage();
    if fe.0.stripes.metadata_room() != Room::Ample {
        usage.free = 0;
    }
    let files = fe.usage_of(request.fs).await?.inodes;
    Ok(StatFsReply {
        total: usage.total,
        free: usage.free,
        available: usage.free.saturating_sub(fe.0.dirty_bytes.load(Ordering::Relaxed) + fe.unfolded()),
        files,
        files_free: (1u64 << InodeId::SEQUENCE_BITS).saturating_sub(files),
    })
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Inodes of a filesystem and what they use, as of a moment ago.
    ///
    /// # Errors
    /// [`FsError::Stale`] when there is no such filesystem; those of reading the metadata.
    pub async fn usage_of(&self, fs: FsId) -> Result<FilesystemUsage, FsError> {
        if self.0.removals.of(fs).is_some() {
            return Err(FsError::Stale);
        }
        let (usage, _) = self.counted(fs).await?.ok_or(FsError::Stale)?;
        if usage.inodes > 0 { Ok(usage) } else { Err(FsError::Stale) }
    }

    /// Inodes of a filesystem, and bytes on drives of its stripes, as of a moment ago.
    pub(crate) async fn left_of(&self, fs: FsId) -> Result<(u64, u64), FsError> {
        Ok(self.counted(fs).await?.map_or((0, 0), |(usage, stored)| (usage.inodes, stored)))
    }

    async fn counted(&self, fs: FsId) -> Result<Option<(FilesystemUsage, u64)>, FsError> {
        let mut counted = self.0.counted.lock().await;
        let begin = self.0.clock.monotonic();
        if counted.as_ref().is_none_or(|counted| begin >= counted.until) {
            let mut usage: BTreeMap<FsId, (FilesystemUsage, u64)> = BTreeMap::new();
            let mut from = Some(Slot(0));
            while let Some(slot) = from {
                let (found, next) = self.past(|map| accounts::of_filesystems(map, slot, SLOTS)).await?;
                for (fs, inodes, account) in found {
                    let (sum, stored) =
                        usage.entry(fs).or_insert((FilesystemUsage { inodes: 0, used: 0 }, 0));
                    sum.inodes = sum.inodes.saturating_add(inodes);
                    sum.used = sum.used.saturating_add(account.used);
                    *stored = stored.saturating_add(account.stored).saturating_add(account.garbage_stored);
                }
                from = next;
            }
            let end = self.0.clock.monotonic();
            *counted = Some(Counted { usage, until: end + KEPT_MIN.max((end - begin) * KEPT_TIMES) });
        }
        Ok(counted.as_ref().and_then(|counted| counted.usage.get(&fs)).copied())
    }
}
