//! What a new frontend finds after a crash of the last, and what mishaps on the way leave.

use crate::rig::{
    BOTH, NONE, Real, Rig, attr, clear, close, commit, file, name, read, refused, root, truncate, unlink,
    write,
};
use env::{Random, SeededRandom};
use sim::weather::{Mishap, Weather};
use std::time::Duration;
use types::{ByteRange, FileId, FsError};
use vfs::*;

async fn open_by(real: &Real, client: u128, file: FileId, reclaim: bool) -> FsResult<OpenId> {
    let ctx = Ctx { client: ClientId(client), ..root() };
    let (target, access, deny) = (OpenTarget::File(file), BOTH, NONE);
    let (create, truncate, for_execution) = (None, false, false);
    let request = Open { target, access, deny, create, truncate, reclaim, for_execution };
    real.open(&ctx, request).await.map(|reply| reply.open)
}

async fn lock_by(real: &Real, client: u128, file: FileId, reclaim: bool) -> FsResult<()> {
    let (owner, kind) = (LockOwner { client: ClientId(client), owner: 1 }, LockKind::Exclusive);
    let (open, space, range, wait) = (None, LockSpace::Range, ByteRange { offset: 0, end: 9 }, false);
    real.lock(&root(), Lock { file, open, owner, space, range, kind, wait, reclaim }).await
}

