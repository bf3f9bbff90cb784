//! Drives that vanish, are taken out, replaced and rebuilt, under the real daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

use admin::{DriveState, FailuresLeft, Health, Status};
use e2e::{Daemon, DaemonOptions, attach, run};
use std::path::Path;
use std::time::{Duration, Instant};
use types::{ByteRange, Cred, Mode, Name, SetAttr};
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
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
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
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
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
    let said = text(output.stdout);
    if output.status.success() { Ok(said) } else { Err(said + &text(output.stderr)) }
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

/// Writes many small files at the same time, whose data travel with the names.
fn write_small(daemon: &Daemon, round: usize, count: usize) {
    run(async {
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
        let vfs = &vfs;
        let one = |number: usize| async move {
            let (kind, mode, set) = (NodeKind::File, Mode(0o644), SetAttr::default());
            let name = Name::new(format!("small-{round}-{number}")).unwrap();
            let made = vfs.mknod(&ctx(), Mknod { dir, name, kind, mode, set }).await.unwrap();
            let file = made.attr.file;
            let data = vec![number as u8; 16 << 10].into();
            let (offset, durability) = (WriteOffset::At(0), Durability::File);
            vfs.write(&ctx(), Write { file, open: None, offset, data, durability }).await.unwrap();
        };
        for first in (0..count).step_by(16) {
            futures_util::future::join_all((first..count.min(first + 16)).map(one)).await;
        }
    });
}

/// Bays of the drives that keep the map of names, as the folder has it.
fn map_seats(folder: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join("data/cluster-map")).unwrap();
    let recorded: serde_json::Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let seats = recorded["maps"].as_array().unwrap();
    seats.iter().map(|seat| seat["drive"].as_u64().unwrap() % 100_000).collect()
}

/// Waits until so many more losses of drives are survived by names and attributes.
fn when_metadata_left(daemon: &Daemon, left: u8) {
    let start = Instant::now();
    while daemon.status().unwrap().failures_left.metadata != left {
        assert!(start.elapsed() < PATIENCE, "{:?}\n{}", daemon.status(), daemon.log());
        std::thread::sleep(LOOK);
    }
}

/// Two drives are not there, and nothing else is wrong. What a write that was `cut` has left stays as long as they are away:
/// nothing is freed by an incomplete list.
fn only_drives_are_damaged(daemon: &Daemon, cut: bool) {
    let said = plexus(daemon, &["fsck"]).unwrap_err();
    let left = |line: &&str| cut && line.starts_with("orphan-chunk: ");
    let lines: Vec<&str> = said.lines().filter(|line| !left(line)).collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[..2].iter().all(|line| line.starts_with("drive: ") && line.contains("is not there")),
        "{said}"
    );
}

/// Two drives are lost, replaced and filled again, and then two others are lost.
fn two_and_two_others(first: [u16; 2], then: [u16; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &options(6)).unwrap();
    write(&daemon, 0..5);
    let status = daemon.status().unwrap();
    assert_eq!(
        (status.health, status.failures_left),
        (Health::Healthy, FailuresLeft { data: 2, metadata: 2 })
    );
    assert!(daemon.stop().unwrap().success());

    lose(folder.path(), first);
    let daemon = daemon.restart().unwrap();
    let status = daemon.status().unwrap();
    assert_eq!((status.health, status.failures_left.data), (Health::Degraded, 0));
    assert_eq!(states(&daemon).iter().filter(|state| **state == DriveState::Missing).count(), 2);
    must_read(&daemon, 0..5);
    // With two drives gone, what is written becomes durable all the same, and at once.
    write(&daemon, 5..10);
    must_read(&daemon, 0..10);
    // Logs and maps move to what remains: four homes of five, three maps.
    when_metadata_left(&daemon, 1);
    assert!(map_seats(folder.path()).iter().all(|bay| !first.contains(&(*bay as u16))));
    let remaining = (0..6).find(|bay| !first.contains(bay)).unwrap().to_string();
    assert!(plexus(&daemon, &["drive", "fail", &remaining]).unwrap_err().contains("lost"));

    for bay in first {
        plexus(&daemon, &["drive", "replace", &bay.to_string()]).unwrap();
    }
    assert!(
        plexus(&daemon, &["drive", "replace", &first[1].to_string()]).unwrap_err().contains("in service")
    );
    // A crash in the middle: what is filling goes on being filled.
    let daemon = daemon.restart().unwrap();
    write(&daemon, 10..13);
    let mut daemon = daemon;
    assert_eq!(when_healthy(&daemon).failures_left, FailuresLeft { data: 2, metadata: 2 });
    assert_eq!(states(&daemon), [DriveState::Serving; 6]);
    plexus(&daemon, &["fsck"]).unwrap();
    assert!(daemon.stop().unwrap().success());

    // Among them are homes of the log and copies of the map that only the replaced drives make good.
    lose(folder.path(), then);
    let daemon = daemon.restart().unwrap();
    assert_eq!(daemon.status().unwrap().health, Health::Degraded);
    must_read(&daemon, 0..13);
    only_drives_are_damaged(&daemon, false);
}

