//! Two FUSE mounts of one file system: what one has done, the other sees at once, although kernels trust attributes.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, Mount};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};
use suites::Random;
use tempfile::TempDir;

const ROUNDS: u64 = 300;

#[test]
fn what_one_mount_does_the_other_sees_at_once() {
    let scratch = TempDir::new().unwrap();
    let flags = vec!["--drive-size".into(), "64M".into()];
    let options = DaemonOptions { flags, ..DaemonOptions::default() };
    let daemon = Daemon::start(&scratch.path().join("daemon"), &options).unwrap();
    let mounts = ["one", "two"].map(|name| Mount::new(&daemon, &scratch.path().join(name)).unwrap());
    fs::write(mounts[0].at.join("f"), vec![0; 8192]).unwrap();
    fs::create_dir(mounts[0].at.join("d")).unwrap();
    // Kept open, so that the kernels answer from what they have as long as they may.
    let opened: Vec<File> = mounts
        .iter()
        .map(|mount| OpenOptions::new().read(true).write(true).open(mount.at.join("f")).unwrap())
        .collect();
    let mut random = Random::new(7);
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let (who, what) = (random.below(2) as usize, random.below(5));
        let (does, sees) = (&mounts[who].at, &mounts[1 - who].at);
        let (writes, reads) = (&opened[who], &opened[1 - who]);
        // Both kernels have everything now.
        for file in &opened {
            let mut all = [0; 4096];
            file.read_exact_at(&mut all, 0).unwrap();
            file.metadata().unwrap();
        }
        let links = fs::metadata(sees.join("d")).unwrap().nlink();
        let begun = Instant::now();
        match what {
            0 => {
                writes.write_all_at(&round.to_le_bytes(), 40).unwrap();
                slowest = slowest.max(begun.elapsed());
                let mut bytes = [0; 8];
                reads.read_exact_at(&mut bytes, 40).unwrap();
                assert_eq!(u64::from_le_bytes(bytes), round, "data");
            }
            1 => {
                let size = 4096 + round;
                writes.set_len(size).unwrap();
                slowest = slowest.max(begun.elapsed());
                assert_eq!(reads.metadata().unwrap().len(), size, "size");
            }
            2 => {
                let mode = 0o600 + (round % 64) as u32;
                fs::set_permissions(does.join("f"), fs::Permissions::from_mode(mode)).unwrap();
                slowest = slowest.max(begun.elapsed());
                assert_eq!(reads.metadata().unwrap().mode() & 0o777, mode, "mode");
            }
            3 => {
                fs::create_dir(does.join(format!("d/{round}"))).unwrap();
                slowest = slowest.max(begun.elapsed());
                assert_eq!(fs::metadata(sees.join("d")).unwrap().nlink(), links + 1, "links of a directory");
            }
            _ => {
                let name = does.join(format!("l{round}"));
                fs::hard_link(does.join("f"), &name).unwrap();
                slowest = slowest.max(begun.elapsed());
                assert_eq!(reads.metadata().unwrap().nlink(), 2, "links");
                fs::remove_file(name).unwrap();
                assert_eq!(reads.metadata().unwrap().nlink(), 1, "links");
            }
        }
    }
    assert!(
        slowest < Duration::from_secs(1),
        "a change waited {slowest:?}: for the end of trust, not for an answer"
    );
}
