//! Locks: conflicts, splitting, families, waiting, deadlocks, ends of owners and clients.

use crate::desk::{Desk, must, refused};
use std::future::Future;
use std::pin::pin;
use types::{ByteRange, FileId, FsError};
use vfs::{ClientId, EndClient, FsResult, Lock, LockKind, LockOwner, LockSpace, ReleaseOwner, TestLock, Vfs};

/// One owner's view of the locks of a file.
struct Hand<'a, 'b, V> {
    desk: &'a Desk<'b, V>,
    file: FileId,
    owner: LockOwner,
    space: LockSpace,
}

impl<'a, 'b, V: Vfs> Hand<'a, 'b, V> {
    fn new(desk: &'a Desk<'b, V>, file: FileId, owner: u64) -> Hand<'a, 'b, V> {
        let owner = LockOwner { client: ClientId(u128::from(owner)), owner };
        Hand { desk, file, owner, space: LockSpace::Range }
    }

    fn flock(self) -> Hand<'a, 'b, V> {
        Hand { space: LockSpace::Flock, ..self }
    }

    async fn ask(&self, kind: LockKind, offset: u64, end: u64, wait: bool) -> FsResult<()> {
        let range = ByteRange { offset, end };
        let (file, owner, space) = (self.file, self.owner, self.space);
        let lock = Lock { file, open: None, owner, space, range, kind, wait, reclaim: false };
        self.desk.vfs.lock(&self.desk.ctx, lock).await
    }

    async fn shared(&self, offset: u64, end: u64) -> FsResult<()> {
        self.ask(LockKind::Shared, offset, end, false).await
    }

    async fn exclusive(&self, offset: u64, end: u64) -> FsResult<()> {
        self.ask(LockKind::Exclusive, offset, end, false).await
    }

    async fn unlock(&self, offset: u64, end: u64) {
        must("unlock", self.ask(LockKind::Unlock, offset, end, false).await);
    }

    /// What stands in the way of an exclusive lock: owner, range.
    async fn test(&self, offset: u64, end: u64) -> Option<(u64, u64, u64)> {
        let range = ByteRange { offset, end };
        let (file, owner, space) = (self.file, self.owner, self.space);
        let request = TestLock { file, owner, space, range, kind: LockKind::Exclusive };
        let reply = must("test", self.desk.vfs.test_lock(&self.desk.ctx, request).await);
        reply.conflict.map(|(owner, range, _)| (owner.owner, range.offset, range.end))
    }
}

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    ranges(desk, desk.file("ranges").await).await;
    families(desk, desk.file("families").await).await;
    waiting(desk, desk.file("waiting").await).await;
    deadlock(desk, desk.file("deadlock").await).await;
    ends(desk, desk.file("ends").await).await;
}

async fn ranges<V: Vfs>(desk: &Desk<'_, V>, file: FileId) {
    let (a, b) = (Hand::new(desk, file, 1), Hand::new(desk, file, 2));
    must("shared", a.shared(0, 100).await);
    must("shared together", b.shared(50, 150).await);
    refused("exclusive over shared", b.exclusive(0, 10).await, FsError::LockConflict);
    refused("upgrade over another's", a.exclusive(40, 60).await, FsError::LockConflict);
    must("upgrade of one's own part", a.exclusive(0, 50).await);
    refused("shared over exclusive", b.shared(49, 50).await, FsError::LockConflict);
    b.unlock(0, u64::MAX).await;
    must("all", a.exclusive(0, u64::MAX).await);
    a.unlock(10, 20).await;
    assert_eq!(b.test(0, 100).await, Some((1, 0, 10)));
    assert_eq!(b.test(10, 20).await, None, "a hole in the middle");
    assert_eq!(b.test(15, 100).await, Some((1, 20, u64::MAX)));
    must("in the hole", b.exclusive(10, 20).await);
    refused("closed again", a.exclusive(5, 25).await, FsError::LockConflict);
    b.unlock(10, 20).await;
    must("closed", a.exclusive(5, 25).await);
    assert_eq!(b.test(3, 4).await, Some((1, 0, u64::MAX)), "neighbours are one lock");
    refused("an empty range", a.shared(5, 5).await, FsError::Invalid);
    a.unlock(0, u64::MAX).await;
    assert_eq!(b.test(0, u64::MAX).await, None);
}

