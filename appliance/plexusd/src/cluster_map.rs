//! The cluster map in the data folder, with the slots of the shards, the homes of their logs and the seats of
//! their maps.
//!
//! Format (docs/formats/folder.md): a line `plexus-map VERSION CRC32C`, then JSON.

use crate::folder::{Folder, FolderError};
use cluster::{ClusterMap, DomainId, DriveInfo, DriveState, Scheme, SlotTable};
use config::Config;
use crc_fast::{CrcAlgorithm, checksum};
use env::durable;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use types::DriveId;

const MAGIC: &str = "plexus-map 4";
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterMapError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Map(#[from] cluster::MapError),
    #[error(transparent)]
    Scheme(#[from] cluster::SchemeError),
}

/// A drive that keeps a copy of the shard's log or of its map, or kept it and is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seat {
    pub(crate) drive: DriveId,
    /// Epoch of the map from which on; what the drive kept before in such a seat does not count.
    pub(crate) since: u64,
}

/// Shards of a new cluster: a number that leaves room for more cores and machines than there are today; what it
/// costs on a small one is in docs/performance.md.
const SHARDS: u16 = 16;

/// What the cluster remembers of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    pub(crate) map: ClusterMap,
    /// Which shard holds which slots: for good.
    pub(crate) slots: SlotTable,
    /// Homes of the shards' logs: 2P + 1, each with its own drive.
    pub(crate) homes: Vec<Seat>,
    /// Copies of the shards' maps: P + 1, each with its own drive.
    pub(crate) maps: Vec<Seat>,
}

impl Recorded {
    fn first(map: ClusterMap, slots: SlotTable) -> Recorded {
        let parity = map.scheme.parity();
        let seats =
            |count| map.drives.iter().take(count).map(|drive| Seat { drive: drive.id, since: 0 }).collect();
        let (homes, maps) = (seats(2 * parity + 1), seats(parity + 1));
        Recorded { map, slots, homes, maps }
    }

    fn check(&self) -> Result<(), String> {
        let parity = self.map.scheme.parity();
        for (what, seats, count) in
            [("homes of the log", &self.homes, 2 * parity + 1), ("maps", &self.maps, parity + 1)]
        {
            let known = |seat: &Seat| self.map.drive(seat.drive).is_some() && seat.since <= self.map.epoch;
            let doubled = |n: usize| seats[..n].iter().any(|seat| seat.drive == seats[n].drive);
            if seats.len() != count || !seats.iter().all(known) || (0..count).any(doubled) {
                return Err(format!("the {what} are not {count} drives of the map"));
            }
        }
        Ok(())
    }

    /// Gives the seats of drives that cannot keep them to drives that can and have none: `log` and `map` say
    /// who can. Whether any changed.
    pub(crate) fn fill_seats(
        &mut self,
        log: impl Fn(DriveId) -> bool,
        map: impl Fn(DriveId) -> bool,
    ) -> bool {
        let up = |id: DriveId| self.map.drive(id).is_some_and(|drive| drive.state == DriveState::Up);
        let drives: Vec<DriveId> = self.map.drives.iter().map(|drive| drive.id).collect();
        let since = self.map.epoch + 1;
        let homes = moved(&self.homes, since, &drives, |id| up(id) && log(id));
        // A drive that is a home goes on with the log at hand when it is the last one.
        let is_home = |id: &DriveId| homes.iter().any(|seat| seat.drive == *id);
        let (first, last): (Vec<DriveId>, Vec<DriveId>) = drives.iter().partition(|id| is_home(id));
        let maps = moved(&self.maps, since, &[first, last].concat(), |id| up(id) && map(id));
        if homes == self.homes && maps == self.maps {
            return false;
        }
        // No seat of an epoch is ever another's of the same epoch.
        self.map.epoch = since;
        (self.homes, self.maps) = (homes, maps);
        true
    }
}

