//! Byte-range and whole-file locks.

use crate::{Frontend, Shards, Stripes};
use locking::Holds;
use types::FsError;
use vfs::{Ctx, Lock, LockKind, ReleaseOwner, TestLock, TestLockReply};

pub(crate) async fn lock<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Lock,
) -> Result<(), FsError> {
    if let Some(open) = request.open {
        fe.0.opens.of(open, request.file)?;
    } else {
        fe.inode(request.file).await?;
    }
    if request.kind != LockKind::Unlock {
        fe.0.clients.may_lock(request.owner.client, request.reclaim)?;
        fe.note_holds(request.owner.client, Holds::LOCK).await?;
    }
    fe.0.locks.lock(&request).await
}

pub(crate) async fn test_lock<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: TestLock,
) -> Result<TestLockReply, FsError> {
    fe.inode(request.file).await?;
    fe.0.clients.may_lock(request.owner.client, false)?;
    Ok(TestLockReply { conflict: fe.0.locks.test(&request) })
}

pub(crate) async fn release_owner<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: ReleaseOwner,
) -> Result<(), FsError> {
    fe.0.locks.release_owner(request.file, request.owner);
    Ok(())
}
