//! Many clients, many connections: everybody is served, and what there is too much of is refused.

use crate::client::*;
use e2e::{Daemon, DaemonOptions};
use nfs_wire::*;
use std::time::{Duration, Instant};

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many as a large site has.
const CLIENTS: usize = 10_000;

#[tokio::test]
async fn ten_thousand_clients_have_a_session_each_and_an_open_file() {
    let server = serve_empty().await;
    let mut client = Client::connect(server.address).await;
    let mut sessions = Vec::new();
    for number in 0..CLIENTS {
        // A connection is not bound to a client: they share this one.
        client.introduce(format!("client {number}"), 1).await;
        let mut begin = vec![Args::ReclaimComplete(ReclaimCompleteArgs { one_fs: false })];
        begin.extend(walk(&[]));
        begin.push(Args::Open(open_args("f", "o", 3, 0)));
        assert!(matches!(client.run(begin).await[..], [.., Ok(Reply::Open(_))]), "client {number}");
        sessions.push((client.session, client.sequence));
    }
    for (session, sequence) in sessions {
        (client.session, client.sequence) = (session, sequence);
        assert_eq!(client.run(vec![Args::Putrootfh(())]).await, [Ok(Reply::Putrootfh(()))]);
    }
    server.stop().await;
}

#[tokio::test]
async fn who_announces_records_and_sends_none_keeps_nobody_waiting() {
    let server = serve_empty().await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        let mut client = Client::connect(server.address).await;
        // The last fragment, of 1 MiB; its first bytes.
        client.send(&[0x80, 0x10, 0, 0, 0, 0, 0, 1]).await;
        silent.push(client);
    }
    let served = async { Client::new(server.address, "a").await.at(&[], vec![mkdir("d")]).await };
    let made = tokio::time::timeout(PATIENCE, served).await;
    assert!(made.expect("an answer, though others dawdle").is_ok());
    drop(silent);
    server.stop().await;
}

fn daemon(folder: &std::path::Path, configuration: &str, program: Option<std::path::PathBuf>) -> Daemon {
    let flags = ["--drive-size", "128M"].map(str::to_owned).to_vec();
    let configuration = configuration.to_owned();
    Daemon::start(folder, &DaemonOptions { flags, configuration, program, log: None }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_are_held_and_cost_little() {
    const CONNECTIONS: usize = 10_000;
    e2e::raise_descriptors().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), "", None);
    let before = daemon.resident().unwrap();
    let mut idle = Vec::new();
    for number in 0..CONNECTIONS {
        let mut client = Client::connect(daemon.nfs()).await;
        // An answer now and then: it is not only the kernel that has taken them.
        if number % 100 == 0 {
            assert!(client.exchange_id(format!("client {number}"), 1).await.is_ok());
        }
        idle.push(client);
    }
    let mut client = Client::new(daemon.nfs(), "a").await;
    assert!(client.at(&[], vec![mkdir("d")]).await.is_ok());
    let each = (daemon.resident().unwrap() - before) * 1024 / CONNECTIONS as u64;
    assert!(each < 32 * 1024, "{each} bytes for an idle connection");
    for client in idle.iter_mut().step_by(1000) {
        assert!(client.exchange_id("still here", 1).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_few_descriptors_fewer_connections_are_taken_and_files_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let program = few_descriptors(folder.path());
    let mut daemon = daemon(folder.path(), "", Some(program));
    let mut idle = Vec::new();
    let mut client = Client::new(daemon.nfs(), "a").await;
    for _ in 0..400 {
        idle.push(Client::connect(daemon.nfs()).await);
    }
    let mut refused = Client::connect(daemon.nfs()).await;
    assert_eq!(refused.receive().await, None, "one too many is closed");
    let (file, open) = client.open("f", "o").await;
    assert!(client.on(&file, write(open, 0, &[7; 1 << 20])).await.is_ok());
    assert!(daemon.plexus(&["fsck"]).unwrap().status.success());
    drop(idle);
    let deadline = Instant::now() + PATIENCE;
    while !Client::connect(daemon.nfs()).await.is_served().await {
        assert!(Instant::now() < deadline, "nobody is let in again");
    }
    assert_eq!(daemon.stop().unwrap().code(), Some(0));
}

/// The daemon as on a machine that gives it few descriptors.
fn few_descriptors(folder: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let (script, plexusd) = (folder.join("few"), e2e::program("plexusd").unwrap());
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n 600\nexec {} \"$@\"\n", plexusd.display()))
        .unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_had_locked_is_free_soon_after_it_vanishes() {
    const LEASE: Duration = Duration::from_secs(2);
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), "nfs.lease = 2", None);
    let mut vanishing = Client::new(daemon.nfs(), "a").await;
    let (file, open) = vanishing.open("f", "o").await;
    assert!(vanishing.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    drop(vanishing);
    let begin = Instant::now();
    let mut other = Client::new(daemon.nfs(), "b").await;
    let (file, open) = other.open("f", "o").await;
    loop {
        match other.on(&file, lock(open, "l", LockType::Write, 5, 1)).await {
            Ok(Reply::Lock(LockOutcome::Granted(_))) => break,
            Ok(Reply::Lock(LockOutcome::Denied(_))) | Err(Status::Delay) => {}
            outcome => panic!("{outcome:?}"),
        }
        assert!(begin.elapsed() < LEASE + PATIENCE, "the lock is still held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begin.elapsed() > LEASE / 2, "a lease is worth something");
}