/// `seats` with those that no drive keeps given to the first of `drives` that may have one and has none.
fn moved(seats: &[Seat], since: u64, drives: &[DriveId], may: impl Fn(DriveId) -> bool) -> Vec<Seat> {
    let mut seats = seats.to_vec();
    for n in 0..seats.len() {
        if may(seats[n].drive) {
            continue;
        }
        let free = |id: &DriveId| may(*id) && !seats.iter().any(|seat| seat.drive == *id);
        if let Some(&drive) = drives.iter().find(|id| free(id)) {
            seats[n] = Seat { drive, since };
        }
    }
    seats
}

/// The map of the folder, planned when the folder is new.
pub(crate) fn load_or_plan(folder: &Folder, config: &Config) -> Result<Recorded, ClusterMapError> {
    let path = file(&folder.path);
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.state.complete => {
            return plan(folder, config);
        }
        Err(error) => return Err(FolderError::Io { path, error }.into()),
    };
    let damaged = |why: &str| FolderError::Damaged { path: path.clone(), why: why.to_owned() };
    if size > FILE_BYTES_MAX {
        return Err(damaged("too large").into());
    }
    let text =
        std::fs::read_to_string(&path).map_err(|error| FolderError::Io { path: path.clone(), error })?;
    let (head, json) = text.split_once('\n').ok_or_else(|| damaged("no first line"))?;
    let crc = head.strip_prefix(MAGIC).ok_or_else(|| damaged("unknown version"))?;
    if crc.trim() != digest(json) {
        return Err(damaged("its checksum is wrong").into());
    }
    let recorded: Recorded = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
    recorded.map.validate()?;
    recorded.slots.validate()?;
    recorded.check().map_err(|why| damaged(&why))?;
    if recorded.map.cluster != folder.cluster() {
        return Err(damaged("it belongs to another cluster").into());
    }
    Ok(recorded)
}

/// Every drive of one machine is a failure domain of its own.
fn plan(folder: &Folder, config: &Config) -> Result<Recorded, ClusterMapError> {
    let scheme = Scheme::new(folder.state.data_chunks, folder.state.parity_chunks)?;
    let drive = |index: u16| DriveInfo {
        id: DriveId(u32::from(index)),
        domain: DomainId(u32::from(index)),
        weight: weight(config.drive_size.0),
        state: DriveState::Up,
    };
    let map = ClusterMap::create(folder.cluster(), scheme, (0..folder.state.drives).map(drive).collect())?;
    let recorded = Recorded::first(map, SlotTable::even(SHARDS)?);
    save(&folder.path, &recorded)?;
    Ok(recorded)
}

/// The share of a drive of so many bytes.
pub(crate) fn weight(bytes: u64) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX).max(1)
}

/// Replaces the map of the folder, durably.
pub(crate) fn save(folder: &Path, recorded: &Recorded) -> Result<(), FolderError> {
    let path = file(folder);
    let json = serde_json::to_string(recorded)
        .map_err(|e| FolderError::Damaged { path: path.clone(), why: e.to_string() })?;
    let text = format!("{MAGIC} {}\n{json}", digest(&json));
    durable::replace(&path, text.as_bytes()).map_err(|error| FolderError::Io { path, error })
}

fn digest(json: &str) -> String {
    format!("{:08x}", checksum(CrcAlgorithm::Crc32Iscsi, json.as_bytes()))
}

