//! What a new frontend finds after a crash of the last, and what mishaps on the way leave.

use crate::rig::{Rig, attr, clear, close, commit, file, open, read, refused, truncate, unlink, write};
use env::{Random, SeededRandom};
use sim::weather::{Mishap, Weather};
use std::time::Duration;
use types::FsError;

#[tokio::test(start_paused = true)]
async fn only_what_was_not_durable_is_lost() {
    let mut rig = Rig::new(4096);
    rig.options.orphan_grace = Duration::from_secs(90);
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
        open(&real, held).await;
    }
    unlink(&real, top, "claimed").await.unwrap();
    unlink(&real, top, "forgotten").await.unwrap();
    drop(real);
    let (real, _) = rig.start().await;
    let claim = open(&real, claimed).await;
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
        let random = SeededRandom::new(seed);
        let (mut real, top) = rig.start().await;
        let one = file(&real, top, "one").await;
        let mut durable: Vec<u8> = Vec::new();
        for life in 0..4u8 {
            for mishap in [Mishap::Command, Mishap::Reply, Mishap::Write] {
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
            for mishap in [Mishap::Command, Mishap::Reply, Mishap::Write] {
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
