//! A mount that is killed while it has a name forgotten: it waits in the kernel for the lock of a folder, whose holder waits for
//! an answer of the mount. Neither may wait for ever.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, Mount};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For what has been sent to arrive.
const MOMENT: Duration = Duration::from_millis(100);
/// Tries to have it wait for the lock, which depends on who is how quick.
const TRIES: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a thread of the mount waited for the lock.
fn kill_while_a_name_is_forgotten(daemon: &Daemon, scratch: &TempDir, number: u32) -> bool {
    let mount = |name: &str| Mount::new(daemon, &scratch.path().join(format!("{name}-{number}"))).unwrap();
    let (mut killed, other) = (mount("killed"), mount("other"));
    let (dir, from_there) = (killed.at.join(format!("d{number}")), other.at.join(format!("d{number}")));
    fs::create_dir(&dir).unwrap();
    fs::write(from_there.join("x"), b"1").unwrap();
    fs::metadata(dir.join("x")).unwrap();
    // The mount hears that the name goes, and then no answers any more.
    killed.stop().unwrap();
    let removing = thread::spawn(move || fs::remove_file(from_there.join("x")));
    thread::sleep(MOMENT);
    daemon.pause().unwrap();
    // Has the lock of the folder, and looks for the name.
    let mut holder = Command::new("mkdir").arg(dir.join("y")).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(MOMENT);
    killed.resume().unwrap();
    thread::sleep(3 * MOMENT);
    killed.crash().unwrap();
    thread::sleep(MOMENT);
    let lingered = killed.lingers();
    let begun = Instant::now();
    let ended = loop {
        match holder.try_wait().unwrap() {
            None if begun.elapsed() < PATIENCE => thread::sleep(MOMENT),
            ended => break ended,
        }
    };
    daemon.resume().unwrap();
    killed.kill().unwrap();
    holder.wait().unwrap();
    removing.join().unwrap().unwrap();
    assert!(
        ended.is_some_and(|status| !status.success()),
        "somebody waits for a mount that is dead: {ended:?}"
    );
    lingered
}

#[test]
fn a_mount_that_is_killed_while_a_name_is_forgotten_leaves_nobody_waiting() {
    let scratch = TempDir::new().unwrap();
    let flags = vec!["--drive-size".into(), "64M".into()];
    let options = DaemonOptions { flags, ..DaemonOptions::default() };
    let daemon = Daemon::start(&scratch.path().join("daemon"), &options).unwrap();
    let lingered = (0..TRIES).any(|number| kill_while_a_name_is_forgotten(&daemon, &scratch, number));
    assert!(lingered, "nobody waited for the lock of the folder");
}
