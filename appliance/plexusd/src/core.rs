//! The core on its drives: opens them, and starts shard and frontend on top.

use crate::folder::Folder;
use crate::shards::OneShard;
use crate::stripes::OneDrive;
use config::Config;
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use drive::{ChunkStore, DriveDirectory, Writer};
use env::{Engine, Random, SystemClock};
use frontend::{Frontend, Options};
use metadata::{Home, Shard, ShardConfig, ShardOptions};
use namespace::Namespace;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use types::{DriveId, ShardId};

/// The name of the filesystem that every cluster has.
pub(crate) const DEFAULT_FILESYSTEM: &str = "default";
/// The shard of all slots.
const SHARD: ShardId = ShardId(0);

/// The file system of this daemon.
pub(crate) type Files = Frontend<OneShard, OneDrive>;

/// A drive that is open.
pub(crate) struct OpenDrive {
    pub(crate) id: DriveId,
    pub(crate) directory: DriveDirectory,
    pub(crate) chunks: Arc<ChunkStore>,
    pub(crate) log: DriveLog,
    pub(crate) map: DriveMap,
}

/// Everything below the heads.
pub(crate) struct Core {
    pub(crate) files: Arc<Files>,
    pub(crate) shard: Arc<Shard>,
    pub(crate) drives: Vec<OpenDrive>,
}

impl Core {
    /// Opens the drives, or makes them in a new folder, and recovers what is on them.
    pub(crate) async fn open(
        folder: &mut Folder,
        config: &Config,
        random: &dyn Random,
    ) -> Result<Core, Box<dyn Error>> {
        let mut drives = Vec::new();
        for index in 0..folder.state.drives {
            drives.push(open_drive(folder, index, config, random).await?);
        }
        if !folder.state.complete {
            folder.complete()?;
        }
        let [drive] = drives.as_slice() else {
            return Err(
                "several drives: this version serves one drive only; give --drives 1 --protection none"
                    .into(),
            );
        };
        let shard = Shard::open(ShardConfig {
            id: SHARD,
            voter: 1,
            machine: Arc::new(Namespace),
            homes: vec![Home { log: drive.log.shard(SHARD), incarnation: incarnation(drive) }],
            home_count: 1,
            map: drive.map.shard(SHARD)?,
            options: ShardOptions::default(),
        });
        let shard = Arc::new(shard.await?);
        // One frontend so far; its life is this start of the daemon.
        let writer = Writer { id: 1, epoch: folder.state.starts };
        drive.chunks.fence(writer).await?;
        let stripes = OneDrive { chunks: drive.chunks.clone(), writer };
        let options = Options {
            dirty_bytes_max: config.memory_dirty.0,
            orphan_grace: config.nfs_grace * 2,
            ..Options::default()
        };
        let clock = Arc::new(SystemClock::new());
        let files = Frontend::start(OneShard(shard.clone()), stripes, options, clock, random).await?;
        files.make_filesystem(DEFAULT_FILESYSTEM, random).await?;
        Ok(Core { files: Arc::new(files), shard, drives })
    }

    /// Writes back what waits and closes everything in order.
    pub(crate) async fn close(self) -> Result<(), Box<dyn Error>> {
        let flushed = self.files.flush_all().await;
        self.shard.close().await?;
        for drive in self.drives {
            drive.log.close().await;
            drive.chunks.close().await;
        }
        Ok(flushed?)
    }
}

async fn open_drive(
    folder: &Folder,
    index: u16,
    config: &Config,
    random: &dyn Random,
) -> Result<OpenDrive, Box<dyn Error>> {
    let (path, id, cluster) = (folder.drive(index), DriveId(u32::from(index)), folder.cluster());
    let made = folder.state.complete || path.join("identity").exists();
    let engine = Engine::Auto;
    let (directory, chunks) = if made {
        DriveDirectory::open(&path, &cluster, id, engine, random).await?
    } else {
        DriveDirectory::create(&path, &cluster, id, config.drive_size.0, engine, random).await?
    };
    let (log_dir, map_dir): (PathBuf, PathBuf) = (directory.log(), directory.map());
    let cache = config.memory_cache.0;
    let log = tokio::task::spawn_blocking(move || DriveLog::open(&log_dir, LogOptions::default())).await??;
    let map_options = MapOptions { cache_bytes: cache, ..MapOptions::default() };
    let map = tokio::task::spawn_blocking(move || DriveMap::open(&map_dir, &map_options)).await??;
    Ok(OpenDrive { id, directory, chunks: Arc::new(chunks), log, map })
}

fn incarnation(drive: &OpenDrive) -> u128 {
    u128::from_be_bytes(drive.chunks.incarnation().0)
}
