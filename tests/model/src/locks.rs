//! Byte-range and whole-file locks, with waiting and the detection of deadlocks.

use crate::Model;
use crate::clients::Had;
use crate::state::State;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use types::{ByteRange, FsError, InodeId};
use vfs::{
    ClientId, Ctx, FsResult, Lock, LockKind, LockOwner, LockSpace, OpenAccess, ReleaseOwner, TestLock,
    TestLockReply,
};

#[derive(Clone, Copy)]
struct Held {
    owner: LockOwner,
    range: ByteRange,
    kind: LockKind,
}

struct Wait {
    lock: Lock,
    waker: Waker,
}

#[derive(Default)]
pub(crate) struct Locks {
    held: BTreeMap<(InodeId, LockSpace), Vec<Held>>,
    waits: BTreeMap<u64, Wait>,
    next: u64,
}

impl Locks {
    /// The first lock of somebody else that forbids `kind` on `range`.
    fn conflict(
        &self,
        place: (InodeId, LockSpace),
        owner: LockOwner,
        range: ByteRange,
        kind: LockKind,
    ) -> Option<Held> {
        if kind == LockKind::Unlock {
            return None;
        }
        self.conflicts(place, owner, range, kind).min_by_key(|held| (held.range.offset, held.owner))
    }

    fn conflicts(
        &self,
        place: (InodeId, LockSpace),
        owner: LockOwner,
        range: ByteRange,
        kind: LockKind,
    ) -> impl Iterator<Item = Held> {
        self.held.get(&place).into_iter().flatten().copied().filter(move |held| {
            held.owner != owner
                && held.range.overlaps(&range)
                && (kind == LockKind::Exclusive || held.kind == LockKind::Exclusive)
        })
    }

    /// Whether following who waits for whom from `lock` leads back to its owner.
    fn deadlocks(&self, lock: &Lock) -> bool {
        let mut seen = vec![];
        let mut open = vec![lock];
        while let Some(lock_at) = open.pop() {
            let place = (lock_at.file.ino, lock_at.space);
            for held in self.conflicts(place, lock_at.owner, lock_at.range, lock_at.kind) {
                if held.owner == lock.owner {
                    return true;
                }
                if !seen.contains(&held.owner) {
                    seen.push(held.owner);
                    open.extend(self.waits.values().map(|w| &w.lock).filter(|l| l.owner == held.owner));
                }
            }
        }
        false
    }

    /// Replaces what the owner holds in the range, and wakes whoever might go on.
    fn set(&mut self, lock: &Lock) {
        let all = self.held.entry((lock.file.ino, lock.space)).or_default();
        let mut kept = vec![];
        for held in all.drain(..) {
            if held.owner != lock.owner || !held.range.overlaps(&lock.range) {
                kept.push(held);
                continue;
            }
            for range in [
                ByteRange { offset: held.range.offset, end: lock.range.offset },
                ByteRange { offset: lock.range.end, end: held.range.end },
            ] {
                if !range.is_empty() {
                    kept.push(Held { range, ..held });
                }
            }
        }
        if lock.kind != LockKind::Unlock {
            kept.push(Held { owner: lock.owner, range: lock.range, kind: lock.kind });
        }
        kept.sort_by_key(|held| (held.owner, held.range.offset));
        kept.dedup_by(|next, held| {
            let joins =
                held.owner == next.owner && held.kind == next.kind && held.range.end == next.range.offset;
            if joins {
                held.range.end = next.range.end;
            }
            joins
        });
        *all = kept;
        self.wake();
    }

    fn wake(&self) {
        self.waits.values().for_each(|wait| wait.waker.wake_by_ref());
    }

    fn release(&mut self, gone: impl Fn(InodeId, LockOwner) -> bool) {
        for ((ino, _), all) in &mut self.held {
            all.retain(|held| !gone(*ino, held.owner));
        }
        self.held.retain(|_, all| !all.is_empty());
        // The wakers go before the waits: the woken find themselves without a wait.
        self.wake();
        self.waits.retain(|_, wait| !gone(wait.lock.file.ino, wait.lock.owner));
    }

    pub(crate) fn forget_file(&mut self, file: InodeId) {
        self.release(|ino, _| ino == file);
    }

    pub(crate) fn has_any(&self, client: ClientId) -> bool {
        self.held.values().flatten().any(|held| held.owner.client == client)
    }

    pub(crate) fn forget_client(&mut self, client: ClientId) {
        self.release(|_, owner| owner.client == client);
    }

    /// All locks of a frontend's life are gone; waits are interrupted.
    pub(crate) fn forget_all(&mut self) {
        self.release(|_, _| true);
    }
}

impl State {
    /// Takes the lock, or says who is in the way: `Ok(false)`.
    fn try_lock(&mut self, lock: &Lock) -> FsResult<bool> {
        self.inode(lock.file)?;
        if lock.range.is_empty() {
            return Err(FsError::Invalid);
        }
        if let Some(open) = lock.open {
            self.opened(open, lock.file, OpenAccess::default())?;
        }
        if lock.kind != LockKind::Unlock {
            self.demand_lock(lock.owner.client, lock.reclaim)?;
            self.clients.note(lock.owner.client, Had { locks: true, ..Had::default() });
        }
        if self.locks.conflict((lock.file.ino, lock.space), lock.owner, lock.range, lock.kind).is_some() {
            return Ok(false);
        }
        self.locks.set(lock);
        Ok(true)
    }

    pub(crate) fn test_lock(&self, request: &TestLock) -> FsResult<TestLockReply> {
        self.inode(request.file)?;
        if request.range.is_empty() {
            return Err(FsError::Invalid);
        }
        self.demand_lock(request.owner.client, false)?;
        let place = (request.file.ino, request.space);
        let conflict = self.locks.conflict(place, request.owner, request.range, request.kind);
        Ok(TestLockReply { conflict: conflict.map(|held| (held.owner, held.range, held.kind)) })
    }

    pub(crate) fn release_owner(&mut self, request: &ReleaseOwner) -> FsResult<()> {
        self.inode(request.file)?;
        self.locks.release(|ino, owner| ino == request.file.ino && owner == request.owner);
        Ok(())
    }
}

/// Takes the wait out of the table when its future ends or is dropped.
struct Ticket<'a>(&'a Model, u64);

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.state().locks.waits.remove(&self.1);
    }
}

impl Model {
    pub(crate) async fn lock_or_wait(&self, _ctx: &Ctx, lock: Lock) -> FsResult<()> {
        let number = {
            let mut state = self.state();
            if state.try_lock(&lock)? {
                return Ok(());
            }
            if !lock.wait {
                return Err(FsError::LockConflict);
            }
            state.locks.next += 1;
            let number = state.locks.next;
            state.locks.waits.insert(number, Wait { lock: lock.clone(), waker: Waker::noop().clone() });
            number
        };
        let ticket = Ticket(self, number);
        poll_fn(|cx| {
            let mut state = self.state();
            if !state.locks.waits.contains_key(&ticket.1) {
                return Poll::Ready(Err(FsError::Interrupted));
            }
            match state.try_lock(&lock) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            // flock(2) knows no deadlocks.
            if lock.space == LockSpace::Range && state.locks.deadlocks(&lock) {
                return Poll::Ready(Err(FsError::Deadlock));
            }
            if let Some(wait) = state.locks.waits.get_mut(&ticket.1) {
                wait.waker.clone_from(cx.waker());
            }
            Poll::Pending
        })
        .await
    }
}
