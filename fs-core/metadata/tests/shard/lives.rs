//! Lives of a shard on drives that die, stay away, come back stale, and are replaced: as many as its standing
//! says may be lost are lost, and nothing is.

use crate::cluster::{Cluster, ID, Random, close, settled};
use crate::counter::{Counter, Drive, add, total};
use crate::crashes::{commands, content, reference, stored};
use drive::log::LogOptions;
use drive::log::sim::{Fate, SimLog};
use drive::map::{DriveMap, MapOptions};
use env::{SeededRandom, Workers};
use std::sync::Arc;

/// Picks `n` of `of`.
fn some(random: &mut Random, n: usize, of: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..of).collect();
    while all.len() > n {
        all.remove(random.below(all.len() as u64) as usize);
    }
    all
}

/// Lives that each end with a power cut of everything.
async fn lives(seed: u64, parity: usize) {
    let mut random = Random(seed);
    let count = 2 * parity + 1;
    let mut cluster = Cluster::new(count, [15, 100_000][random.below(2) as usize]);
    let (replies, last) = reference();
    let mut answered = 0;
    let mut lives = 0;
    let mut incarnation = 1;
    // How many drives may be lost, as the life before said at its end.
    let mut left = 0;
    loop {
        lives += 1;
        let lost = random.below(left as u64 + 1) as usize;
        let (away, wiped) = if random.below(2) == 0 { (lost, 0) } else { (0, lost) };
        incarnation += 1;
        for n in some(&mut random, wiped, count) {
            cluster.drives[n] = cluster.blank(n, incarnation);
        }
        let present = some(&mut random, count - away, count);
        // Some of the present drives die on the way; enough stay, so nobody notices.
        let dying = random.below((left - lost) as u64 + 1) as usize;
        for at in some(&mut random, dying, present.len()) {
            cluster.drives[present[at]].files.crash_at(random.below(120));
        }
        let (logs, maps, shard) = cluster.open(&present).await;
        let shard = shard.unwrap_or_else(|e| panic!("seed {seed}, life {lives}: {e}"));
        if random.below(2) == 0 {
            settled(&shard).await;
        }
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
        let standing = shard.standing().borrow().clone();
        left = (standing.homes_in() - (parity + 1)).min(standing.maps_whole() - 1);
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
        drop(maps);
        for n in 0..count {
            let fate = [Fate::Lost, Fate::Kept, Fate::Torn(random.below(1000))][random.below(3) as usize];
            let journal = random.below(2) == 0;
            cluster.power_cut(n, fate, journal);
        }
        if answered == 60 {
            break;
        }
    }
    assert!(lives > 2);
    // Once all is back and at rest, every copy is the whole map.
    let all: Vec<usize> = (0..count).collect();
    let (logs, maps, shard) = cluster.open(&all).await;
    let shard = shard.unwrap_or_else(|e| panic!("seed {seed}, at the end: {e}"));
    assert_eq!(settled(&shard).await.maps_whole(), parity + 1, "seed {seed}");
    shard.close().await.unwrap();
    for map in maps {
        assert_eq!(stored(&map.newest(ID).unwrap().unwrap()), last, "seed {seed}");
    }
    close(logs).await;
}

#[tokio::test]
async fn nothing_is_lost_on_three_homes_and_two_maps() {
    for seed in 0..10 {
        lives(seed, 1).await;
    }
}

#[tokio::test]
async fn nothing_is_lost_on_five_homes_and_three_maps() {
    for seed in 100..108 {
        lives(seed, 2).await;
    }
}

#[tokio::test]
async fn a_life_reads_no_more_of_the_log_for_the_lives_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = SimLog::new(Arc::new(SeededRandom::new(1)));
    let map = DriveMap::open(&dir.path().join("map"), &MapOptions::default()).unwrap();
    let mut reads = Vec::new();
    for life in 0..40 {
        let before = log.reads();
        let drive =
            Drive { log: log.open(LogOptions::default(), &Workers::default()).unwrap(), map: map.clone() };
        let shard = drive.shard(Arc::new(Counter)).await.unwrap();
        reads.push(log.reads() - before);
        for n in 0..10 {
            shard.submit(add(b"n", life + n)).await.unwrap();
        }
        shard.close().await.unwrap();
        drop(shard);
        drive.close().await;
    }
    assert!(reads[39] <= reads[1], "{reads:?}");
}
