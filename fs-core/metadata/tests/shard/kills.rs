//! A real process, killed at random again and again: what it acknowledged is there, once.

use crate::counter::{Counter, Drive, add_both, total};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const FOLDER: &str = "PLEXUS_KILL_FOLDER";
const CLIENTS: u8 = 6;
const ROUNDS: u64 = 24;

/// Not a test of its own: what the killed process runs.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The harness has begun a line.
    println!();
    runtime.block_on(async move {
        let drive = Drive::open(Path::new(&folder));
        let mut config = drive.config(Arc::new(Counter));
        config.options.persist_commands = 64;
        let shard = Arc::new(metadata::Shard::open(config).await.unwrap());
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let shard = shard.clone();
            clients.push(tokio::spawn(async move {
                loop {
                    let reply = shard.submit(add_both(&[b'c', client], 1)).await.unwrap();
                    let sum = u64::from_be_bytes(reply.as_ref().try_into().unwrap());
                    let seen = total(&shard.view().unwrap(), &[b'c', client]);
                    assert_eq!(seen, sum);
                    let line = format!("ack {client} {sum}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            }));
        }
        futures_util::future::join_all(clients).await;
    });
}

/// Killed also when the test fails.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn journals_gone(folder: &Path) {
    for entry in std::fs::read_dir(folder.join("map")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "jnl") {
            std::fs::write(path, b"").unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there_and_nothing_is_applied_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<u8, u64> = HashMap::new();
    let mut unheard: HashMap<u8, u64> = HashMap::new();
    let mut total_acks = 0;
    for round in 0..ROUNDS {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::child", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Running(child);
        let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        // Different points of the child's life: some right after it begins to answer.
        let kill_after = round * round * 7 % 200;
        let mut acks = 0;
        let mut killed = false;
        while let Some(Ok(line)) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["ack", client, sum] = words[..] {
                let (client, sum): (u8, u64) = (client.parse().unwrap(), sum.parse().unwrap());
                let before = acknowledged.insert(client, sum).unwrap_or(0);
                // In each life since its last answer one command of it may have been in flight.
                let unheard = unheard.insert(client, 0).unwrap_or(0);
                assert!(
                    (before + 1..=before + 1 + unheard).contains(&sum),
                    "round {round}, client {client}: {sum} after {before}, {unheard} unheard"
                );
                acks += 1;
                total_acks += 1;
            }
            if !killed && acks > kill_after {
                process.0.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself in round {round}");
        drop(process);
        for client in 0..CLIENTS {
            *unheard.entry(client).or_default() += 1;
        }
        if round % 3 == 2 {
            // What a power cut may do to a map that is never synced on the path.
            journals_gone(dir.path());
        }
        if round % 6 == 5 {
            let drive = Drive::open(dir.path());
            let shard = drive.shard(Arc::new(Counter)).await.unwrap();
            let view = shard.view().unwrap();
            let mut sum = 0;
            for client in 0..CLIENTS {
                let there = total(&view, &[b'c', client]);
                let acknowledged = acknowledged.entry(client).or_insert(0);
                let unheard = unheard.insert(client, 0).unwrap_or(0);
                assert!((*acknowledged..=*acknowledged + unheard).contains(&there), "client {client}");
                *acknowledged = there;
                sum += there;
            }
            assert_eq!(total(&view, b"all"), sum);
            drop(view);
            shard.close().await.unwrap();
            drop(shard);
            drive.close().await;
        }
    }
    assert!(total_acks > 1000, "{total_acks} acknowledged");
}
