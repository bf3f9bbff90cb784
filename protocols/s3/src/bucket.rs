//! A bucket: a directory below the one that buckets are in, with what is kept with it.

use crate::account::Account;
use crate::acl::{Acl, Of};
use crate::error::from_fs;
use crate::files::Files;
use crate::head::Head;
use crate::records::{self, BucketRecord, decode, encode, of_bucket};
use bytes::Bytes;
use s3s::{S3Result, s3_error};
use types::{Attr, Cred, FileId, FsError, Mode, Name};
use vfs::{SystemValue, Vfs};

/// How often a change is tried again that others have come in the way of.
pub(crate) const CHANGE_TRIES: usize = 64;

/// A bucket as it is now.
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) dir: FileId,
    pub(crate) attr: Attr,
    pub(crate) record: BucketRecord,
    values: Vec<(Name, SystemValue)>,
}

impl Bucket {
    pub(crate) fn owner(&self) -> Of<'_> {
        Of { id: &self.record.owner, name: &self.record.owner_name }
    }

    pub(crate) fn is_owned_by(&self, caller: Option<&Account>) -> bool {
        caller.is_some_and(|caller| caller.canonical_id == self.record.owner)
    }

    /// One of the attributes of [`of_bucket`].
    pub(crate) fn value(&self, name: &'static str) -> Option<&Bytes> {
        find(&self.values, name).map(|value| &value.value)
    }

    /// As a text.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        self.value(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    pub(crate) fn acl(&self) -> Acl {
        let acl = self.value(of_bucket::ACL).and_then(|value| decode(value));
        acl.unwrap_or_else(|| Acl::private(self.owner()))
    }
}

/// The value of this name.
pub(crate) fn find<'a>(values: &'a [(Name, SystemValue)], name: &'static str) -> Option<&'a SystemValue> {
    values.iter().find(|(own, _)| own.as_bytes() == name.as_bytes()).map(|(_, value)| value)
}

fn no_such_bucket() -> s3s::S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

impl<V: Vfs> Head<V> {
    /// The directory that buckets are in, made when it is not there.
    pub(crate) async fn buckets(&self) -> S3Result<FileId> {
        let known = self.0.buckets.lock().last().copied();
        if let Some(known) = known {
            return Ok(known);
        }
        self.way_to_buckets().await?.pop().ok_or_else(|| s3_error!(InternalError))
    }

    /// The root of the filesystem, and all directories from there to that which buckets are in; made when they are not
    /// there.
    pub(crate) async fn way_to_buckets(&self) -> S3Result<Vec<FileId>> {
        let known = self.0.buckets.lock().clone();
        if !known.is_empty() {
            return Ok(known);
        }
        let files = self.files(Cred::root());
        let request = vfs::Filesystem { name: self.0.config.filesystem.clone() };
        let root = self.0.vfs.filesystem(&files.ctx, request).await.map_err(from_fs)?.root;
        let mut way = vec![root];
        let mut dir = root;
        for part in self.0.config.root.split('/').filter(|part| !part.is_empty()) {
            let name =
                Name::new(part.as_bytes().to_vec()).map_err(|_| s3_error!(InternalError, "s3.root"))?;
            dir = files.sub(dir, &name, Mode(0o755)).await.map_err(from_fs)?.0.file;
            way.push(dir);
        }
        self.0.buckets.lock().clone_from(&way);
        Ok(way)
    }

    /// The bucket of this name.
    ///
    /// # Errors
    /// `NoSuchBucket`, also for a directory that nobody has published.
    pub(crate) async fn bucket(&self, name: &str) -> S3Result<Bucket> {
        let found = self.directory_of(name).await?.ok_or_else(no_such_bucket)?;
        let bucket = self.bucket_at(name, found.file).await?;
        bucket.ok_or_else(no_such_bucket)
    }

    /// The directory of a bucket's name, whether it is a bucket or not.
    pub(crate) async fn directory_of(&self, name: &str) -> S3Result<Option<Attr>> {
        let files = self.files(Cred::root());
        let name = Name::new(name.as_bytes().to_vec()).map_err(|_| no_such_bucket())?;
        for _ in 0..2 {
            let buckets = self.buckets().await?;
            match self.0.vfs.lookup(&files.ctx, vfs::Lookup { dir: buckets, name: name.clone() }).await {
                Ok(reply) => return Ok(Some(reply.attr)),
                Err(FsError::NotFound) => return Ok(None),
                // The directory was removed since it was found.
                Err(FsError::Stale) => self.0.buckets.lock().clear(),
                Err(error) => return Err(from_fs(error)),
            }
        }
        Err(from_fs(FsError::Delay))
    }

    /// What is kept with a directory, if it makes it a bucket.
    pub(crate) async fn bucket_at(&self, name: &str, dir: FileId) -> S3Result<Option<Bucket>> {
        let kept = match self.files(Cred::root()).kept(dir).await {
            Ok(kept) => kept,
            Err(FsError::Stale) => return Ok(None),
            Err(error) => return Err(from_fs(error)),
        };
        let record = find(&kept.values, of_bucket::RECORD).and_then(|value| decode(&value.value));
        Ok(record.map(|record| Bucket {
            name: name.to_owned(),
            dir,
            attr: kept.attr,
            record,
            values: kept.values,
        }))
    }

    /// Changes a bucket's record, in one step, whoever else changes something in it.
    pub(crate) async fn change_record(
        &self,
        bucket: &Bucket,
        change: impl Fn(&mut BucketRecord) -> S3Result<()>,
    ) -> S3Result<()> {
        let root = self.files(Cred::root());
        let own = records::name(of_bucket::RECORD);
        for _ in 0..CHANGE_TRIES {
            let there = self.bucket_at(&bucket.name, bucket.dir).await?.ok_or_else(no_such_bucket)?;
            let seen = there.value(of_bucket::RECORD).cloned();
            let mut record = there.record;
            change(&mut record)?;
            match root.keep_if(bucket.dir, own.clone(), encode(&record), seen).await {
                Ok(_) => return Ok(()),
                Err(FsError::Busy) => {}
                Err(error) => return Err(from_fs(error)),
            }
        }
        Err(s3_error!(OperationAborted, "Too many others change this bucket."))
    }

    /// Keeps something else with a bucket from now on.
    pub(crate) async fn keep_with(
        &self,
        bucket: &Bucket,
        name: &'static str,
        value: Option<Bytes>,
    ) -> S3Result<()> {
        self.files(Cred::root()).keep(bucket.dir, records::name(name), value).await.map_err(from_fs)?;
        Ok(())
    }

    /// The file system on behalf of whoever acts in a bucket: its owner for itself, and for everybody whom the bucket
    /// lets in.
    pub(crate) fn acting(&self, bucket: &Bucket) -> S3Result<Files<V>> {
        let cred = match self.0.accounts.account(&bucket.record.owner) {
            Some(owner) => owner.cred.clone().ok_or_else(crate::error::access_denied)?,
            // Its owner has no key any more.
            None => Cred::user(bucket.attr.uid, bucket.attr.gid),
        };
        Ok(self.files(cred))
    }
}
