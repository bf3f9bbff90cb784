//! Bays: the folders `drive-N` that drives of the cluster map live in, one life after the other.
//!
//! A drive's id is never used again, while folder and number of its bay stay: the id is the bay's number
//! and, in steps of [`LIVES`], which life of the bay it is. A bay is a failure domain.

use crate::wires::{Served, Wires};
use cluster::{ClusterMap, DomainId, DriveInfo, DriveState};
use data::ChunkPeer;
use drive::headroom::{self, Headroom};
use drive::log::{DriveLog, LogOptions};
use drive::map::{DriveMap, MapOptions};
use drive::{ChunkStore, DriveDirectory, DriveIdentity, IdentityError};
use env::{Engine, Random, durable};
use metadata::{Home, MapSeat};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use types::{DriveId, ShardId};

/// Distance of the ids of one bay's lives; above the number of bays that a map can have.
const LIVES: u32 = 100_000;
/// Memory in which each of many shards gathers what goes to a table of its map.
const MEMTABLE_BYTES: u64 = 4 << 20;
/// How often, and after which pauses, a folder is tried whose last user is just going.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// A bay with the newest drive in it.
#[derive(Clone)]
pub(crate) struct Bay {
    pub(crate) number: u16,
    pub(crate) drive: DriveId,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// Or why the drive is not in use.
    pub(crate) open: Result<Arc<OpenDrive>, String>,
}

impl Bay {
    /// What it holds for its log and map.
    pub(crate) fn headroom(&self) -> Headroom {
        Headroom::of(&self.path, self.size)
    }

    /// The drive is open, and neither its log nor its map nor its chunks have failed.
    pub(crate) fn is_whole(&self) -> bool {
        self.open.as_ref().is_ok_and(|open| open.has_log() && open.has_map()) && self.serves()
    }

    /// The drive takes reads and writes, as far as is known.
    pub(crate) fn serves(&self) -> bool {
        self.open.as_ref().is_ok_and(|open| !open.chunks.stat().failed)
    }
}

/// A drive that is open.
pub(crate) struct OpenDrive {
    pub(crate) chunks: Arc<ChunkStore>,
    pub(crate) peer: Arc<dyn ChunkPeer>,
    served: Served,
    pub(crate) map: DriveMap,
    log: Mutex<Option<DriveLog>>,
    /// The log or the map fell out of a shard: not used again before the drive is opened anew.
    log_failed: AtomicBool,
    map_failed: AtomicBool,
}

impl OpenDrive {
    /// Who the drive is in a seat that it has since the epoch `since` of the cluster map: one that had the
    /// seat before and gets it again must not count with what it kept then.
    pub(crate) fn incarnation(&self, since: u64) -> u128 {
        u128::from_be_bytes(self.chunks.incarnation().0) ^ u128::from(since)
    }

    /// The drive as a home of a shard's log; `None` when its log is closed or has failed.
    pub(crate) fn home(&self, shard: ShardId, since: u64) -> Option<Home> {
        let log = self.log.lock().as_ref().filter(|_| self.has_log()).map(|log| log.shard(shard))?;
        Some(Home { log, incarnation: self.incarnation(since) })
    }

    /// The drive as the place of a copy of a shard's map; `None` when its map has failed.
    pub(crate) fn map_seat(&self, since: u64) -> Option<MapSeat> {
        self.has_map().then(|| MapSeat { map: self.map.clone(), incarnation: self.incarnation(since) })
    }

    pub(crate) fn has_log(&self) -> bool {
        !self.log_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn has_map(&self) -> bool {
        !self.map_failed.load(Ordering::Relaxed)
    }

    /// The log fell out of its shard.
    pub(crate) fn log_failed(&self) {
        self.log_failed.store(true, Ordering::Relaxed);
    }

    /// The copy of the map fell out of its shard.
    pub(crate) fn map_failed(&self) {
        self.map_failed.store(true, Ordering::Relaxed);
    }

    /// Ends its work in order.
    pub(crate) async fn close(&self) {
        let log = self.log.lock().take();
        if let Some(log) = log {
            log.close().await;
        }
        self.served.stop().await;
        self.chunks.close().await;
    }
}

/// What all drives of this daemon have in common.
pub(crate) struct DriveSettings {
    pub(crate) folder: PathBuf,
    pub(crate) cluster: [u8; 16],
    pub(crate) bytes: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) wires: Wires,
}

