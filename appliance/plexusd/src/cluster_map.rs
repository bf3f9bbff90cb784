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
