//! A map of names that has met an error of its disk, under the real daemon: all goes on, without anybody's doing anything, once
//! the disk has got over it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, attach, make, run};
use remote::RemoteVfs;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use types::{ByteRange, Cred, FileId};
use vfs::*;

/// Of each write; it stays in the map for a while.
const BYTES: usize = 4096;
/// More than a map gathers in memory.
const WRITES_MAX: u64 = 20_000;
const ANSWER: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

fn ctx() -> Ctx {
    Ctx::new(Cred::root())
}

/// Whether block `number` was written, durably.
async fn write(vfs: &RemoteVfs, file: FileId, number: u64) -> bool {
    let (data, offset) = (vec![number as u8; BYTES].into(), WriteOffset::At(number * BYTES as u64));
    let (ctx, durability) = (ctx(), Durability::File);
    let written = vfs.write(&ctx, Write { file, open: None, offset, data, durability });
    matches!(timeout(ANSWER, written).await, Ok(Ok(_)))
}

/// Takes away from all maps in `data` where their tables are, or gives it back.
fn tables(data: &Path, drives: u32, there: bool) {
    for drive in 0..drives {
        let map = data.join(format!("drive-{drive}/map"));
        let (tables, away) = (map.join("keyspaces"), map.join("away"));
        if there {
            std::fs::remove_file(&tables).unwrap();
            std::fs::rename(&away, &tables).unwrap();
        } else {
            std::fs::rename(&tables, &away).unwrap();
            std::fs::write(&tables, b"").unwrap();
        }
    }
}

fn must_go_on(drives: u32) {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--drives", &drives.to_string(), "--drive-size", "256M"].map(str::to_owned).to_vec();
    let mut daemon =
        Daemon::start(folder.path(), &DaemonOptions { flags, ..DaemonOptions::default() }).unwrap();
    run(async {
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
        let file = make(&vfs, dir, "f").await.unwrap();
        assert!(write(&vfs, file, 0).await);
        tables(&daemon.data(), drives, false);
        let mut written = 1;
        while written < WRITES_MAX {
            if write(&vfs, file, written).await {
                written += 1;
            } else if daemon.log().contains("the shard has stopped") {
                break;
            }
        }
        // Before another life begins, which would find no tables.
        tables(&daemon.data(), drives, true);
        assert!(written < WRITES_MAX, "{written} writes, and no table was needed");

        let begun = Instant::now();
        while !write(&vfs, file, written).await {
            assert!(begun.elapsed() < PATIENCE, "it does not go on\n{}", daemon.log());
            tokio::time::sleep(LOOK).await;
        }
        let range = ByteRange { offset: 0, end: u64::MAX };
        vfs.commit(&ctx(), Commit { file, range }).await.unwrap();
        for number in 0..=written {
            let (offset, length) = (number * BYTES as u64, BYTES as u32);
            let read = vfs.read(&ctx(), Read { file, open: None, offset, length }).await.unwrap();
            assert!(read.data == vec![number as u8; BYTES], "block {number} of {written}");
        }
        make(&vfs, dir, "new").await.unwrap();
    });
    assert!(daemon.log().contains("starts again"), "{}", daemon.log());
    assert!(daemon.plexus(&["fsck"]).unwrap().status.success());
    assert!(daemon.stop().unwrap().success());
}

#[test]
fn the_only_map_goes_on_after_it_could_not_write_a_table() {
    must_go_on(1);
}

#[test]
fn three_maps_go_on_after_none_of_them_could_write_a_table() {
    must_go_on(3);
}
