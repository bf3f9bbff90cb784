//! Putting objects in their places and taking them away, with the directories that keys make.

use crate::bucket::Bucket;
use crate::error::{access_denied, from_fs, name_conflict, no_such_key, precondition_failed};
use crate::files::{DIR_MODE, Files};
use crate::head::Head;
use crate::key::ObjectPath;
use crate::object::Object;
use crate::records::{LockRecord, ObjectRecord, Versioning, decode, encode, name, of_object};
use crate::versions::{Old, dirs_of, last_of, name_of, new_version, order_when_replaced};
use bytes::Bytes;
use s3s::dto::ETagCondition;
use s3s::{S3Result, s3_error};
use types::{Attr, FileId, FileKind, FsError, Guard, Name};
use vfs::{Put, PutIf, PutSource, Vfs};

/// How often a change is tried again that others have come in the way of.
const TRIES: usize = 64;

/// Conditions of a change.
#[derive(Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
}

impl Conditions {
    pub(crate) fn check(&self, there: Option<&Object>) -> S3Result<()> {
        let fits = |condition: &ETagCondition, object: &Object| {
            condition.as_etag().is_none_or(|etag| etag.value() == object.etag().value())
        };
        match (&self.if_match, there) {
            (Some(_), None) => return Err(no_such_key()),
            (Some(condition), Some(object)) if !fits(condition, object) => return Err(precondition_failed()),
            _ => {}
        }
        match (&self.if_none_match, there) {
            (Some(condition), Some(object)) if fits(condition, object) => Err(precondition_failed()),
            _ => Ok(()),
        }
    }

    fn is_any(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }
}

/// An object to be put.
pub(crate) struct New {
    pub(crate) record: ObjectRecord,
    /// Tags, ACL and lock, each by its attribute.
    pub(crate) values: Vec<(Name, Bytes)>,
}

/// What was put.
pub(crate) struct Done {
    pub(crate) attr: Attr,
    /// Its version, in a bucket that has them.
    pub(crate) version: Option<String>,
}

impl<V: Vfs> Head<V> {
    /// Puts an object at a key.
    pub(crate) async fn put_at(
        &self,
        files: &Files<V>,
        bucket: &Bucket,
        path: &ObjectPath,
        source: PutSource,
        new: New,
        conditions: &Conditions,
    ) -> S3Result<Done> {
        let Some(file) = &path.file else {
            return self.put_directory(files, bucket, path, &new, conditions).await;
        };
        let (locks, values) =
            new.values.into_iter().partition::<Vec<_>, _>(|(own, _)| *own == name(of_object::LOCK));
        let lock = locks.first().and_then(|(_, lock)| decode::<LockRecord>(lock)).unwrap_or_default();
        let retention = lock.as_retention();
        let _one = self.lock_key(&bucket.dir, path).await;
        for _ in 0..TRIES {
            let dir = make_dirs(files, bucket.dir, &path.dirs).await?;
            self.guard_way(bucket, &path.dirs, retention).await?;
            let there = match files.find(dir, file).await? {
                Some(attr) if attr.kind == FileKind::Directory => return Err(name_conflict()),
                Some(attr) => files.object_of(attr.file).await?,
                None => None,
            };
            conditions.check(there.as_ref())?;
            let mut record = new.record.clone();
            let mut put = Put {
                dir,
                name: file.clone(),
                source: source.clone(),
                values: values.clone(),
                only: if conditions.is_any() { PutIf::Any } else { seen(there.as_ref()) },
                keep: None,
                retention,
            };
            let newer = new_version(self, there.as_ref());
            if bucket.record.versioning == Versioning::Enabled {
                record.version.clone_from(&newer);
            }
            let keeps = match (bucket.record.versioning, &there) {
                (Versioning::Never, _) | (_, None) => false,
                (Versioning::Enabled, Some(_)) => true,
                (Versioning::Suspended, Some(there)) => there.version() != "null",
            };
            if bucket.record.versioning != Versioning::Never {
                put.only = seen(there.as_ref());
            }
            if let Some(there) = there.as_ref().filter(|_| keeps) {
                let versions = self.versions_dir(bucket, path, true).await?;
                let versions = versions.ok_or_else(|| from_fs(FsError::Delay))?;
                put.keep = Some((versions, name_of(file, &order_when_replaced(there, &newer))?));
            }
            let version = record.version.clone();
            put.values.insert(0, (name(of_object::RECORD), encode(&record)));
            match files.put(put).await {
                Ok(attr) => {
                    if bucket.record.versioning == Versioning::Suspended {
                        self.forget_null(bucket, path).await?;
                    }
                    let version = match bucket.record.versioning {
                        Versioning::Enabled => Some(version),
                        Versioning::Never | Versioning::Suspended => None,
                    };
                    return Ok(Done { attr, version });
                }
                // Others have put or removed something in between.
                Err(FsError::Exists | FsError::Busy | FsError::NotFound | FsError::Stale) => {}
                Err(error) => return Err(from_fs(error)),
            }
        }
        Err(s3_error!(OperationAborted, "Too many others change this key."))
    }

