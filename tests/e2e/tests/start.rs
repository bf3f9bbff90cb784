//! How the daemon refuses to start: the status and one line that says why.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use e2e::{Daemon, DaemonOptions, program};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Status and what is said, of a daemon that does not get so far as to serve.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program("plexusd").unwrap()).args(arguments).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ready"));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn configured(folder: &Path, text: &str) -> (Option<i32>, String) {
    let (data, file) = (folder.join("data"), folder.join("plexus.toml"));
    std::fs::write(&file, text).unwrap();
    refused(&["--data", data.to_str().unwrap(), "--config", file.to_str().unwrap(), "--drive-size", "128M"])
}

#[test]
fn wrong_options_end_with_2_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    for (arguments, said) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["serve"], "serve"),
        (&["--data"], "--data"),
        (&["--data", data, "--drives", "0"], "drives"),
        (&["--data", data, "--drives", "two"], "drives"),
        (&["--data", data, "--drive-size", "7"], "drive-size"),
        (&["--data", data, "--protection", "4"], "protection"),
        (&["--data", data, "--drives", "3", "--protection", "4+2"], "protection"),
        (&["--data", data, "--config", "/nonexistent/plexus.toml"], "/nonexistent/plexus.toml"),
    ] {
        let (status, stderr) = refused(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    for (text, said) in [
        ("nfs.lsten = \"127.0.0.1:1\"", "lsten"),
        ("nfs.listen = \"localhost\"", "nfs.listen"),
        ("nfs.lease = -1", "nfs.lease"),
        ("nfs.lease = \"soon\"", "nfs.lease"),
        ("[[export]]\npath = \"x\"\nfilesystem = \"default\"", "path"),
        ("this is not TOML", "plexus.toml"),
    ] {
        let (status, stderr) = configured(folder.path(), text);
        assert_eq!(status, Some(2), "{text}: {stderr}");
        assert!(stderr.starts_with("plexusd: ") && stderr.contains(said), "{text}: {stderr}");
    }
    assert!(!Path::new(data).exists());
}

#[test]
fn a_busy_port_ends_with_1_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (busy, other) in [("nfs.listen", "admin.listen"), ("admin.listen", "nfs.listen")] {
        let text =
            format!("{busy} = \"{address}\"\n{other} = \"127.0.0.1:0\"\ns3.listen = \"127.0.0.1:0\"\n");
        let (status, stderr) = configured(folder.path(), &text);
        assert_eq!(status, Some(1), "{stderr}");
        assert!(stderr.contains(&format!("{busy} = {address}")), "{stderr}");
        assert!(stderr.contains("another program may have the port"), "{stderr}");
    }
    // Nothing stands in the way when the port is free.
    let flags = ["--drive-size", "128M"].map(str::to_owned).to_vec();
    let options = DaemonOptions { flags, ..DaemonOptions::default() };
    let mut daemon = Daemon::start(folder.path(), &options).unwrap();
    assert_eq!(daemon.stop().unwrap().code(), Some(0));
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--drive-size", "128M"].map(str::to_owned).to_vec();
    let daemon = Daemon::start(folder.path(), &DaemonOptions { flags, ..DaemonOptions::default() }).unwrap();
    let text = "nfs.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\ns3.listen = \"127.0.0.1:0\"\n";
    let (status, stderr) = configured(folder.path(), text);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("another plexusd is running"), "{stderr}");
    daemon.status().unwrap();
}
