//! Sharing data between files.

use super::allocate::may_write;
use crate::propose::{TRIES, answer, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use namespace::{Action, Failure, Reply};
use types::limits::BLOCK_BYTES;
use types::{AccessMask, FsError};
use vfs::{CloneRange, Ctx};

pub(crate) async fn clone_range<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: CloneRange,
) -> Result<(), FsError> {
    let CloneRange { from, from_open, from_offset, to, to_open, to_offset, length } = request;
    if from.fs != to.fs {
        return Err(FsError::CrossFilesystem);
    }
    match from_open {
        Some(open) if fe.0.opens.of(open, from)?.access.read => {}
        Some(_) => return Err(FsError::BadOpen),
        None => answer(inode::require(&ctx.cred, &fe.inode(from)?, AccessMask::READ))?,
    }
    may_write(fe, ctx, to, to_open)?;
    let target = fe.0.nodes.get(to);
    let _still = target.gate.write().await;
    if from != to
        && let Some(source) = fe.0.nodes.find(from)
    {
        fe.flush(&source).await?;
    }
    fe.flush(&target).await?;
    let size = fe.inode(from)?.size;
    let length = if length == 0 { size.saturating_sub(from_offset) } else { length };
    if length == 0 {
        return if from_offset > size { Err(FsError::Invalid) } else { Ok(()) };
    }
    let mut done = 0;
    let mut step = length;
    for _ in 0..TRIES * 1024 {
        let (from_offset, to_offset) = (from_offset + done, to_offset + done);
        let action = Action::CloneRange { from: from.ino, from_offset, to: to.ino, to_offset, length: step };
        match fe.outcome(ctx.cred.clone(), None, to.fs, action).await? {
            Ok(Reply::Attr { .. }) => {
                done += step;
                step = length - done;
                if step == 0 {
                    return Ok(());
                }
            }
            Ok(reply) => return Err(unexpected(&reply)),
            Err(Failure::Split { at }) => {
                let blocks = at.saturating_sub(to_offset) / BLOCK_BYTES as u64;
                step = blocks.min(step / BLOCK_BYTES as u64 / 2).max(1) * BLOCK_BYTES as u64;
            }
            Err(Failure::DrainFirst) => {
                fe.drain(from).await?;
                fe.drain(to).await?;
            }
            Err(Failure::Fs(error)) => return Err(error),
            Err(Failure::Moved) => return Err(FsError::Io),
        }
    }
    Err(FsError::Delay)
}
