//! Drives that vanish, are taken out, replaced and rebuilt, under the real daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

use admin::{DriveState, Health, Status};
use e2e::{Daemon, DaemonOptions};
use remote::{Address, RemoteOptions, RemoteVfs};
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use types::{ByteRange, Cred, FileId, Mode, Name, SetAttr};
use vfs::*;

/// What one write carries.
const STEP: usize = 1 << 20;
/// How long a rebuild may take, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

fn options(drives: u16) -> DaemonOptions {
    let drives = drives.to_string();
    let flags = ["--drives", &drives, "--protection", "4+2", "--drive-size", "64M"];
    DaemonOptions { flags: flags.map(str::to_owned).to_vec(), ..DaemonOptions::default() }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}

async fn mount(daemon: &Daemon) -> (RemoteVfs, FileId) {
    let address = Address::Unix(daemon.data().join(remote::SOCKET));
    // Nobody's session before, so that no reply is remembered for it.
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    let session = u128::from(SESSIONS.fetch_add(1, Ordering::Relaxed)) << 32 | u128::from(daemon.pid());
    let vfs = RemoteVfs::connect(address, RemoteOptions::new(session)).await.unwrap();
    let root = vfs.filesystem(&ctx(), Filesystem { name: "default".to_owned() }).await.unwrap().root;
    (vfs, root)
}

fn ctx() -> Ctx {
    Ctx::new(Cred::root())
}

fn name(number: usize) -> Name {
    Name::new(format!("file-{number}")).unwrap()
}

/// What is in a file: an inline one, small ones, and ones of several stripes.
fn content(number: usize) -> Vec<u8> {
    let length = [100, 30_000, 700_001, 4 << 20, 5_000_000][number % 5] + number;
    (0..length).map(|i| ((i ^ (i >> 9)) as u8).wrapping_add(number as u8)).collect()
}

/// Writes files and makes them durable.
fn write(daemon: &Daemon, numbers: std::ops::Range<usize>) {
    run(async {
        let (vfs, dir) = mount(daemon).await;
        for number in numbers {
            let (kind, mode, set) = (NodeKind::File, Mode(0o644), SetAttr::default());
            let made = vfs.mknod(&ctx(), Mknod { dir, name: name(number), kind, mode, set }).await.unwrap();
            let file = made.attr.file;
            for (n, part) in content(number).chunks(STEP).enumerate() {
                let (offset, data) = (WriteOffset::At((n * STEP) as u64), part.to_vec().into());
                let durability = Durability::Unstable;
                vfs.write(&ctx(), Write { file, open: None, offset, data, durability }).await.unwrap();
            }
            let range = ByteRange { offset: 0, end: u64::MAX };
            vfs.commit(&ctx(), Commit { file, range }).await.unwrap();
        }
    });
}

fn must_read(daemon: &Daemon, numbers: std::ops::Range<usize>) {
    run(async {
        let (vfs, dir) = mount(daemon).await;
        for number in numbers {
            let found = vfs.lookup(&ctx(), Lookup { dir, name: name(number) }).await.unwrap();
            let file = found.attr.file;
            let mut data = Vec::new();
            loop {
                let (offset, length) = (data.len() as u64, STEP as u32);
                let part = vfs.read(&ctx(), Read { file, open: None, offset, length }).await.unwrap();
                data.extend_from_slice(&part.data);
                if part.end {
                    break;
                }
            }
            assert!(data == content(number), "file {number} differs");
        }
    });
}

