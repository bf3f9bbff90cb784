//! Sharing data between files.

use super::may_use::may_use;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Failure, Reply};
use types::FsError;
use types::limits::{BLOCK_BYTES, FILE_BYTES_MAX};
use vfs::{CloneRange, Ctx, OpenAccess};

pub(crate) async fn clone_range<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: CloneRange,
) -> Result<(), FsError> {
    let CloneRange { from, from_open, from_offset, to, to_open, to_offset, length } = request;
    if from.fs != to.fs {
        return Err(FsError::CrossFilesystem);
    }
    may_use(fe, ctx, from, from_open, OpenAccess { read: true, write: false }).await?;
    may_use(fe, ctx, to, to_open, OpenAccess { read: false, write: true }).await?;
    let target = fe.0.nodes.get(to);
    let _still = target.gate.write().await;
    if from != to
        && let Some(source) = fe.0.nodes.find(from)
    {
        fe.flush(&source).await?;
    }
    let _one = target.flushing.lock().await;
    fe.flush_held(&target).await?;
    let size = fe.inode(from).await?.size;
    let length = if length == 0 { size.saturating_sub(from_offset) } else { length };
    let aligned = |at: u64| at.is_multiple_of(BLOCK_BYTES as u64);
    let end = from_offset.checked_add(length).ok_or(FsError::Invalid)?;
    let to_end = to_offset.checked_add(length).ok_or(FsError::Invalid)?;
    let whole = aligned(length) || end == size;
    let overlap = from == to && from_offset < to_end && to_offset < end;
    if !aligned(from_offset) || !aligned(to_offset) || !whole || overlap || end > size {
        return Err(FsError::Invalid);
    }
    if to_end > FILE_BYTES_MAX {
        return Err(FsError::FileTooLarge);
    }
    if length == 0 {
        return Ok(());
    }
    // Done twice it does no harm.
    let ctx = Ctx { request: None, ..ctx.clone() };
    let mut done = 0;
    let mut step = length;
    for _ in 0..TRIES * 1024 {
        let (from_offset, to_offset) = (from_offset + done, to_offset + done);
        let action = Action::CloneRange { from: from.ino, from_offset, to: to.ino, to_offset, length: step };
        match fe.outcome(&ctx, to.fs, action).await? {
            Ok(Reply::Attr { .. }) => {
                fe.note_change(to);
                done += step;
                step = length - done;
                if step == 0 {
                    return Ok(());
                }
            }
            Ok(reply) => return Err(unexpected(&reply)),
            Err(Failure::Split { at }) if at > to_offset && at - to_offset < step => step = at - to_offset,
            Err(Failure::DrainFirst) => {
                fe.drain(from).await?;
                fe.drain(to).await?;
            }
            Err(Failure::Fs(error)) => return Err(error),
            Err(Failure::Moved | Failure::Split { .. }) => return Err(FsError::Io),
        }
    }
    Err(FsError::Delay)
}
