//! The directory of a drive: who it is, and that nobody else has it open.

use crate::DriveError;
use crate::chunk::{CHUNK_BLOCKS_MAX, Incarnation};
use crate::headroom::Headroom;
use crate::log::{DriveLog, LogError, LogOptions};
use crate::map::{DriveMap, MapOpenError, MapOptions};
use crate::store::ChunkStore;
use env::durable::{self, FileLock};
use env::{Engine, OpenBlockFile, Random};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::DriveId;
use types::limits::BLOCK_BYTES;

const VERSION: u32 = 1;
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;
const _: () = assert!(CHUNK_BLOCKS_MAX * BLOCK_BYTES <= crate::superblock::FILE_BYTES_MIN as usize);

/// Who a drive is; the file `identity`. Format: docs/formats/drive.md.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriveIdentity {
    /// Format version, 1.
    pub version: u32,
    /// The cluster, 32 hexadecimal digits.
    pub cluster: String,
    /// The drive's id in the cluster map.
    pub drive: u32,
    /// This life of the drive, 32 hexadecimal digits; a replaced drive gets another.
    pub incarnation: String,
    /// Bytes of the file `chunks`.
    pub size: u64,
}

/// Why a directory is not the drive that was looked for.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nothing there.
    #[error("{path}: the drive is missing: no such directory, or no drive in it")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A drive of another cluster.
    #[error("{path}: a drive of cluster {found}, not of {wanted}")]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Its cluster.
        found: String,
        /// Ours.
        wanted: String,
    },
    /// Another drive of this cluster.
    #[error("{path}: this is drive {found}, not drive {wanted}")]
    WrongDrive {
        /// Where.
        path: PathBuf,
        /// Its id.
        found: u32,
        /// The id looked for.
        wanted: u32,
    },
    /// Two directories claim to be the same drive: one is a copy.
    #[error("drive {drive} is there twice: {first} and {second}; remove the copy")]
    Doubled {
        /// The id.
        drive: u32,
        /// One directory.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The files of the directory do not belong together.
    #[error("{path}: identity and chunks are of different drives or lives")]
    Mixed {
        /// Where.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("{path}: the drive is in use by another process")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// There is a drive already.
    #[error("{path}: there is a drive already")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The identity cannot be read as one.
    #[error("{path}: the identity is damaged: {why}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// Written by a newer release.
    #[error("{path}: format version {found}; this release knows {VERSION}")]
    Version {
        /// Where.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file system refused.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The chunk store could not be made or opened.
    #[error("{path}: {error}")]
    Chunks {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: DriveError,
    },
}

/// A drive's directory, locked; `log/` and `map/` beside the chunks belong to the shards.
#[derive(Debug)]
pub struct DriveDirectory {
    path: PathBuf,
    identity: DriveIdentity,
    lock: Arc<FileLock>,
}

/// What a drive's maps hold of it as long as anything of them is at work.
pub(crate) struct Keeper {
    _lock: Arc<FileLock>,
    pub(crate) headroom: Headroom,
}

/// 32 hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 32 || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut out = [0; 16];
    for (byte, pair) in out.iter_mut().zip(bytes.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

impl DriveDirectory {
    /// Makes a drive of `size` bytes (rounded down to 4 KiB, at least 8 MiB) in `path`, which is
    /// created when absent. The space is preallocated. A try that was cut off can be repeated:
    /// the identity is written last. Blocks and syncs.
    ///
    /// # Errors
    /// `Exists`, `InUse`, `Io` (no space, no permission), `Chunks` (too small).
    pub async fn create(
        path: &Path,
        cluster: &[u8; 16],
        drive: DriveId,
        size: u64,
        engine: Engine,
        random: &dyn Random,
    ) -> Result<(DriveDirectory, ChunkStore), IdentityError> {
        let io = |error| IdentityError::Io { path: path.into(), error };
        std::fs::create_dir_all(path).map_err(io)?;
        let lock = take_lock(path)?;
        if path.join("identity").exists() {
            return Err(IdentityError::Exists { path: path.into() });
        }
        let chunks = path.join("chunks");
        match std::fs::remove_file(&chunks) {
            Ok(()) => tracing::warn!(path = %path.display(), "a drive half made before is made anew"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let mut incarnation = [0; 16];
        random.fill(&mut incarnation);
        let identity = DriveIdentity {
            version: VERSION,
            cluster: hex(cluster),
            drive: drive.0,
            incarnation: hex(&incarnation),
            size: size / BLOCK_BYTES as u64 * BLOCK_BYTES as u64,
        };
        let failed = |error| IdentityError::Chunks { path: path.into(), error };
        let file = OpenBlockFile { path: chunks, create: Some(identity.size), engine }
            .open()
            .map_err(|e| failed(e.into()))?;
        ChunkStore::format(&file, drive, Incarnation(incarnation), random).await.map_err(failed)?;
        let store = ChunkStore::open(file, random).await.map_err(failed)?;
        for part in ["log", "map"] {
            match std::fs::create_dir(path.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
                _ => {}
            }
        }
        durable::replace(&path.join("identity"), identity.encode().as_bytes()).map_err(io)?;
        durable::sync_parent(path).map_err(io)?;
        store.keep_lock(lock.clone());
        Ok((DriveDirectory { path: path.into(), identity, lock }, store))
    }

    /// Opens the drive in `path`, which must be drive `drive` of `cluster`.
    ///
    /// # Errors
    /// One variant for each way in which it is another, damaged, missing or in use.
    pub async fn open(
        path: &Path,
        cluster: &[u8; 16],
        drive: DriveId,
        engine: Engine,
        random: &dyn Random,
    ) -> Result<(DriveDirectory, ChunkStore), IdentityError> {
        let identity = DriveIdentity::read(path)?;
        if identity.cluster != hex(cluster) {
            let (found, wanted) = (identity.cluster, hex(cluster));
            return Err(IdentityError::Foreign { path: path.into(), found, wanted });
        }
        if identity.drive != drive.0 {
            let (found, wanted) = (identity.drive, drive.0);
            return Err(IdentityError::WrongDrive { path: path.into(), found, wanted });
        }
        let lock = take_lock(path)?;
        let failed = |error| IdentityError::Chunks { path: path.into(), error };
        let file = OpenBlockFile { path: path.join("chunks"), create: None, engine }
            .open()
            .map_err(|e| failed(e.into()))?;
        let store = ChunkStore::open(file, random).await.map_err(failed)?;
        if store.drive() != drive || hex(&store.incarnation().0) != identity.incarnation {
            return Err(IdentityError::Mixed { path: path.into() });
        }
        store.keep_lock(lock.clone());
        Ok((DriveDirectory { path: path.into(), identity, lock }, store))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn headroom(&self) -> Headroom {
        Headroom::of(&self.path, self.identity.size)
    }

    /// The log. Blocks on the disk.
    ///
    /// # Errors
    /// Those of [`DriveLog::open`].
    pub fn open_log(&self, options: LogOptions) -> Result<DriveLog, LogError> {
        DriveLog::open_giving_way(&self.path.join("log"), options, self.headroom())
    }

    /// The maps, which keep the drive locked as long as anything of them is in use. Blocks on the disk.
    ///
    /// # Errors
    /// Those of [`DriveMap::open`].
    pub fn open_map(&self, options: &MapOptions) -> Result<DriveMap, MapOpenError> {
        let keeper = Keeper { _lock: self.lock.clone(), headroom: self.headroom() };
        DriveMap::open_kept(&self.path.join("map"), options, Some(Arc::new(keeper)))
    }
}

impl DriveIdentity {
    /// Reads who the drive in `path` is, without opening it.
    ///
    /// # Errors
    /// `Missing`, `Damaged`, `Version`, `Io`.
    pub fn read(path: &Path) -> Result<DriveIdentity, IdentityError> {
        let file = path.join("identity");
        let text = match std::fs::metadata(&file) {
            Ok(found) if found.len() > IDENTITY_BYTES_MAX => {
                return Err(IdentityError::Damaged { path: path.into(), why: "far too long".into() });
            }
            Ok(_) => std::fs::read(&file),
            Err(error) => Err(error),
        };
        match text {
            Ok(text) => DriveIdentity::decode(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(IdentityError::Missing { path: path.into() })
            }
            Err(error) => Err(IdentityError::Io { path: path.into(), error }),
        }
    }

    /// Refuses two directories that claim to be the same drive or the same life of one.
    ///
    /// # Errors
    /// `Doubled`.
    pub fn check_doubled(found: &[(PathBuf, DriveIdentity)]) -> Result<(), IdentityError> {
        for (at, (first, one)) in found.iter().enumerate() {
            for (second, other) in &found[at + 1..] {
                let same = one.cluster == other.cluster && one.drive == other.drive;
                if same || one.incarnation == other.incarnation {
                    let (first, second) = (first.clone(), second.clone());
                    return Err(IdentityError::Doubled { drive: one.drive, first, second });
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::expect_used, reason = "strings and numbers always become JSON")]
    fn encode(&self) -> String {
        let body = serde_json::to_string_pretty(self).expect("plain data");
        format!("plexus-drive {VERSION} crc32c {:08x}\n{body}\n", crc_fast::crc32_iscsi(body.as_bytes()))
    }

    pub(crate) fn decode(path: &Path, text: &[u8]) -> Result<DriveIdentity, IdentityError> {
        let damaged = |why: &str| IdentityError::Damaged { path: path.into(), why: why.into() };
        let text = std::str::from_utf8(text).map_err(|_| damaged("not text"))?;
        let (head, body) = text.split_once('\n').ok_or_else(|| damaged("no first line"))?;
        let body = body.strip_suffix('\n').unwrap_or(body);
        let words: Vec<&str> = head.split(' ').collect();
        let &["plexus-drive", version, "crc32c", crc] = words.as_slice() else {
            return Err(damaged("not an identity of a Plexus drive"));
        };
        let version = version.parse().map_err(|_| damaged("no version"))?;
        if version != VERSION {
            return Err(IdentityError::Version { path: path.into(), found: version });
        }
        if u32::from_str_radix(crc, 16) != Ok(crc_fast::crc32_iscsi(body.as_bytes())) {
            return Err(damaged("its checksum is wrong"));
        }
        let identity: DriveIdentity = serde_json::from_str(body).map_err(|e| damaged(&e.to_string()))?;
        if unhex(&identity.cluster).is_none() || unhex(&identity.incarnation).is_none() {
            return Err(damaged("cluster or incarnation is no number"));
        }
        Ok(identity)
    }
}

fn take_lock(path: &Path) -> Result<Arc<FileLock>, IdentityError> {
    match durable::lock(&path.join("lock")) {
        Ok(Some(lock)) => Ok(Arc::new(lock)),
        Ok(None) => Err(IdentityError::InUse { path: path.into() }),
        Err(error) => Err(IdentityError::Io { path: path.into(), error }),
    }
}

#[cfg(test)]
mod tests;
