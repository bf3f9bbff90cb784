//! A frontend over real shards on a drive that can lose power.

use cluster::SlotTable;
use drive::log::sim::{Fate, SimFiles};
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOpenError, MapOptions};
use env::{SeededRandom, SystemClock};
use frontend::{Frontend, Options};
use metadata::{
    Home, Locking, MapSeat, MetadataError, Shard, ShardConfig, ShardOptions, ShardSet, ShardSetConfig,
};
use namespace::Namespace;
use sim::checked::checked_shards;
use sim::parts::MemoryStripes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use types::FileId;

pub(crate) type Real = Frontend<ShardSet<Shard>, MemoryStripes>;

const SHARDS: u16 = 3;

/// What a drive has when the power is off.
pub(crate) struct Off {
    root: TempDir,
    log: PathBuf,
    files: SimFiles,
    lives: u32,
}

/// Everything, running.
pub(crate) struct On {
    off: Off,
    log: DriveLog,
    shards: ShardSet<Shard>,
    pub(crate) real: Real,
    pub(crate) top: FileId,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

impl Off {
    pub(crate) fn new() -> Off {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("log");
        std::fs::create_dir(&log).unwrap();
        Off { root, log, files: SimFiles::default(), lives: 0 }
    }

    /// The same on another drive. All of the map is in its tables, as it was closed: journals are large and are not
    /// needed.
    pub(crate) fn copy(&self) -> Off {
        self.drop_journals();
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("log");
        std::fs::create_dir(&log).unwrap();
        copy(&self.map(), &root.path().join("map"));
        let files = self.files.after_crash(&log, Fate::Kept).unwrap();
        Off { root, log, files, lives: self.lives }
    }

    fn map(&self) -> PathBuf {
        self.root.path().join("map")
    }

    /// What a power cut may do to a map that is never synced on the path.
    pub(crate) fn drop_journals(&self) {
        for entry in std::fs::read_dir(self.map()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "jnl") {
                std::fs::write(path, b"").unwrap();
            }
        }
    }

    pub(crate) async fn start(mut self) -> On {
        self.lives += 1;
        let log = DriveLog::open_on(&self.log, LogOptions::default(), Arc::new(self.files.clone())).unwrap();
        // Tasks of the former life may be just letting go of it.
        let map = loop {
            match DriveMap::open(&self.map(), &MapOptions::default()) {
                Err(MapOpenError::InUse(_)) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        };
        let slots = Arc::new(SlotTable::even(SHARDS).unwrap());
        let mut members = BTreeMap::new();
        for id in slots.shards() {
            let config = ShardConfig {
                id,
                voter: 1,
                machine: Arc::new(Namespace),
                slots: slots.clone(),
                homes: vec![Home { log: log.shard(id), incarnation: 1 }],
                home_count: 1,
                maps: vec![MapSeat { map: map.clone(), incarnation: 1 }],
                options: ShardOptions::default(),
                workers: env::Workers::default(),
            };
            members.insert(id, Shard::open(config).await.unwrap());
        }
        let random = SeededRandom::new(u64::from(self.lives));
        let clock = Arc::new(SystemClock::new());
        let (machine, executor, epoch) = (Arc::new(Namespace), 1, self.lives);
        let config = ShardSetConfig { slots, members, machine, executor, epoch, clock: clock.clone() };
        let shards = ShardSet::open(config, &random).await.unwrap();
        let (stripes, options) = (MemoryStripes::new(4096), Options::default());
        let real = Frontend::start(shards.clone(), stripes, options, clock, &random).await.unwrap();
        let top = FileId::root(real.make_filesystem("default", &random).await.unwrap());
        On { off: self, log, shards, real, top }
    }
}

impl On {
    /// Operations of the log so far.
    pub(crate) fn steps(&self) -> u64 {
        self.off.files.steps()
    }

    /// Cuts the power when there were so many.
    pub(crate) fn cut_at(&self, step: u64) {
        self.off.files.crash_at(step);
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.off.files.has_crashed()
    }

    /// Waits until all that was begun has ended.
    pub(crate) async fn settle(&self) {
        self.shards.finish().await;
    }

    async fn stop(self) -> Off {
        let On { mut off, log, shards, real, .. } = self;
        drop(real);
        shards.end();
        for (_, shard) in shards.members() {
            let _ = shard.close().await;
        }
        log.close().await;
        off.lives += 1;
        off
    }

    /// Ends in order.
    pub(crate) async fn close(self) -> Off {
        self.settle().await;
        let off = self.stop().await;
        assert!(!off.files.has_crashed());
        off
    }

    /// The power is off; what was not synced is as `fate` says.
    pub(crate) async fn lose_power(self, fate: Fate) -> Off {
        let mut off = self.stop().await;
        off.log = off.root.path().join(format!("log{}", off.lives));
        std::fs::create_dir(&off.log).unwrap();
        off.files = off.files.after_crash(&off.log, fate).unwrap();
        off
    }

    /// fsck over all shards has nothing to say.
    pub(crate) fn check(&self) {
        let stored = |(id, shard): (_, &Shard)| Ok((id, shard.view_as(Locking::Nobody)?.into_stored()));
        let stored = self.shards.members().map(stored).collect::<Result<_, MetadataError>>().unwrap();
        let shards = fsck::Shards::new(SlotTable::even(SHARDS).unwrap(), stored).unwrap();
        let report = checked_shards(&shards, &BTreeMap::new()).unwrap();
        assert!(report.damage.is_empty(), "{:#?}", report.damage);
    }
}
