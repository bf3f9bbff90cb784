//! The drives of this daemon as they are now, and how one fails or is replaced.
//!
//! Order of every change: the cluster map is durable first, then the data plane takes it, then the shard
//! moves to its homes. What a crash leaves half done goes on from the map at the next start.

use crate::bays::{Bay, BayError, DriveSettings, newest, next_life};
use crate::cluster_map::{self, Recorded, weight};
use crate::folder::FolderError;
use crate::shards::OneShard;
use cluster::{CellState, ClusterMap, DomainId, DriveInfo, DriveState, MapError};
use data::{ChunkPeer, DataError, StripeStore};
use drive::Writer;
use metadata::{Home, ShardConfig, ShardOptions};
use namespace::Namespace;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use types::{DriveId, GroupId, ShardId};

/// The shard of all slots.
const SHARD: ShardId = ShardId(0);
/// The bay whose drive keeps the map of names.
const MAP_KEEPER: u16 = 0;

/// Drives and map as of one moment.
#[derive(Clone)]
pub(crate) struct Now {
    pub(crate) recorded: Recorded,
    pub(crate) bays: Vec<Bay>,
}

/// The drives of this daemon.
pub(crate) struct Drives {
    settings: DriveSettings,
    writer: Writer,
    store: StripeStore,
    shard: OneShard,
    now: RwLock<Arc<Now>>,
    /// Held through every change.
    changing: AsyncMutex<()>,
    changed: Notify,
}

