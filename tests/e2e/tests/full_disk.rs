//! A file system that others fill to the last byte, under the real daemon: nothing new is taken, what is there can be
//! read and removed, also after a crash, and all goes on when there is space again.
//!
//! Needs a file system of its own: unshare(1), a user namespace or the superuser.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, attach, make, run};
use remote::RemoteVfs;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use types::{ByteRange, Cred, FileId, FsError, Name, SetAttr};
use vfs::*;

const INSIDE: &str = "PLEXUS_TEST_IN_NAMESPACE";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
const FILES: usize = 60;

fn ctx() -> Ctx {
    Ctx::new(Cred::root())
}

fn name(text: &str) -> Name {
    Name::new(text.to_owned()).unwrap()
}

async fn write(vfs: &RemoteVfs, file: FileId, bytes: usize) -> FsResult<()> {
    let (offset, data, durability) = (WriteOffset::At(0), vec![7; bytes].into(), Durability::Unstable);
    vfs.write(&ctx(), Write { file, open: None, offset, data, durability }).await?;
    let range = ByteRange { offset: 0, end: u64::MAX };
    vfs.commit(&ctx(), Commit { file, range }).await.map(drop)
}

async fn must_read(vfs: &RemoteVfs, dir: FileId, number: usize) {
    let found = vfs.lookup(&ctx(), Lookup { dir, name: name(&format!("f{number}")) }).await.unwrap();
    let read = Read { file: found.attr.file, open: None, offset: 0, length: 1 << 20 };
    assert!(vfs.read(&ctx(), read).await.unwrap().data == vec![7; 100 + number * 500], "{number}");
}

async fn unlink(vfs: &RemoteVfs, dir: FileId, number: usize) -> FsResult<()> {
    vfs.unlink(&ctx(), Unlink { dir, name: name(&format!("f{number}")) }).await.map(drop)
}

/// Fills the file system that `path` is on until nothing more goes in.
fn fill(path: &Path) -> u64 {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    for length in [1 << 20, 4096, 1] {
        let data = vec![1; length];
        loop {
            match file.write(&data) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    file.metadata().unwrap().len()
}

fn when(what: &str, daemon: &Daemon, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}\n{}", daemon.log());
        std::thread::sleep(LOOK);
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_and_lets_remove() {
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().unwrap();
        let mut inside = Command::new("unshare");
        inside.args(["--user", "--map-root-user", "--mount", "--"]).arg(this).env(INSIDE, "1");
        inside.args(["--exact", "--nocapture", "a_full_disk_refuses_what_is_new_and_lets_remove"]);
        assert!(inside.status().unwrap().success(), "see above");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=500m", "tmpfs"]).arg(&data).status();
    assert!(mounted.unwrap().success());
    let flags = ["--drives", "2", "--drive-size", "64M"].map(str::to_owned).to_vec();
    let options = DaemonOptions { flags, ..DaemonOptions::default() };
    let mut daemon = Daemon::start(folder.path(), &options).unwrap();
    run(async {
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
        for number in 0..FILES {
            let file = make(&vfs, dir, &format!("f{number}")).await.unwrap();
            write(&vfs, file, 100 + number * 500).await.unwrap();
        }
    });
    assert!(daemon.status().unwrap().capacity.metadata_left.unwrap() > 64 << 20);

    let filler = data.join("filler");
    let mut late = 0;
    for round in 0..2 {
        let filling = std::thread::spawn({
            let filler = filler.clone();
            move || fill(&filler)
        });
        run(async {
            let (vfs, dir) = attach(&daemon.data()).await.unwrap();
            // Until it is seen that the file system is full, log and map have what they need from their headroom.
            while !filling.is_finished() {
                late += u64::from(make(&vfs, dir, &format!("late-{late}")).await.is_ok());
            }
            let begun = Instant::now();
            loop {
                match make(&vfs, dir, &format!("late-{late}")).await {
                    Ok(_) => late += 1,
                    Err(error) => break assert_eq!(error, FsError::NoSpace),
                }
                assert!(begun.elapsed() < PATIENCE, "a full file system takes {late} names");
            }
            assert!(late > 0, "nothing was made while the file system was filled");
            for late in 0..late {
                vfs.lookup(&ctx(), Lookup { dir, name: name(&format!("late-{late}")) }).await.unwrap();
            }
            let first = vfs.lookup(&ctx(), Lookup { dir, name: name("f59") }).await.unwrap().attr.file;
            assert_eq!(write(&vfs, first, 5).await, Err(FsError::NoSpace));
            for number in round * 10..round * 10 + 10 {
                must_read(&vfs, dir, number).await;
                unlink(&vfs, dir, number).await.unwrap();
            }
            let set = SetAttr { size: Some(0), ..SetAttr::default() };
            let file = vfs.lookup(&ctx(), Lookup { dir, name: name("f58") }).await.unwrap().attr.file;
            vfs.setattr(&ctx(), SetAttrOf { file, open: None, set, if_ctime: None }).await.unwrap();
        });
        assert_eq!(daemon.status().unwrap().capacity.metadata_left, Some(0));
        let text = daemon.plexus(&["status"]).unwrap().stdout;
        assert!(String::from_utf8_lossy(&text).contains("NO SPACE FOR NAMES"));
        daemon = daemon.restart().unwrap();
    }

    // Whatever is given up is taken by others at once, until there is nothing left to give up.
    let headroom = |n| std::fs::metadata(data.join(format!("drive-{n}/headroom"))).unwrap().len();
    when("all is given up", &daemon, || {
        run(async {
            let (vfs, dir) = attach(&daemon.data()).await.unwrap();
            must_read(&vfs, dir, 20).await;
        });
        fill(&filler);
        headroom(0) + headroom(1) == 0
    });
    fill(&filler);
    run(async {
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
        for number in 20..FILES - 2 {
            must_read(&vfs, dir, number).await;
        }
        // Refused, unless the log has let go of something just now.
        let removed = unlink(&vfs, dir, 59).await;
        assert!(matches!(removed, Ok(()) | Err(FsError::NoSpace)), "{removed:?}");
        assert_eq!(make(&vfs, dir, "new").await, Err(FsError::NoSpace));
    });

    std::fs::remove_file(&filler).unwrap();
    when("there is space again", &daemon, || {
        daemon.status().unwrap().capacity.metadata_left.unwrap() > 64 << 20
    });
    assert_eq!(headroom(0) + headroom(1), 2 * (32 << 20));
    run(async {
        let (vfs, dir) = attach(&daemon.data()).await.unwrap();
        let file = make(&vfs, dir, "new").await.unwrap();
        write(&vfs, file, 200_000).await.unwrap();
        for number in 20..FILES - 2 {
            must_read(&vfs, dir, number).await;
            unlink(&vfs, dir, number).await.unwrap();
        }
        for late in 0..late {
            vfs.unlink(&ctx(), Unlink { dir, name: name(&format!("late-{late}")) }).await.unwrap();
        }
    });
    assert!(daemon.plexus(&["fsck"]).unwrap().status.success());
    assert!(daemon.stop().unwrap().success());
}
