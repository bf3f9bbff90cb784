//! More extents than fit one command, and the largest files.

use crate::rig::{
    Rig, attr, close, commit, directory, file, name, open, read, refused, root, truncate, unlink, write,
};
use std::time::Duration;
use types::limits::FILE_BYTES_MAX;
use types::{ByteRange, FileId, FsError};
use vfs::*;

/// Bytes between two pieces of a riddled file.
const STEP: u64 = 64;

/// A file of `pieces` runs of 32 bytes with holes between them, all in the map.
async fn riddled<V: Vfs>(vfs: &V, dir: FileId, text: &str, pieces: u64) -> FileId {
    let file = file(vfs, dir, text).await;
    // More at once than goes into a command, so that stripes are made of it.
    for i in 0..pieces {
        write(vfs, file, i * STEP, &[1 + (i % 250) as u8; 32]).await.unwrap();
    }
    commit(vfs, file).await.unwrap();
    file
}

fn expected(pieces: u64) -> Vec<u8> {
    let mut data = vec![0; ((pieces - 1) * STEP + 32) as usize];
    for i in 0..pieces {
        data[(i * STEP) as usize..(i * STEP + 32) as usize].fill(1 + (i % 250) as u8);
    }
    data
}

#[tokio::test(start_paused = true)]
async fn thousands_of_extents_are_cut_overwritten_cloned_and_removed() {
    const PIECES: u64 = 3000;
    let mut rig = Rig::new(64 << 10);
    let (real, top) = rig.start().await;
    let one = riddled(&real, top, "one", PIECES).await;
    let data = expected(PIECES);
    assert!(read(&real, one, 0, 1 << 20).await == data[..]);
    rig.audit().await;

    // A clone of all of it, which outlives its source.
    let two = file(&real, top, "two").await;
    let clone = |from, to, length| CloneRange { length, ..CloneRange::whole(from, to) };
    real.clone_range(&root(), clone(one, two, 0)).await.unwrap();
    rig.audit().await;
    assert!(read(&real, two, 0, 1 << 20).await == data[..]);

    // Overwritten in one piece: the commit is split.
    let solid = vec![9; 150_000];
    write(&real, one, 10_000, &solid).await.unwrap();
    commit(&real, one).await.unwrap();
    rig.audit().await;
    let mut now = data.clone();
    now[10_000..160_000].copy_from_slice(&solid);
    assert!(read(&real, one, 0, 1 << 20).await == now[..]);
    assert!(read(&real, two, 0, 1 << 20).await == data[..]);

    // Punched, zeroed and reserved over more than a command's worth.
    for how in [AllocateHow::Reserve, AllocateHow::Punch, AllocateHow::Zero] {
        let range = ByteRange { offset: 100, end: 30_000 };
        real.allocate(&root(), Allocate { file: one, open: None, range, how }).await.unwrap();
        rig.audit().await;
    }
    now[100..30_000].fill(0);
    assert!(read(&real, one, 0, 1 << 20).await == now[..]);

    // Cut: at once for readers, in steps for the map; what is written beyond meanwhile stays.
    truncate(&real, two, 1000).await.unwrap();
    rig.audit().await;
    truncate(&real, two, 100_000).await.unwrap();
    write(&real, two, 50_000, b"beyond").await.unwrap();
    commit(&real, two).await.unwrap();
    let mut left = data[..1000].to_vec();
    left.resize(100_000, 0);
    left[50_000..50_006].copy_from_slice(b"beyond");
    assert!(read(&real, two, 0, 1 << 20).await == left[..]);
    rig.audit().await;

    unlink(&real, top, "one").await.unwrap();
    refused(attr(&real, one).await, FsError::Stale);
    rig.audit().await;
    unlink(&real, top, "two").await.unwrap();
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn the_largest_file_has_all_its_ends() {
    let mut rig = Rig::new(64 << 10);
    let (real, top) = rig.start().await;
    let big = file(&real, top, "big").await;
    let end = FILE_BYTES_MAX;
    write(&real, big, end - 3, b"end").await.unwrap();
    refused(write(&real, big, end - 2, b"end").await, FsError::FileTooLarge);
    refused(truncate(&real, big, end + 1).await, FsError::FileTooLarge);
    commit(&real, big).await.unwrap();
    assert_eq!(attr(&real, big).await.unwrap().size, end);
    assert_eq!(&read(&real, big, end - 5, 100).await[..], b"\0\0end");
    write(&real, big, 0, &[7; 20_000]).await.unwrap();
    let some = ByteRange { offset: 1, end: 1 << 30 };
    let all = ByteRange { offset: 1, end: FILE_BYTES_MAX };
    for (range, how) in [(some, AllocateHow::Zero), (all, AllocateHow::Punch)] {
        real.allocate(&root(), Allocate { file: big, open: None, range, how }).await.unwrap();
        rig.audit().await;
    }
    for how in [AllocateHow::Reserve, AllocateHow::Zero] {
        let more_than_there_is = Allocate { file: big, open: None, range: all, how };
        refused(real.allocate(&root(), more_than_there_is).await, FsError::NoSpace);
    }
    let seek = |what| Seek { file: big, offset: 0, what };
    assert_eq!(real.seek(&root(), seek(SeekWhat::Hole)).await.unwrap().offset, 1);
    truncate(&real, big, 0).await.unwrap();
    assert_eq!(attr(&real, big).await.unwrap().used, 0);
    unlink(&real, top, "big").await.unwrap();
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_drive_can_be_relieved() {
    let mut rig = Rig::new(64 << 10);
    rig.stripes = rig.stripes.of_size(1 << 20);
    let (real, top) = rig.start().await;
    let (full, other) = (file(&real, top, "full").await, file(&real, top, "other").await);
    let mut at = 0;
    let error = loop {
        match write(&real, full, at, &[1; 50_000]).await {
            Ok(_) => at += 50_000,
            Err(error) => break error,
        }
    };
    assert_eq!(error, FsError::NoSpace);
    assert!(at > 900_000, "only {at} bytes went in");
    commit(&real, full).await.unwrap();
    refused(write(&real, other, 0, &[2; 100_000]).await, FsError::NoSpace);
    directory(&real, top, "names need no data").await;
    truncate(&real, full, 10).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    write(&real, other, 0, &[2; 100_000]).await.unwrap();
    commit(&real, other).await.unwrap();
    rig.audit().await;
    let held = open(&real, other).await;
    unlink(&real, top, "other").await.unwrap();
    assert_eq!(read(&real, other, 99_999, 10).await.len(), 1);
    close(&real, held).await;
    refused(attr(&real, other).await, FsError::Stale);
    unlink(&real, top, "full").await.unwrap();
    real.rmdir(&root(), Rmdir { dir: top, name: name("names need no data") }).await.unwrap();
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn many_names_list_once_each_however_they_come_and_go() {
    const NAMES: usize = 5000;
    let mut rig = Rig::new(64 << 10);
    let (real, top) = rig.start().await;
    let dir = directory(&real, top, "many").await;
    for i in 0..NAMES {
        file(&real, dir, &format!("n{i}")).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut after = types::Cookie::START;
    loop {
        let reply = real.readdir(&root(), ReadDir { dir, after, limit: 333, attrs: true }).await.unwrap();
        for entry in &reply.entries {
            assert!(entry.cookie > after);
            after = entry.cookie;
            assert!(seen.insert(entry.name.clone()), "{} twice", entry.name);
            unlink(&real, dir, &entry.name.to_string()).await.unwrap();
        }
        if reply.end {
            break;
        }
    }
    assert_eq!(seen.len(), NAMES);
    rig.audit().await;
    real.rmdir(&root(), Rmdir { dir: top, name: name("many") }).await.unwrap();
    rig.must_be_empty().await;
}
