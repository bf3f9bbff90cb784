//! What the drives' bytes are, under the real daemon: to the byte, while files come, change and go.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

use admin::{Capacity, ChunkPlace, Filesystems, Status};
use e2e::{Daemon, DaemonOptions, attach, run};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use types::{ByteRange, Cred, FsError, Mode, Name, SetAttr};
use vfs::*;

/// How long background work may take, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

fn options() -> DaemonOptions {
    let flags = ["--drives", "6", "--protection", "4+2", "--drive-size", "64M"];
    let configuration = "fold.age = 0".to_owned();
    DaemonOptions { flags: flags.map(str::to_owned).to_vec(), configuration, ..DaemonOptions::default() }
}

fn ctx() -> Ctx {
    Ctx::new(Cred::root())
}

fn name(number: usize) -> Name {
    Name::new(format!("file-{number}")).unwrap()
}

/// Content that is not kept in an inode, and small enough to go with the metadata.
fn content(number: usize, version: usize) -> Vec<u8> {
    (0..4200 + number * 60).map(|i| ((i ^ (i >> 8)) + number + version) as u8).collect()
}

/// Writes files, durable one by one; those that are there are overwritten.
async fn write_all(data: &Path, numbers: std::ops::Range<usize>, version: usize) {
    let (vfs, dir) = attach(data).await.unwrap();
    for number in numbers {
        let (kind, mode, set) = (NodeKind::File, Mode(0o644), SetAttr::default());
        let file = match vfs.mknod(&ctx(), Mknod { dir, name: name(number), kind, mode, set }).await {
            Ok(made) => made.attr.file,
            Err(_) => vfs.lookup(&ctx(), Lookup { dir, name: name(number) }).await.unwrap().attr.file,
        };
        let (offset, data) = (WriteOffset::At(0), content(number, version).into());
        let write = Write { file, open: None, offset, data, durability: Durability::Unstable };
        vfs.write(&ctx(), write).await.unwrap();
        vfs.commit(&ctx(), Commit { file, range: ByteRange { offset: 0, end: u64::MAX } }).await.unwrap();
    }
}

async fn must_read(data: &Path, numbers: std::ops::Range<usize>, version: usize) {
    let (vfs, dir) = attach(data).await.unwrap();
    for number in numbers {
        let file = vfs.lookup(&ctx(), Lookup { dir, name: name(number) }).await.unwrap().attr.file;
        let read = vfs.read(&ctx(), Read { file, open: None, offset: 0, length: 1 << 20 }).await.unwrap();
        assert!(read.data == content(number, version), "file {number} differs");
    }
}

/// The parts make up the whole at every moment.
fn status(daemon: &Daemon) -> Status {
    let status = daemon.status().unwrap();
    let Capacity { total, used, live, garbage, orphan, metadata, .. } = status.capacity;
    let parts = [live, garbage, orphan, metadata].map(Option::unwrap);
    assert_eq!(parts.iter().sum::<u64>(), used, "{:?}", status.capacity);
    assert!(used <= total && parts[3] > 0, "{:?}", status.capacity);
    status
}

