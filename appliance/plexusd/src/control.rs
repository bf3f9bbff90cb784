//! What administrators can ask of this daemon.

use crate::core::{Core, Drive, Files};
use crate::fsck::Checker;
use admin::{
    Capacity, ChunkPlace, ChunkPlaces, Control, ControlError, CreateFilesystem, DriveState, Drives,
    ErrorKind, ExportReport, Exports, FailuresLeft, FilesystemReport, Filesystems, Health, Integrity, Status,
};
use cluster::ClusterMap;
use config::Export;
use data::StripeStore;
use drive::ChunkKey;
use env::Random;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use types::limits::BLOCK_BYTES;
use types::{ChunkId, Cred, FileId, FsError, Name};
use vfs::{Ctx, Lookup, Vfs};

/// The daemon as the administration interface sees it.
pub(crate) struct Daemon {
    files: Arc<Files>,
    store: StripeStore,
    map: ClusterMap,
    drives: Vec<Seen>,
    exports: Mutex<Vec<Export>>,
    random: Arc<dyn Random>,
    nfs: String,
    started: Instant,
    checker: Checker,
}

/// What is known of a drive without asking it.
struct Seen {
    id: u32,
    path: String,
    size: u64,
    chunks: Option<Arc<drive::ChunkStore>>,
}

impl Daemon {
    pub(crate) fn new(core: &Core, exports: Vec<Export>, nfs: String, random: Arc<dyn Random>) -> Daemon {
        let seen = |drive: &Drive| Seen {
            id: drive.id.0,
            path: drive.path.display().to_string(),
            size: drive.size,
            chunks: drive.open.as_ref().ok().map(|open| open.chunks.clone()),
        };
        Daemon {
            files: core.files.clone(),
            store: core.store.clone(),
            map: core.map.clone(),
            drives: core.drives.iter().map(seen).collect(),
            exports: Mutex::new(exports),
            random,
            nfs,
            started: Instant::now(),
            checker: Checker::new(core),
        }
    }

    /// The configuration was read again.
    pub(crate) fn set_exports(&self, exports: Vec<Export>) {
        *self.exports.lock() = exports;
    }

    fn drives_away(&self) -> usize {
        self.drives
            .iter()
            .filter(|drive| drive.chunks.as_ref().is_none_or(|chunks| chunks.stat().failed))
            .count()
    }

    async fn find(&self, path: &str) -> Result<FileId, FsError> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let ctx = Ctx::new(Cred::root());
        let name = parts.next().ok_or(FsError::Invalid)?.to_owned();
        let mut file = self.files.filesystem(&ctx, vfs::Filesystem { name }).await?.root;
        for part in parts {
            let name = Name::new(part.as_bytes().to_vec()).map_err(|_| FsError::Invalid)?;
            file = self.files.lookup(&ctx, Lookup { dir: file, name }).await?.attr.file;
        }
        Ok(file)
    }
}

fn failed(what: &str, error: FsError) -> ControlError {
    let kind = match error {
        FsError::NotFound | FsError::NotDirectory => ErrorKind::NotFound,
        FsError::Invalid | FsError::WrongKind | FsError::IsDirectory => ErrorKind::Invalid,
        _ => ErrorKind::Failed,
    };
    ControlError::new(kind, format!("{what}: {error}"))
}

impl Control for Daemon {
    async fn status(&self) -> Result<Status, ControlError> {
        let parity = self.map.scheme.parity();
        let away = self.drives_away();
        let homes = self.drives.iter().take(2 * parity + 1);
        let homes_away =
            homes.filter(|drive| drive.chunks.as_ref().is_none_or(|chunks| chunks.stat().failed)).count();
        let left = |away: usize| u8::try_from(parity.saturating_sub(away)).unwrap_or(u8::MAX);
        let health = match away {
            0 => Health::Healthy,
            n if n <= parity => Health::Degraded,
            _ => Health::Lost,
        };
        let stats = self.drives.iter().filter_map(|drive| drive.chunks.as_ref()).map(|chunks| chunks.stat());
        let (total, free, held) = stats.fold((0, 0, 0), |(total, free, held), stat| {
            (total + stat.total, free + stat.free, held + stat.held_back)
        });
        let counters = self.store.counters();
        Ok(Status {
            health,
            // The map of names is on one drive only so far: its loss is survived by none.
            failures_left: FailuresLeft {
                data: left(away),
                metadata: left(homes_away).min(crate::core::map_losses_survived(&self.map)),
            },
            capacity: Capacity { total, used: total - free, reserved: Some(held), ..Capacity::default() },
            integrity: Integrity { found: counters.found, repaired: counters.repaired },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nfs: Some(self.nfs.clone()),
            uptime_seconds: self.started.elapsed().as_secs(),
        })
    }

