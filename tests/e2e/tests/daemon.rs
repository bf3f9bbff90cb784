//! How daemons are started, waited for and ended, with a stand-in that keeps the daemon's manners.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use e2e::{Daemon, DaemonError, DaemonOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A program that is called as `plexusd` is.
fn stand_in(folder: &Path, text: &str) -> DaemonOptions {
    let path = folder.join("stand-in");
    std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    DaemonOptions {
        program: Some(path),
        flags: vec!["--drives".to_owned(), "3".to_owned()],
        configuration: "nfs.lease = 5".to_owned(),
        ..DaemonOptions::default()
    }
}

const GOOD: &str = "trap 'echo drained >&2; exit 0' TERM\necho \"$@\" >>calls\ncat \"$4\" >>calls\n\
                    echo plexus is ready\nwhile :; do sleep 0.02; done\n";

#[test]
fn it_is_started_waited_for_restarted_and_drained() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let options = stand_in(folder.path(), &GOOD.replace("calls", calls.to_str().unwrap()));
    let daemon = Daemon::start(folder.path(), &options).unwrap();
    let nfs = daemon.nfs();
    let mut daemon = daemon.restart().unwrap();
    assert_eq!(daemon.nfs(), nfs, "clients find it where it was");
    assert_eq!(daemon.stop().unwrap().code(), Some(0));
    assert!(daemon.log().contains("drained"));
    let calls = std::fs::read_to_string(calls).unwrap();
    let data = daemon.data();
    assert_eq!(calls.matches(&format!("--data {} --config", data.display())).count(), 2, "{calls}");
    assert_eq!(calls.matches("--drives 3").count(), 2);
    let configuration: Vec<&str> = calls.lines().filter(|line| line.contains('=')).collect();
    assert_eq!(configuration[0], format!("nfs.listen = \"{nfs}\""));
    config::Config::from_text("t", &configuration[..3].join("\n"), &config::Overrides::default()).unwrap();
}

#[test]
fn one_that_ends_early_shows_why() {
    let folder = tempfile::tempdir().unwrap();
    let options = stand_in(folder.path(), "echo the port is busy >&2\nexit 1\n");
    let Err(DaemonError::Ended { status, log }) = Daemon::start(folder.path(), &options) else {
        panic!("it was ready")
    };
    assert_eq!((status.code(), log.as_str()), (Some(1), "the port is busy"));
}