fn plexus(daemon: &Daemon, arguments: &[&str]) -> Result<String, String> {
    let output = daemon.plexus(arguments).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn states(daemon: &Daemon) -> Vec<DriveState> {
    let drives: admin::Drives = run(async { admin::Client::new(&daemon.data()).drives().await.unwrap() });
    assert!(drives.drives.iter().enumerate().all(|(n, drive)| drive.id as usize == n));
    drives.drives.iter().map(|drive| drive.state).collect()
}

fn when_healthy(daemon: &Daemon) -> Status {
    let start = Instant::now();
    loop {
        let status = daemon.status().unwrap();
        if status.health == Health::Healthy {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "not healthy: {status:?}\n{}", daemon.log());
        std::thread::sleep(LOOK);
    }
}

fn lose(folder: &Path, drives: [u16; 2]) {
    for drive in drives {
        std::fs::remove_dir_all(folder.join("data").join(format!("drive-{drive}"))).unwrap();
    }
}

#[test]
fn two_drives_are_lost_and_replaced_and_then_two_others_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &options(6)).unwrap();
    write(&daemon, 0..5);
    assert_eq!(daemon.status().unwrap().health, Health::Healthy);
    assert!(daemon.stop().unwrap().success());

    lose(folder.path(), [1, 4]);
    let daemon = daemon.restart().unwrap();
    let status = daemon.status().unwrap();
    assert_eq!((status.health, status.failures_left.data), (Health::Degraded, 0));
    assert_eq!(states(&daemon).iter().filter(|state| **state == DriveState::Missing).count(), 2);
    must_read(&daemon, 0..5);
    // With two drives gone, what is written becomes durable all the same, and at once.
    write(&daemon, 5..10);
    must_read(&daemon, 0..10);
    assert!(plexus(&daemon, &["drive", "fail", "2"]).unwrap_err().contains("lost"));

    plexus(&daemon, &["drive", "replace", "1"]).unwrap();
    plexus(&daemon, &["drive", "replace", "4"]).unwrap();
    assert!(plexus(&daemon, &["drive", "replace", "4"]).unwrap_err().contains("in service"));
    // A crash in the middle: what is filling goes on being filled.
    let daemon = daemon.restart().unwrap();
    write(&daemon, 10..13);
    let mut daemon = daemon;
    assert_eq!(when_healthy(&daemon).failures_left.data, 2);
    assert_eq!(states(&daemon), [DriveState::Serving; 6]);
    assert!(daemon.stop().unwrap().success());

    // Among them are homes of the log that only the replaced drives make good.
    lose(folder.path(), [2, 3]);
    let daemon = daemon.restart().unwrap();
    assert_eq!(daemon.status().unwrap().health, Health::Degraded);
    must_read(&daemon, 0..13);
}

#[test]
fn a_drive_is_taken_out_while_files_are_in_use_and_comes_back_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &options(7)).unwrap();
    write(&daemon, 0..5);
    assert!(plexus(&daemon, &["drive", "fail", "7"]).unwrap_err().contains("no drive 7"));
    assert!(plexus(&daemon, &["drive", "replace", "3"]).unwrap_err().contains("in service"));

    // There is a seventh: the chunks of the third, and the log, move to what remains, under load.
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&daemon, 5..20));
        let reading = scope.spawn(|| must_read(&daemon, 0..5));
        plexus(&daemon, &["drive", "fail", "3"]).unwrap();
        assert!(plexus(&daemon, &["drive", "fail", "3"]).unwrap_err().contains("already"));
        reading.join().unwrap();
        writing.join().unwrap();
    });
    assert_eq!(when_healthy(&daemon).failures_left.data, 2);
    assert_eq!(states(&daemon)[3], DriveState::Failed);
    assert!(daemon.stop().unwrap().success());
    lose(folder.path(), [1, 5]);
    let daemon = daemon.restart().unwrap();
    must_read(&daemon, 0..20);

    // The bay has its old drive's files in it: they are not those of the new drive.
    plexus(&daemon, &["drive", "replace", "3"]).unwrap();
    plexus(&daemon, &["drive", "replace", "1"]).unwrap();
    plexus(&daemon, &["drive", "replace", "5"]).unwrap();
    write(&daemon, 20..22);
    when_healthy(&daemon);
    assert_eq!(states(&daemon), [DriveState::Serving; 7]);

    // Out and in again in one breath, with the old drive's files just let go of.
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&daemon, 22..30));
        plexus(&daemon, &["drive", "fail", "2"]).unwrap();
        plexus(&daemon, &["drive", "replace", "2"]).unwrap();
        writing.join().unwrap();
    });
    when_healthy(&daemon);
    let mut daemon = daemon;
    assert!(daemon.stop().unwrap().success());
    lose(folder.path(), [4, 6]);
    let daemon = daemon.restart().unwrap();
    must_read(&daemon, 0..30);
}
