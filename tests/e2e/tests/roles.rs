//! A daemon whose roles reach each other, and whose mounts reach it, through TCP alone.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

/// A mount that does not stay.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-q", "-l"]).arg(&self.0).status();
    }
}

fn plexus(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.plexus(arguments).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn content(number: usize) -> Vec<u8> {
    let length = [10, 5_000, 40_000, 1_500_000][number % 4] + number;
    (0..length).map(|i| ((i ^ (i >> 7)) as u8).wrapping_add(number as u8)).collect()
}

/// Writes files until told to stop; each is durable before it gets its name.
fn writer(at: PathBuf, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let number = done.load(Ordering::Relaxed);
        let staged = at.join("staged");
        let mut file = File::create(&staged).unwrap();
        file.write_all(&content(number)).unwrap();
        file.sync_all().unwrap();
        fs::rename(&staged, at.join(format!("file-{number}"))).unwrap();
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits for so many files more.
fn wait_for(done: &AtomicUsize, more: usize) {
    let (start, goal) = (Instant::now(), done.load(Ordering::Relaxed) + more);
    while done.load(Ordering::Relaxed) < goal {
        assert!(start.elapsed() < PATIENCE, "{} of {goal} files", done.load(Ordering::Relaxed));
        std::thread::sleep(LOOK);
    }
}

fn must_hold(at: &Path, files: usize) {
    for number in 0..files {
        let found = fs::read(at.join(format!("file-{number}"))).unwrap();
        assert!(found == content(number), "file {number}: {} bytes", found.len());
    }
    let names = fs::read_dir(at).unwrap().count();
    assert!(names == files || names == files + 1, "{names} names of {files}");
}

/// Local addresses of listening sockets of a process.
fn listens(pid: u32) -> Vec<u16> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        inodes.extend(
            target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).map(str::to_owned),
        );
    }
    let mut ports = Vec::new();
    for line in fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // State 0A is a listener; everything of ours is on the loopback.
        if fields[3] == "0A" && inodes.iter().any(|inode| inode == fields[9]) {
            let (address, port) = fields[1].split_once(':').unwrap();
            assert_eq!(address, "0100007F", "{line}");
            ports.push(u16::from_str_radix(port, 16).unwrap());
        }
    }
    ports
}

#[test]
fn restarts_kills_and_a_lost_drive_are_survived_over_tcp() {
    let scratch = TempDir::new().unwrap();
    let flags = ["--drives", "3", "--protection", "2+1", "--drive-size", "256M"];
    let options = DaemonOptions {
        flags: flags.map(str::to_owned).to_vec(),
        configuration: "fabric.transport = \"tcp\"".to_owned(),
        ..DaemonOptions::default()
    };
    let mut daemon = Daemon::start(&scratch.path().join("daemon"), &options).unwrap();
    // Drives, shards, mounts, NFS, S3, administration.
    assert_eq!(listens(daemon.pid()).len(), 3 + 16 + 1 + 1 + 1 + 1);
    let door = daemon.data().join("vfs.tcp");
    assert_eq!(fs::metadata(&door).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!daemon.data().join("vfs.sock").exists());

    let at = scratch.path().join("mnt");
    fs::create_dir(&at).unwrap();
    plexus(&daemon, &["mount", "default", at.to_str().unwrap(), "--background"]);
    let _mounted = Mounted(at.clone());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let working = std::thread::spawn({
        let (at, stop, done) = (at.clone(), stop.clone(), done.clone());
        move || writer(at, stop, done)
    });
    // Open over all lives, and removed after the first.
    let held =
        File::options().create(true).truncate(true).read(true).write(true).open(at.join("held")).unwrap();
    held.write_all_at(b"held", 0).unwrap();
    held.sync_all().unwrap();

    wait_for(&done, 5);
    assert!(daemon.stop().unwrap().success(), "{}", daemon.log());
    assert!(!door.exists(), "who stops tells nobody where it was");
    daemon.revive().unwrap();
    wait_for(&done, 5);
    fs::remove_file(at.join("held")).unwrap();
    for _ in 0..3 {
        daemon.kill().unwrap();
        daemon.revive().unwrap();
        wait_for(&done, 3);
    }

    // A drive vanishes while the daemon is down.
    daemon.kill().unwrap();
    fs::remove_dir_all(daemon.data().join("drive-1")).unwrap();
    daemon.revive().unwrap();
    wait_for(&done, 3);
    plexus(&daemon, &["drive", "replace", "1"]);
    let start = Instant::now();
    while daemon.status().unwrap().health != admin::Health::Healthy {
        assert!(start.elapsed() < PATIENCE, "{:?}\n{}", daemon.status(), daemon.log());
        std::thread::sleep(LOOK);
    }
    wait_for(&done, 3);
    stop.store(true, Ordering::Relaxed);
    working.join().unwrap();
    plexus(&daemon, &["fsck"]);

    let mut text = String::new();
    (&held).read_to_string(&mut text).unwrap();
    assert_eq!(text, "held");
    drop(held);
    must_hold(&at, done.load(Ordering::Relaxed));
    // Another drive goes for good: what the new one was given is needed now.
    plexus(&daemon, &["drive", "fail", "2"]);
    must_hold(&at, done.load(Ordering::Relaxed));
    assert!(daemon.stop().unwrap().success(), "{}", daemon.log());
    daemon.revive().unwrap();
    must_hold(&at, done.load(Ordering::Relaxed));
}
