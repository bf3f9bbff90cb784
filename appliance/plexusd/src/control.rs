//! What administrators can ask of this daemon.

use crate::bays::{Bay, BayError, bay_of};
use crate::capacity::Sums;
use crate::core::{Core, DEFAULT_FILESYSTEM, Files, Shared};
use crate::drives::{DriveChangeError, Drives, Now};
use crate::exports::Exports;
use crate::fsck::Checker;
use crate::headrooms::Headrooms;
use crate::rebuild;
use crate::s3_keys::S3Keys;
use admin::{
    Background, Capacity, ChunkPlace, ChunkPlaces, Control, ControlError, CreateFilesystem, CreateS3Key,
    DataCache, DeleteFilesystem, DriveState, ErrorKind, FailuresLeft, FilesystemReport, Filesystems, Health,
    Integrity, Job, Recounted, Removal, S3KeyReport, Scrubbed, SetExport, Status,
};
use drive::ChunkKey;
use drive::footprint::metadata_bytes;
use env::Random;
use frontend::RemoveError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use types::limits::BLOCK_BYTES;
use types::{ChunkId, Cred, FileId, FsError, Name};
use vfs::{Ctx, Lookup, Vfs};

/// The daemon as the administration interface sees it.
pub(crate) struct Daemon {
    files: Arc<Files>,
    drives: Arc<Drives>,
    headrooms: Arc<Headrooms>,
    doors: Doors,
    random: Arc<dyn Random>,
    started: Instant,
    checker: Checker,
    rebuilt: Arc<rebuild::Progress>,
}

/// What filesystems are entered by.
pub(crate) struct Doors {
    pub(crate) exports: Arc<Exports<Shared>>,
    /// What mounts and NFS clients see.
    pub(crate) shared: Arc<Shared>,
    /// Who may use S3.
    pub(crate) keys: Arc<S3Keys>,
    /// Where the NFS head listens.
    pub(crate) nfs: String,
    /// Where the S3 head listens.
    pub(crate) s3: Option<String>,
    /// The S3 head.
    pub(crate) s3_server: s3::Server<Shared>,
}

impl Daemon {
    pub(crate) fn new(core: &Core, doors: Doors, random: Arc<dyn Random>) -> Daemon {
        Daemon {
            files: core.files.clone(),
            drives: core.drives.clone(),
            headrooms: core.headrooms.clone(),
            doors,
            random,
            started: Instant::now(),
            checker: Checker::new(core.drives.clone()),
            rebuilt: core.rebuilt.clone(),
        }
    }

    /// Where events of buckets are sent to.
    fn webhooks(&self) -> Vec<admin::Webhook> {
        let report = |own: s3::WebhookState| admin::Webhook {
            name: own.name,
            waiting: own.waiting,
            delivered: own.delivered,
            failed: own.failed,
            dropped: own.dropped,
        };
        self.doors.s3_server.webhooks().into_iter().map(report).collect()
    }

    async fn capacity(&self, now: &Now, degraded: bool) -> Result<Capacity, ControlError> {
        // First the map and then the drives: chunks are there before the map says so, and gone before.
        let taken = self.files.taken().await.map_err(|e| failed("accounts", e))?;
        let open = || now.bays.iter().filter_map(|bay| bay.open.as_ref().ok().map(|open| (bay, open)));
        let (mut total, mut chunks, mut held_back) = (0, 0, 0);
        for stat in open().map(|(_, open)| open.chunks.stat()) {
            total += stat.total;
            chunks += stat.total - stat.free;
            held_back += stat.held_back;
        }
        let folders: Vec<_> = open().map(|(bay, _)| bay.path.clone()).collect();
        let metadata = tokio::task::spawn_blocking(move || {
            folders.iter().map(|path| metadata_bytes(path)).sum::<std::io::Result<u64>>()
        });
        let metadata = metadata.await.map_err(|error| error.to_string());
        let metadata = metadata.and_then(|sum| sum.map_err(|error| error.to_string()));
        let metadata = metadata.map_err(|error| ControlError::new(ErrorKind::Failed, error))?;
        let orphan = self.files.background().checks.drives.map_or(0, |drives| drives.orphan);
        let (live, garbage) = (taken.live, taken.garbage);
        let sums = Sums { total, chunks, metadata, live, garbage, orphan, degraded };
        Ok(Capacity {
            reserved: Some(held_back + self.files.promised() + self.files.set_aside()),
            metadata_left: Some(self.headrooms.seen().left),
            dead: Some(taken.dead),
            ..sums.capacity()
        })
    }

    async fn background(&self) -> Result<Background, ControlError> {
        let taken = self.files.taken().await.map_err(|e| failed("accounts", e))?;
        let frontend::Background { freed, folded, cleaned, checks, scrubbed } = self.files.background();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let job = |bytes, left| Job { bytes, left: Some(left) };
        Ok(Background {
            freed: job(freed, taken.garbage),
            folded: job(folded, taken.unfolded),
            cleaned: job(cleaned, taken.dead),
            rebuilt: job(get(&self.rebuilt.written), get(&self.rebuilt.left)),
            recounted: Recounted {
                passes: checks.passes,
                differences: checks.differences,
                orphan: checks.drives.map(|drives| drives.orphan),
                missing: checks.drives.map(|drives| drives.missing),
            },
            scrubbed: Scrubbed {
                bytes: scrubbed.bytes,
                left: scrubbed.left,
                lost: scrubbed.lost,
                since: scrubbed.whole.map(|time| time.seconds),
            },
        })
    }