/// Why there is no drive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BayError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: {why}; empty the folder first")]
    Occupied { path: PathBuf, why: String },
    #[error("{path}: {why}")]
    Parts { path: PathBuf, why: String },
}

/// The newest drive of a bay.
pub(crate) fn newest(map: &ClusterMap, bay: u16) -> Option<&DriveInfo> {
    let of_bay = map.drives.iter().filter(|drive| drive.domain == DomainId(u32::from(bay)));
    of_bay.max_by_key(|drive| (drive.state == DriveState::Up, drive.id))
}

/// The bay of a drive.
pub(crate) fn bay_of(drive: DriveId) -> u32 {
    drive.0 % LIVES
}

/// The drive that comes after `last` in its bay; `None` after 42,948 of them.
pub(crate) fn next_life(last: DriveId) -> Option<DriveId> {
    last.0.checked_add(LIVES).map(DriveId)
}

impl DriveSettings {
    /// Where a bay is.
    pub(crate) fn path(&self, bay: u16) -> PathBuf {
        self.folder.join(format!("drive-{bay}"))
    }

    /// Opens the drive that should be in the folder, or makes it when `fresh`. A drive that is missing or
    /// broken is no error: parity is for that.
    pub(crate) async fn open(&self, number: u16, drive: DriveId, fresh: bool) -> Result<Bay, BayError> {
        let path = self.path(number);
        let (engine, random) = (Engine::Auto, &*self.random);
        let opened = if fresh {
            DriveDirectory::create(&path, &self.cluster, drive, self.bytes, engine, random).await
        } else {
            DriveDirectory::open(&path, &self.cluster, drive, engine, random).await
        };
        let (directory, chunks) = match opened {
            Ok(opened) => opened,
            // Another daemon's drive or a newer format is not a failure that parity should hide.
            Err(error @ (IdentityError::InUse { .. } | IdentityError::Version { .. })) => {
                return Err(error.into());
            }
            Err(error) if fresh => return Err(error.into()),
            Err(error) => {
                tracing::error!(bay = number, drive = drive.0, %error, "drive not opened");
                return Ok(Bay { number, drive, path, size: 0, open: Err(error.to_string()) });
            }
        };
        let size = directory.identity().size;
        let open = self.parts(directory, chunks).await;
        if let Err(error) = &open {
            tracing::error!(bay = number, drive = drive.0, %error, "drive not opened");
            if fresh {
                return Err(BayError::Parts { path, why: error.clone() });
            }
        }
        Ok(Bay { number, drive, path, size, open: open.map(Arc::new) })
    }

    async fn parts(&self, directory: DriveDirectory, chunks: ChunkStore) -> Result<OpenDrive, String> {
        let map_options = MapOptions {
            cache_bytes: self.cache_bytes,
            memtable_bytes: MEMTABLE_BYTES,
            ..MapOptions::default()
        };
        let opening = move || {
            let log = directory.open_log(LogOptions::default()).map_err(|e| e.to_string())?;
            let map = directory.open_map(&map_options).map_err(|e| e.to_string())?;
            Ok::<_, String>((log, map))
        };
        let opened = tokio::task::spawn_blocking(opening).await;
        let (log, map) = opened.unwrap_or_else(|error| Err(error.to_string()))?;
        let chunks = Arc::new(chunks);
        let (peer, served) = self.wires.drive(&chunks, &self.cluster).await.map_err(|e| e.to_string())?;
        Ok(OpenDrive {
            peer,
            served,
            chunks,
            map,
            log: Mutex::new(Some(log)),
            log_failed: AtomicBool::default(),
            map_failed: AtomicBool::default(),
        })
    }

