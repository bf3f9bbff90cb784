//! Capacity and counts.

use crate::look::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::{FsError, FsId, InodeId};
use vfs::{Ctx, StatFs, StatFsReply};

/// A count of inodes, and how long it is good for: counting looks into every slot.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    fs: FsId,
    files: u64,
    until: Duration,
}

/// A count is kept for at least this long, and for so many times as long as it took.
const KEPT_MIN: Duration = Duration::from_millis(100);
const KEPT_TIMES: u32 = 100;

pub(crate) async fn statfs<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: StatFs,
) -> Result<StatFsReply, FsError> {
    let usage = fe.0.stripes.usage();
    let files = count(fe, request.fs)?;
    Ok(StatFsReply {
        total: usage.total,
        free: usage.free,
        available: usage.free.saturating_sub(fe.0.dirty_bytes.load(Ordering::Relaxed)),
        files,
        files_free: (1u64 << InodeId::SEQUENCE_BITS).saturating_sub(files),
    })
}

fn count<S: Shards, D: Stripes>(fe: &Frontend<S, D>, fs: FsId) -> Result<u64, FsError> {
    let begin = fe.0.clock.monotonic();
    let kept = *fe.0.counted.lock();
    if let Some(kept) = kept.filter(|kept| kept.fs == fs && begin < kept.until) {
        return Ok(kept.files);
    }
    let files = answer(inode::inodes(&fe.past_view(), fs))?;
    if files == 0 {
        return Err(FsError::Stale);
    }
    let end = fe.0.clock.monotonic();
    let until = end + KEPT_MIN.max((end - begin) * KEPT_TIMES);
    *fe.0.counted.lock() = Some(Counted { fs, files, until });
    Ok(files)
}
