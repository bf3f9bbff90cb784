//! A real process, killed at random again and again: what it acknowledged is there, once. With one drive,
//! and with three of which one at a time is lost.

use crate::cluster::{Random, settled};
use crate::counter::{Counter, Drive, add_both, total};
use crate::crashes::{drop_journals, stored};
use cluster::SlotTable;
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use metadata::{Home, MapSeat, Shard, ShardConfig, ShardOptions};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use types::ShardId;

const FOLDER: &str = "PLEXUS_KILL_FOLDER";
const DRIVES: &str = "PLEXUS_KILL_DRIVES";
const CLIENTS: u8 = 6;
const ID: ShardId = ShardId(0);

/// A drive that is there, and which life of it.
type Present = (usize, u128);

fn drive_folder(folder: &Path, n: usize) -> PathBuf {
    folder.join(format!("drive{n}"))
}

/// The shard on three drives, two of them with a map.
async fn on_three(folder: &Path, present: &[Present]) -> (Vec<DriveLog>, Vec<DriveMap>, Shard) {
    let (mut logs, mut maps) = (Vec::new(), Vec::new());
    let (mut homes, mut seats) = (Vec::new(), Vec::new());
    for &(n, incarnation) in present {
        let dir = drive_folder(folder, n);
        std::fs::create_dir_all(&dir).unwrap();
        let log = DriveLog::open(&dir.join("log"), LogOptions::default()).unwrap();
        homes.push(Home { log: log.shard(ID), incarnation });
        logs.push(log);
        if n < 2 {
            let map = DriveMap::open(&dir.join("map"), &MapOptions::default()).unwrap();
            seats.push(MapSeat { map: map.clone(), incarnation });
            maps.push(map);
        }
    }
    let config = ShardConfig {
        id: ID,
        voter: 77,
        machine: Arc::new(Counter),
        slots: Arc::new(SlotTable::even(1).unwrap()),
        homes,
        home_count: 3,
        maps: seats,
        options: ShardOptions { persist_commands: 64, fill_bytes: 100, ..ShardOptions::default() },
        workers: env::Workers::default(),
    };
    let shard = Shard::open(config).await.unwrap();
    (logs, maps, shard)
}

fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Not a test of its own: what the killed process runs.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The harness has begun a line.
    println!();
    runtime.block_on(async move {
        let folder = Path::new(&folder);
        match std::env::var(DRIVES) {
            Ok(drives) => {
                let part = |n: Option<&str>| n.unwrap().parse::<u128>().unwrap();
                let drive =
                    |text: &str| (part(text.split(':').next()) as usize, part(text.split(':').nth(1)));
                let present: Vec<Present> = drives.split(' ').map(drive).collect();
                let (_logs, _maps, shard) = on_three(folder, &present).await;
                let shard = Arc::new(shard);
                let of_task = shard.clone();
                tokio::spawn(async move {
                    let standing = settled(&of_task).await;
                    if (standing.homes_in(), standing.maps_whole()) == (3, 2) {
                        say("whole");
                    }
                });
                serve(shard).await;
            }
            Err(_) => {
                let drive = Drive::open(folder);
                let mut config = drive.config(Arc::new(Counter));
                config.options.persist_commands = 64;
                serve(Arc::new(Shard::open(config).await.unwrap())).await;
            }
        }
    });
}

/// Clients that count for ever.
async fn serve(shard: Arc<Shard>) {
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let shard = shard.clone();
        clients.push(tokio::spawn(async move {
            loop {
                let reply = shard.submit(add_both(&[b'c', client], 1)).await.unwrap();
                let sum = u64::from_be_bytes(reply.as_ref().try_into().unwrap());
                let seen = total(&shard.view().unwrap(), &[b'c', client]);
                assert_eq!(seen, sum);
                say(&format!("ack {client} {sum}"));
            }
        }));
    }
    futures_util::future::join_all(clients).await;
}

/// Killed also when the test fails.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What clients have heard.
#[derive(Default)]
struct Heard {
    acknowledged: HashMap<u8, u64>,
    /// In each life since its last answer one command of a client may have been in flight.
    unheard: HashMap<u8, u64>,
    acks: u64,
}

