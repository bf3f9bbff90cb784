//! The work and its check agree on a good tree, and the check finds what a cut can do to a bad one.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use e2e::{Workload, verify};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn worked(steps: u64, seed: u64) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (tree, log) = (folder.path().join("tree"), folder.path().join("log"));
    Workload { tree: tree.clone(), log: log.clone(), seed, sync_names: false }.run(steps).unwrap();
    (folder, tree, log)
}

fn files(tree: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata().unwrap().len() > 0 {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_tree_is_as_its_log_says() {
    for seed in 0..8 {
        let (_folder, tree, log) = worked(60, seed);
        assert_eq!(verify(&tree, &log).unwrap(), 60);
    }
}

#[test]
fn whatever_is_lost_is_found() {
    type Damage = (&'static str, fn(&Path));
    let damage: [Damage; 5] = [
        ("a file is gone", |tree| fs::remove_file(&files(tree)[0]).unwrap()),
        ("a file is short", |tree| {
            let path = &files(tree)[0];
            let len = fs::metadata(path).unwrap().len();
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len - 1).unwrap();
        }),
        ("a byte is another", |tree| {
            let path = &files(tree)[0];
            let mut bytes = fs::read(path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a name is there that never was", |tree| fs::write(tree.join("extra"), "").unwrap()),
        ("a rename is undone", |tree| {
            let path = &files(tree)[0];
            fs::rename(path, path.with_file_name("elsewhere")).unwrap();
        }),
    ];
    for (what, harm) in damage {
        let (_folder, tree, log) = worked(60, 3);
        harm(&tree);
        assert!(verify(&tree, &log).is_err(), "{what}");
    }
}

#[test]
fn of_a_step_in_flight_either_outcome_is_right_and_no_other() {
    // The same work one step further on: what the tree is when the step's acknowledgement was cut off.
    for seed in 0..20 {
        let (_before, tree_before, log_before) = worked(40, seed);
        let (_after, tree_after, log_after) = worked(41, seed);
        let full = fs::read_to_string(&log_after).unwrap();
        let cut = &full[..full.trim_end().rfind('\n').unwrap() + 1];
        assert!(cut.lines().last().unwrap().starts_with("T 40"));
        for (tree, log) in [(&tree_before, &log_before), (&tree_after, &log_after)] {
            fs::write(log, cut).unwrap();
            assert_eq!(verify(tree, log).unwrap(), 40);
            fs::write(log, format!("{cut}A 4")).unwrap();
            assert_eq!(verify(tree, log).unwrap(), 40, "a line without an end does not count");
        }
        let acknowledged = format!("{cut}A 40\n");
        fs::write(&log_before, &acknowledged).unwrap();
        assert!(verify(&tree_before, &log_before).is_err(), "seed {seed}: an acknowledged step is missing");
    }
}