    /// A directory becomes an object.
    async fn put_directory(
        &self,
        files: &Files<V>,
        bucket: &Bucket,
        path: &ObjectPath,
        new: &New,
        conditions: &Conditions,
    ) -> S3Result<Done> {
        let dir = make_dirs(files, bucket.dir, &path.dirs).await?;
        let there = files.object_of(dir).await?.filter(|there| there.record.is_some());
        conditions.check(there.as_ref())?;
        let locked = there.as_ref().map(Object::lock).unwrap_or_default();
        if locked.holds(self.now().seconds, false) {
            return Err(access_denied());
        }
        let mut values = new.values.clone();
        values.push((name(of_object::RECORD), encode(&new.record)));
        for (name, value) in values {
            if name == self::name(of_object::LOCK) {
                let lock = decode::<LockRecord>(&value).unwrap_or_default();
                self.guard_directory(bucket, path, dir, &lock).await?;
            }
            files.keep(dir, name, Some(value)).await.map_err(from_fs)?;
        }
        let attr = files.vfs.getattr(&files.ctx, vfs::GetAttr { file: dir }).await.map_err(from_fs)?.attr;
        Ok(Done { attr, version: None })
    }

    /// A directory that is an object has no content of its own: what is locked is that it is there.
    pub(crate) async fn guard_directory(
        &self,
        bucket: &Bucket,
        path: &ObjectPath,
        dir: FileId,
        lock: &LockRecord,
    ) -> S3Result<()> {
        let retention = lock.as_retention();
        self.guard_way(bucket, dirs_of(path), retention).await?;
        self.guard(dir, Guard { until: retention.guarded_until(), itself: true }).await
    }

    /// The null version that an object in a bucket without new versions takes the place of.
    async fn forget_null(&self, bucket: &Bucket, path: &ObjectPath) -> S3Result<()> {
        if let Some((old, _)) = self.old_version(bucket, path, "null").await? {
            self.forget_old(bucket, path, &old).await?;
        }
        Ok(())
    }

    /// Removes what stands at a key for good, and the directories that were only there for it.
    pub(crate) async fn remove_at(
        &self,
        files: &Files<V>,
        bucket: &Bucket,
        path: &ObjectPath,
    ) -> S3Result<()> {
        let Some(place) = files.place(bucket.dir, path).await? else { return Ok(()) };
        let Some(attr) = place.attr else { return Ok(()) };
        if place.is_directory != (attr.kind == FileKind::Directory) {
            return Ok(());
        }
        if place.is_directory {
            match files.rmdir(place.dir, &place.name).await {
                Ok(()) | Err(FsError::NotFound) => {}
                // What is in it stays; it is no object itself any more.
                Err(FsError::NotEmpty) => {
                    let made = Some(encode(&ObjectRecord::made()));
                    files.keep(attr.file, name(of_object::RECORD), made).await.map_err(from_fs)?;
                    for other in [of_object::ACL, of_object::TAGS, of_object::LOCK] {
                        files.keep(attr.file, name(other), None).await.map_err(from_fs)?;
                    }
                }
                Err(error) => return Err(from_fs(error)),
            }
        } else {
            match files.unlink(place.dir, &place.name).await {
                Ok(()) | Err(FsError::NotFound) => {}
                Err(error) => return Err(from_fs(error)),
            }
        }
        prune_made(files, bucket.dir, dirs_of(path)).await
    }

