//! A real drive in a real process that is killed at any moment: what was acknowledged is there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use drive::chunk::block_crcs;
use drive::{ChunkKey, ChunkStore, DriveDirectory, Shape, WriteChunk, Writer};
use env::{Engine, SystemRandom};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use types::{ChunkId, DriveId, GroupId, StripeId};

const CLUSTER: [u8; 16] = [1; 16];
const DRIVE: DriveId = DriveId(0);
const CHILD: &str = "PLEXUS_TEST_KILLED_DRIVE";
const LANES: u64 = 16;
const ROUNDS: u64 = 12;

fn write(stripe: u64) -> WriteChunk {
    let key = ChunkKey { group: GroupId(0), chunk: ChunkId { stripe: StripeId(stripe), index: 0 } };
    let data = content(stripe);
    let crcs = block_crcs(key.chunk, 0, &data);
    let shape = Shape { data: 1, parity: 0, cells: 1, stripe_length: data.len() as u32 };
    let writer = Writer { id: 1, epoch: 1 };
    WriteChunk { key, shape, writer, data, crcs, replace: false, purpose: drive::Purpose::Ordinary }
}

fn content(stripe: u64) -> Bytes {
    let blocks = 1 + stripe as usize % 7;
    (0..blocks * 4096)
        .map(|n| (stripe.wrapping_mul(31) as usize + n * 7 + n / 4096) as u8)
        .collect::<Vec<u8>>()
        .into()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What the killed process does; run by the test below, which names a drive in the environment.
#[test]
#[ignore = "is started and killed by the test below"]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    runtime().block_on(async {
        let open = DriveDirectory::open(Path::new(&path), &CLUSTER, DRIVE, Engine::Auto, &SystemRandom);
        let (_directory, store) = open.await.unwrap();
        let store: Arc<ChunkStore> = Arc::new(store);
        let start = store
            .list(ChunkKey::FIRST, usize::MAX)
            .unwrap()
            .last()
            .map_or(0, |c| c.key.chunk.stripe.0 + LANES);
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..LANES {
            let store = store.clone();
            lanes.spawn(async move {
                for stripe in (start + lane..).step_by(LANES as usize) {
                    store.write(write(stripe)).await.unwrap();
                    said(&format!("wrote {stripe}"));
                    if stripe % 2 == 0 {
                        said(&format!("frees {stripe}"));
                        store.free(vec![write(stripe).key], Writer { id: 1, epoch: 1 }).await.unwrap();
                        said(&format!("freed {stripe}"));
                    }
                }
            });
        }
        while lanes.join_next().await.is_some() {}
    });
}

/// One line in one write, so that a kill leaves no half of it.
fn said(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    let path: PathBuf = temp.path().join("drive");
    let runtime = runtime();
    runtime.block_on(async {
        let made = DriveDirectory::create(&path, &CLUSTER, DRIVE, 64 << 20, Engine::Auto, &SystemRandom);
        let (_directory, store) = made.await.unwrap();
        store.close().await;
    });
    let (mut there, mut gone, mut seen) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut wrote, mut frees, mut freed) = (Vec::new(), Vec::new(), Vec::new());
        let mut killed = false;
        let limit = 30 + round * 37 % 200;
        while let Some(Ok(line)) = lines.next() {
            if let Some((word, stripe)) = line.split_once(' ')
                && let Ok(stripe) = stripe.parse::<u64>()
            {
                match word {
                    "wrote" => wrote.push(stripe),
                    "frees" => frees.push(stripe),
                    "freed" => freed.push(stripe),
                    _ => {}
                }
            }
            // Lines that were on their way at the kill count as well.
            if wrote.len() as u64 >= limit && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child ended by itself");
        seen += wrote.len();
        there.extend(wrote.into_iter().filter(|stripe| !frees.contains(stripe)));
        gone.extend(freed);
        runtime.block_on(async {
            let open = DriveDirectory::open(&path, &CLUSTER, DRIVE, Engine::Auto, &SystemRandom);
            let (_directory, store) = open.await.unwrap();
            for &stripe in &there {
                let want = content(stripe);
                let read = store.read(write(stripe).key, 0, (want.len() / 4096) as u16).await;
                assert_eq!(read.map(|r| r.data), Ok(want), "round {round} stripe {stripe}");
            }
            for &stripe in &gone {
                assert!(store.locate(write(stripe).key).is_none(), "{stripe} came back to life");
            }
            store.close().await;
        });
    }
    assert!(seen > 300 && gone.len() > 100, "{seen} {}", gone.len());
}
