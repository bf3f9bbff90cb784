//! The core on its drives: opens them, and starts shard and frontend on top.

use crate::cluster_map;
use crate::folder::Folder;
use crate::shards::OneShard;
use crate::stripes::DataPlane;
use cluster::ClusterMap;
use config::Config;
use data::{ChunkPeer, StripeStore, StripeStoreConfig};
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use drive::{ChunkStore, DriveDirectory, IdentityError, Writer};
use env::{Engine, Random, SystemClock};
use frontend::{Frontend, Options};
use metadata::{Home, Shard, ShardConfig, ShardOptions};
use namespace::Namespace;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use types::{DriveId, ShardId};

/// The name of the filesystem that every cluster has.
pub(crate) const DEFAULT_FILESYSTEM: &str = "default";
/// The shard of all slots.
const SHARD: ShardId = ShardId(0);

/// The file system of this daemon.
pub(crate) type Files = Frontend<OneShard, DataPlane>;

/// A drive of the map.
pub(crate) struct Drive {
    pub(crate) id: DriveId,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// `None`: it could not be opened, for this reason.
    pub(crate) open: Result<OpenDrive, String>,
}

/// A drive that is open.
pub(crate) struct OpenDrive {
    pub(crate) chunks: Arc<ChunkStore>,
    log: DriveLog,
    map: DriveMap,
}

/// Everything below the heads.
pub(crate) struct Core {
    pub(crate) files: Arc<Files>,
    pub(crate) store: StripeStore,
    pub(crate) map: ClusterMap,
    pub(crate) shard: Arc<Shard>,
    pub(crate) drives: Vec<Drive>,
}

impl Core {
    /// Opens the drives, or makes them in a new folder, and recovers what is on them.
    pub(crate) async fn open(
        folder: &mut Folder,
        config: &Config,
        random: Arc<dyn Random>,
    ) -> Result<Core, Box<dyn Error>> {
        let map = cluster_map::load_or_plan(folder, config)?;
        let mut drives = Vec::new();
        for index in 0..folder.state.drives {
            drives.push(open_drive(folder, index, config, &*random).await?);
        }
        if !folder.state.complete {
            folder.complete()?;
        }
        let parity = map.scheme.parity();
        let shard = Arc::new(open_shard(&drives, 2 * parity + 1).await?);
        // One frontend so far; its life is this start of the daemon.
        let writer = Writer { id: 1, epoch: folder.state.starts };
        let mut peers: BTreeMap<DriveId, Arc<dyn ChunkPeer>> = BTreeMap::new();
        for (id, open) in
            drives.iter().filter_map(|drive| drive.open.as_ref().ok().map(|open| (drive.id, open)))
        {
            open.chunks.fence(writer).await?;
            peers.insert(id, Arc::new(open.chunks.clone()));
        }
        let store =
            StripeStore::open(StripeStoreConfig { map: map.clone(), peers, writer, random: random.clone() })?;
        let options = Options {
            dirty_bytes_max: config.memory_dirty.0,
            orphan_grace: config.nfs_grace * 2,
            ..Options::default()
        };
        let clock = Arc::new(SystemClock::new());
        let plane = DataPlane::start(store.clone()).await;
        let files = Frontend::start(OneShard(shard.clone()), plane, options, clock, &*random).await?;
        files.make_filesystem(DEFAULT_FILESYSTEM, &*random).await?;
        Ok(Core { files: Arc::new(files), store, map, shard, drives })
    }

    /// Writes back what waits and closes everything in order.
    pub(crate) async fn close(self) -> Result<(), Box<dyn Error>> {
        let flushed = self.files.flush_all().await;
        self.shard.close().await?;
        for drive in self.drives.into_iter().filter_map(|drive| drive.open.ok()) {
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
) -> Result<Drive, Box<dyn Error>> {
    let (path, id, cluster) = (folder.drive(index), DriveId(u32::from(index)), folder.cluster());
    let made = folder.state.complete || path.join("identity").exists();
    let engine = Engine::Auto;
    let opened = if made {
        DriveDirectory::open(&path, &cluster, id, engine, random).await
    } else {
        DriveDirectory::create(&path, &cluster, id, config.drive_size.0, engine, random).await
    };
    let (directory, chunks) = match opened {
        Ok(opened) => opened,
        // Another daemon's drive or a newer format is not a failure that parity should hide.
        Err(error @ (IdentityError::InUse { .. } | IdentityError::Version { .. })) => {
            return Err(error.into());
        }
        Err(error) if !made => return Err(error.into()),
        Err(error) => {
            tracing::error!(drive = id.0, %error, "drive not opened");
            return Ok(Drive { id, path, size: 0, open: Err(error.to_string()) });
        }
    };
    let (log_dir, map_dir) = (directory.log(), directory.map());
    let map_options = MapOptions { cache_bytes: config.memory_cache.0, ..MapOptions::default() };
    let log = tokio::task::spawn_blocking(move || DriveLog::open(&log_dir, LogOptions::default())).await?;
    let map = tokio::task::spawn_blocking(move || DriveMap::open(&map_dir, &map_options)).await?;
    let open = match (log, map) {
        (Ok(log), Ok(map)) => Ok(OpenDrive { chunks: Arc::new(chunks), log, map }),
        (log, map) => Err([log.err().map(|e| e.to_string()), map.err().map(|e| e.to_string())]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ")),
    };
    if let Err(error) = &open {
        tracing::error!(drive = id.0, %error, "drive not opened");
    }
    Ok(Drive { id, path, size: directory.identity().size, open })
}

/// Losses of drives that the map of names survives: it is kept on the first drive alone so far.
pub(crate) fn map_losses_survived(_: &ClusterMap) -> u8 {
    0
}

/// The shard's log is on the first `homes` drives, its map on the first.
async fn open_shard(drives: &[Drive], homes: usize) -> Result<Shard, Box<dyn Error>> {
    let home = |open: &OpenDrive| Home {
        log: open.log.shard(SHARD),
        incarnation: u128::from_be_bytes(open.chunks.incarnation().0),
    };
    let keeper = drives.first().ok_or("no drives")?;
    let map = match &keeper.open {
        Ok(open) => open.map.shard(SHARD)?,
        Err(why) => {
            return Err(
                format!("drive {} keeps the map of names and cannot be opened: {why}", keeper.id.0).into()
            );
        }
    };
    let config = ShardConfig {
        id: SHARD,
        voter: 1,
        machine: Arc::new(Namespace),
        homes: drives.iter().take(homes).filter_map(|drive| drive.open.as_ref().ok()).map(home).collect(),
        home_count: homes,
        map,
        options: ShardOptions::default(),
    };
    Ok(Shard::open(config).await?)
}
