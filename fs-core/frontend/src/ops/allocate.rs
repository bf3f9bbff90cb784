//! Reserving, freeing and zeroing.

use super::may_use::may_use;
use crate::promise::Taking;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::reserved::held;
use namespace::{Action, Failure, Reply, Space};
use types::limits::FILE_BYTES_MAX;
use types::{ByteRange, FileId, FsError};
use vfs::{Allocate, AllocateHow, Ctx, OpenAccess};

/// Extents looked at in one step.
const EXTENTS: usize = 1024;

pub(crate) async fn allocate<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Allocate,
) -> Result<(), FsError> {
    let Allocate { file, open, range, how } = request;
    may_use(fe, ctx, file, open, OpenAccess { read: false, write: true }).await?;
    if range.is_empty() {
        return Err(FsError::Invalid);
    }
    if range.end > FILE_BYTES_MAX {
        return Err(FsError::FileTooLarge);
    }
    let (space, extend) = match how {
        AllocateHow::Reserve => (Space::Reserve, true),
        AllocateHow::ReserveKeepSize => (Space::Reserve, false),
        AllocateHow::Punch => (Space::Punch, false),
        AllocateHow::Zero => (Space::Zero, true),
        AllocateHow::ZeroKeepSize => (Space::Zero, false),
    };
    let node = fe.0.nodes.get(file);
    let _still = node.gate.write().await;
    let _one = node.flushing.lock().await;
    fe.flush_held(&node).await?;
    let _aside = set_aside(fe, file, range, space).await?;
    let reserved = reserve(fe, ctx, file, (range, space, extend)).await;
    // What is reserved counts before what was taken for it is let go.
    let counted = fe.with_ledger(|_| ()).await;
    reserved.and(counted)
}

/// Takes space for what is about to be reserved.
async fn set_aside<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    file: FileId,
    range: ByteRange,
    space: Space,
) -> Result<Option<Taking<'_>>, FsError> {
    if space == Space::Punch {
        return Ok(None);
    }
    let (mut more, mut left) = (0, range);
    while !left.is_empty() {
        let here = fe.unlocked(|| fe.look(|map| held(map, file, left, EXTENTS))).await?;
        let told = ByteRange { offset: left.offset, end: here.told };
        // Zeros take the place of what was written, which may be freed later.
        let has = if space == Space::Zero { here.reserved } else { here.reserved + here.written };
        more += told.len().saturating_sub(has);
        left.offset = here.told;
        tokio::task::yield_now().await;
    }
    if let Some(taking) = fe.room_to_reserve(more) {
        return Ok(Some(taking));
    }
    // Who makes room by writing back would wait for this file: only what has been freed meanwhile is looked for.
    fe.0.stripes.look_at_usage().await;
    fe.with_ledger(|_| ()).await?;
    fe.room_to_reserve(more).map(Some).ok_or(FsError::NoSpace)
}

async fn reserve<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    file: FileId,
    (range, space, extend): (ByteRange, Space, bool),
) -> Result<(), FsError> {
    // Done twice it does no harm.
    let ctx = Ctx { request: None, ..ctx.clone() };
    let mut left = range;
    for _ in 0..TRIES * 1024 {
        let mut step = left;
        loop {
            let action = Action::Space { ino: file.ino, range: step, space, extend };
            match fe.outcome(&ctx, file.fs, action).await? {
                Ok(Reply::Attr { .. }) => {
                    fe.note_change(file);
                    break;
                }
                Ok(reply) => return Err(unexpected(&reply)),
                Err(Failure::Split { at }) if at > step.offset && at < step.end => {
                    step = ByteRange { offset: step.offset, end: at }
                }
                Err(Failure::DrainFirst) => fe.drain(file).await?,
                Err(Failure::Fs(error)) => return Err(error),
                Err(_) => return Err(FsError::Io),
            }
        }
        left.offset = step.end;
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(FsError::Delay)
}
