//! What a shard does with what is wrong: refuse it, or stop with a reason.

use crate::counter::{Counter, Drive, add, command, total};
use bytes::Bytes;
use map::OrderedMap;
use metadata::{MetadataError, Refused, Shard};
use std::sync::Arc;
use types::limits::COMMAND_BYTES_MAX;

#[tokio::test]
async fn too_large_too_many_keys_or_a_bad_key_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let drive = Drive::open(dir.path());
    let shard = drive.shard(Arc::new(Counter)).await.unwrap();
    let large = Bytes::from(vec![b'+'; COMMAND_BYTES_MAX + 1]);
    assert!(matches!(shard.submit(large).await, Err(MetadataError::TooLarge(_))));
    let many = shard.submit(command(b'*', 1001, b"")).await;
    assert!(matches!(many, Err(MetadataError::Refused(Refused::TooManyKeys))));
    let bad = shard.submit(command(b'0', 0, b"")).await;
    assert!(matches!(bad, Err(MetadataError::Refused(Refused::BadKey))));
    assert_eq!(shard.view().unwrap().get(&[&b"many"[..], &0_u64.to_be_bytes()].concat()).unwrap(), None);
    assert_eq!(shard.submit(command(b'*', 1000, b"")).await.unwrap(), Bytes::new());
    assert_eq!(shard.submit(add(&[b'k'; 65_534], 3)).await.unwrap(), &3_u64.to_be_bytes()[..]);
    let too_long = shard.submit(add(&[b'k'; 65_535], 3)).await;
    assert!(matches!(too_long, Err(MetadataError::Refused(Refused::BadKey))));
    shard.close().await.unwrap();
}

#[tokio::test]
async fn no_key_of_the_machine_is_the_hosts() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let drive = Drive::open(dir.path());
        let shard = drive.shard(Arc::new(Counter)).await.unwrap();
        for key in [&b"\0"[..], b"\0p", b"\x01", &[0; 18]] {
            assert_eq!(shard.view().unwrap().get(key).unwrap().is_some(), round > 0);
            shard.submit(command(b'0', 0, key)).await.unwrap();
            assert!(shard.view().unwrap().get(key).unwrap().is_some());
        }
        shard.close().await.unwrap();
        drop(shard);
        drive.close().await;
    }
}

#[tokio::test]
async fn a_map_error_stops_the_shard_with_its_reason_and_applies_nothing_of_the_entry() {
    let dir = tempfile::tempdir().unwrap();
    let drive = Drive::open(dir.path());
    let shard = drive.shard(Arc::new(Counter)).await.unwrap();
    shard.submit(add(b"n", 1)).await.unwrap();
    let error = shard.submit(command(b'!', 0, b"")).await.unwrap_err();
    assert!(error.to_string().contains("the map has gone"), "{error}");
    let later = shard.submit(add(b"n", 1)).await.unwrap_err();
    assert!(later.to_string().contains("the map has gone"), "{later}");
    assert!(matches!(shard.view(), Err(MetadataError::Stopped(_))));
    assert!(shard.close().await.is_err());
}

#[tokio::test]
async fn a_panic_of_the_machine_stops_the_shard() {
    let dir = tempfile::tempdir().unwrap();
    let drive = Drive::open(dir.path());
    let shard = drive.shard(Arc::new(Counter)).await.unwrap();
    assert!(matches!(shard.submit(command(b'?', 0, b"")).await, Err(MetadataError::Stopped(_))));
    assert!(matches!(shard.view(), Err(MetadataError::Stopped(_))));
    assert!(shard.close().await.is_err());
}

#[tokio::test]
async fn a_log_or_a_map_that_was_replaced_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let drive = Drive::open(dir.path());
        let mut config = drive.config(Arc::new(Counter));
        config.options.persist_commands = 5;
        let shard = Shard::open(config).await.unwrap();
        for _ in 0..20 {
            shard.submit(add(b"n", 1)).await.unwrap();
        }
        assert_eq!(total(&shard.view().unwrap(), b"n"), (round + 1) * 20);
        shard.close().await.unwrap();
        drop(shard);
        drive.close().await;
    }
    for (gone, says) in [("log", "the log ends at nothing"), ("map", "the map has nothing")] {
        let (kept, away) = (dir.path().join(gone), dir.path().join("away"));
        std::fs::rename(&kept, &away).unwrap();
        let drive = Drive::open(dir.path());
        let error = drive.shard(Arc::new(Counter)).await.err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
        drive.close().await;
        std::fs::remove_dir_all(&kept).unwrap();
        std::fs::rename(&away, &kept).unwrap();
    }
    let drive = Drive::open(dir.path());
    let mut foreign = drive.config(Arc::new(Counter));
    foreign.voter = 78;
    assert!(matches!(Shard::open(foreign).await, Err(MetadataError::Config(_))));
    let mut other_life = drive.config(Arc::new(Counter));
    other_life.homes[0].incarnation = 2;
    assert!(matches!(Shard::open(other_life).await, Err(MetadataError::TooFewHomes { found: 0, needed: 1 })));
    let shard = drive.shard(Arc::new(Counter)).await.unwrap();
    assert_eq!(total(&shard.view().unwrap(), b"n"), 40);
}

#[tokio::test]
async fn the_log_stays_short_under_a_long_life() {
    let dir = tempfile::tempdir().unwrap();
    let drive = Drive::open(dir.path());
    let mut config = drive.config(Arc::new(Counter));
    let log = config.homes[0].log.clone();
    config.options.persist_commands = 100;
    let shard = Shard::open(config).await.unwrap();
    let mut longest = 0;
    for n in 0..40 {
        let submits = (0..50).map(|k| Box::pin(shard.submit(add(&[b'k', k], n))));
        for reply in futures_util::future::join_all(submits).await {
            reply.unwrap();
        }
        longest = longest.max(log.bounds().map_or(0, |b| b.last + 1 - b.first));
    }
    shard.close().await.unwrap();
    // 2,000 commands in at least 40 entries; making the map durable takes a few entries' time.
    let bounds = log.bounds().map(|b| (b.first, b.last));
    assert!(bounds.is_none_or(|(first, _)| first > 5), "nothing was purged: {bounds:?}, longest {longest}");
}

#[tokio::test]
async fn what_a_life_had_to_apply_again_the_next_one_has_not() {
    let dir = tempfile::tempdir().unwrap();
    let drive = Drive::open(dir.path());
    let shard = drive.shard(Arc::new(Counter)).await.unwrap();
    for n in 0..60 {
        shard.submit(add(b"n", n)).await.unwrap();
    }
    shard.close().await.unwrap();
    drop(shard);
    drive.close().await;
    // As if none of it had become durable in the map.
    std::fs::remove_dir_all(dir.path().join("map")).unwrap();
    let drive = Drive::open(dir.path());
    let mut config = drive.config(Arc::new(Counter));
    let log = config.homes[0].log.clone();
    config.options.persist_commands = 400;
    let first = log.bounds().unwrap().first;
    let shard = Shard::open(config).await.unwrap();
    let purged = async {
        while log.bounds().is_some_and(|bounds| bounds.first == first) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(30), purged).await;
    assert!(in_time.is_ok(), "the log still begins at {first}");
    shard.close().await.unwrap();
}
