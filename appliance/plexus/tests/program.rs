//! The program as scripts see it: exit codes, streams, and what it says.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use admin::{
    AdminDoors, Background, Capacity, Control, ControlError, Damage, DeleteFilesystem, ErrorKind,
    FailuresLeft, FsckReport, Health, Integrity, Removal, Status,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

fn plexus(arguments: &[&str], data: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexus"));
    command.args(arguments).env_remove("PLEXUS_DATA");
    if let Some(data) = data {
        command.env("PLEXUS_DATA", data);
    }
    command.output().unwrap()
}

/// A daemon in which something is wrong, and a filesystem goes when it has been looked at twice.
#[derive(Default)]
struct Damaged {
    looks: AtomicU64,
}

impl Damaged {
    fn removing(&self) -> Vec<Removal> {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        let removal = Removal { id: 7, name: "old".to_owned(), inodes: 5, left: 8192 };
        if looks < 2 { vec![removal] } else { Vec::new() }
    }
}

impl Control for Damaged {
    async fn filesystem_delete(&self, request: DeleteFilesystem) -> Result<Removal, ControlError> {
        match (request.name.as_str(), request.force) {
            ("old", true) => Ok(Removal { id: 7, name: "old".to_owned(), inodes: 5, left: 8192 }),
            (name, _) => Err(ControlError::new(ErrorKind::Conflict, format!("{name} is mounted here"))),
        }
    }

    async fn status(&self) -> Result<Status, ControlError> {
        Ok(Status {
            health: Health::Degraded,
            failures_left: FailuresLeft { data: 1, metadata: 2 },
            capacity: Capacity { total: 100, used: 7, ..Capacity::default() },
            integrity: Integrity { found: 2, repaired: 1 },
            background: Background::default(),
            data_cache: admin::DataCache::default(),
            removing: self.removing(),
            checking: None,
            version: "v".to_owned(),
            nfs: None,
            s3: None,
            webhooks: Vec::new(),
            uptime_seconds: 0,
        })
    }

    async fn fsck(&self) -> Result<FsckReport, ControlError> {
        let damage = Damage { kind: "orphan".to_owned(), what: "inode 9 has no name".to_owned() };
        Ok(FsckReport { inodes: 9, entries: 8, chunks: 7, removing: 0, damage: vec![damage] })
    }
}

/// Runs the program while a daemon answers on `data`.
fn with_daemon(arguments: &'static [&'static str]) -> Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let data = tempfile::tempdir().unwrap();
        let doors = AdminDoors::open(data.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(doors.serve(Arc::new(Damaged::default()), async {
            let _ = stopped.await;
        }));
        let path = data.path().to_owned();
        let output = tokio::task::spawn_blocking(move || plexus(arguments, Some(&path))).await.unwrap();
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
        output
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [&[][..], &["frobnicate"], &["drive", "fail", "x"], &["mount", "default"]] {
        assert_eq!(plexus(arguments, None).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(plexus(&["--help"], None).status.code(), Some(0));
}

#[test]
fn without_a_daemon_it_ends_with_1_and_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    for output in [plexus(&["status", "--data", folder], None), plexus(&["status"], Some(data.path()))] {
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.starts_with("plexus: no daemon answers at") && said.contains(folder), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn status_speaks_json_with_the_names_relied_upon() {
    let output = with_daemon(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["health"], "degraded");
    assert_eq!(
        (json["failures_left"]["data"].as_u64(), json["failures_left"]["metadata"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(
        (json["integrity"]["found"].as_u64(), json["integrity"]["repaired"].as_u64()),
        (Some(2), Some(1))
    );
    for name in ["total", "used", "live", "garbage", "orphan", "metadata", "reserved"] {
        assert!(json["capacity"].get(name).is_some(), "{name}");
    }
    assert!(json["capacity"]["garbage"].is_null(), "what nobody counts is not zero");
}

#[test]
fn fsck_ends_with_1_on_damage_and_names_it() {
    let output = with_daemon(&["fsck"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("orphan: inode 9 has no name"));
}

#[test]
fn what_is_not_there_yet_ends_with_1_and_says_so() {
    let output = with_daemon(&["drive", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("does not do that yet"), "{}", text(&output.stderr));
}

#[test]
fn a_filesystem_goes_only_when_that_was_said_twice_and_who_wants_waits() {
    let delete = &["filesystem", "delete", "old", "--force"];
    let output = with_daemon(delete);
    assert_eq!(output.status.code(), Some(1), "nobody has said yes");
    let said = text(&output.stderr);
    assert!(
        said.contains("cannot be had back") && said.ends_with("filesystem old is left as it is\n"),
        "{said}"
    );

    let output = with_daemon(&["filesystem", "delete", "old", "--force", "--yes"]);
    assert_eq!(
        text(&output.stdout),
        "filesystem old is removed; 5 inodes and 8.0 KiB on drives go in the background\n"
    );
    let output = with_daemon(&["filesystem", "delete", "old", "--force", "--yes", "--wait"]);
    assert_eq!(text(&output.stdout), "filesystem old is removed, and nothing is left of it\n");

    let output = with_daemon(&["filesystem", "delete", "old", "--yes"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(1), "plexus: old is mounted here\n".to_owned())
    );
    let output = with_daemon(&["status"]);
    assert!(
        text(&output.stdout).contains("removing   old: 5 inodes, 8.0 KiB left\n"),
        "{}",
        text(&output.stdout)
    );
}
