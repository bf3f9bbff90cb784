//! What fallocate(2) has reserved can be written when the drive is full, through the system call at both doors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, Guest, Mount, program};
use std::path::Path;
use std::process::Command;

const IN_GUEST: &str = r#"#!/bin/bash
modprobe nfsv4
mkdir -p /tmp/nfs
mount -t nfs4 -o vers=4.2,port=$1 $HOST:/default /tmp/nfs || exit 3
mkdir /tmp/nfs/folder
/host/reserve nfs /tmp/nfs/folder
"#;

fn daemon(folder: &Path) -> Daemon {
    let flags = ["--drive-size", "64M"].map(str::to_owned).to_vec();
    Daemon::start(&folder.join("daemon"), &DaemonOptions { flags, ..DaemonOptions::default() }).unwrap()
}

fn must_be_clean(daemon: &Daemon) {
    let fsck = daemon.plexus(&["fsck"]).unwrap();
    assert!(fsck.status.success(), "{}\n{}", String::from_utf8_lossy(&fsck.stdout), daemon.log());
}

#[test]
fn what_was_reserved_can_be_written_through_fuse() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path());
    let mount = Mount::new(&daemon, &folder.path().join("fuse")).unwrap();
    let tree = mount.at.join("folder");
    std::fs::create_dir(&tree).unwrap();
    let done = Command::new(program("reserve").unwrap()).arg("fuse").arg(&tree).output().unwrap();
    assert!(done.status.success(), "{}\n{}", String::from_utf8_lossy(&done.stdout), daemon.log());
    must_be_clean(&daemon);
}

#[test]
fn what_was_reserved_can_be_written_through_nfs() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path());
    let programs = program("reserve").unwrap();
    let guest = Guest::uml().host(programs.parent().unwrap());
    let done = guest.run(IN_GUEST, &[&daemon.nfs().port().to_string()]).unwrap();
    assert!(done.status == 0, "{}\n{}", done.output, daemon.log());
    must_be_clean(&daemon);
}
