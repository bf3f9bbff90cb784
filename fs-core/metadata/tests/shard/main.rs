//! A shard on real drives: what is acknowledged is seen, and is there after any ending.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod cluster;
mod counter;
mod crashes;
mod faults;
mod homes;
mod kills;
mod lives;
mod maps;

use bytes::Bytes;
use counter::{Counter, Drive, add, total};
use metadata::MetadataError;
use std::sync::Arc;

#[tokio::test]
async fn a_command_is_seen_by_every_later_view_and_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3_u64 {
        let drive = Drive::open(dir.path());
        let shard = drive.shard(Arc::new(Counter)).await.unwrap();
        for i in 1..=10 {
            let reply = shard.submit(add(b"n", 1)).await.unwrap();
            assert_eq!(reply, Bytes::copy_from_slice(&((round - 1) * 10 + i).to_be_bytes()));
            assert_eq!(total(&shard.view().unwrap(), b"n"), (round - 1) * 10 + i);
        }
        shard.close().await.unwrap();
        assert!(matches!(shard.view(), Err(MetadataError::Closed)));
        assert!(matches!(shard.submit(add(b"n", 1)).await, Err(MetadataError::Closed)));
        drop(shard);
        drive.close().await;
    }
}

#[tokio::test]
async fn concurrent_commands_are_all_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let drive = Drive::open(dir.path());
    let shard = Arc::new(drive.shard(Arc::new(Counter)).await.unwrap());
    let mut tasks = Vec::new();
    for client in 0..32_u8 {
        let shard = shard.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                shard.submit(add(b"all", 1)).await.unwrap();
                shard.submit(add(&[b'c', client], 2)).await.unwrap();
                assert!(total(&shard.view().unwrap(), &[b'c', client]) >= 2);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let view = shard.view().unwrap();
    assert_eq!(total(&view, b"all"), 640);
    for client in 0..32 {
        assert_eq!(total(&view, &[b'c', client]), 40);
    }
    drop(view);
    shard.close().await.unwrap();
}
