//! The drives of this daemon as they are now, and how one fails or is replaced.
//!
//! Order of every change: the cluster map is durable first, then the data plane takes it, then the shard
//! moves to its homes and maps. What a crash leaves half done goes on from the map at the next start.

use crate::bays::{Bay, BayError, DriveSettings, OpenDrive, bay_of, newest, next_life};
use crate::cluster_map::{self, Recorded, weight};
use crate::folder::FolderError;
use crate::shards::{self, Shards};
use cluster::{CellState, ClusterMap, DomainId, DriveInfo, DriveState, MapError};
use data::{ChunkPeer, DataError, StripeStore};
use drive::headroom::Headroom;
use drive::{DriveRequest, Writer};
use metadata::{Home, MapSeat, MapState, ShardConfig, ShardOptions, Standing};
use namespace::Namespace;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use types::{DriveId, GroupId, ShardId};

/// Budgets of each of many shards.
const OPTIONS: ShardOptions = ShardOptions {
    persist_commands: 16_384,
    persist_bytes: 4 << 20,
    queue_bytes: 2 << 20,
    fill_bytes: 256 << 10,
};

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
    shards: Shards,
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
    #[error("the shards could not be opened on their new homes, start plexusd again: {0}")]
    Shard(String),
}

impl Now {
    /// Those of the drives that are open and of which nothing has failed.
    pub(crate) fn headrooms(&self) -> BTreeMap<DriveId, Headroom> {
        self.bays.iter().filter(|bay| bay.is_whole()).map(|bay| (bay.drive, bay.headroom())).collect()
    }

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

    /// The drives in service that have a copy of the shards' maps, with what they hold for it.
    pub(crate) fn seated_maps(&self) -> impl Iterator<Item = (Arc<OpenDrive>, Headroom)> {
        let maps = self.recorded.maps.iter();
        maps.filter_map(|seat| Some((self.seated(seat)?.clone(), self.bay(seat.drive)?.headroom())))
    }

    pub(crate) fn bay(&self, drive: DriveId) -> Option<&Bay> {
        self.bays.iter().find(|bay| bay.drive == drive)
    }