async fn families<V: Vfs>(desk: &Desk<'_, V>, file: FileId) {
    let (a, b) = (Hand::new(desk, file, 1), Hand::new(desk, file, 2).flock());
    must("range", a.exclusive(0, u64::MAX).await);
    must("flock", b.exclusive(0, u64::MAX).await);
    let c = Hand::new(desk, file, 3).flock();
    refused("flock against flock", c.shared(0, u64::MAX).await, FsError::LockConflict);
    a.unlock(0, u64::MAX).await;
    b.unlock(0, u64::MAX).await;
    must("free", c.shared(0, u64::MAX).await);
    c.unlock(0, u64::MAX).await;
}

/// Lets others go on until `future` has reached the locks and waits there, also in another process:
/// many later requests have been answered by then.
async fn waits<V: Vfs, T>(desk: &Desk<'_, V>, future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    let others = async {
        for _ in 0..50 {
            desk.here().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        value = future => Some(value),
        () = others => None,
    }
}

async fn waiting<V: Vfs>(desk: &Desk<'_, V>, file: FileId) {
    let (a, b) = (Hand::new(desk, file, 1), Hand::new(desk, file, 2));
    must("first", a.exclusive(0, 10).await);
    {
        let mut second = pin!(b.ask(LockKind::Exclusive, 5, 15, true));
        assert!(waits(desk, &mut second).await.is_none(), "waits");
        a.unlock(0, 5).await;
        assert!(waits(desk, &mut second).await.is_none(), "still waits");
        a.unlock(5, 10).await;
        must("granted", second.await);
    }
    {
        let mut given_up = pin!(a.ask(LockKind::Exclusive, 5, 15, true));
        assert!(waits(desk, &mut given_up).await.is_none(), "waits");
    }
    b.unlock(0, 100).await;
    assert_eq!(b.test(0, 100).await, None, "who gave up waiting gets nothing");
}

async fn deadlock<V: Vfs>(desk: &Desk<'_, V>, file: FileId) {
    let [a, b, c] = [1, 2, 3].map(|owner| Hand::new(desk, file, owner));
    must("a", a.exclusive(0, 1).await);
    must("b", b.exclusive(1, 2).await);
    must("c", c.exclusive(2, 3).await);
    let mut first = pin!(a.ask(LockKind::Exclusive, 1, 2, true));
    assert!(waits(desk, &mut first).await.is_none());
    let mut second = pin!(b.ask(LockKind::Exclusive, 2, 3, true));
    assert!(waits(desk, &mut second).await.is_none());
    refused("a circle of three", c.ask(LockKind::Exclusive, 0, 1, true).await, FsError::Deadlock);
    c.unlock(2, 3).await;
    must("b goes on", second.await);
    b.unlock(0, 9).await;
    must("a goes on", first.await);
    a.unlock(0, 9).await;
}

async fn ends<V: Vfs>(desk: &Desk<'_, V>, file: FileId) {
    let (a, b) = (Hand::new(desk, file, 1), Hand::new(desk, file, 2));
    must("a", a.exclusive(0, 10).await);
    must("a", Hand::new(desk, file, 1).flock().exclusive(0, u64::MAX).await);
    let release = ReleaseOwner { file, owner: a.owner };
    must("release", desk.vfs.release_owner(&desk.ctx, release).await);
    must("free", b.exclusive(0, 10).await);
    must("free", Hand::new(desk, file, 2).flock().exclusive(0, u64::MAX).await);
    must("end", desk.vfs.end_client(&desk.ctx, EndClient { client: b.owner.client }).await);
    must("free", a.exclusive(0, 10).await);
    a.unlock(0, 10).await;
}
