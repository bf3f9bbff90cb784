//! Two FUSE mounts of one file system: what one has done, the other sees at once, although kernels trust
//! attributes and names.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, Mount};
use rustix::fs::{CWD, RenameFlags};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use suites::Random;
use tempfile::TempDir;

const ROUNDS: u64 = 300;

#[test]
fn what_one_mount_does_the_other_sees_at_once() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
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

fn two_mounts(scratch: &TempDir) -> (Daemon, [Mount; 2]) {
    let flags = vec!["--drive-size".into(), "64M".into()];
    let options = DaemonOptions { flags, ..DaemonOptions::default() };
    let daemon = Daemon::start(&scratch.path().join("daemon"), &options).unwrap();
    let mounts = ["one", "two"].map(|name| Mount::new(&daemon, &scratch.path().join(name)).unwrap());
    (daemon, mounts)
}

/// What a name leads to, by its number.
fn leads_to(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.ino())
}

#[test]
fn names_are_seen_to_change_at_once() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
    let mut random = Random::new(11);
    let mut slowest = Duration::ZERO;
    // Each waits until who has just asked has surely taken the answer.
    for round in 0..ROUNDS / 2 {
        // A folder of its own, since names of one in which both are at work are not trusted for a while.
        let who = random.below(2) as usize;
        let [does, sees] = [who, 1 - who].map(|one| mounts[one].at.join(format!("d{round}")));
        fs::create_dir(&does).unwrap();
        fs::write(does.join("a"), b"a").unwrap();
        fs::write(does.join("b"), b"b").unwrap();
        fs::create_dir(does.join("c")).unwrap();
        fs::write(does.join("c/e"), b"e").unwrap();
        let before = ["a", "b", "c", "c/e"].map(|name| leads_to(&sees.join(name)).unwrap());
        let [a, b, c, e] = before;
        assert_eq!(["a", "b", "c", "c/e"].map(|name| leads_to(&sees.join(name)).unwrap()), before);
        let begun = Instant::now();
        let expected = match random.below(6) {
            0 => {
                fs::remove_file(does.join("a")).unwrap();
                [None, Some(b), Some(c), Some(e)]
            }
            1 => {
                fs::rename(does.join("a"), does.join("b")).unwrap();
                [None, Some(a), Some(c), Some(e)]
            }
            2 => {
                let (from, to) = (does.join("a"), does.join("c"));
                rustix::fs::renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE).unwrap();
                [Some(c), Some(b), Some(a), None]
            }
            3 => {
                fs::rename(does.join("c"), does.join("f")).unwrap();
                [Some(a), Some(b), None, None]
            }
            4 => {
                fs::rename(does.join("c/e"), does.join("a")).unwrap();
                [Some(e), Some(b), Some(c), None]
            }
            _ => {
                fs::remove_dir_all(&does).unwrap();
                [None; 4]
            }
        };
        slowest = slowest.max(begun.elapsed());
        assert_eq!(["a", "b", "c", "c/e"].map(|name| leads_to(&sees.join(name))), expected, "round {round}");
    }
    assert!(
        slowest < Duration::from_millis(800),
        "a change waited {slowest:?}: for the end of trust, not for an answer"
    );
}

/// The kernel takes along what it trusts of a name that is renamed through it.
#[test]
fn names_that_were_renamed_here_are_seen_to_go_there() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
    for how in [RenameFlags::empty(), RenameFlags::EXCHANGE] {
        let [here, there] = [0, 1].map(|one: usize| mounts[one].at.join(format!("{how:?}")));
        fs::create_dir(&here).unwrap();
        ["a", "b"].iter().for_each(|name| fs::write(here.join(name), name).unwrap());
        let [a, b] = ["a", "b"].map(|name| leads_to(&here.join(name)).unwrap());
        rustix::fs::renameat_with(CWD, here.join("a"), CWD, here.join("b"), how).unwrap();
        let old = if how.is_empty() { None } else { Some(b) };
        assert_eq!([leads_to(&here.join("a")), leads_to(&here.join("b"))], [old, Some(a)]);
        fs::remove_file(there.join("b")).unwrap();
        assert_eq!([leads_to(&here.join("a")), leads_to(&here.join("b"))], [old, None]);
        if old.is_some() {
            fs::remove_file(there.join("a")).unwrap();
            assert_eq!(leads_to(&here.join("a")), None);
        }
    }
}

#[test]
fn a_kernel_answers_alone_for_names_that_it_trusts() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
    let dir = mounts[0].at.join("d/e");
    fs::create_dir_all(&dir).unwrap();
    ["looked up", "listed"].iter().for_each(|name| fs::write(dir.join(name), b"x").unwrap());
    let looks_up: fn(&Path) = |dir| assert!(leads_to(&dir.join("looked up")).is_some());
    let lists: fn(&Path) = |dir| assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
    for (name, asks) in [("looked up", looks_up), ("listed", lists)] {
        // Asked once more where a second has run out just now.
        let alone = (0..5).any(|_| {
            asks(&dir);
            answers_alone(&mounts[0], &dir.join(name))
        });
        assert!(alone, "the mount was asked each time for what was {name}");
    }
}

