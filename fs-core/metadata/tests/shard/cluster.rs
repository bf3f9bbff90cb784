//! Drives with a home of the log and, some of them, a copy of the map; they can lose power, be away, or be wiped.

use crate::counter::Counter;
use crate::crashes::drop_journals;
use cluster::SlotTable;
use drive::log::sim::{Fate, SimFiles};
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use metadata::{Home, MapSeat, MetadataError, Shard, ShardConfig, ShardOptions};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use types::ShardId;

pub(crate) const ID: ShardId = ShardId(0);
const TINY: LogOptions = LogOptions { file_bytes: 4 << 10, purge_bytes: 8 << 10 };

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

pub(crate) struct Drive {
    log: PathBuf,
    pub(crate) files: SimFiles,
    pub(crate) map: PathBuf,
    pub(crate) incarnation: u128,
}

pub(crate) struct Cluster {
    root: TempDir,
    pub(crate) drives: Vec<Drive>,
    /// Drives with a copy of the map.
    pub(crate) seats: Vec<usize>,
    lives: u64,
    pub(crate) options: ShardOptions,
}

impl Cluster {
    /// Of `count` drives, 2P + 1, of which the first P + 1 have a copy of the map.
    pub(crate) fn new(count: usize, persist_commands: u64) -> Cluster {
        let root = tempfile::tempdir().unwrap();
        let options = ShardOptions { persist_commands, fill_bytes: 200, ..ShardOptions::default() };
        let seats = (0..count / 2 + 1).collect();
        let mut cluster = Cluster { root, drives: Vec::new(), seats, lives: 0, options };
        for n in 0..count {
            let drive = cluster.blank(n, 1);
            cluster.drives.push(drive);
        }
        cluster
    }

    fn folder(&mut self, n: usize, what: &str) -> PathBuf {
        self.lives += 1;
        let dir = self.root.path().join(format!("{what}{n}-{}", self.lives));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// An empty drive.
    pub(crate) fn blank(&mut self, n: usize, incarnation: u128) -> Drive {
        let (log, map) = (self.folder(n, "log"), self.folder(n, "map"));
        Drive { log, files: SimFiles::default(), map, incarnation: incarnation << 8 | n as u128 }
    }

    /// The power of a drive goes and comes back. The map's journal is there only if it was written.
    pub(crate) fn power_cut(&mut self, n: usize, fate: Fate, journal: bool) {
        let log = self.folder(n, "log");
        let drive = &mut self.drives[n];
        drive.files = drive.files.after_crash(&log, fate).unwrap();
        drive.log = log;
        if !journal {
            drop_journals(&drive.map);
        }
    }

    /// The copy of the map on a drive.
    pub(crate) fn map(&self, n: usize) -> DriveMap {
        DriveMap::open(&self.drives[n].map, &MapOptions::default()).unwrap()
    }

    /// Opens the shard on `present` drives; logs and maps come back to be closed.
    pub(crate) async fn open(
        &self,
        present: &[usize],
    ) -> (Vec<DriveLog>, Vec<DriveMap>, Result<Shard, MetadataError>) {
        let (mut logs, mut homes) = (Vec::new(), Vec::new());
        let (mut maps, mut seats) = (Vec::new(), Vec::new());
        for n in present {
            let drive = &self.drives[*n];
            let incarnation = drive.incarnation;
            // A drive whose power goes while its log is opened is away.
            if let Ok(log) = DriveLog::open_on(&drive.log, TINY, Arc::new(drive.files.clone())) {
                homes.push(Home { log: log.shard(ID), incarnation });
                logs.push(log);
            }
            if self.seats.contains(n) {
                let map = self.map(*n);
                seats.push(MapSeat { map: map.clone(), incarnation });
                maps.push(map);
            }
        }
        let config = ShardConfig {
            id: ID,
            voter: 1,
            machine: Arc::new(Counter),
            slots: Arc::new(SlotTable::even(1).unwrap()),
            homes,
            home_count: self.drives.len(),
            maps: seats,
            options: self.options,
            workers: env::Workers::default(),
        };
        let shard = Shard::open(config).await;
        (logs, maps, shard)
    }
}

pub(crate) async fn close(logs: Vec<DriveLog>) {
    for log in logs {
        log.close().await;
    }
}

/// Waits until all copies of the map that the shard was opened with are whole or out.
pub(crate) async fn settled(shard: &Shard) -> metadata::Standing {
    use metadata::MapState::{Filling, Joining};
    let mut standing = shard.standing();
    let all = |now: &metadata::Standing| now.maps.iter().all(|map| !matches!(map.state, Filling | Joining));
    standing.wait_for(all).await.unwrap().clone()
}
