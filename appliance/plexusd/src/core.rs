//! The core on its drives: opens them, and starts shard and frontend on top.

use crate::bays::DriveSettings;
use crate::cluster_map;
use crate::copies;
use crate::drives::{Drives, Now};
use crate::folder::Folder;
use crate::headrooms::{self, Headrooms};
use crate::memory;
use crate::rebuild;
use crate::shards::{OneShard, Shards};
use crate::wires::Wires;
use config::Config;
use data::{StripeStore, StripeStoreConfig};
use drive::{DriveRequest, Writer};
use env::{Random, SystemClock};
use frontend::{DataPlane, Frontend, Options};
use metadata::{ShardSet, ShardSetConfig};
use namespace::Namespace;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use tokio::task::{JoinHandle, JoinSet};
use types::FsError;

/// The name of the filesystem that every cluster has.
pub(crate) const DEFAULT_FILESYSTEM: &str = "default";

/// The file system of this daemon.
pub(crate) type Files = Frontend<Shards, DataPlane>;

/// The same, as all heads see it.
pub(crate) type Shared = remote::Coherent<Files>;

/// Everything below the heads.
pub(crate) struct Core {
    pub(crate) files: Arc<Files>,
    pub(crate) drives: Arc<Drives>,
    pub(crate) headrooms: Arc<Headrooms>,
    pub(crate) rebuilt: Arc<rebuild::Progress>,
    background: [JoinHandle<()>; 3],
}

impl Core {
    /// Opens the drives, or makes them in a new folder, and recovers what is on them.
    pub(crate) async fn open(
        folder: &mut Folder,
        config: &Config,
        wires: &Wires,
        random: Arc<dyn Random>,
    ) -> Result<Core, Box<dyn Error>> {
        let recorded = cluster_map::load_or_plan(folder, config)?;
        let settings = DriveSettings {
            folder: folder.path.clone(),
            cluster: folder.cluster(),
            bytes: config.drive_size.0,
            cache_bytes: config.memory_cache.0,
            random: random.clone(),
            wires: wires.clone(),
        };
        let now = Now::open(recorded, &settings, folder.state.drives, folder.state.complete).await?;
        if !folder.state.complete {
            folder.complete()?;
        }
        let clock = Arc::new(SystemClock::new());
        // One frontend so far; its life is this start of the daemon.
        let starts = u32::try_from(folder.state.starts)?;
        let shards = open_shards(&now, &settings, starts, clock.clone()).await?;
        let writer = Writer { id: 1, epoch: folder.state.starts };
        for open in now.bays.iter().filter_map(|bay| bay.open.as_ref().ok()) {
            open.peer.call(DriveRequest::Fence { writer }).await?;
        }
        let (map, peers) = (now.recorded.map.clone(), now.peers());
        let store = StripeStore::open(StripeStoreConfig { map, peers, writer, random: random.clone() })?;
        let options = Options {
            dirty_bytes_max: config.memory_dirty.0,
            read_cache_bytes: config.memory_data.map_or_else(|| memory::bytes() / 8, |size| size.0),
            grace: config.nfs_grace,
            fold_age: config.fold_age,
            scrub_period: config.scrub_period,
            ..Options::default()
        };
        let headrooms = Arc::new(Headrooms::new(now.headrooms()));
        let of_plane = headrooms.clone();
        let plane = DataPlane::start(store.clone(), Arc::new(move || of_plane.seen().room)).await;
        let files = Frontend::start(shards.clone(), plane, options, clock, &*random).await?;
        let made = files.make_filesystem(DEFAULT_FILESYSTEM, &*random).await;
        if made == Err(FsError::NoSpace) {
            let why = "too little space is left for logs and maps beside the drives: free some, or make them smaller";
            return Err(why.into());
        }
        made?;
        let files = Arc::new(files);
        let drives = Arc::new(Drives::new(settings, writer, now, store, shards));
        let rebuilt = Arc::new(rebuild::Progress::default());
        let background = [
            tokio::spawn(rebuild::run(drives.clone(), files.clone(), rebuilt.clone())),
            tokio::spawn(copies::run(drives.clone())),
            tokio::spawn(headrooms::run(headrooms.clone(), {
                let drives = drives.clone();
                move || drives.now().headrooms()
            })),
        ];
        Ok(Core { files, drives, headrooms, rebuilt, background })
    }

    /// Writes back what waits and closes everything in order.
    pub(crate) async fn close(self) -> Result<(), Box<dyn Error>> {
        // What they have not noted in the cluster map is done again at the next start.
        for task in self.background {
            task.abort();
            let _ = task.await;
        }
        let flushed = self.files.flush_all().await;
        self.drives.shards().finish().await;
        self.drives.close().await?;
        Ok(flushed?)
    }
}

/// Opens all shards side by side, and ends what a former life has left between them.
async fn open_shards(
    now: &Now,
    settings: &DriveSettings,
    epoch: u32,
    clock: Arc<SystemClock>,
) -> Result<Shards, Box<dyn Error>> {
    let mut opening = JoinSet::new();
    for config in now.shard_configs()? {
        let (wires, cluster) = (settings.wires.clone(), settings.cluster);
        opening.spawn(async move { (config.id, OneShard::open(config, &wires, &cluster).await) });
    }
    let mut members = BTreeMap::new();
    while let Some(opened) = opening.join_next().await {
        let (id, shard) = opened?;
        members.insert(id, shard?);
    }
    let slots = Arc::new(now.recorded.slots.clone());
    let config = ShardSetConfig { slots, members, machine: Arc::new(Namespace), executor: 1, epoch, clock };
    Ok(ShardSet::open(config, &*settings.random).await?)
}