    async fn removing(&self) -> Result<Vec<Removal>, ControlError> {
        let found = self.files.removals().await.map_err(|e| failed("filesystems", e))?;
        let removal = |one: frontend::FilesystemRemoval| Removal {
            id: one.fs.0,
            name: one.name,
            inodes: one.inodes,
            left: one.stored,
        };
        Ok(found.into_iter().map(removal).collect())
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

/// Runs to its end, also when who asked goes away.
async fn detached(
    change: impl Future<Output = Result<(), DriveChangeError>> + Send + 'static,
) -> Result<(), ControlError> {
    let ended = tokio::spawn(change).await;
    ended.map_err(|error| ControlError::new(ErrorKind::Failed, error.to_string()))?.map_err(refused)
}

fn refused(error: DriveChangeError) -> ControlError {
    let kind = match &error {
        DriveChangeError::NoSuchDrive(_) => ErrorKind::NotFound,
        DriveChangeError::FailedAlready(_)
        | DriveChangeError::InService(_)
        | DriveChangeError::WouldLose(..)
        | DriveChangeError::WornOut(_)
        | DriveChangeError::Bay(BayError::Occupied { .. }) => ErrorKind::Conflict,
        _ => ErrorKind::Failed,
    };
    ControlError::new(kind, error.to_string())
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
        let now = self.drives.now();
        let parity = now.recorded.map.scheme.parity();
        let damage = now.worst_damage();
        let metadata = self.drives.metadata_left();
        let background = self.background().await?;
        let health = match (damage, metadata) {
            _ if background.scrubbed.lost > 0 => Health::Lost,
            (0, Some(left)) if left >= parity => Health::Healthy,
            (n, Some(_)) if n <= parity => Health::Degraded,
            _ => Health::Lost,
        };
        let small = |left: usize| u8::try_from(left).unwrap_or(u8::MAX);
        let capacity = self.capacity(&now, damage > 0).await?;
        let counters = self.drives.store().counters();
        let frontend::ReadCacheUse { budget, used, found, missed } = self.files.read_cache();
        Ok(Status {
            health,
            failures_left: FailuresLeft {
                data: small(parity.saturating_sub(damage)),
                metadata: small(metadata.unwrap_or(0)),
            },
            capacity,
            integrity: Integrity { found: counters.found, repaired: counters.repaired },
            background,
            data_cache: DataCache { budget, used, found, missed },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            removing: self.removing().await?,
            checking: self.checker.reading(),
            nfs: Some(self.doors.nfs.clone()),
            s3: self.doors.s3.clone(),
            webhooks: self.webhooks(),
            uptime_seconds: self.started.elapsed().as_secs(),
        })
    }

    async fn drives(&self) -> Result<admin::Drives, ControlError> {
        let now = self.drives.now();
        let failed = |bay: &Bay| {
            let info = now.recorded.map.drive(bay.drive);
            info.is_none_or(|info| info.state == cluster::DriveState::Failed)
        };
        let report = |bay: &Bay| {
            let stat = bay.open.as_ref().ok().map(|open| open.chunks.stat());
            admin::Drive {
                id: u32::from(bay.number),
                path: bay.path.display().to_string(),
                state: match stat {
                    _ if failed(bay) => DriveState::Failed,
                    None => DriveState::Missing,
                    Some(stat) if stat.failed => DriveState::Failed,
                    Some(_) if now.is_filling(bay.drive) => DriveState::Filling,
                    Some(_) => DriveState::Serving,
                },
                size: bay.size,
                used: stat.map_or(0, |stat| stat.total - stat.free),
            }
        };
        Ok(admin::Drives { drives: now.bays.iter().map(report).collect() })
    }

    async fn drive_fail(&self, id: u32) -> Result<(), ControlError> {
        let drives = self.drives.clone();
        detached(async move { drives.fail(id).await }).await
    }

    async fn drive_replace(&self, id: u32) -> Result<(), ControlError> {
        let drives = self.drives.clone();
        detached(async move { drives.replace(id).await }).await
    }

    async fn fsck(&self) -> Result<admin::FsckReport, ControlError> {
        self.checker.run().await
    }

    async fn placement(&self, path: String) -> Result<ChunkPlaces, ControlError> {
        let file = self.find(&path).await.map_err(|e| failed(&path, e))?;
        let stripes = self.files.stripes_of(file).await.map_err(|e| failed(&path, e))?;
        let now = self.drives.now();
        let mut chunks = Vec::new();
        for stripe in stripes {
            let Some(group) = now.recorded.map.group(stripe.group) else { continue };
            let cells = group.cells.iter().enumerate().filter(|(n, _)| stripe.cells >> n & 1 == 1);
            for (index, (_, cell)) in (0u8..).zip(cells) {
                let Some(bay) = now.bay(cell.drive) else { continue };
                let Ok(open) = &bay.open else { continue };
                let key = ChunkKey { group: stripe.group, chunk: ChunkId { stripe: stripe.stripe, index } };
                let Some(header) = open.chunks.locate(key) else { continue };
                let blocks = stripe.length.div_ceil(u32::from(stripe.data_chunks) * BLOCK_BYTES as u32);
                chunks.push(ChunkPlace {
                    stripe: stripe.stripe.0,
                    index,
                    drive: bay_of(cell.drive),
                    file: bay.path.join("chunks").display().to_string(),
                    offset: header + BLOCK_BYTES as u64,
                    length: u64::from(blocks) * BLOCK_BYTES as u64,
                });
            }
        }
        Ok(ChunkPlaces { chunks })
    }

    async fn filesystems(&self) -> Result<Filesystems, ControlError> {
        let found = self.files.filesystems().await.map_err(|e| failed("filesystems", e))?;
        let mut filesystems = Vec::with_capacity(found.len());
        for (name, id) in found {
            let usage = self.files.usage_of(id).await.ok();
            let (used, inodes) = (usage.map(|usage| usage.used), usage.map(|usage| usage.inodes));
            filesystems.push(FilesystemReport { id: id.0, name, used, inodes });
        }
        Ok(Filesystems { filesystems })
    }

    async fn filesystem_create(&self, request: CreateFilesystem) -> Result<FilesystemReport, ControlError> {
        let name = request.name;
        let known = self.files.filesystems().await.map_err(|e| failed("filesystems", e))?;
        if known.iter().any(|(other, _)| *other == name) {
            return Err(ControlError::new(
                ErrorKind::Conflict,
                format!("there is a filesystem {name} already"),
            ));
        }
        let fs = self.files.make_filesystem(&name, &*self.random).await.map_err(|e| failed(&name, e))?;
        // Its root is all there is.
        Ok(FilesystemReport { id: fs.0, name, used: Some(0), inodes: Some(1) })
    }

    async fn filesystem_delete(&self, request: DeleteFilesystem) -> Result<Removal, ControlError> {
        let DeleteFilesystem { name, force, retained } = request;
        let conflict = |why: String| Err(ControlError::new(ErrorKind::Conflict, why));
        if name == DEFAULT_FILESYSTEM {
            return conflict(format!("{name} is in every cluster and cannot be deleted, only emptied"));
        }
        let known = self.files.filesystems().await.map_err(|e| failed("filesystems", e))?;
        let Some((_, fs)) = known.into_iter().find(|(other, _)| *other == name) else {
            return Err(ControlError::new(ErrorKind::NotFound, format!("there is no filesystem {name}")));
        };
        if !force {
            let exported = self.doors.exports.of(&name).await;
            if !exported.is_empty() {
                return conflict(format!(
                    "{name} is exported as {}: take that back first, or say --force",
                    exported.join(" and ")
                ));
            }
            if self.doors.shared.mounts_of(fs) > 0 {
                return conflict(format!("{name} is mounted here: unmount it first, or say --force"));
            }
        }
        self.doors.shared.take_back(fs).await;
        match self.files.remove_filesystem(fs, force, retained).await {
            Ok(()) => {}
            Err(RemoveError::Open(_)) => {
                return conflict(format!("files of {name} are open: close them first, or say --force"));
            }
            Err(RemoveError::Retained) => {
                return conflict(format!(
                    "objects in {name} are retained or on hold: say --retained to remove them all the same"
                ));
            }
            Err(RemoveError::Fs(error)) => return Err(failed(&name, error)),
        }
        // Nobody trusts what was heard of it before.
        self.doors.shared.gone(fs).await;
        // What was set for it must not let anybody into another one of that name.
        self.doors.exports.remove_of(&name).await?;
        let left = self.removing().await?.into_iter().find(|removal| removal.id == fs.0);
        Ok(left.unwrap_or(Removal { id: fs.0, name, inodes: 0, left: 0 }))
    }

    async fn exports(&self) -> Result<admin::Exports, ControlError> {
        Ok(admin::Exports { exports: self.doors.exports.list().await })
    }

    async fn export_set(&self, export: SetExport) -> Result<(), ControlError> {
        self.doors.exports.set(export).await
    }

    async fn export_remove(&self, path: String) -> Result<(), ControlError> {
        self.doors.exports.remove(&path).await
    }

    async fn s3_keys(&self) -> Result<admin::S3Keys, ControlError> {
        Ok(admin::S3Keys { keys: self.doors.keys.list().await })
    }

    async fn s3_key_create(&self, request: CreateS3Key) -> Result<S3KeyReport, ControlError> {
        self.doors.keys.create(request).await
    }

    async fn s3_key_delete(&self, access_key: String) -> Result<(), ControlError> {
        self.doors.keys.delete(&access_key).await
    }
}
