//! Exports that change while the daemon runs, as clients see them.

use crate::client::*;
use e2e::{Daemon, DaemonOptions};
use nfs_wire::*;
use serde_json::Value;
use std::time::{Duration, Instant};

pub(crate) fn plexus(daemon: &Daemon, arguments: &[&str]) -> Result<String, String> {
    let output = daemon.plexus(arguments).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        Some(1) => Err(text(&output.stderr)),
        other => panic!("{arguments:?} ended with {other:?}: {}", text(&output.stderr)),
    }
}

/// Path, source, access and clients of each export.
fn listed(daemon: &Daemon) -> Vec<[String; 4]> {
    let list: Value = serde_json::from_str(&plexus(daemon, &["export", "list", "--json"]).unwrap()).unwrap();
    let exports = list["exports"].as_array().unwrap().iter();
    exports
        .map(|export| {
            let clients = export["clients"].as_array().unwrap().iter().map(|rule| rule.as_str().unwrap());
            let clients = clients.collect::<Vec<_>>().join(" ");
            let [path, source, access] =
                ["path", "source", "access"].map(|key| export[key].as_str().unwrap());
            [path, source, access, &clients].map(str::to_owned)
        })
        .collect()
}

async fn root(client: &mut Client, path: &str) -> Result<(), Status> {
    let mut ops = vec![Args::Putrootfh(())];
    ops.extend(path.split('/').filter(|part| !part.is_empty()).map(lookup));
    client.run(ops).await.pop().unwrap().map(|_| ())
}

async fn make(client: &mut Client, path: &str, name: &str) -> Result<(), Status> {
    let mut ops = vec![Args::Putrootfh(())];
    ops.extend(path.split('/').filter(|part| !part.is_empty()).map(lookup));
    ops.push(mkdir(name));
    client.run(ops).await.pop().unwrap().map(|_| ())
}

async fn change_of_pseudo_root(client: &mut Client) -> u64 {
    let outcome = client.run(vec![Args::Putrootfh(()), getattr(&[attr::CHANGE])]).await.pop().unwrap();
    attributes(outcome).change.unwrap()
}

const LOCAL: &str = "127.0.0.0/8 ::1";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_is_served_at_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--drive-size", "128M"].map(str::to_owned).to_vec();
    let daemon = Daemon::start(folder.path(), &DaemonOptions { flags, ..DaemonOptions::default() }).unwrap();
    let mut client = Client::new(daemon.nfs(), "a").await;
    let before = change_of_pseudo_root(&mut client).await;
    assert_eq!(root(&mut client, "/p/q").await, Err(Status::NoEnt));

    let refused = plexus(&daemon, &["export", "set", "/p/q", "--filesystem", "projects"]).unwrap_err();
    assert!(refused.contains("there is no filesystem projects"), "{refused}");
    plexus(&daemon, &["filesystem", "create", "projects"]).unwrap();
    for (arguments, said) in [
        (&["export", "set", "/p/q"][..], "say which filesystem"),
        (&["export", "set", "/default/x", "--filesystem", "projects"], "overlap"),
        (&["export", "set", "p", "--filesystem", "projects"], "`path` is \"p\", but must be"),
        (&["export", "set", "/default", "--client", "host"], "`clients` is a list of 1, but must be"),
        (&["export", "remove", "/default"], "is from the configuration"),
        (&["export", "remove", "/nowhere"], "is not exported"),
    ] {
        let refused = plexus(&daemon, arguments).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }

    plexus(&daemon, &["export", "set", "/p/q", "--filesystem", "projects", "--squash", "none"]).unwrap();
    assert_ne!(change_of_pseudo_root(&mut client).await, before, "clients have to look again");
    assert_eq!(make(&mut client, "/p/q", "d").await, Ok(()));
    plexus(&daemon, &["export", "set", "/p/q", "--access", "ro"]).unwrap();
    assert_eq!(make(&mut client, "/p/q", "e").await, Err(Status::Rofs));
    assert_eq!(root(&mut client, "/p/q/d").await, Ok(()));
    plexus(&daemon, &["export", "set", "/default", "--no-clients"]).unwrap();
    assert_eq!(root(&mut client, "/default").await, Err(Status::NoEnt));
    let set = [["/default", "set", "rw", ""], ["/p/q", "set", "ro", LOCAL]].map(|row| row.map(str::to_owned));
    assert_eq!(listed(&daemon), set);

    let daemon = daemon.restart().unwrap();
    assert_eq!(listed(&daemon), set, "kept over a restart");
    let mut client = Client::new(daemon.nfs(), "a").await;
    assert_eq!(make(&mut client, "/p/q", "e").await, Err(Status::Rofs));
    assert_eq!(root(&mut client, "/default").await, Err(Status::NoEnt));
    plexus(&daemon, &["export", "remove", "/default"]).unwrap();
    plexus(&daemon, &["export", "remove", "/p/q"]).unwrap();
    assert_eq!(make(&mut client, "/default", "d").await, Ok(()));
    assert_eq!(root(&mut client, "/p").await, Err(Status::NoEnt));
    assert_eq!(listed(&daemon), [["/default", "configuration", "rw", LOCAL].map(str::to_owned)]);
}

/// Until the daemon has read its configuration again.
fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never happened");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_read_again_is_served_unless_something_else_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--drive-size", "128M"].map(str::to_owned).to_vec();
    let daemon = Daemon::start(folder.path(), &DaemonOptions { flags, ..DaemonOptions::default() }).unwrap();
    let file = folder.path().join("plexus.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let say = |more: &str| {
        std::fs::write(&file, format!("{text}\n{more}")).unwrap();
        daemon.reload().unwrap();
    };
    plexus(&daemon, &["export", "set", "/set", "--filesystem", "default", "--access", "ro"]).unwrap();
    let export =
        |path: &str| format!("[[export]]\npath = \"{path}\"\nfilesystem = \"default\"\nsquash = \"none\"\n");
    say(&(export("/set") + &export("/more")));
    until(|| listed(&daemon).len() == 3);
    assert!(listed(&daemon).contains(&["/set", "set", "ro", LOCAL].map(str::to_owned)));
    let mut client = Client::new(daemon.nfs(), "a").await;
    assert_eq!(make(&mut client, "/more", "d").await, Ok(()));
    // One that does not go together with what was set changes nothing.
    say(&export("/set/below"));
    until(|| daemon.log().contains("exports not reloaded"));
    assert_eq!(make(&mut client, "/more", "e").await, Ok(()));
    plexus(&daemon, &["export", "remove", "/set"]).unwrap();
    assert!(listed(&daemon).contains(&["/set", "configuration", "rw", LOCAL].map(str::to_owned)));
}