    async fn drives(&self) -> Result<Drives, ControlError> {
        let report = |drive: &Seen| {
            let stat = drive.chunks.as_ref().map(|chunks| chunks.stat());
            admin::Drive {
                id: drive.id,
                path: drive.path.clone(),
                state: match stat {
                    None => DriveState::Missing,
                    Some(stat) if stat.failed => DriveState::Failed,
                    Some(_) => DriveState::Serving,
                },
                size: drive.size,
                used: stat.map_or(0, |stat| stat.total - stat.free),
            }
        };
        Ok(Drives { drives: self.drives.iter().map(report).collect() })
    }

    async fn fsck(&self) -> Result<admin::FsckReport, ControlError> {
        self.checker.run().await
    }

    async fn placement(&self, path: String) -> Result<ChunkPlaces, ControlError> {
        let file = self.find(&path).await.map_err(|e| failed(&path, e))?;
        let stripes = self.files.stripes_of(file).await.map_err(|e| failed(&path, e))?;
        let mut chunks = Vec::new();
        for stripe in stripes {
            let Some(group) = self.map.group(stripe.group) else { continue };
            let cells = group.cells.iter().enumerate().filter(|(n, _)| stripe.cells >> n & 1 == 1);
            for (index, (_, cell)) in (0u8..).zip(cells) {
                let drive = self.drives.iter().find(|drive| drive.id == cell.drive.0);
                let Some((drive, store)) = drive.and_then(|drive| Some((drive, drive.chunks.as_ref()?)))
                else {
                    continue;
                };
                let key = ChunkKey { group: stripe.group, chunk: ChunkId { stripe: stripe.stripe, index } };
                let Some(header) = store.locate(key) else { continue };
                let blocks = stripe.length.div_ceil(u32::from(stripe.data_chunks) * BLOCK_BYTES as u32);
                chunks.push(ChunkPlace {
                    stripe: stripe.stripe.0,
                    index,
                    drive: drive.id,
                    file: Path::new(&drive.path).join("chunks").display().to_string(),
                    offset: header + BLOCK_BYTES as u64,
                    length: u64::from(blocks) * BLOCK_BYTES as u64,
                });
            }
        }
        Ok(ChunkPlaces { chunks })
    }

    async fn filesystems(&self) -> Result<Filesystems, ControlError> {
        let found = self.files.filesystems().map_err(|e| failed("filesystems", e))?;
        let report =
            |(name, id): (String, types::FsId)| FilesystemReport { id: id.0, name, used: None, inodes: None };
        Ok(Filesystems { filesystems: found.into_iter().map(report).collect() })
    }

    async fn filesystem_create(&self, request: CreateFilesystem) -> Result<FilesystemReport, ControlError> {
        let name = request.name;
        let known = self.files.filesystems().map_err(|e| failed("filesystems", e))?;
        if known.iter().any(|(other, _)| *other == name) {
            return Err(ControlError::new(
                ErrorKind::Conflict,
                format!("there is a filesystem {name} already"),
            ));
        }
        let fs = self.files.make_filesystem(&name, &*self.random).await.map_err(|e| failed(&name, e))?;
        Ok(FilesystemReport { id: fs.0, name, used: None, inodes: None })
    }

    async fn exports(&self) -> Result<Exports, ControlError> {
        Ok(Exports { exports: self.exports.lock().iter().map(ExportReport::from).collect() })
    }
}