fn file(folder: &Path) -> PathBuf {
    folder.join("cluster-map")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use env::SeededRandom;

    fn map(cluster: [u8; 16], drives: u32) -> ClusterMap {
        let drive = |n| DriveInfo { id: DriveId(n), domain: DomainId(n), weight: 64, state: DriveState::Up };
        let scheme = Scheme::new(4, 2).unwrap();
        ClusterMap::create(cluster, scheme, (0..drives).map(drive).collect()).unwrap()
    }

    fn seats(seats: &[Seat]) -> Vec<(u32, u64)> {
        seats.iter().map(|seat| (seat.drive.0, seat.since)).collect()
    }

    #[test]
    fn what_is_saved_is_read_and_what_is_not_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), (6, 4, 2), &SeededRandom::new(1)).unwrap();
        let config = Config { drives: 6, ..Config::default() };
        let mut recorded = load_or_plan(&folder, &config).unwrap();
        assert_eq!(seats(&recorded.homes), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]);
        assert_eq!(seats(&recorded.maps), [(0, 0), (1, 0), (2, 0)]);
        recorded.homes[4] = Seat { drive: DriveId(5), since: 1 };
        recorded.maps[0] = Seat { drive: DriveId(4), since: 1 };
        save(dir.path(), &recorded).unwrap();
        let text = std::fs::read_to_string(file(dir.path())).unwrap();
        assert!(text.starts_with("plexus-map 4 "));
        assert_eq!(load_or_plan(&folder, &config).unwrap(), recorded);
        let json = text.split_once('\n').unwrap().1;
        for bad in [format!("plexus-map 3 {}\n{json}", digest(json)), format!("plexus-map 4 0\n{json}")] {
            std::fs::write(file(dir.path()), bad).unwrap();
            assert!(load_or_plan(&folder, &config).is_err());
        }
        // Two seats of one drive would count one copy twice.
        let mut doubled = recorded.clone();
        doubled.homes[3] = doubled.homes[4];
        save(dir.path(), &doubled).unwrap();
        assert!(matches!(load_or_plan(&folder, &config), Err(ClusterMapError::Folder(_))));
        recorded.maps[1] = recorded.maps[2];
        save(dir.path(), &recorded).unwrap();
        assert!(matches!(load_or_plan(&folder, &config), Err(ClusterMapError::Folder(_))));
    }

    #[test]
    fn only_seats_that_no_drive_keeps_move_and_carry_the_epoch_of_their_move() {
        let mut recorded = Recorded::first(map([1; 16], 6), SlotTable::even(2).unwrap());
        assert!(!recorded.fill_seats(|_| true, |_| true));
        recorded.map.fail_drive(DriveId(2)).unwrap();
        assert!(!recorded.fill_seats(|id| id.0 < 5, |id| id.0 < 3), "a drive that is away takes no seat");
        assert!(recorded.fill_seats(|_| true, |_| true));
        let first = recorded.map.epoch;
        assert_eq!(seats(&recorded.homes), [(0, 0), (1, 0), (5, first), (3, 0), (4, 0)]);
        assert_eq!(seats(&recorded.maps), [(0, 0), (1, 0), (3, first)]);
        // A drive that is away gives up what others can keep: its map, not its home.
        assert!(recorded.fill_seats(|id| id.0 != 0, |id| id.0 != 0));
        let second = recorded.map.epoch;
        assert!(second > first);
        assert_eq!(seats(&recorded.homes)[0], (0, 0));
        assert_eq!(seats(&recorded.maps), [(4, second), (1, 0), (3, first)]);
        recorded.map.fail_drive(DriveId(0)).unwrap();
        assert!(!recorded.fill_seats(|_| true, |_| true), "there is no drive without a home");
        assert_eq!(recorded.check(), Ok(()));
        let info = DriveInfo { id: DriveId(100_000), domain: DomainId(0), weight: 64, state: DriveState::Up };
        recorded.map.add_drive(info).unwrap();
        assert!(recorded.fill_seats(|_| true, |_| true));
        assert_eq!(seats(&recorded.homes)[0], (100_000, recorded.map.epoch));
    }

    #[test]
    fn a_drive_that_is_a_home_gets_a_map_first() {
        let mut recorded = Recorded::first(map([1; 16], 8), SlotTable::even(2).unwrap());
        recorded.homes[0] = Seat { drive: DriveId(7), since: 1 };
        recorded.maps = [0, 1, 5].map(|n| Seat { drive: DriveId(n), since: 0 }).to_vec();
        assert!(recorded.fill_seats(|_| true, |id| id.0 != 1));
        assert_eq!(seats(&recorded.maps)[1].0, 2);
        assert!(recorded.fill_seats(|_| true, |id| id.0 > 4));
        assert_eq!(recorded.maps.iter().map(|seat| seat.drive.0).collect::<Vec<_>>(), [7, 6, 5]);
    }
}
