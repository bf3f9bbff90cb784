//! Requests about locks.

use crate::caller;
use crate::head::{Head, NONSENSE};
use crate::status;
use fuser::{FileHandle, INodeNo, LockOwner, ReplyEmpty, ReplyLock, Request};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use types::{ByteRange, FsError};
use vfs::{Ctx, FsResult, Lock, LockKind, LockSpace, OpenId, TestLock, Vfs};

/// Values of `l_type` in struct flock (fcntl(2)), the same on all architectures of Linux that we build for.
const F_RDLCK: i32 = 0;
const F_WRLCK: i32 = 1;
const F_UNLCK: i32 = 2;
/// The last byte that a lock can cover; the kernel sends it for "to the end".
const OFFSET_MAX: u64 = i64::MAX as u64;
/// How often a waiting lock looks for signals of its caller.
const LOOK: Duration = Duration::from_millis(100);
/// Looks after which a caller whose signals nobody can see is sent back with EINTR.
const BLIND_LOOKS: u32 = 300;

impl<V: Vfs> Head<V> {
    pub(crate) fn owner(&self, owner: LockOwner) -> vfs::LockOwner {
        vfs::LockOwner { client: self.options.client, owner: owner.0 }
    }
}

fn kind(kind: i32) -> FsResult<LockKind> {
    match kind {
        F_RDLCK => Ok(LockKind::Shared),
        F_WRLCK => Ok(LockKind::Exclusive),
        F_UNLCK => Ok(LockKind::Unlock),
        _ => Err(NONSENSE),
    }
}

/// From the kernel's first and last byte.
fn range((start, end): (u64, u64)) -> ByteRange {
    ByteRange { offset: start, end: if end >= OFFSET_MAX { u64::MAX } else { end + 1 } }
}

fn space(request: &Request, range: ByteRange) -> LockSpace {
    let whole = range == ByteRange { offset: 0, end: u64::MAX };
    if whole && caller::is_in_flock(request.pid()) { LockSpace::Flock } else { LockSpace::Range }
}

pub(crate) fn test<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    owner: LockOwner,
    bytes: (u64, u64),
    asked: i32,
    reply: ReplyLock,
) {
    let (ctx, file, owner) = (head.ctx(request), head.numbers.file(ino), head.owner(owner));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request =
                TestLock { file, owner, space: LockSpace::Range, range: range(bytes), kind: kind(asked)? };
            Ok(async move { vfs.test_lock(&ctx, request).await })
        },
        |reply, tested| match tested.conflict {
            None => reply.locked(0, 0, F_UNLCK, 0),
            Some((_, held, held_kind)) => {
                let typ = if held_kind == LockKind::Shared { F_RDLCK } else { F_WRLCK };
                // Whose process it is, nobody here knows.
                reply.locked(held.offset, held.end.saturating_sub(1).min(OFFSET_MAX), typ, 0);
            }
        },
    );
}

pub(crate) fn set<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (ino, open): (INodeNo, FileHandle),
    owner: LockOwner,
    bytes: (u64, u64),
    (asked, wait): (i32, bool),
    reply: ReplyEmpty,
) {
    let (ctx, file, pid) = (head.ctx(request), head.numbers.file(ino), request.pid());
    let range = range(bytes);
    let noted = kind(asked).and_then(|kind| {
        if kind != LockKind::Unlock {
            head.lockers.note(file, owner.0, open.0)?;
        }
        Ok(kind)
    });
    let kind = match noted {
        Ok(kind) => kind,
        Err(FsError::NoSpace) => return reply.error(fuser::Errno::ENOLCK),
        Err(error) => return reply.error(status::errno(error)),
    };
    let lock = Lock {
        file,
        open: Some(OpenId(open.0)),
        owner: head.owner(owner),
        space: space(request, range),
        range,
        kind,
        wait,
        reclaim: false,
    };
    let vfs = head.vfs.clone();
    if wait && kind != LockKind::Unlock {
        head.desk.answer_at_leisure(reply, wait_for(vfs, ctx, lock, pid), |reply, ()| reply.ok());
    } else {
        head.desk.answer(pid, reply, async move { vfs.lock(&ctx, lock).await }, |reply, ()| reply.ok());
    }
}

/// Waits until the lock is granted or the caller has a signal to attend to: the kernel cannot tell us, and
/// leaves even a killed caller in its wait until we answer.
async fn wait_for<V: Vfs>(vfs: Arc<V>, ctx: Ctx, lock: Lock, pid: u32) -> FsResult<()> {
    let mut granted = pin!(vfs.lock(&ctx, lock));
    let mut blind = 0;
    loop {
        match tokio::time::timeout(LOOK, granted.as_mut()).await {
            Ok(result) => return result,
            Err(_) => match caller::has_signal(pid) {
                Some(true) => return Err(FsError::Interrupted),
                Some(false) => {}
                None if blind >= BLIND_LOOKS => return Err(FsError::Interrupted),
                None => blind += 1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_half_open() {
        assert_eq!(range((0, OFFSET_MAX)), ByteRange { offset: 0, end: u64::MAX });
        assert_eq!(range((5, 5)), ByteRange { offset: 5, end: 6 });
    }
}