#[tokio::test(start_paused = true)]
async fn who_is_claiming_when_the_grace_ends_gets_more_time_and_not_for_ever() {
    let mut rig = Rig::new(4096);
    let grace = rig.options.grace;
    let (real, top) = rig.start().await;
    let held = file(&real, top, "held").await;
    open_by(&real, 5, held, false).await.unwrap();
    lock_by(&real, 5, held, false).await.unwrap();
    lock_by(&real, 6, held, false).await.unwrap_err();
    drop(real);
    let (real, _) = rig.start().await;
    let begin = tokio::time::Instant::now();
    tokio::time::sleep(grace * 9 / 10).await;
    while begin.elapsed() < grace * 15 / 10 {
        open_by(&real, 5, held, true).await.unwrap();
        refused(lock_by(&real, 6, held, false).await, FsError::Grace);
        tokio::time::sleep(grace / 20).await;
    }
    lock_by(&real, 5, held, true).await.unwrap();
    // It falls silent without saying that it is done.
    tokio::time::sleep(grace / 2).await;
    refused(lock_by(&real, 6, held, false).await, FsError::LockConflict);
    refused(open_by(&real, 5, held, true).await.map(|_| ()), FsError::NoGrace);

    // One that goes on and on.
    drop(real);
    let (real, _) = rig.start().await;
    let begin = tokio::time::Instant::now();
    while open_by(&real, 5, held, true).await.is_ok() {
        assert!(begin.elapsed() < grace * 3);
        tokio::time::sleep(grace / 20).await;
    }
    assert!(begin.elapsed() >= grace * 19 / 10);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_not_durable_is_lost() {
    let mut rig = Rig::new(4096);
    rig.options.grace = Duration::from_secs(90);
    let (real, top) = rig.start().await;
    let (kept, lost) = (file(&real, top, "kept").await, file(&real, top, "lost").await);
    write(&real, kept, 0, &[1; 50_000]).await.unwrap();
    let verifier = commit(&real, kept).await.unwrap().verifier;
    write(&real, lost, 0, &[2; 50_000]).await.unwrap();
    write(&real, kept, 0, &[2; 10]).await.unwrap();
    drop(real);

    let (real, _) = rig.start().await;
    assert!(read(&real, kept, 0, 60_000).await == [1; 50_000][..]);
    assert_eq!(attr(&real, lost).await.unwrap().size, 0);
    assert_ne!(commit(&real, kept).await.unwrap().verifier, verifier);
    rig.audit().await;

    // Orphans live until the grace has ended, and longer when they are claimed.
    let (claimed, forgotten) = (file(&real, top, "claimed").await, file(&real, top, "forgotten").await);
    for held in [claimed, forgotten] {
        write(&real, held, 0, &[3; 20_000]).await.unwrap();
        commit(&real, held).await.unwrap();
        open_by(&real, 5, held, false).await.unwrap();
    }
    unlink(&real, top, "claimed").await.unwrap();
    unlink(&real, top, "forgotten").await.unwrap();
    drop(real);
    let (real, _) = rig.start().await;
    let claim = open_by(&real, 5, claimed, true).await.unwrap();
    assert_eq!(read(&real, forgotten, 0, 20_000).await.len(), 20_000);
    tokio::time::sleep(Duration::from_secs(100)).await;
    refused(attr(&real, forgotten).await, FsError::Stale);
    assert!(read(&real, claimed, 0, 20_000).await == [3; 20_000][..]);
    close(&real, claim).await;
    refused(attr(&real, claimed).await, FsError::Stale);
    clear(&real, top).await;
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_goes_on_after_a_crash() {
    let mut rig = Rig::new(64 << 10);
    let (real, top) = rig.start().await;
    for text in ["removed", "cut"] {
        let file = file(&real, top, text).await;
        for i in 0..2000 {
            write(&real, file, i * 20, b"0123456789").await.unwrap();
        }
        commit(&real, file).await.unwrap();
        match text {
            "cut" => drop(truncate(&real, file, 5).await.unwrap()),
            _ => drop(unlink(&real, top, text).await.unwrap()),
        }
    }
    drop(real);
    rig.audit().await;
    let (real, _) = rig.start().await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// Commands and replies get lost, stripes cannot be written, frontends crash: what was made durable stays,
/// and in the end nothing is left over.
#[tokio::test(start_paused = true)]
async fn mishaps_lose_nothing_that_was_durable() {
    for seed in 0..16 {
        let weather = Weather::delaying(seed, 20);
        let mut rig = Rig::of_seed(seed, 4096, &weather);
        rig.options.dirty_age = Duration::from_millis(20);
        if seed % 2 == 1 {
            rig.fold_at_once();
        }
        let random = SeededRandom::new(seed);
        let (mut real, top) = rig.start().await;
        let one = file(&real, top, "one").await;
        let mut durable: Vec<u8> = Vec::new();
        for life in 0..4u8 {
            for mishap in [Mishap::Command, Mishap::Reply, Mishap::Write, Mishap::Free] {
                weather.set(mishap, 15);
            }
            let mut now = durable.clone();
            for step in 0..15u8 {
                let at = (random.next() % (now.len() as u64 + 1)) as usize;
                let data = vec![1 + life * 16 + step; 1 + (random.next() % 9000) as usize];
                if write(&real, one, at as u64, &data).await.is_ok() {
                    now.resize(now.len().max(at + data.len()), 0);
                    now[at..at + data.len()].copy_from_slice(&data);
                }
                if random.next().is_multiple_of(3) && commit(&real, one).await.is_ok() {
                    durable.clone_from(&now);
                }
                assert!(read(&real, one, 0, 1 << 20).await == now[..], "seed {seed}");
            }
            for mishap in [Mishap::Command, Mishap::Reply, Mishap::Write, Mishap::Free] {
                weather.set(mishap, 0);
            }
            commit(&real, one).await.unwrap();
            durable.clone_from(&now);
            rig.audit().await;
            // A crash with nothing under way; what was written since the commit may go.
            write(&real, one, 0, b"lost").await.unwrap();
            drop(real);
            real = rig.start().await.0;
            assert!(read(&real, one, 0, 1 << 20).await == durable[..], "seed {seed}");
            rig.audit().await;
        }
        clear(&real, top).await;
        drop(real);
        let (_real, _) = rig.start().await;
        rig.must_be_empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn first_answers_and_grace_are_as_the_contract_has_them() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    suites::again::run(&real, top).await;
    let before = suites::grace::before(&real, top).await;
    drop(real);
    let (real, _) = rig.start().await;
    suites::grace::after(&real, before).await;
    rig.audit().await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// Who does not come back in time has lost its claim before others get what it had, whatever happens then.
#[tokio::test(start_paused = true)]
async fn a_claim_that_comes_too_late_never_stands() {
    for crash in [false, true] {
        let mut rig = Rig::new(4096);
        let (real, top) = rig.start().await;
        let (one, two) = (file(&real, top, "one").await, file(&real, top, "two").await);
        for client in [1, 2] {
            open_by(&real, client, one, false).await.unwrap();
        }
        lock_by(&real, 1, one, false).await.unwrap();
        lock_by(&real, 2, two, false).await.unwrap();
        unlink(&real, top, "one").await.unwrap();
        drop(real);
        let (mut real, _) = rig.start().await;
        lock_by(&real, 2, two, true).await.unwrap();
        refused(lock_by(&real, 3, one, false).await, FsError::Grace);
        // It has come back, and was slow: it has what it claimed in time, and nothing else.
        tokio::time::sleep(rig.options.grace + Duration::from_secs(1)).await;
        refused(open_by(&real, 2, one, true).await, FsError::NoGrace);
        refused(attr(&real, one).await, FsError::Stale);
        lock_by(&real, 3, two, false).await.unwrap_err();
        let other = file(&real, top, "other").await;
        lock_by(&real, 3, other, false).await.unwrap();
        if crash {
            drop(real);
            real = rig.start().await.0;
            refused(lock_by(&real, 1, other, true).await, FsError::NoGrace);
            lock_by(&real, 3, other, true).await.unwrap();
            lock_by(&real, 2, two, true).await.unwrap();
        }
        refused(lock_by(&real, 1, two, true).await, FsError::NoGrace);
        for client in [1, 2, 3] {
            real.end_client(&root(), EndClient { client: ClientId(client) }).await.unwrap();
        }
        drop(real);
        let (real, _) = rig.start().await;
        lock_by(&real, 4, other, false).await.expect("nobody is remembered, and there is no grace");
        rig.audit().await;
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
}

/// An orphan is dropped once, whether its name goes before the end of the time of grace, at it, or after it.
#[tokio::test(start_paused = true)]
async fn names_go_while_the_grace_ends() {
    for seed in 0..40 {
        let weather = Weather::delaying(seed, 20);
        let mut rig = Rig::in_weather(4096, &weather);
        let (real, top) = rig.start().await;
        for text in ["a", "b", "c"] {
            let file = file(&real, top, text).await;
            open_by(&real, 1, file, false).await.unwrap();
        }
        drop(real);
        let (real, _) = rig.start().await;
        let claimed = real.lookup(&root(), Lookup { dir: top, name: name("c") }).await.unwrap().attr.file;
        let open = open_by(&real, 1, claimed, true).await.unwrap();
        let done = async {
            tokio::time::sleep(Duration::from_millis(seed / 2)).await;
            real.reclaimed(&root(), Reclaimed { client: ClientId(1) }).await.unwrap();
        };
        let (a, b, c) = tokio::join!(unlink(&real, top, "a"), unlink(&real, top, "b"), async {
            let (gone, ()) = tokio::join!(unlink(&real, top, "c"), done);
            gone
        });
        a.and(b).and(c).unwrap();
        attr(&real, claimed).await.unwrap();
        close(&real, open).await;
        rig.must_be_empty().await;
    }
}

/// What was claimed without a name goes with its last open, also right after the time of grace.
#[tokio::test(start_paused = true)]
async fn an_orphan_that_was_claimed_goes_at_its_last_close() {
    for seed in 0..20 {
        let weather = Weather::delaying(seed, 20);
        let mut rig = Rig::in_weather(4096, &weather);
        let (real, top) = rig.start().await;
        let held = file(&real, top, "held").await;
        open_by(&real, 1, held, false).await.unwrap();
        unlink(&real, top, "held").await.unwrap();
        drop(real);
        let (real, _) = rig.start().await;
        let open = open_by(&real, 1, held, true).await.unwrap();
        real.reclaimed(&root(), Reclaimed { client: ClientId(1) }).await.unwrap();
        attr(&real, held).await.unwrap();
        close(&real, open).await;
        refused(attr(&real, held).await, FsError::Stale);
        rig.must_be_empty().await;
    }
}
