//! Same commands, any batching, any crash point: same map, same replies.

use crate::counter::{Counter, command, total};
use bytes::Bytes;
use cluster::SlotTable;
use drive::log::sim::{Fate, SimFiles};
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use map::{Machine, MemoryMap, OrderedMap};
use metadata::{Home, MapSeat, MetadataError, Shard, ShardConfig, ShardOptions};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use types::ShardId;

const ID: ShardId = ShardId(0);
const TINY: LogOptions = LogOptions { file_bytes: 4 << 10, purge_bytes: 8 << 10 };

pub(crate) fn commands() -> Vec<Bytes> {
    (0..60_u64).map(|n| command(b'#', n * n + 1, &vec![n as u8; (n % 7 * 40) as usize])).collect()
}

pub(crate) fn content(map: &dyn OrderedMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    map.scan(&[1], &[0xff; 9], &mut |k, v| {
        all.push((k.to_vec(), v.to_vec()));
        true
    })
    .unwrap();
    all
}

/// The machine's content of a map as it is stored.
pub(crate) fn stored(map: &dyn OrderedMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    map.scan(&[1], &[2], &mut |k, v| {
        all.push((k[1..].to_vec(), v.to_vec()));
        true
    })
    .unwrap();
    all
}

pub(crate) type Content = Vec<(Vec<u8>, Vec<u8>)>;

/// Replies, and the content at the end, of a machine that nothing ever happens to.
pub(crate) fn reference() -> (Vec<Bytes>, Content) {
    let mut map = MemoryMap::default();
    let replies = commands().iter().map(|c| Counter.apply(&mut map, c).unwrap()).collect();
    (replies, content(&map))
}

struct Site {
    log: DriveLog,
    map: DriveMap,
}

impl Site {
    fn open(log: &Path, files: &SimFiles, map: &Path) -> Result<Site, drive::log::LogError> {
        let log = DriveLog::open_on(log, TINY, Arc::new(files.clone()))?;
        let map = DriveMap::open(map, &MapOptions::default()).unwrap();
        Ok(Site { log, map })
    }

    async fn shard(&self, persist_commands: u64) -> Result<Shard, MetadataError> {
        let options = ShardOptions { persist_commands, ..ShardOptions::default() };
        Shard::open(ShardConfig {
            id: ID,
            voter: 1,
            machine: Arc::new(Counter),
            slots: Arc::new(SlotTable::even(1).unwrap()),
            homes: vec![Home { log: self.log.shard(ID), incarnation: 1 }],
            home_count: 1,
            maps: vec![MapSeat { map: self.map.clone(), incarnation: 1 }],
            options,
            workers: env::Workers::default(),
        })
        .await
    }
}

/// Submits from where the shard is; the replies as far as it got.
async fn go_on(shard: &Shard, replies: &mut [Option<Bytes>]) -> Result<(), MetadataError> {
    let done = total(&shard.view()?, b"done") as usize;
    for (at, command) in commands().into_iter().enumerate().skip(done) {
        let reply = shard.submit(command).await?;
        assert!(replies[at].replace(reply).is_none(), "command {at} was answered twice");
    }
    Ok(())
}

pub(crate) fn drop_journals(map: &Path) {
    for entry in std::fs::read_dir(map).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "jnl") {
            std::fs::write(path, b"").unwrap();
        }
    }
}

#[tokio::test]
async fn any_batching_gives_the_same_map_and_replies() {
    let (replies, last) = reference();
    for at_once in [1, 3, 17, 60] {
        let dir = tempfile::tempdir().unwrap();
        let (log, map) = (dir.path().join("log"), dir.path().join("map"));
        let site = Site::open(&log, &new_folder(&log), &map).unwrap();
        let shard = site.shard(25).await.unwrap();
        let mut got = Vec::new();
        for some in commands().chunks(at_once) {
            let submits = some.iter().map(|c| Box::pin(shard.submit(c.clone())));
            got.extend(futures_util::future::join_all(submits).await.into_iter().map(Result::unwrap));
        }
        assert_eq!(got, replies, "{at_once} at once");
        assert_eq!(content(&shard.view().unwrap()), last, "{at_once} at once");
        shard.close().await.unwrap();
    }
}

fn new_folder(log: &Path) -> SimFiles {
    std::fs::create_dir_all(log).unwrap();
    SimFiles::default()
}

#[tokio::test]
async fn any_crash_point_of_the_log_gives_the_same_map_and_replies() {
    let (replies, last) = reference();
    let mut answered_before = 0;
    // A prime stride meets every kind of step; the log's own tests take every one.
    for (n, crash) in (1..260).step_by(7).enumerate() {
        let dir: TempDir = tempfile::tempdir().unwrap();
        let map = dir.path().join("map");
        let mut log = dir.path().join("log0");
        let mut files = new_folder(&log);
        let mut got = vec![None; commands().len()];
        let mut cuts = 0;
        files.crash_at(crash);
        loop {
            // The log may lose power before it is open.
            let ended = match Site::open(&log, &files, &map) {
                Err(_) => Err(()),
                Ok(site) => {
                    let ended = match site.shard(20).await {
                        Err(_) => Err(()),
                        Ok(shard) => {
                            let ended = go_on(&shard, &mut got).await.map_err(|_| ());
                            if ended.is_err() {
                                assert!(matches!(shard.view(), Err(MetadataError::Stopped(_))));
                                let refused = shard.submit(command(b'#', 1, b"")).await;
                                assert!(matches!(refused, Err(MetadataError::Stopped(_))));
                            } else {
                                assert_eq!(content(&shard.view().unwrap()), last, "crash at {crash}");
                            }
                            let _ = shard.close().await;
                            ended
                        }
                    };
                    site.log.close().await;
                    ended
                }
            };
            if ended.is_ok() {
                break;
            }
            cuts += 1;
            let fate = [Fate::Lost, Fate::Kept, Fate::Torn(crash)][n % 3];
            log = dir.path().join(format!("log{cuts}"));
            std::fs::create_dir_all(&log).unwrap();
            files = files.after_crash(&log, fate).unwrap();
            if n % 2 == 0 {
                drop_journals(&map);
            }
            if cuts < 3 {
                files.crash_at(crash);
            }
        }
        // One command of each life may have taken effect without an answer; all others have theirs.
        let unanswered: Vec<usize> = (0..got.len()).filter(|n| got[*n].is_none()).collect();
        assert!(unanswered.len() <= cuts, "crash at {crash}, {cuts} cuts: no answer to {unanswered:?}");
        for (reply, expected) in got.iter().zip(&replies) {
            assert!(reply.as_ref().is_none_or(|r| r == expected), "crash at {crash}");
        }
        answered_before += usize::from(cuts > 0 && got[0].is_some());
    }
    assert!(answered_before > 5);
}