#[test]
fn two_drives_are_lost_and_replaced_and_then_two_others_are_lost() {
    two_and_two_others([1, 4], [2, 3]);
}

#[test]
fn the_first_drive_is_lost_with_another_and_then_two_others_are_lost() {
    two_and_two_others([0, 1], [2, 5]);
}

#[test]
fn two_drives_with_the_map_are_lost_and_then_those_that_took_their_place() {
    two_and_two_others([0, 2], [3, 4]);
}

#[test]
fn a_drive_that_was_away_comes_back_to_others_in_its_seats() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &options(6)).unwrap();
    write(&daemon, 0..3);
    assert!(daemon.stop().unwrap().success());
    let (bay, away) = (folder.path().join("data/drive-0"), folder.path().join("away"));
    std::fs::rename(&bay, &away).unwrap();
    let daemon = daemon.restart().unwrap();
    // Five drives are left, and names need no sixth.
    when_metadata_left(&daemon, 2);
    assert_eq!(daemon.status().unwrap().health, Health::Degraded);
    assert!(!map_seats(folder.path()).contains(&0));
    write(&daemon, 3..6);
    let mut daemon = daemon;
    assert!(daemon.stop().unwrap().success());
    std::fs::rename(&away, &bay).unwrap();
    let daemon = daemon.restart().unwrap();
    when_metadata_left(&daemon, 2);
    must_read(&daemon, 0..6);
    assert!(!map_seats(folder.path()).contains(&0));
    // Its copy of the map is of no use any more and takes no room.
    let start = Instant::now();
    while std::fs::read_dir(bay.join("map/keyspaces")).unwrap().count() > 1 {
        assert!(start.elapsed() < PATIENCE, "{}", daemon.log());
        std::thread::sleep(LOOK);
    }
}

/// All 15; in `make test-full PART=3`.
#[test]
#[ignore = "takes minutes, run by the third part of test-full"]
fn every_pair_is_lost_and_then_every_other_one() {
    let pairs = (0..6).flat_map(|a| (a + 1..6).map(move |b| [a, b]));
    for (n, first) in pairs.enumerate() {
        let others: Vec<u16> = (0..6).filter(|bay| !first.contains(bay)).collect();
        let (a, b) = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)][n % 6];
        let then = [others[a], others[b]];
        println!("{first:?}, then {then:?}");
        two_and_two_others(first, then);
    }
}

#[test]
fn a_drive_is_taken_out_while_files_are_in_use_and_comes_back_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(folder.path(), &options(7)).unwrap();
    write(&daemon, 0..5);
    assert!(plexus(&daemon, &["drive", "fail", "7"]).unwrap_err().contains("no drive 7"));
    assert!(plexus(&daemon, &["drive", "replace", "0"]).unwrap_err().contains("in service"));

    // There is a seventh: the chunks of the first, the log and the map that is read from move to what
    // remains, under load.
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&daemon, 5..20));
        let reading = scope.spawn(|| must_read(&daemon, 0..5));
        plexus(&daemon, &["drive", "fail", "0"]).unwrap();
        assert!(plexus(&daemon, &["drive", "fail", "0"]).unwrap_err().contains("already"));
        reading.join().unwrap();
        writing.join().unwrap();
    });
    assert_eq!(when_healthy(&daemon).failures_left, FailuresLeft { data: 2, metadata: 2 });
    assert_eq!(states(&daemon)[0], DriveState::Failed);
    assert!(daemon.stop().unwrap().success());
    lose(folder.path(), [1, 5]);
    let daemon = daemon.restart().unwrap();
    must_read(&daemon, 0..20);

    // The bay has its old drive's files in it: they are not those of the new drive.
    plexus(&daemon, &["drive", "replace", "0"]).unwrap();
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

#[test]
fn a_map_that_fails_under_load_moves_to_another_drive_and_no_client_notices() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &options(6)).unwrap();
    write(&daemon, 0..3);
    assert_eq!(map_seats(folder.path()), [0, 1, 2]);
    // The tables of the map that is read from are gone: the next one cannot be written.
    let map = folder.path().join("data/drive-0/map");
    std::fs::rename(map.join("keyspaces"), map.join("gone")).unwrap();
    let start = Instant::now();
    let mut rounds = 0;
    while map_seats(folder.path()).contains(&0) {
        write_small(&daemon, rounds, 160);
        rounds += 1;
        assert!(start.elapsed() < PATIENCE * 2, "{}", daemon.log());
    }
    assert_eq!(when_healthy(&daemon).failures_left.metadata, 2);
    must_read(&daemon, 0..3);
    // What took its place is as good.
    let mut daemon = daemon;
    daemon.kill().unwrap();
    lose(folder.path(), [1, 2]);
    let daemon = daemon.restart().unwrap();
    must_read(&daemon, 0..3);
    only_drives_are_damaged(&daemon, true);
}