/// Whether the kernel knows the file without its mount.
fn answers_alone(mount: &Mount, file: &Path) -> bool {
    mount.stop().unwrap();
    let (answer, answered) = mpsc::sync_channel(1);
    let file = file.to_owned();
    let asks = std::thread::spawn(move || answer.send(leads_to(&file)).unwrap());
    let alone = answered.recv_timeout(Duration::from_millis(500)).is_ok();
    mount.resume().unwrap();
    asks.join().unwrap();
    alone
}

#[test]
fn two_mounts_that_empty_one_folder_do_not_wait_for_each_other() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
    let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let dirs = [0, 1].map(|one: usize| mounts[one].at.join("d"));
    fs::create_dir(&dirs[0]).unwrap();
    names.iter().for_each(|name| fs::write(dirs[0].join(name), b"").unwrap());
    // Each kernel has all names, and each process takes away what the other has looked up.
    dirs.iter().for_each(|dir| names.iter().for_each(|name| assert!(leads_to(&dir.join(name)).is_some())));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for (one, dir) in dirs.iter().enumerate() {
            let mine: Vec<_> = names.iter().skip(one).step_by(2).map(|name| dir.join(name)).collect();
            scope.spawn(move || mine.iter().for_each(|path| fs::remove_file(path).unwrap()));
        }
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(fs::read_dir(&dirs[1]).unwrap().count(), 0);
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn what_comes_and_goes_is_listed_at_once() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
    let [here, there] = [0, 1].map(|one| mounts[one].at.join("d"));
    fs::create_dir(&here).unwrap();
    let mut random = Random::new(13);
    let mut there_are = Vec::new();
    for round in 0..ROUNDS {
        // Both kernels have all of it now.
        assert_eq!(names_in(&here), there_are, "{round}, here");
        assert_eq!(names_in(&there), there_are, "{round}, there");
        let does = if random.below(2) == 0 { &here } else { &there };
        match random.below(3) {
            0 if !there_are.is_empty() => {
                let gone: String = there_are.remove(random.below(there_are.len() as u64) as usize);
                fs::remove_file(does.join(gone)).unwrap();
            }
            1 if !there_are.is_empty() => {
                let at = random.below(there_are.len() as u64) as usize;
                let new = format!("r{round}");
                fs::rename(does.join(&there_are[at]), does.join(&new)).unwrap();
                there_are[at] = new;
            }
            _ => {
                let new = format!("n{round}");
                fs::write(does.join(&new), b"").unwrap();
                there_are.push(new);
            }
        }
        there_are.sort();
    }
}

#[test]
fn a_folder_whose_time_is_set_back_is_listed_anew() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
    let [here, there] = [0, 1].map(|one| mounts[one].at.join("d"));
    fs::create_dir(&here).unwrap();
    fs::write(here.join("a"), b"").unwrap();
    let time = File::open(&here).unwrap().metadata().unwrap().modified().unwrap();
    let mut open = rustix::fs::Dir::read_from(File::open(&here).unwrap()).unwrap();
    let listed = |open: &mut rustix::fs::Dir| {
        open.rewind();
        open.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .count()
    };
    assert_eq!((listed(&mut open), names_in(&here).len()), (1, 1));
    for (round, wait) in [0, 1500, 0].into_iter().enumerate() {
        // Long enough, once, for nothing to be trusted any more.
        std::thread::sleep(Duration::from_millis(wait));
        fs::write(there.join(round.to_string()), b"").unwrap();
        File::open(&there).unwrap().set_modified(time).unwrap();
        assert_eq!(listed(&mut open), 2 + round, "through what is open");
        assert_eq!(names_in(&here).len(), 2 + round);
    }
}

#[test]
fn what_was_written_elsewhere_is_read_after_a_change_of_the_mode_here() {
    let scratch = TempDir::new().unwrap();
    let (_daemon, mounts) = two_mounts(&scratch);
    let [here, there] = [0, 1].map(|one| mounts[one].at.join("f"));
    fs::write(&here, vec![0; 8192]).unwrap();
    let [here, there] =
        [here, there].map(|path| OpenOptions::new().read(true).write(true).open(path).unwrap());
    for round in 1..20 {
        let mut bytes = [0; 4096];
        here.read_exact_at(&mut bytes, 0).unwrap();
        there.write_all_at(&[round], 40).unwrap();
        here.set_permissions(fs::Permissions::from_mode(0o600 + u32::from(round))).unwrap();
        here.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes[40], round);
    }
}
