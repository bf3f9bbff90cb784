//! A log on 2P + 1 homes: any P of them may be gone, torn, or stale, and nothing is lost.

use crate::counter::{Counter, command, total};
use crate::crashes::{commands, content, drop_journals, reference};
use cluster::SlotTable;
use drive::log::sim::{Fate, SimFiles};
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use metadata::{Home, MetadataError, Shard, ShardConfig, ShardOptions};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use types::ShardId;

const ID: ShardId = ShardId(0);
const TINY: LogOptions = LogOptions { file_bytes: 4 << 10, purge_bytes: 8 << 10 };

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A drive that can lose power, be away, or be wiped.
struct Drive {
    dir: PathBuf,
    files: SimFiles,
    incarnation: u128,
}

struct Cluster {
    root: TempDir,
    drives: Vec<Drive>,
    lives: u64,
    persist_commands: u64,
}

impl Cluster {
    fn new(count: usize, persist_commands: u64) -> Cluster {
        let root = tempfile::tempdir().unwrap();
        let mut cluster = Cluster { root, drives: Vec::new(), lives: 0, persist_commands };
        for n in 0..count {
            let drive = cluster.blank(n, 1);
            cluster.drives.push(drive);
        }
        cluster
    }

    fn folder(&mut self, n: usize) -> PathBuf {
        self.lives += 1;
        let dir = self.root.path().join(format!("drive{n}-{}", self.lives));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn blank(&mut self, n: usize, incarnation: u128) -> Drive {
        Drive { dir: self.folder(n), files: SimFiles::default(), incarnation }
    }

    /// The power of a drive goes and comes back.
    fn power_cut(&mut self, n: usize, fate: Fate) {
        let dir = self.folder(n);
        let files = self.drives[n].files.after_crash(&dir, fate).unwrap();
        self.drives[n] = Drive { dir, files, incarnation: self.drives[n].incarnation };
    }

    fn map(&self) -> PathBuf {
        self.root.path().join("map")
    }

    /// Opens the shard on `present` drives; the drives' logs come back to be closed.
    async fn open(&self, present: &[usize]) -> (Vec<DriveLog>, DriveMap, Result<Shard, MetadataError>) {
        let mut logs = Vec::new();
        let mut homes = Vec::new();
        for n in present {
            let drive = &self.drives[*n];
            // A drive whose power goes while its log is opened is away.
            if let Ok(log) = DriveLog::open_on(&drive.dir, TINY, Arc::new(drive.files.clone())) {
                homes.push(Home { log: log.shard(ID), incarnation: drive.incarnation });
                logs.push(log);
            }
        }
        let map = DriveMap::open(&self.map(), &MapOptions::default()).unwrap();
        let config = ShardConfig {
            id: ID,
            voter: 1,
            machine: Arc::new(Counter),
            slots: Arc::new(SlotTable::even(1).unwrap()),
            homes,
            home_count: self.drives.len(),
            map: map.shard(ID).unwrap(),
            options: ShardOptions { persist_commands: self.persist_commands, ..ShardOptions::default() },
        };
        let shard = Shard::open(config).await;
        (logs, map, shard)
    }
}

async fn close(logs: Vec<DriveLog>) {
    for log in logs {
        log.close().await;
    }
}

/// Picks `n` of `of`.
fn some(random: &mut Random, n: usize, of: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..of).collect();
    while all.len() > n {
        all.remove(random.below(all.len() as u64) as usize);
    }
    all
}

