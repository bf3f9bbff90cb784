//! The cluster map in the data folder, with the homes of the shard's log.
//!
//! Format (docs/formats/folder.md): a line `plexus-map VERSION CRC32C`, then JSON: version 2 has the map and
//! the homes; version 1 was the map alone, with the first 2P + 1 drives as homes.

use crate::folder::{Folder, FolderError};
use cluster::{ClusterMap, DomainId, DriveInfo, DriveState, Scheme};
use config::Config;
use crc_fast::{CrcAlgorithm, checksum};
use env::durable;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use types::DriveId;

const MAGIC: &str = "plexus-map 2";
const MAGIC_OF_FIRST: &str = "plexus-map 1";
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

/// A drive that keeps a copy of the shard's log, or kept it and is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seat {
    pub(crate) drive: DriveId,
    /// Epoch of the map from which on; what the drive kept before as a home does not count.
    pub(crate) since: u64,
}

/// What the cluster remembers of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    pub(crate) map: ClusterMap,
    /// 2P + 1, each with its own drive.
    pub(crate) homes: Vec<Seat>,
}

impl Recorded {
    fn first(map: ClusterMap) -> Recorded {
        let count = 2 * map.scheme.parity() + 1;
        let homes = map.drives.iter().take(count).map(|drive| Seat { drive: drive.id, since: 0 }).collect();
        Recorded { map, homes }
    }

    fn check(&self) -> Result<(), String> {
        let count = 2 * self.map.scheme.parity() + 1;
        let known = |seat: &Seat| self.map.drive(seat.drive).is_some() && seat.since <= self.map.epoch;
        let doubled = |n: usize| self.homes[..n].iter().any(|seat| seat.drive == self.homes[n].drive);
        if self.homes.len() != count || !self.homes.iter().all(known) || (0..count).any(doubled) {
            return Err(format!("the homes of the log are not {count} drives of the map"));
        }
        Ok(())
    }

    /// Gives the seats of failed drives to drives that `may` take one and have none. Whether any changed.
    pub(crate) fn fill_seats(&mut self, may: impl Fn(DriveId) -> bool) -> bool {
        let mut changed = false;
        let up = |map: &ClusterMap, id| map.drive(id).is_some_and(|drive| drive.state == DriveState::Up);
        for n in 0..self.homes.len() {
            if up(&self.map, self.homes[n].drive) {
                continue;
            }
            let seated = |id: DriveId| self.homes.iter().any(|seat| seat.drive == id);
            let mut free = self.map.drives.iter().map(|drive| drive.id).filter(|&id| !seated(id));
            if let Some(drive) = free.find(|&id| up(&self.map, id) && may(id)) {
                self.homes[n] = Seat { drive, since: self.map.epoch };
                changed = true;
            }
        }
        changed
    }
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
    let is_first = head.starts_with(MAGIC_OF_FIRST);
    let magic = if is_first { MAGIC_OF_FIRST } else { MAGIC };
    let crc = head.strip_prefix(magic).ok_or_else(|| damaged("unknown version"))?;
    if crc.trim() != digest(json) {
        return Err(damaged("its checksum is wrong").into());
    }
    let recorded = if is_first {
        Recorded::first(serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?)
    } else {
        serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?
    };
    recorded.map.validate()?;
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
    let recorded = Recorded::first(map);
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

    fn seats(recorded: &Recorded) -> Vec<(u32, u64)> {
        recorded.homes.iter().map(|seat| (seat.drive.0, seat.since)).collect()
    }

    #[test]
    fn the_first_version_is_read_and_the_second_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), (6, 4, 2), &SeededRandom::new(1)).unwrap();
        let map = map(folder.cluster(), 6);
        let json = serde_json::to_string(&map).unwrap();
        let first = format!("plexus-map 1 {}\n{json}", digest(&json));
        std::fs::write(file(dir.path()), first).unwrap();
        let config = Config::default();
        let mut recorded = load_or_plan(&folder, &config).unwrap();
        assert_eq!(seats(&recorded), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]);
        recorded.homes[4] = Seat { drive: DriveId(5), since: 1 };
        save(dir.path(), &recorded).unwrap();
        assert!(std::fs::read_to_string(file(dir.path())).unwrap().starts_with("plexus-map 2 "));
        assert_eq!(load_or_plan(&folder, &config).unwrap(), recorded);
        // Two seats of one drive would count one copy of the log twice.
        recorded.homes[3] = recorded.homes[4];
        save(dir.path(), &recorded).unwrap();
        assert!(matches!(load_or_plan(&folder, &config), Err(ClusterMapError::Folder(_))));
        for bad in [format!("plexus-map 3 {}\n{json}", digest(&json)), format!("plexus-map 1 0\n{json}")] {
            std::fs::write(file(dir.path()), bad).unwrap();
            assert!(load_or_plan(&folder, &config).is_err());
        }
    }

    #[test]
    fn only_seats_of_failed_drives_move_and_carry_the_epoch_of_their_move() {
        let mut recorded = Recorded::first(map([1; 16], 6));
        assert!(!recorded.fill_seats(|_| true));
        recorded.map.fail_drive(DriveId(2)).unwrap();
        assert!(!recorded.fill_seats(|_| false), "a drive that is away takes no seat");
        assert!(recorded.fill_seats(|_| true));
        let epoch = recorded.map.epoch;
        assert_eq!(seats(&recorded), [(0, 0), (1, 0), (5, epoch), (3, 0), (4, 0)]);
        recorded.map.fail_drive(DriveId(0)).unwrap();
        assert!(!recorded.fill_seats(|_| true), "there is no drive without a seat");
        assert_eq!(recorded.check(), Ok(()));
        let info = DriveInfo { id: DriveId(100_000), domain: DomainId(0), weight: 64, state: DriveState::Up };
        recorded.map.add_drive(info).unwrap();
        assert!(recorded.fill_seats(|_| true));
        assert_eq!(seats(&recorded)[0], (100_000, recorded.map.epoch));
    }
}
