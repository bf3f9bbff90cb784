//! Keeping what is locked where it is: the directories on its way are guarded before it is, so that no head moves a
//! locked object by moving what it is in, or takes away the bucket that its versions belong to.

use crate::bucket::Bucket;
use crate::error::from_fs;
use crate::head::Head;
use crate::object::Object;
use s3s::S3Result;
use types::{Cred, FileId, FileKind, FsError, Guard, Name, Retention};
use vfs::{Retain, SetGuard, Vfs};

/// A guard is set for this much longer than is needed, so that objects with a growing time do not each set it anew.
const AHEAD: i64 = 86_400;
/// Directories whose guards are remembered.
const KNOWN_MAX: usize = 16_384;

impl<V: Vfs> Head<V> {
    /// Retains a file from now on, after the way to it, whatever governance says; `false` when it is retained in another
    /// way than was seen.
    pub(crate) async fn retain(
        &self,
        bucket: &Bucket,
        dirs: &[Name],
        file: FileId,
        retention: Retention,
        seen: Option<Retention>,
    ) -> S3Result<bool> {
        self.guard_way(bucket, dirs, retention).await?;
        let root = self.files(Cred::root());
        let request = Retain { file, retention, bypass: true, seen };
        match root.vfs.retain(&root.ctx, request).await {
            Ok(_) => Ok(true),
            Err(FsError::Busy) => Ok(false),
            Err(error) => Err(from_fs(error)),
        }
    }

    /// What may be removed by going around governance is retained no more.
    pub(crate) async fn release(&self, object: &Object) -> S3Result<()> {
        if object.is_directory() {
            return self.set_guard(object.attr.file, None).await;
        }
        if object.retention == Retention::default() {
            return Ok(());
        }
        let root = self.files(Cred::root());
        let request = Retain {
            file: object.attr.file,
            retention: Retention::default(),
            bypass: true,
            seen: Some(object.retention),
        };
        root.vfs.retain(&root.ctx, request).await.map_err(from_fs)?;
        Ok(())
    }

    /// Guards the way from the root of the filesystem through the bucket to what is to be retained in these directories.
    pub(crate) async fn guard_way(
        &self,
        bucket: &Bucket,
        dirs: &[Name],
        retention: Retention,
    ) -> S3Result<()> {
        let until = retention.guarded_until();
        if until == 0 {
            return Ok(());
        }
        for dir in self.way_to_buckets().await? {
            self.guard(dir, Guard { until, itself: false }).await?;
        }
        self.guard(bucket.dir, Guard { until, itself: true }).await?;
        let root = self.files(Cred::root());
        let mut dir = bucket.dir;
        for name in dirs {
            match root.find(dir, name).await? {
                Some(attr) if attr.kind == FileKind::Directory => dir = attr.file,
                _ => break,
            }
            self.guard(dir, Guard { until, itself: false }).await?;
        }
        Ok(())
    }

    /// Guards a directory at least like this.
    pub(crate) async fn guard(&self, dir: FileId, needed: Guard) -> S3Result<()> {
        let enough = |guard: &Guard| guard.until >= needed.until && (guard.itself || !needed.itself);
        if self.0.guards.lock().get(&dir).is_some_and(enough) {
            return Ok(());
        }
        let root = self.files(Cred::root());
        let mut guard = root.kept(dir).await.map_err(from_fs)?.guard;
        if !enough(&guard) {
            guard = guard.with(Guard { until: needed.until.saturating_add(AHEAD), ..needed });
            self.set_guard(dir, Some(guard)).await?;
        }
        let mut known = self.0.guards.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(dir, guard);
        Ok(())
    }

    /// Sets a guard, or takes it away.
    pub(crate) async fn set_guard(&self, dir: FileId, guard: Option<Guard>) -> S3Result<()> {
        self.0.guards.lock().remove(&dir);
        let root = self.files(Cred::root());
        root.vfs.set_guard(&root.ctx, SetGuard { dir, guard }).await.map_err(from_fs)?;
        Ok(())
    }
}