/// Lives of a shard, each ended by a power cut of everything, with at most P drives missing.
async fn lives(seed: u64, parity: usize) {
    let mut random = Random(seed);
    let count = 2 * parity + 1;
    let persist_commands = [15, 100_000][random.below(2) as usize];
    let mut cluster = Cluster::new(count, persist_commands);
    let (replies, last) = reference();
    let mut answered = 0;
    let mut lives = 0;
    let mut incarnation = 1;
    // Away drives come back stale; a wiped one must be filled before another may fail.
    let mut all_needed = true;
    loop {
        lives += 1;
        let away = if all_needed { 0 } else { random.below(parity as u64 + 1) as usize };
        let present = some(&mut random, count - away, count);
        // Some of the present drives die on the way; enough stay, so nobody notices.
        let dying = if all_needed { 0 } else { random.below((parity - away) as u64 + 1) as usize };
        let doomed = some(&mut random, dying, present.len());
        for at in &doomed {
            cluster.drives[present[*at]].files.crash_at(random.below(120));
        }
        let (logs, map, shard) = cluster.open(&present).await;
        let shard = shard.unwrap_or_else(|e| panic!("seed {seed}, life {lives}: {e}"));
        all_needed = false;
        let done = total(&shard.view().unwrap(), b"done") as usize;
        assert!((answered..=answered + 1).contains(&done), "seed {seed}: {done} done, {answered} answered");
        answered = done;
        let goal = (done + random.below(25) as usize).min(60);
        for (command, expected) in commands()[done..goal].iter().zip(&replies[done..goal]) {
            let reply = shard.submit(command.clone()).await;
            let reply = reply.unwrap_or_else(|e| panic!("seed {seed}, life {lives}: {e}"));
            assert_eq!(reply, expected, "seed {seed}, command {answered}");
            answered += 1;
        }
        if answered == 60 {
            assert_eq!(content(&shard.view().unwrap()), last, "seed {seed}");
        }
        // The power goes for all at once, with one more command on its way.
        for n in 0..count {
            let files = &cluster.drives[n].files;
            files.crash_at(files.steps());
        }
        if answered < 60 {
            assert!(shard.submit(commands()[answered].clone()).await.is_err());
        }
        let _ = shard.close().await;
        drop(shard);
        close(logs).await;
        drop(map);
        if answered == 60 {
            break;
        }
        for n in 0..count {
            let fate = [Fate::Lost, Fate::Kept, Fate::Torn(random.below(1000))][random.below(3) as usize];
            cluster.power_cut(n, fate);
        }
        if random.below(2) == 0 {
            drop_journals(&cluster.map());
        }
        if random.below(3) == 0 {
            // P drives are replaced at once by blank ones.
            incarnation += 1;
            for n in some(&mut random, parity, count) {
                cluster.drives[n] = cluster.blank(n, incarnation);
            }
            all_needed = true;
        }
    }
    assert!(lives > 2);
}

#[tokio::test]
async fn nothing_is_lost_on_three_homes() {
    for seed in 0..10 {
        lives(seed, 1).await;
    }
}

#[tokio::test]
async fn nothing_is_lost_on_five_homes() {
    for seed in 100..106 {
        lives(seed, 2).await;
    }
}

#[tokio::test]
async fn too_few_homes_are_refused_and_an_empty_one_never_counts() {
    let mut cluster = Cluster::new(3, 100_000);
    let (logs, map, shard) = cluster.open(&[0, 1]).await;
    assert!(matches!(shard.err(), Some(MetadataError::TooFewHomes { found: 0, needed: 2 })));
    close(logs).await;
    drop(map);
    let (logs, map, shard) = cluster.open(&[0, 1, 2]).await;
    let shard = shard.unwrap();
    shard.submit(commands()[0].clone()).await.unwrap();
    shard.close().await.unwrap();
    drop(shard);
    close(logs).await;
    drop(map);
    // Two drives come back blank: one says the other life, one even claims the old one.
    cluster.drives[0] = cluster.blank(0, 2);
    cluster.drives[1] = cluster.blank(1, 1);
    for present in [&[0, 1][..], &[0, 1, 2], &[1, 2]] {
        let (logs, map, shard) = cluster.open(present).await;
        assert!(matches!(shard.err(), Some(MetadataError::TooFewHomes { .. })), "{present:?}");
        close(logs).await;
        drop(map);
    }
}

#[tokio::test]
async fn losing_more_than_parity_stops_the_shard() {
    let cluster = Cluster::new(3, 100_000);
    let (logs, _map, shard) = cluster.open(&[0, 1, 2]).await;
    let shard = shard.unwrap();
    for n in [2, 0] {
        let files = &cluster.drives[n].files;
        files.crash_at(files.steps());
        let outcome = shard.submit(command(b'#', 1, b"")).await;
        assert_eq!(outcome.is_ok(), n == 2, "after the loss of drive {n}");
    }
    assert!(matches!(shard.view(), Err(MetadataError::Stopped(_))));
    assert!(shard.close().await.is_err());
    close(logs).await;
}

#[tokio::test]
async fn parity_drives_may_be_slow_and_one_more_makes_everything_wait() {
    let cluster = Cluster::new(5, 100_000);
    let (logs, _map, shard) = cluster.open(&[0, 1, 2, 3, 4]).await;
    let shard = shard.unwrap();
    for n in [1, 4] {
        cluster.drives[n].files.hold();
    }
    for _ in 0..5 {
        shard.submit(command(b'#', 1, b"")).await.unwrap();
    }
    cluster.drives[2].files.hold();
    let mut waiting = Box::pin(shard.submit(command(b'#', 1, b"")));
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "acknowledged by two of five homes");
    assert_eq!(total(&shard.view().unwrap(), b"done"), 5, "applied before it was durable");
    cluster.drives[1].files.release();
    waiting.await.unwrap();
    for n in [2, 4] {
        cluster.drives[n].files.release();
    }
    shard.close().await.unwrap();
    close(logs).await;
}