/// Why a drive was not failed or replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveChangeError {
    #[error("there is no drive {0}")]
    NoSuchDrive(u32),
    #[error("drive {0} is out of service already; `plexus drive replace {0}` puts an empty one in its place")]
    FailedAlready(u32),
    #[error("drive {0} is in service; `plexus drive fail {0}` takes it out first")]
    InService(u32),
    #[error("without drive {0} data would be lost: {1}")]
    WouldLose(u32, String),
    #[error("the bay of drive {0} has had all the drives that it can have")]
    WornOut(u32),
    #[error(transparent)]
    Bay(#[from] BayError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("the new drive does not answer: {0}")]
    NewDrive(#[from] drive::DriveError),
    #[error("the shard could not be opened on its new homes, start plexusd again: {0}")]
    Shard(String),
}

impl Now {
    /// Opens every bay; the first start of a folder makes the drives.
    pub(crate) async fn open(
        recorded: Recorded,
        settings: &DriveSettings,
        bays: u16,
        complete: bool,
    ) -> Result<Now, BayError> {
        let mut opened = Vec::new();
        for number in 0..bays {
            let Some(info) = newest(&recorded.map, number) else { continue };
            if info.state == DriveState::Failed {
                opened.push(out_of_service(settings, number, info.id));
                continue;
            }
            let fresh = !complete && !settings.path(number).join("identity").exists();
            opened.push(settings.open(number, info.id, fresh).await?);
        }
        Ok(Now { recorded, bays: opened })
    }

    /// The way to every drive that is open.
    pub(crate) fn peers(&self) -> BTreeMap<DriveId, Arc<dyn ChunkPeer>> {
        let open = |bay: &Bay| Some((bay.drive, bay.open.as_ref().ok()?.peer.clone()));
        self.bays.iter().filter_map(open).collect()
    }

    pub(crate) fn bay(&self, drive: DriveId) -> Option<&Bay> {
        self.bays.iter().find(|bay| bay.drive == drive)
    }

    fn serves(&self, drive: DriveId) -> bool {
        self.bay(drive).is_some_and(Bay::serves)
    }

    /// Cells of a group that do not have all their chunks, or cannot give them now.
    fn damage(&self, map: &ClusterMap, group: GroupId) -> usize {
        let whole = |cell: &&cluster::Cell| cell.state == CellState::Serving && self.serves(cell.drive);
        map.group(group).map_or(0, |group| group.cells.len() - group.cells.iter().filter(whole).count())
    }

    /// The most that any group has lost.
    pub(crate) fn worst_damage(&self) -> usize {
        let groups = 0..self.recorded.map.groups.len();
        // At most 4,096 groups.
        groups.map(|n| self.damage(&self.recorded.map, GroupId(n as u16))).max().unwrap_or(0)
    }

    /// Homes of the shard's log that take part.
    pub(crate) fn homes(&self) -> Vec<Home> {
        let home = |seat: &cluster_map::Seat| {
            let bay = self.bay(seat.drive).filter(|bay| bay.serves())?;
            bay.open.as_ref().ok()?.home(SHARD, seat.since)
        };
        self.recorded.homes.iter().filter_map(home).collect()
    }

    /// Whether a drive has cells that are being filled.
    pub(crate) fn is_filling(&self, drive: DriveId) -> bool {
        let cells = self.recorded.map.groups.iter().flat_map(|group| &group.cells);
        cells.into_iter().any(|cell| cell.drive == drive && cell.state == CellState::Filling)
    }

    /// What the shard is opened with: its log on its homes, its map on the keeper.
    pub(crate) fn shard_config(&self) -> Result<ShardConfig, String> {
        let keeper = self.bays.iter().find(|bay| bay.number == MAP_KEEPER);
        let map = match keeper.map(|bay| &bay.open) {
            Some(Ok(open)) => open.map.shard(SHARD).map_err(|error| error.to_string())?,
            Some(Err(why)) => {
                return Err(format!("drive {MAP_KEEPER} keeps the map of names and cannot be opened: {why}"));
            }
            None => return Err("no drives".to_owned()),
        };
        Ok(ShardConfig {
            id: SHARD,
            voter: 1,
            machine: Arc::new(Namespace),
            homes: self.homes(),
            home_count: self.recorded.homes.len(),
            map,
            options: ShardOptions::default(),
        })
    }
}

fn out_of_service(settings: &DriveSettings, number: u16, drive: DriveId) -> Bay {
    let open = Err("out of service".to_owned());
    Bay { number, drive, path: settings.path(number), size: 0, open }
}

/// Losses of drives that the map of names survives: it is kept on one drive so far.
pub(crate) fn map_losses_survived(_: &ClusterMap) -> u8 {
    0
}

impl Drives {
    pub(crate) fn new(
        settings: DriveSettings,
        writer: Writer,
        now: Now,
        store: StripeStore,
        shard: OneShard,
    ) -> Drives {
        Drives {
            settings,
            writer,
            store,
            shard,
            now: RwLock::new(Arc::new(now)),
            changing: AsyncMutex::default(),
            changed: Notify::new(),
        }
    }

    /// Drives and map as they are now.
    pub(crate) fn now(&self) -> Arc<Now> {
        self.now.read().clone()
    }

    /// The names and attributes of all that is on the drives.
    pub(crate) fn shard(&self) -> &OneShard {
        &self.shard
    }

    pub(crate) fn store(&self) -> &StripeStore {
        &self.store
    }

    /// Waits for the next change of drives.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes a drive out of service for ever; its chunks move to the other drives where these are enough.
    pub(crate) async fn fail(&self, number: u32) -> Result<(), DriveChangeError> {
        let _one = self.changing.lock().await;
        self.fail_one(number, true).await
    }

    /// Puts an empty drive into the bay of one that is failed or missing.
    pub(crate) async fn replace(&self, number: u32) -> Result<(), DriveChangeError> {
        let _one = self.changing.lock().await;
        let now = self.now();
        let bay = find(&now, number)?;
        let failed = |id: DriveId| {
            let info = self.now().recorded.map.drive(id).copied();
            info.is_none_or(|info| info.state == DriveState::Failed)
        };
        if !failed(bay.drive) {
            if bay.serves() {
                return Err(DriveChangeError::InService(number));
            }
            self.fail_one(number, false).await?;
        }
        let info = now.recorded.map.drive(bay.drive).ok_or(DriveChangeError::NoSuchDrive(number))?;
        let id = next_life(info.id).ok_or(DriveChangeError::WornOut(number))?;
        self.settings.clear(bay.number, failed).await?;
        let fresh = self.settings.open(bay.number, id, true).await?;
        if let Ok(open) = &fresh.open {
            open.chunks.fence(self.writer).await?;
        }
        let mut next = Now::clone(&self.now());
        let share = weight(self.settings.bytes);
        next.recorded.map.add_drive(DriveInfo {
            id,
            domain: DomainId(u32::from(bay.number)),
            weight: share,
            state: DriveState::Up,
        })?;
        set_bay(&mut next, fresh);
        let left = next.recorded.map.replace_lost();
        tracing::info!(bay = number, drive = id.0, cells_without_drive = left, "drive replaced");
        self.install(next).await
    }

    async fn fail_one(&self, number: u32, move_chunks: bool) -> Result<(), DriveChangeError> {
        let now = self.now();
        let bay = find(&now, number)?;
        let mut next = Now::clone(&now);
        let map = &mut next.recorded.map;
        if map.drive(bay.drive).is_none_or(|drive| drive.state == DriveState::Failed) {
            return Err(DriveChangeError::FailedAlready(number));
        }
        map.fail_drive(bay.drive)?;
        set_bay(&mut next, out_of_service(&self.settings, bay.number, bay.drive));
        self.may_go(&next, bay)?;
        if move_chunks {
            let left = next.recorded.map.replace_lost();
            tracing::info!(bay = number, cells_without_drive = left, "drive out of service");
        }
        let was = bay.open.clone();
        self.install(next).await?;
        if let Ok(open) = was {
            open.close().await;
        }
        Ok(())
    }

    /// Refuses what would turn a loss for now into one for ever.
    fn may_go(&self, next: &Now, bay: &Bay) -> Result<(), DriveChangeError> {
        let number = u32::from(bay.number);
        let lose = |why: String| Err(DriveChangeError::WouldLose(number, why));
        let parity = next.recorded.map.scheme.parity();
        let damage = next.worst_damage();
        if damage > parity {
            return lose(format!(
                "of some stripes {damage} chunks would be out of reach and parity makes good {parity}; wait until the others are back or filled"
            ));
        }
        if bay.number == MAP_KEEPER {
            return lose("it keeps the only copy of the map of names".to_owned());
        }
        let (homes, needed) = (next.homes().len(), next.recorded.homes.len() / 2 + 1);
        if homes < needed {
            return lose(format!("{homes} copies of the log of names would be left and {needed} are needed"));
        }
        Ok(())
    }

    /// Makes `next` the present: in the folder, in the data plane, in the shard.
    async fn install(&self, mut next: Now) -> Result<(), DriveChangeError> {
        let before = self.now();
        let serving: Vec<DriveId> = next.bays.iter().filter(|b| b.serves()).map(|b| b.drive).collect();
        next.recorded.fill_seats(|id| serving.contains(&id));
        next.recorded.map.validate()?;
        cluster_map::save(&self.settings.folder, &next.recorded)?;
        self.store.update(next.recorded.map.clone(), next.peers())?;
        let incarnations = |now: &Now| now.homes().iter().map(|home| home.incarnation).collect::<Vec<_>>();
        let moves = incarnations(&before) != incarnations(&next);
        let config = if moves { Some(next.shard_config().map_err(DriveChangeError::Shard)?) } else { None };
        *self.now.write() = Arc::new(next);
        // Kept for the one listener when it is busy now.
        self.changed.notify_one();
        if let Some(config) = config {
            self.shard.reopen(config).await.map_err(DriveChangeError::Shard)?;
        }
        Ok(())
    }

    /// Cells have all their chunks now: group, cell, epoch under which they were filled.
    pub(crate) async fn filled(&self, cells: &[(GroupId, usize, u64)]) -> Result<(), DriveChangeError> {
        let _one = self.changing.lock().await;
        let mut next = Now::clone(&self.now());
        let mut any = false;
        for &(group, cell, epoch) in cells {
            any |= next.recorded.map.filled(group, cell, epoch);
        }
        if any { self.install(next).await } else { Ok(()) }
    }

    /// Closes the shard, then the drives.
    pub(crate) async fn close(&self) -> Result<(), metadata::MetadataError> {
        let _last = self.changing.lock().await;
        let closed = self.shard.close().await;
        for open in self.now().bays.iter().filter_map(|bay| bay.open.as_ref().ok()) {
            open.close().await;
        }
        closed
    }
}

fn find(now: &Now, number: u32) -> Result<&Bay, DriveChangeError> {
    let found = now.bays.iter().find(|bay| u32::from(bay.number) == number);
    found.ok_or(DriveChangeError::NoSuchDrive(number))
}

fn set_bay(now: &mut Now, bay: Bay) {
    if let Some(at) = now.bays.iter_mut().find(|at| at.number == bay.number) {
        *at = bay;
    }
}
