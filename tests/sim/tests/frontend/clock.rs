//! A wall clock that jumps: files have odd times, and nothing else happens.

use crate::rig::{BOTH, NONE, Real, Rig, attr, clear, commit, file, read, refused, root, write};
use env::sim::SimClock;
use std::sync::Arc;
use types::{ByteRange, FileId, FsError};
use vfs::*;

/// Seconds of a year.
const YEAR: i64 = 365 * 86_400;
const OWNER: ClientId = ClientId(5);

async fn open(real: &Real, file: FileId, reclaim: bool) -> FsResult<()> {
    let ctx = Ctx { client: OWNER, ..root() };
    let (target, create) = (OpenTarget::File(file), None);
    let (truncate, for_execution) = (false, false);
    let request = Open { target, access: BOTH, deny: NONE, create, truncate, reclaim, for_execution };
    real.open(&ctx, request).await.map(|_| ())
}

async fn lock(real: &Real, client: ClientId, file: FileId, reclaim: bool) -> FsResult<()> {
    let (owner, kind) = (LockOwner { client, owner: 1 }, LockKind::Exclusive);
    let (open, space, range, wait) = (None, LockSpace::Range, ByteRange { offset: 0, end: 9 }, false);
    real.lock(&root(), Lock { file, open, owner, space, range, kind, wait, reclaim }).await
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_changes_times_and_nothing_else() {
    // Back past the first of all times, and on beyond what 32 bits hold.
    for jump in [YEAR, -YEAR, -60 * YEAR, 100 * YEAR] {
        let mut rig = Rig::new(64 << 10);
        let clock = Arc::new(SimClock::new());
        rig.clock = clock.clone();
        let grace = rig.options.grace;
        let (real, top) = rig.start().await;
        let held = file(&real, top, "held").await;
        open(&real, held, false).await.unwrap();
        lock(&real, OWNER, held, false).await.unwrap();
        write(&real, held, 0, &[1; 5000]).await.unwrap();
        commit(&real, held).await.unwrap();
        let before = attr(&real, held).await.unwrap();

        clock.jump(jump);
        write(&real, held, 5000, &[2; 5000]).await.unwrap();
        commit(&real, held).await.unwrap();
        let after = attr(&real, held).await.unwrap();
        assert_eq!((after.mtime.seconds - before.mtime.seconds) / YEAR, jump / YEAR);
        assert!(after.change > before.change, "caches go by this, not by times");
        refused(lock(&real, ClientId(6), held, false).await, FsError::LockConflict);
        // What is small is folded when it has been quiet for a while, wherever the clock is.
        tokio::time::sleep(rig.options.fold_age * 3).await;
        assert_eq!(real.taken().await.unwrap().unfolded, 0, "jump {jump}");

        // The time of grace is as long as ever.
        drop(real);
        let (real, top) = rig.start().await;
        clock.jump(jump);
        tokio::time::sleep(grace * 9 / 10).await;
        clock.jump(-jump);
        refused(lock(&real, ClientId(6), held, false).await, FsError::Grace);
        open(&real, held, true).await.unwrap();
        lock(&real, OWNER, held, true).await.unwrap();
        tokio::time::sleep(grace).await;
        refused(lock(&real, ClientId(6), held, false).await, FsError::LockConflict);
        assert_eq!(read(&real, held, 0, 20_000).await.len(), 10_000);
        real.end_client(&root(), EndClient { client: OWNER }).await.unwrap();
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
}
