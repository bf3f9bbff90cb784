//! A filesystem that is deleted while both doors are in use.

use crate::client::*;
use crate::exports::plexus;
use e2e::{Daemon, DaemonOptions};
use nfs_wire::*;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A mount that is taken away however the test ends.
struct Mounted(PathBuf);

impl Mounted {
    fn new(daemon: &Daemon, filesystem: &str, at: PathBuf) -> Mounted {
        std::fs::create_dir(&at).unwrap();
        plexus(daemon, &["mount", filesystem, at.to_str().unwrap(), "--background"]).unwrap();
        Mounted(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-q", "-l"]).arg(&self.0).status();
    }
}

fn is_stale<T: std::fmt::Debug>(result: std::io::Result<T>) {
    let stale = rustix::io::Errno::STALE.raw_os_error();
    assert_eq!(result.unwrap_err().raw_os_error(), Some(stale));
}

fn fill(at: &Path) {
    for n in 0..40u8 {
        let folder = at.join(format!("d{n}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("large"), vec![n; 500_000]).unwrap();
        std::fs::write(folder.join("small"), vec![n; 100]).unwrap();
    }
    File::open(at.join("d0/large")).unwrap().sync_all().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_is_gone_at_both_doors_at_once_and_its_space_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--drive-size", "256M"].map(str::to_owned).to_vec();
    let daemon = Daemon::start(folder.path(), &DaemonOptions { flags, ..DaemonOptions::default() }).unwrap();
    plexus(&daemon, &["filesystem", "create", "second"]).unwrap();
    let mount = Mounted::new(&daemon, "second", folder.path().join("second"));
    fill(&mount.0);
    let mut opened = File::options().read(true).write(true).open(mount.0.join("d1/large")).unwrap();

    let delete = &["filesystem", "delete", "second", "--yes"];
    let refused = plexus(&daemon, delete).unwrap_err();
    assert!(refused.contains("second is mounted here"), "{refused}");
    plexus(&daemon, &["export", "set", "/second", "--filesystem", "second", "--squash", "none"]).unwrap();
    let refused = plexus(&daemon, delete).unwrap_err();
    assert!(refused.contains("second is exported as /second"), "{refused}");
    for (name, said) in [("default", "cannot be deleted"), ("third", "there is no filesystem third")] {
        let refused = plexus(&daemon, &["filesystem", "delete", name, "--yes", "--force"]).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    let mut client = Client::new(daemon.nfs(), "a").await;
    let ops = vec![
        Args::Putrootfh(()),
        lookup("second"),
        Args::Open(open_args("by-nfs", "o", 3, 0)),
        Args::Getfh(()),
    ];
    let outcomes = client.run(ops).await;
    let [.., Ok(Reply::Open(open)), Ok(Reply::Getfh(handle))] = &outcomes[..] else { panic!("{outcomes:?}") };
    let (handle, open) = (handle.object.clone(), open.stateid);
    assert!(client.on(&handle, write(open, 0, &[7; 100_000])).await.is_ok());

    // The mount has just heard of these, and trusts it for a while.
    assert!(std::fs::metadata(&mount.0).is_ok() && std::fs::metadata(mount.0.join("d2/small")).is_ok());
    plexus(&daemon, &["filesystem", "delete", "second", "--yes", "--force"]).unwrap();
    is_stale(std::fs::metadata(&mount.0));
    is_stale(opened.metadata());
    is_stale(opened.read(&mut [0; 10]));
    is_stale(opened.write_all_at(b"late", 0).and_then(|()| opened.sync_all()));
    is_stale(std::fs::read_dir(&mount.0));
    is_stale(std::fs::write(mount.0.join("new"), b"late"));
    let late = client.on(&handle, read(open, 0, 10)).await;
    assert_eq!(late.map(|_| ()), Err(Status::Stale));
    let root = client.run(vec![Args::Putrootfh(()), lookup("second")]).await.pop().unwrap();
    assert_eq!(root.map(|_| ()), Err(Status::NoEnt));

    // Another one of that name is empty, and nobody comes to it by what was set for the former.
    plexus(&daemon, &["filesystem", "create", "second"]).unwrap();
    let root = client.run(vec![Args::Putrootfh(()), lookup("second")]).await.pop().unwrap();
    assert_eq!(root.map(|_| ()), Err(Status::NoEnt));
    drop(opened);
    let again = Mounted::new(&daemon, "second", folder.path().join("again"));
    assert_eq!(std::fs::read_dir(&again.0).unwrap().count(), 0);
    drop((mount, again));

    // A crash on the way changes nothing.
    let daemon = daemon.restart().unwrap();
    let start = Instant::now();
    while !daemon_status(&daemon).removing.is_empty() {
        let clean = plexus(&daemon, &["fsck"]).unwrap();
        assert!(clean.starts_with("clean: "), "{clean}");
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "something is left: {:?}",
            daemon_status(&daemon).removing
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = plexus(&daemon, &["filesystem", "delete", "second", "--yes", "--wait"]).unwrap();
    assert_eq!(said, "filesystem second is removed, and nothing is left of it\n");
    let capacity = daemon_status(&daemon).capacity;
    assert_eq!((capacity.live, capacity.garbage, capacity.dead), (Some(0), Some(0), Some(0)));
    let clean = plexus(&daemon, &["fsck"]).unwrap();
    assert!(clean.starts_with("clean: 1 inodes, 0 entries, 0 chunks"), "{clean}");
}

fn daemon_status(daemon: &Daemon) -> admin::Status {
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        runtime.block_on(admin::Client::new(&daemon.data()).status()).unwrap()
    })
}
