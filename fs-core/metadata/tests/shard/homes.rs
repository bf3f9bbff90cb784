//! A log on 2P + 1 homes: too few of them are told, slow ones do not matter.

use crate::cluster::{Cluster, close};
use crate::counter::{command, total};
use crate::crashes::commands;
use metadata::MetadataError;

#[tokio::test]
async fn too_few_homes_are_refused_and_an_empty_one_never_counts() {
    let mut cluster = Cluster::new(3, 100_000);
    let (logs, maps, shard) = cluster.open(&[0, 1]).await;
    assert!(matches!(shard.err(), Some(MetadataError::TooFewHomes { found: 0, needed: 2 })));
    close(logs).await;
    drop(maps);
    let (logs, maps, shard) = cluster.open(&[0, 1, 2]).await;
    let shard = shard.unwrap();
    shard.submit(commands()[0].clone()).await.unwrap();
    shard.close().await.unwrap();
    drop(shard);
    close(logs).await;
    drop(maps);
    // Two drives come back blank: one says the other life, one even claims the old one.
    cluster.drives[0] = cluster.blank(0, 2);
    cluster.drives[1] = cluster.blank(1, 1);
    for present in [&[0, 1][..], &[0, 1, 2], &[1, 2]] {
        let (logs, maps, shard) = cluster.open(present).await;
        assert!(matches!(shard.err(), Some(MetadataError::TooFewHomes { .. })), "{present:?}");
        close(logs).await;
        drop(maps);
    }
}

/// What a drive is that dies while the shard is opened.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Dying {
    New,
    Behind,
    Blank,
}

/// Opens a shard `present`, has three more commands, and closes it.
async fn run(cluster: &Cluster, present: &[usize]) {
    let (logs, _maps, shard) = cluster.open(present).await;
    let shard = shard.unwrap();
    for _ in 0..3 {
        shard.submit(command(b'#', 1, b"")).await.unwrap();
    }
    shard.close().await.unwrap();
    close(logs).await;
}

/// Opens a shard whose drive 2 dies at `step`; whether it outlived the opening.
async fn outlives(dying: Dying, step: u64) -> bool {
    let mut cluster = Cluster::new(3, 100_000);
    let done = match dying {
        Dying::New => 0,
        Dying::Behind | Dying::Blank => {
            run(&cluster, &[0, 1, 2]).await;
            run(&cluster, &[0, 1]).await;
            6
        }
    };
    if dying == Dying::Blank {
        cluster.drives[2] = cluster.blank(2, 2);
    }
    let files = cluster.drives[2].files.clone();
    files.crash_at(files.steps() + step);
    let (logs, _maps, shard) = cluster.open(&[0, 1, 2]).await;
    // A shard is made only where all are there to begin with.
    if dying == Dying::New && logs.len() == 2 {
        assert!(matches!(shard.err(), Some(MetadataError::TooFewHomes { .. })));
        close(logs).await;
        return false;
    }
    let shard = shard.unwrap_or_else(|e| panic!("{dying:?}, step {step}: {e}"));
    assert_eq!(total(&shard.view().unwrap(), b"done"), done);
    let outlived = shard.standing().borrow().homes_in() == 3;
    shard.submit(command(b'#', 1, b"")).await.unwrap();
    shard.close().await.unwrap();
    close(logs).await;
    outlived
}

#[tokio::test]
async fn a_drive_that_dies_while_the_shard_is_opened_is_out_and_the_others_open_it() {
    for dying in [Dying::New, Dying::Behind, Dying::Blank] {
        let mut step = 0;
        while !outlives(dying, step).await {
            step += 1;
        }
        assert!(step > 2, "{dying:?}: died too late");
    }
}

#[tokio::test]
async fn losing_more_than_parity_stops_the_shard() {
    let cluster = Cluster::new(3, 100_000);
    let (logs, _maps, shard) = cluster.open(&[0, 1, 2]).await;
    let shard = shard.unwrap();
    for n in [2, 0] {
        let files = &cluster.drives[n].files;
        files.crash_at(files.steps());
        let outcome = shard.submit(command(b'#', 1, b"")).await;
        assert_eq!(outcome.is_ok(), n == 2, "after the loss of drive {n}");
    }
    assert!(matches!(shard.view(), Err(MetadataError::Stopped(_))));
    assert!(shard.close().await.is_err());
    close(logs).await;
}

#[tokio::test]
async fn parity_drives_may_be_slow_and_one_more_makes_everything_wait() {
    let cluster = Cluster::new(5, 100_000);
    let (logs, _maps, shard) = cluster.open(&[0, 1, 2, 3, 4]).await;
    let shard = shard.unwrap();
    for n in [1, 4] {
        cluster.drives[n].files.hold();
    }
    for _ in 0..5 {
        shard.submit(command(b'#', 1, b"")).await.unwrap();
    }
    cluster.drives[2].files.hold();
    let mut waiting = Box::pin(shard.submit(command(b'#', 1, b"")));
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "acknowledged by two of five homes");
    assert_eq!(total(&shard.view().unwrap(), b"done"), 5, "applied before it was durable");
    cluster.drives[1].files.release();
    waiting.await.unwrap();
    for n in [2, 4] {
        cluster.drives[n].files.release();
    }
    shard.close().await.unwrap();
    close(logs).await;
}