    /// Takes away what a drive of this cluster that is `gone` left in a bay. Nothing else is touched.
    pub(crate) async fn clear(&self, bay: u16, gone: impl Fn(DriveId) -> bool) -> Result<(), BayError> {
        let path = self.path(bay);
        let occupied = |why: String| BayError::Occupied { path: path.clone(), why };
        match DriveIdentity::read(&path) {
            Ok(found) if found.cluster != drive::directory::hex(&self.cluster) => {
                return Err(occupied(format!("a drive of cluster {} is there", found.cluster)));
            }
            Ok(found) if !gone(DriveId(found.drive)) => {
                return Err(occupied(format!(
                    "drive {} of this cluster is there",
                    bay_of(DriveId(found.drive))
                )));
            }
            Ok(_) => {}
            Err(IdentityError::Missing { .. }) if !path.exists() => return Ok(()),
            Err(IdentityError::Missing { .. }) => {}
            Err(error @ IdentityError::Version { .. }) => return Err(error.into()),
            Err(error) => return Err(occupied(error.to_string())),
        }
        for _ in 0..TRIES {
            let io = |error| BayError::Io { path: path.clone(), error };
            if let Some(_lock) = durable::lock(&path.join("lock")).map_err(io)? {
                return wipe(&path).map_err(io);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(IdentityError::InUse { path }.into())
    }
}

/// The identity goes first: what is left after a crash is no drive.
fn wipe(path: &Path) -> io::Result<()> {
    let absent_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let identity = path.join("identity");
    absent_is_fine(std::fs::remove_file(&identity))?;
    durable::sync_parent(&identity)?;
    absent_is_fine(std::fs::remove_file(path.join("chunks")))?;
    absent_is_fine(std::fs::remove_file(path.join(headroom::FILE)))?;
    for part in ["log", "map"] {
        absent_is_fine(std::fs::remove_dir_all(path.join(part)))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use cluster::Scheme;
    use env::SeededRandom;

    fn settings(folder: &Path, cluster: u8) -> DriveSettings {
        let (folder, random) = (folder.to_owned(), Arc::new(SeededRandom::new(u64::from(cluster))));
        let (cluster, wires) = ([cluster; 16], Wires::Local);
        DriveSettings { folder, cluster, bytes: 8 << 20, cache_bytes: 1 << 20, random, wires }
    }

    #[test]
    fn a_bay_keeps_its_number_and_no_drive_its_id() {
        let drive = |n| DriveInfo { id: DriveId(n), domain: DomainId(n), weight: 1, state: DriveState::Up };
        let mut map = ClusterMap::create([1; 16], Scheme::NONE, vec![drive(0), drive(1)]).unwrap();
        map.fail_drive(DriveId(1)).unwrap();
        assert_eq!(newest(&map, 1).unwrap().id, DriveId(1));
        let next = next_life(DriveId(1)).unwrap();
        assert_eq!((next, bay_of(next)), (DriveId(100_001), 1));
        map.add_drive(DriveInfo { id: next, ..drive(1) }).unwrap();
        map.fail_drive(next).unwrap();
        assert_eq!(newest(&map, 1).unwrap().id, next);
        assert!(newest(&map, 2).is_none());
        assert_eq!(next_life(DriveId(u32::MAX - 1)), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_a_drive_that_is_gone_for_good_is_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let ours = settings(dir.path(), 1);
        ours.clear(0, |_| true).await.unwrap();
        let open = ours.open(0, DriveId(0), true).await.unwrap().open.unwrap();
        open.close().await;
        drop(open);
        let identity = dir.path().join("drive-0/identity");
        // One that the map has in use is somebody's data, and so is one of another cluster.
        assert!(matches!(ours.clear(0, |_| false).await, Err(BayError::Occupied { .. })));
        assert!(matches!(settings(dir.path(), 2).clear(0, |_| true).await, Err(BayError::Occupied { .. })));
        assert!(identity.exists());
        ours.clear(0, |drive| drive == DriveId(0)).await.unwrap();
        assert!(!identity.exists());
        let fresh = ours.open(0, DriveId(100_000), true).await.unwrap();
        assert_eq!(fresh.drive, DriveId(100_000));
        fresh.open.unwrap().close().await;
    }
}