impl Heard {
    /// Runs a life that is killed after so many answers; whether it said that it was whole.
    fn life(&mut self, folder: &Path, drives: Option<&str>, kill_after: u64) -> bool {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["kills::child", "--exact", "--ignored", "--nocapture"]);
        command.env(FOLDER, folder).stdout(Stdio::piped());
        match drives {
            Some(drives) => command.env(DRIVES, drives),
            None => command.env_remove(DRIVES),
        };
        let mut process = Running(command.spawn().unwrap());
        let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let (mut acks, mut killed, mut whole) = (0, false, false);
        while let Some(Ok(line)) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            whole |= line == "whole";
            if let ["ack", client, sum] = words[..] {
                let (client, sum): (u8, u64) = (client.parse().unwrap(), sum.parse().unwrap());
                let before = self.acknowledged.insert(client, sum).unwrap_or(0);
                let unheard = self.unheard.insert(client, 0).unwrap_or(0);
                assert!(
                    (before + 1..=before + 1 + unheard).contains(&sum),
                    "client {client}: {sum} after {before}, {unheard} unheard"
                );
                acks += 1;
            }
            if !killed && acks > kill_after {
                process.0.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself");
        self.acks += acks;
        for client in 0..CLIENTS {
            *self.unheard.entry(client).or_default() += 1;
        }
        whole
    }

    fn check(&mut self, shard: &Shard) {
        let view = shard.view().unwrap();
        let mut sum = 0;
        for client in 0..CLIENTS {
            let there = total(&view, &[b'c', client]);
            let acknowledged = self.acknowledged.entry(client).or_insert(0);
            let unheard = self.unheard.insert(client, 0).unwrap_or(0);
            assert!((*acknowledged..=*acknowledged + unheard).contains(&there), "client {client}");
            *acknowledged = there;
            sum += there;
        }
        assert_eq!(total(&view, b"all"), sum);
    }
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there_and_nothing_is_applied_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut heard = Heard::default();
    for round in 0..24_u64 {
        // Different points of the child's life: some right after it begins to answer.
        heard.life(dir.path(), None, round * round * 7 % 200);
        if round % 3 == 2 {
            // What a power cut may do to a map that is never synced on the path.
            drop_journals(&dir.path().join("map"));
        }
        if round % 6 == 5 {
            let drive = Drive::open(dir.path());
            let shard = drive.shard(Arc::new(Counter)).await.unwrap();
            heard.check(&shard);
            shard.close().await.unwrap();
            drop(shard);
            drive.close().await;
        }
    }
    assert!(heard.acks > 1000, "{} acknowledged", heard.acks);
}

#[tokio::test]
async fn a_process_that_is_killed_while_maps_are_filled_and_drives_are_lost_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let mut heard = Heard::default();
    let mut drives: Vec<Present> = vec![(0, 10), (1, 11), (2, 12)];
    let (mut whole, mut lost) = (false, 0);
    for round in 0..30_u64 {
        let mut present = drives.clone();
        let unlucky = random.below(3) as usize;
        match random.below(3) {
            // The drive is replaced by an empty one.
            0 if whole => {
                std::fs::remove_dir_all(drive_folder(dir.path(), unlucky)).unwrap();
                drives[unlucky].1 += 100;
                present = drives.clone();
                lost += 1;
            }
            // It stays away for once.
            1 if whole => {
                present.remove(unlucky);
                lost += 1;
            }
            _ => {}
        }
        let text: Vec<String> = present.iter().map(|(n, life)| format!("{n}:{life}")).collect();
        whole = heard.life(dir.path(), Some(&text.join(" ")), round * round * 11 % 150);
        for n in (0..2).filter(|_| random.below(3) == 0) {
            let map = drive_folder(dir.path(), n).join("map");
            if map.exists() {
                drop_journals(&map);
            }
        }
        if round % 6 == 5 {
            let (logs, maps, shard) = on_three(dir.path(), &drives).await;
            heard.check(&shard);
            assert_eq!(settled(&shard).await.maps_whole(), 2);
            shard.close().await.unwrap();
            drop(shard);
            let [first, second] = [0, 1].map(|n: usize| stored(&maps[n].newest(ID).unwrap().unwrap()));
            assert!(first == second, "the copies differ in round {round}");
            for log in logs {
                log.close().await;
            }
            whole = true;
        }
    }
    assert!(heard.acks > 1000 && lost > 5, "{} acknowledged, {lost} drives lost", heard.acks);
}