fn when(daemon: &Daemon, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
    let start = Instant::now();
    loop {
        let status = status(daemon);
        if holds(&status) {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {status:#?}\n{}", daemon.log());
        std::thread::sleep(LOOK);
    }
}

/// Nothing is on its way and nothing waits.
fn settled(status: &Status) -> bool {
    let capacity = &status.capacity;
    (capacity.garbage, capacity.orphan, capacity.missing) == (Some(0), Some(0), Some(0))
        && status.background.folded.left.is_some_and(|left| left < 16 << 10)
}

fn must_be_clean(daemon: &Daemon) {
    let output = daemon.plexus(&["fsck"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn remove_all(daemon: &Daemon, numbers: std::ops::Range<usize>) {
    run(async {
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
        for number in numbers {
            vfs.unlink(&ctx(), Unlink { dir, name: name(number) }).await.unwrap();
        }
    });
}

#[test]
fn small_files_are_folded_overwritten_and_removed_and_every_byte_is_somebodys() {
    const FILES: usize = 120;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &options()).unwrap();
    let data = daemon.data();
    let empty = when(&daemon, "nothing is there yet", settled);
    assert_eq!((empty.capacity.live, empty.capacity.dead), (Some(0), Some(0)));

    std::thread::scope(|scope| {
        let writing = scope.spawn(|| run(write_all(&data, 0..FILES, 1)));
        while !writing.is_finished() {
            status(&daemon);
        }
    });
    let full = when(&daemon, "folded", settled);
    let bytes: usize = (0..FILES).map(|n| content(n, 1).len()).sum();
    let left = full.background.folded.left.unwrap();
    assert_eq!(full.background.folded.bytes, bytes as u64 - left);
    // Parity, headers and padding: not much more than half as much again where stripes are not tiny.
    let live = full.capacity.live.unwrap();
    assert!(live > bytes as u64 * 3 / 2 && live < bytes as u64 * 3, "{live} for {bytes}");
    run(must_read(&data, 0..FILES, 1));
    must_be_clean(&daemon);

    run(write_all(&data, 0..FILES / 2, 2));
    let overwritten = when(&daemon, "folded again", settled);
    run(must_read(&data, 0..FILES / 2, 2));
    run(must_read(&data, FILES / 2..FILES, 1));
    let listed = run(async { admin::Client::new(&daemon.data()).filesystems().await });
    let filesystems: Filesystems = listed.unwrap();
    let default = &filesystems.filesystems[0];
    assert_eq!((default.used, default.inodes), (Some(bytes as u64), Some(FILES as u64 + 1)));

    // A new life counts the same.
    let daemon = daemon.restart().unwrap();
    let again = when(&daemon, "after a crash", settled);
    assert_eq!(again.capacity.live, overwritten.capacity.live);
    assert_eq!(again.capacity.dead, overwritten.capacity.dead);
    must_be_clean(&daemon);

    remove_all(&daemon, 0..FILES);
    let gone = when(&daemon, "freed", |status| settled(status) && status.capacity.live == Some(0));
    assert_eq!(gone.capacity.used, gone.capacity.metadata.unwrap());
    assert!(gone.background.freed.bytes >= again.capacity.live.unwrap());
    must_be_clean(&daemon);
}

/// Writes over the bytes of one chunk's file, as a drive that lies would.
fn damage(place: &ChunkPlace, header: bool) {
    let at = if header { place.offset - 4096 } else { place.offset + place.length / 2 };
    let file = std::fs::OpenOptions::new().write(true).open(&place.file).unwrap();
    file.write_all_at(&[0xa5; 4096], at).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn damage_that_nobody_reads_is_found_within_the_period_and_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let options = DaemonOptions { configuration: "fold.age = 0\nscrub.period = 8".to_owned(), ..options() };
    let daemon = Daemon::start(folder.path(), &options).unwrap();
    let data = daemon.data();
    run(write_all(&data, 0..40, 1));
    when(&daemon, "folded", settled);
    // A chunk that is made anew is in another place.
    let places =
        || run(async { admin::Client::new(&data).placement("/default/file-20").await.unwrap() }).chunks;
    assert_eq!(places().len(), 6);
    for round in 0..2 {
        let places = places();
        let found = status(&daemon).integrity.found;
        damage(&places[round], true);
        damage(&places[round + 2], false);
        let good = when(&daemon, "found", |status| status.integrity.found >= found + 2);
        let good = when(&daemon, "made good", |status| status.integrity.repaired >= good.integrity.found);
        assert_eq!((good.health, good.background.scrubbed.lost), (admin::Health::Healthy, 0));
    }
    when(&daemon, "all has been read", |status| status.background.scrubbed.since.is_some());
    // Three of six chunks are more than can be made good: it is told, and not made up.
    for place in &places()[1..4] {
        damage(place, false);
    }
    let lost = when(&daemon, "told", |status| status.background.scrubbed.lost == 1);
    assert_eq!(lost.health, admin::Health::Lost);
    remove_all(&daemon, 0..40);
    when(&daemon, "nobody needs it any more", |status| status.health == admin::Health::Healthy);
}

/// Writes until there is no space, as several clients do; what was written is durable when it comes back.
async fn fill(data: &Path, numbers: std::ops::Range<usize>) -> usize {
    let (vfs, dir) = attach(data).await.unwrap();
    let mut written = 0;
    for number in numbers {
        let (kind, mode, set) = (NodeKind::File, Mode(0o644), SetAttr::default());
        let file = match vfs.mknod(&ctx(), Mknod { dir, name: name(number), kind, mode, set }).await {
            Ok(made) => made.attr.file,
            Err(error) => panic!("{error}"),
        };
        let mut at = 0;
        let full = loop {
            let length = 30_000 + number % 7 * 40_000;
            let (offset, data) = (WriteOffset::At(at), vec![1; length].into());
            match vfs
                .write(&ctx(), Write { file, open: None, offset, data, durability: Durability::Unstable })
                .await
            {
                Ok(_) => at += length as u64,
                Err(FsError::NoSpace) => break true,
                Err(error) => panic!("{error}"),
            }
            if at > 3 << 20 {
                break false;
            }
        };
        let range = ByteRange { offset: 0, end: u64::MAX };
        vfs.commit(&ctx(), Commit { file, range }).await.expect("what was acknowledged fits");
        written += at as usize;
        if full {
            return written;
        }
    }
    panic!("never full");
}

#[test]
fn a_full_drive_tells_who_writes_and_has_space_again_when_files_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &options()).unwrap();
    let data = daemon.data();
    for round in 0..2 {
        let written: usize = std::thread::scope(|scope| {
            let fill = |n: usize| run(fill(&data, n * 1000..n * 1000 + 999));
            let filling: Vec<_> = (0..3).map(|n| scope.spawn(move || fill(n))).collect();
            filling.into_iter().map(|filling| filling.join().unwrap()).sum()
        });
        // Six drives of 64 MiB, a third of it parity.
        assert!(written > 220 << 20, "round {round}: {written}");
        let full = status(&daemon);
        assert!(full.capacity.reserved.unwrap() > 6 * 1_500_000, "{:?}", full.capacity);
        must_be_clean(&daemon);
        run(async {
            let (vfs, dir) = attach(&data).await.unwrap();
            let mut after = types::Cookie::START;
            loop {
                let reply =
                    vfs.readdir(&ctx(), ReadDir { dir, after, limit: 100, attrs: false }).await.unwrap();
                for entry in &reply.entries {
                    after = entry.cookie;
                    vfs.unlink(&ctx(), Unlink { dir, name: entry.name.clone() }).await.unwrap();
                }
                if reply.end {
                    break;
                }
            }
        });
        when(&daemon, "freed", |status| settled(status) && status.capacity.live == Some(0));
    }
}

#[test]
fn the_parts_are_the_whole_while_drives_are_away_and_after_crashes() {
    const FILES: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &options()).unwrap();
    let data = daemon.data();
    run(write_all(&data, 0..FILES, 1));
    // Killed at any moment of writing and folding, under a client that goes on.
    daemon = std::thread::scope(|scope| {
        let writing = scope.spawn(|| run(write_all(&data, FILES..FILES * 4, 1)));
        for round in 0..3 {
            std::thread::sleep(Duration::from_millis(200 + 100 * round));
            daemon = daemon.restart().unwrap();
        }
        writing.join().unwrap();
        daemon
    });
    when(&daemon, "what never came to an end is freed", settled);
    run(must_read(&data, 0..FILES * 4, 1));
    let whole = status(&daemon);
    assert!(daemon.stop().unwrap().success());

    for drive in [1, 4] {
        std::fs::remove_dir_all(daemon.data().join(format!("drive-{drive}"))).unwrap();
    }
    let daemon = daemon.restart().unwrap();
    let away = status(&daemon);
    let missing = away.capacity.missing.unwrap();
    assert_eq!(away.capacity.live.unwrap() + missing, whole.capacity.live.unwrap());
    assert!(missing * 6 > whole.capacity.live.unwrap(), "{missing}");
    for drive in ["1", "4"] {
        assert!(daemon.plexus(&["drive", "replace", drive]).unwrap().status.success());
    }
    let rebuilt = when(&daemon, "rebuilt", |status| {
        settled(status)
            && status.health == admin::Health::Healthy
            && status.background.rebuilt.left == Some(0)
    });
    assert_eq!(rebuilt.capacity.live, whole.capacity.live);
    assert_eq!(rebuilt.background.rebuilt.bytes, missing);
    run(must_read(&data, 0..FILES * 4, 1));
    must_be_clean(&daemon);
}
