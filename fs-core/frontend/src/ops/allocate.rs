//! Reserving, freeing and zeroing.

use super::may_use::may_use;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Failure, Reply, Space};
use types::limits::FILE_BYTES_MAX;
use types::{ByteRange, FsError};
use vfs::{Allocate, AllocateHow, Ctx, OpenAccess};

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
    if space == Space::Reserve && range.len() > fe.0.stripes.usage().free {
        return Err(FsError::NoSpace);
    }
    let node = fe.0.nodes.get(file);
    let _still = node.gate.write().await;
    let _one = node.flushing.lock().await;
    fe.flush_held(&node).await?;
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