    /// The object that stood at a key goes to the old versions, behind a newer one.
    pub(crate) async fn set_aside(
        &self,
        bucket: &Bucket,
        path: &ObjectPath,
        there: &Object,
        newer: &str,
    ) -> S3Result<()> {
        let files = self.files(types::Cred::root());
        let Some(place) = files.place(bucket.dir, path).await? else { return Ok(()) };
        let versions = self.versions_dir(bucket, path, true).await?;
        let versions = versions.ok_or_else(|| from_fs(FsError::Delay))?;
        let kept = name_of(&place.name, &order_when_replaced(there, newer))?;
        match files.restore((place.dir, &place.name), (versions, &kept)).await {
            Ok(()) | Err(FsError::NotFound) => {}
            Err(error) => return Err(from_fs(error)),
        }
        prune_made(&files, bucket.dir, dirs_of(path)).await
    }

    /// The newest old version stands at the key again, unless it says that the key was deleted.
    pub(crate) async fn bring_back(&self, bucket: &Bucket, path: &ObjectPath) -> S3Result<()> {
        let Some(last) = last_of(path) else { return Ok(()) };
        let Some(versions) = self.versions_dir(bucket, path, false).await? else { return Ok(()) };
        let newest = self.old_versions(versions, last, "", 1).await?.pop();
        let Some((_, Old { dir: from, name, .. }, object)) = newest else { return Ok(()) };
        if object.is_marker() {
            return Ok(());
        }
        let acting = self.acting(bucket)?;
        let dir = make_dirs(&acting, bucket.dir, &path.dirs).await?;
        self.guard_way(bucket, &path.dirs, object.retention).await?;
        match self.files(types::Cred::root()).restore((from, &name), (dir, last)).await {
            Ok(()) | Err(FsError::Exists | FsError::NotFound) => {}
            Err(error) => return Err(from_fs(error)),
        }
        let Some(top) = self.kept_dir(bucket, b"versions", false).await? else { return Ok(()) };
        crate::versions::prune(&self.files(types::Cred::root()), top, dirs_of(path)).await
    }
}

/// What a put is to find.
fn seen(there: Option<&Object>) -> PutIf {
    there.map_or(PutIf::Absent, |there| PutIf::Is { file: there.attr.file, content: there.attr.content })
}

/// The last directory of the way, whose missing parts are made and marked so.
pub(crate) async fn make_dirs<V: Vfs>(files: &Files<V>, top: FileId, names: &[Name]) -> S3Result<FileId> {
    'again: for _ in 0..TRIES {
        let mut dir = top;
        for part in names {
            let (attr, made) = match files.sub(dir, part, DIR_MODE).await {
                Ok(found) => found,
                // What was on the way was removed meanwhile.
                Err(FsError::Stale) if dir != top => continue 'again,
                Err(error) => return Err(from_fs(error)),
            };
            if attr.kind != FileKind::Directory {
                return Err(name_conflict());
            }
            if made {
                let mark = Some(encode(&ObjectRecord::made()));
                match files.keep(attr.file, name(of_object::RECORD), mark).await {
                    Ok(_) => {}
                    Err(FsError::Stale) => continue 'again,
                    Err(error) => return Err(from_fs(error)),
                }
            }
            dir = attr.file;
        }
        return Ok(dir);
    }
    Err(from_fs(FsError::Delay))
}

/// Removes the directories of a way from its end on, as long as they were made for keys and are empty.
async fn prune_made<V: Vfs>(files: &Files<V>, top: FileId, names: &[Name]) -> S3Result<()> {
    let mut way = vec![top];
    for name in names {
        let Some(dir) = way.last() else { break };
        match files.find(*dir, name).await? {
            Some(attr) if attr.kind == FileKind::Directory => way.push(attr.file),
            _ => break,
        }
    }
    for at in (1..way.len()).rev() {
        let Ok(kept) = files.kept(way[at]).await else { break };
        let record = crate::bucket::find(&kept.values, of_object::RECORD);
        let record = record.and_then(|value| decode::<ObjectRecord>(&value.value));
        let made = record.is_some_and(|record| record.marker);
        if !made || kept.attr.size > 0 {
            break;
        }
        // Somebody may put something into it just now; then it stays.
        if files.rmdir(way[at - 1], &names[at - 1]).await.is_err() {
            break;
        }
    }
    Ok(())
}
