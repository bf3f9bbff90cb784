//! Reserving, freeing and zeroing.

use crate::propose::{TRIES, answer, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use namespace::{Action, Failure, Reply, Space};
use types::{AccessMask, ByteRange, FileId, FsError};
use vfs::{Allocate, AllocateHow, Ctx, OpenId};

pub(crate) async fn allocate<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Allocate,
) -> Result<(), FsError> {
    let Allocate { file, open, range, how } = request;
    may_write(fe, ctx, file, open)?;
    let (space, extend) = match how {
        AllocateHow::Reserve => (Space::Reserve, true),
        AllocateHow::ReserveKeepSize => (Space::Reserve, false),
        AllocateHow::Punch => (Space::Punch, false),
        AllocateHow::Zero => (Space::Zero, true),
        AllocateHow::ZeroKeepSize => (Space::Zero, false),
    };
    if space == Space::Reserve && range.len() > fe.0.stripes.usage().free {
        return Err(FsError::NoSpace);
    }
    let node = fe.0.nodes.get(file);
    let _still = node.gate.write().await;
    let _one = node.flushing.lock().await;
    fe.flush_held(&node).await?;
    let mut left = range;
    for _ in 0..TRIES * 1024 {
        let mut step = left;
        loop {
            let action = Action::Space { ino: file.ino, range: step, space, extend };
            match fe.outcome(ctx.cred.clone(), None, file.fs, action).await? {
                Ok(Reply::Attr { .. }) => break,
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

/// The caller may write the file, through its open or by its rights.
pub(crate) fn may_write<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    file: FileId,
    open: Option<OpenId>,
) -> Result<(), FsError> {
    match open {
        Some(open) if fe.0.opens.of(open, file)?.access.write => Ok(()),
        Some(_) => Err(FsError::BadOpen),
        None => answer(inode::require(&ctx.cred, &fe.inode(file)?, AccessMask::WRITE)),
    }
}
