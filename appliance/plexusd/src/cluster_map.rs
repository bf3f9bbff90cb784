//! The cluster map in the data folder.
//!
//! Format (docs/formats/folder.md): a line `plexus-map VERSION CRC32C`, then the map as JSON.

use crate::folder::{Folder, FolderError};
use cluster::{ClusterMap, DomainId, DriveInfo, DriveState, Scheme};
use config::Config;
use crc_fast::{CrcAlgorithm, checksum};
use env::durable;
use std::io;
use std::path::PathBuf;
use types::DriveId;

const MAGIC: &str = "plexus-map 1";
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

/// The map of the folder, planned when the folder is new.
pub(crate) fn load_or_plan(folder: &Folder, config: &Config) -> Result<ClusterMap, ClusterMapError> {
    let path = file(folder);
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
    let map: ClusterMap = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
    map.validate()?;
    if map.cluster != folder.cluster() {
        return Err(damaged("it belongs to another cluster").into());
    }
    Ok(map)
}

/// Every drive of one machine is a failure domain of its own.
fn plan(folder: &Folder, config: &Config) -> Result<ClusterMap, ClusterMapError> {
    let scheme = Scheme::new(folder.state.data_chunks, folder.state.parity_chunks)?;
    let drive = |index: u16| DriveInfo {
        id: DriveId(u32::from(index)),
        domain: DomainId(u32::from(index)),
        weight: u32::try_from(config.drive_size.0 >> 20).unwrap_or(u32::MAX).max(1),
        state: DriveState::Up,
    };
    let map = ClusterMap::create(folder.cluster(), scheme, (0..folder.state.drives).map(drive).collect())?;
    save(folder, &map)?;
    Ok(map)
}

/// Replaces the map of the folder, durably.
pub(crate) fn save(folder: &Folder, map: &ClusterMap) -> Result<(), FolderError> {
    let path = file(folder);
    let json = serde_json::to_string(map)
        .map_err(|e| FolderError::Damaged { path: path.clone(), why: e.to_string() })?;
    let text = format!("{MAGIC} {}\n{json}", digest(&json));
    durable::replace(&path, text.as_bytes()).map_err(|error| FolderError::Io { path, error })
}

fn digest(json: &str) -> String {
    format!("{:08x}", checksum(CrcAlgorithm::Crc32Iscsi, json.as_bytes()))
}

fn file(folder: &Folder) -> PathBuf {
    folder.path.join("cluster-map")
}