    /// The drive of a seat, when it is in service.
    fn seated(&self, seat: &cluster_map::Seat) -> Option<&Arc<OpenDrive>> {
        self.bay(seat.drive).filter(|bay| bay.serves())?.open.as_ref().ok()
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

    /// Homes of a shard's log that can be used.
    fn homes(&self, shard: ShardId) -> Vec<Home> {
        let home = |seat: &cluster_map::Seat| self.seated(seat)?.home(shard, seat.since);
        self.recorded.homes.iter().filter_map(home).collect()
    }

    /// Of all shards alike.
    fn any_homes(&self) -> Vec<Home> {
        self.recorded.slots.shards().first().map_or(Vec::new(), |shard| self.homes(*shard))
    }

    /// Copies of every shard's map that can be used.
    fn maps(&self) -> Vec<MapSeat> {
        let map = |seat: &cluster_map::Seat| self.seated(seat)?.map_seat(seat.since);
        self.recorded.maps.iter().filter_map(map).collect()
    }

    /// Who homes and maps are: the shards must be opened anew when this changes.
    fn copies(&self) -> (Vec<u128>, Vec<u128>) {
        let homes = self.any_homes().iter().map(|home| home.incarnation).collect();
        (homes, self.maps().iter().map(|map| map.incarnation).collect())
    }

    /// Gives seats that no drive keeps to drives that can. Whether any changed.
    fn fill_seats(&mut self) -> bool {
        let open = |bay: &Bay| Some((bay.drive, bay.open.as_ref().ok().filter(|_| bay.serves())?.clone()));
        let open: BTreeMap<DriveId, Arc<OpenDrive>> = self.bays.iter().filter_map(open).collect();
        let log = |id| open.get(&id).is_some_and(|drive| drive.has_log());
        let map = |id| open.get(&id).is_some_and(|drive| drive.has_map());
        self.recorded.fill_seats(log, map)
    }

    /// How many of the shard's homes must take part.
    fn homes_needed(&self) -> usize {
        self.recorded.homes.len() / 2 + 1
    }

    /// Whether a drive has cells that are being filled.
    pub(crate) fn is_filling(&self, drive: DriveId) -> bool {
        let cells = self.recorded.map.groups.iter().flat_map(|group| &group.cells);
        cells.into_iter().any(|cell| cell.drive == drive && cell.state == CellState::Filling)
    }

    /// What the shards are opened with: their logs on their homes, their maps on the drives that have seats for them.
    pub(crate) fn shard_configs(&self) -> Result<Vec<ShardConfig>, String> {
        let maps = self.maps();
        if maps.is_empty() {
            let bays: Vec<String> =
                self.recorded.maps.iter().map(|seat| bay_of(seat.drive).to_string()).collect();
            return Err(format!(
                "none of the drives {} can be used, which keep the map of names",
                bays.join(", ")
            ));
        }
        let slots = Arc::new(self.recorded.slots.clone());
        let config = |id: ShardId| ShardConfig {
            id,
            voter: 1,
            machine: Arc::new(Namespace),
            slots: slots.clone(),
            homes: self.homes(id),
            home_count: self.recorded.homes.len(),
            maps: maps.clone(),
            options: OPTIONS,
            workers: env::Workers::default(),
        };
        Ok(slots.shards().into_iter().map(config).collect())
    }
}

fn out_of_service(settings: &DriveSettings, number: u16, drive: DriveId) -> Bay {
    let open = Err("out of service".to_owned());
    Bay { number, drive, path: settings.path(number), size: 0, open }
}

impl Drives {
    pub(crate) fn new(
        settings: DriveSettings,
        writer: Writer,
        now: Now,
        store: StripeStore,
        shards: Shards,
    ) -> Drives {
        Drives {
            settings,
            writer,
            store,
            shards,
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
    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    pub(crate) fn store(&self) -> &StripeStore {
        &self.store
    }

    /// Waits for the next change of drives.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// More losses of drives that names and attributes survive; `None` when they cannot be read or changed now.
    pub(crate) fn metadata_left(&self) -> Option<usize> {
        let needed = self.now().homes_needed();
        let left = |standing: Standing| {
            let logs = standing.homes_in().checked_sub(needed)?;
            Some(logs.min(standing.maps_whole().checked_sub(1)?))
        };
        let left: Option<Vec<usize>> = shards::standing(&self.shards)?.into_iter().map(left).collect();
        left?.into_iter().min()
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
            open.peer.call(DriveRequest::Fence { writer: self.writer }).await?;
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
        let (homes, maps) = match shards::standing(&self.shards) {
            Some(all) => {
                let left = all.iter().map(|standing| left_without(&next.recorded, bay, standing));
                left.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap_or_default()
            }
            None => (next.any_homes().len(), next.maps().len()),
        };
        let needed = next.homes_needed();
        if homes < needed {
            return lose(format!("{homes} copies of the log of names would be left and {needed} are needed"));
        }
        if maps == 0 {
            return lose(
                "it has the only whole copy of the map of names; wait until others are filled".to_owned(),
            );
        }
        Ok(())
    }

    /// Gives the seats of copies that fell out of the shard, or whose drives are away, to drives that can keep
    /// them, and takes away copies that have no seat any more.
    pub(crate) async fn reseat(&self) -> Result<(), DriveChangeError> {
        let _one = self.changing.lock().await;
        let now = self.now();
        let Some(all) = shards::standing(&self.shards) else { return Ok(()) };
        all.iter().for_each(|standing| note_fallen(&now, standing));
        let mut next = Now::clone(&now);
        if next.fill_seats() {
            tracing::warn!(homes = ?next.recorded.homes, maps = ?next.recorded.maps, "copies of the log or map of names move");
            self.install(next).await?;
        }
        self.drop_unseated().await;
        Ok(())
    }

    async fn drop_unseated(&self) {
        let now = self.now();
        for bay in &now.bays {
            let seated = now.recorded.maps.iter().any(|seat| seat.drive == bay.drive);
            let Ok(open) = &bay.open else { continue };
            if seated || !open.has_map() {
                continue;
            }
            let (map, shards) = (open.map.clone(), now.recorded.slots.shards());
            let drop_all = move || shards.into_iter().try_for_each(|shard| map.keep_only(shard, None));
            let dropped = tokio::task::spawn_blocking(drop_all).await;
            if let Ok(Err(error)) = dropped {
                tracing::warn!(bay = bay.number, %error, "a former copy of the map stays");
            }
        }
    }

    /// Makes `next` the present: in the folder, in the data plane, in the shards.
    async fn install(&self, mut next: Now) -> Result<(), DriveChangeError> {
        let before = self.now();
        // Without a shard nothing could be copied to where a seat moves.
        if shards::standing(&self.shards).is_some() {
            next.fill_seats();
        }
        next.recorded.map.validate()?;
        cluster_map::save(&self.settings.folder, &next.recorded)?;
        self.store.update(next.recorded.map.clone(), next.peers())?;
        let moves = before.copies() != next.copies();
        let configs = if moves { Some(next.shard_configs().map_err(DriveChangeError::Shard)?) } else { None };
        *self.now.write() = Arc::new(next);
        // Kept for the one listener when it is busy now.
        self.changed.notify_one();
        if let Some(configs) = configs {
            shards::reopen(&self.shards, configs).await.map_err(DriveChangeError::Shard)?;
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

    /// Closes the shards, then the drives.
    pub(crate) async fn close(&self) -> Result<(), metadata::MetadataError> {
        let _last = self.changing.lock().await;
        let closed = shards::close(&self.shards).await;
        for open in self.now().bays.iter().filter_map(|bay| bay.open.as_ref().ok()) {
            open.close().await;
        }
        closed
    }
}

/// Homes and whole maps that take part and are not of `bay`.
fn left_without(recorded: &Recorded, bay: &Bay, standing: &Standing) -> (usize, usize) {
    let of_bay = |seats: &[cluster_map::Seat]| -> Option<u128> {
        let seat = seats.iter().find(|seat| seat.drive == bay.drive)?;
        Some(bay.open.as_ref().ok()?.incarnation(seat.since))
    };
    let (home, map) = (of_bay(&recorded.homes), of_bay(&recorded.maps));
    let homes = standing.homes.iter().filter(|h| h.takes_part && Some(h.incarnation) != home).count();
    let whole = |m: &&metadata::MapStanding| matches!(m.state, MapState::Primary | MapState::Whole);
    let maps = standing.maps.iter().filter(whole).filter(|m| Some(m.incarnation) != map).count();
    (homes, maps)
}

/// Takes note of the logs and maps that fell out of the shard.
fn note_fallen(now: &Now, standing: &Standing) {
    for seat in &now.recorded.homes {
        let Some(open) = now.seated(seat) else { continue };
        let incarnation = open.incarnation(seat.since);
        if !standing.homes.iter().any(|home| home.incarnation == incarnation && home.takes_part) {
            open.log_failed();
        }
    }
    for seat in &now.recorded.maps {
        let Some(open) = now.seated(seat) else { continue };
        let incarnation = open.incarnation(seat.since);
        if standing.maps.iter().any(|map| map.incarnation == incarnation && map.state == MapState::Out) {
            open.map_failed();
        }
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
