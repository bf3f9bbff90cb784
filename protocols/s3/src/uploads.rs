//! Uploads in parts: a directory of the head's for each, with a file for each part.

use crate::bucket::{Bucket, find};
use crate::error::from_fs;
use crate::head::Head;
use crate::records::{DoneRecord, PartRecord, UploadRecord, decode, encode, name, of_object, of_upload};
use s3s::{S3Result, s3_error};
use types::limits::READDIR_ENTRIES_MAX;
use types::{Attr, Cred, FileId, FsError, Name};
use vfs::{List, Vfs};

/// Largest number of a part.
pub(crate) const PARTS_MAX: i32 = 10_000;

/// An upload.
pub(crate) struct Upload {
    pub(crate) dir: FileId,
    pub(crate) id: String,
    pub(crate) record: UploadRecord,
}

/// A part of one.
pub(crate) struct Part {
    pub(crate) number: i32,
    pub(crate) attr: Attr,
    pub(crate) record: PartRecord,
}

fn no_such_upload() -> s3s::S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}

/// The name of a part's file.
pub(crate) fn part_name(number: i32) -> S3Result<Name> {
    if !(1..=PARTS_MAX).contains(&number) {
        return Err(s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive"
        ));
    }
    Name::new(format!("{number:05}")).map_err(|_| s3_error!(InternalError))
}

impl<V: Vfs> Head<V> {
    /// The upload of this id, when it is of this key.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub(crate) async fn upload(&self, bucket: &Bucket, key: &str, id: &str) -> S3Result<Upload> {
        let upload = self.upload_or_done(bucket, key, id).await?;
        if upload.record.done.is_some() { Err(no_such_upload()) } else { Ok(upload) }
    }

    /// As [`Self::upload`], also one that has been completed a while ago.
    pub(crate) async fn upload_or_done(&self, bucket: &Bucket, key: &str, id: &str) -> S3Result<Upload> {
        let uploads = self.kept_dir(bucket, b"uploads", false).await?.ok_or_else(no_such_upload)?;
        let well_formed = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let own =
            Name::new(id.as_bytes().to_vec()).ok().filter(|_| well_formed).ok_or_else(no_such_upload)?;
        let root = self.files(Cred::root());
        let attr = root.find(uploads, &own).await?.ok_or_else(no_such_upload)?;
        let kept = root.kept(attr.file).await.map_err(|_| no_such_upload())?;
        let record =
            find(&kept.values, of_object::UPLOAD).and_then(|value| decode::<UploadRecord>(&value.value));
        let record = record.filter(|record| record.key == key).ok_or_else(no_such_upload)?;
        Ok(Upload { dir: attr.file, id: id.to_owned(), record })
    }

    /// Parts of an upload after a number, in order.
    pub(crate) async fn parts(&self, upload: &Upload, after: i32, limit: usize) -> S3Result<Vec<Part>> {
        let root = self.files(Cred::root());
        let mut found = Vec::new();
        let mut from = format!("{:05}", after.saturating_add(1).max(0)).into_bytes();
        let mut past = false;
        while found.len() < limit {
            let request = List {
                dir: upload.dir,
                from: from.clone().into(),
                past,
                limit: u32::try_from((limit - found.len()).min(READDIR_ENTRIES_MAX)).unwrap_or(1),
                value: Some(name(of_upload::PART)),
            };
            let page = root.list(request).await.map_err(|error| match error {
                FsError::Stale => no_such_upload(),
                error => from_fs(error),
            })?;
            for entry in page.entries {
                from = entry.name.as_bytes().to_vec();
                past = true;
                let number =
                    std::str::from_utf8(entry.name.as_bytes()).ok().and_then(|text| text.parse().ok());
                let record = entry.value.and_then(|value| decode::<PartRecord>(&value.value));
                if let (Some(number), Some(record)) = (number, record) {
                    found.push(Part { number, attr: entry.attr, record });
                }
            }
            if page.end {
                break;
            }
        }
        Ok(found)
    }

    /// An upload has become an object: its parts go, and what it became is remembered for a while.
    pub(crate) async fn finish_upload(&self, upload: &Upload, done: DoneRecord) -> S3Result<()> {
        let root = self.files(Cred::root());
        let record = UploadRecord { done: Some(done), ..upload.record.clone() };
        root.keep(upload.dir, name(of_object::UPLOAD), Some(encode(&record))).await.map_err(from_fs)?;
        empty(self, upload.dir).await
    }

    /// Removes an upload with all its parts.
    pub(crate) async fn forget_upload(&self, bucket: &Bucket, id: &str) -> S3Result<()> {
        let Some(uploads) = self.kept_dir(bucket, b"uploads", false).await? else { return Ok(()) };
        let root = self.files(Cred::root());
        let Ok(own) = Name::new(id.as_bytes().to_vec()) else { return Ok(()) };
        let Some(attr) = root.find(uploads, &own).await? else { return Ok(()) };
        for _ in 0..64 {
            empty(self, attr.file).await?;
            match root.rmdir(uploads, &own).await {
                Ok(()) | Err(FsError::NotFound) => return Ok(()),
                // A part has come in between.
                Err(FsError::NotEmpty) => {}
                Err(error) => return Err(from_fs(error)),
            }
        }
        Err(s3_error!(OperationAborted, "Parts of the upload keep coming."))
    }

    /// Removes all that the head keeps for a bucket.
    pub(crate) async fn forget_kept(&self, bucket: &Bucket) -> S3Result<()> {
        let root = self.files(Cred::root());
        if let Some(uploads) = self.kept_dir(bucket, b"uploads", false).await? {
            loop {
                let request =
                    List { dir: uploads, from: Default::default(), past: false, limit: 100, value: None };
                let page = match root.list(request).await {
                    Ok(page) => page,
                    Err(_) => break,
                };
                if page.entries.is_empty() {
                    break;
                }
                for entry in page.entries {
                    let id = String::from_utf8_lossy(entry.name.as_bytes()).into_owned();
                    self.forget_upload(bucket, &id).await?;
                }
            }
        }
        let system =
            root.vfs.system(&root.ctx, vfs::System { fs: bucket.dir.fs }).await.map_err(from_fs)?.dir;
        let names = ["s3".to_owned(), format!("{:016x}", bucket.dir.ino.0)];
        let names: Vec<Name> = names.into_iter().filter_map(|text| Name::new(text).ok()).collect();
        for what in ["uploads", "versions"] {
            let Ok(what) = Name::new(what) else { continue };
            let way = [&names[..], &[what]].concat();
            crate::versions::prune(&root, system, &way).await?;
        }
        Ok(())
    }
}

async fn empty<V: Vfs>(head: &Head<V>, dir: FileId) -> S3Result<()> {
    let root = head.files(Cred::root());
    loop {
        let request = List { dir, from: Default::default(), past: false, limit: 1000, value: None };
        let page = match root.list(request).await {
            Ok(page) => page,
            Err(FsError::Stale) => return Ok(()),
            Err(error) => return Err(from_fs(error)),
        };
        if page.entries.is_empty() {
            return Ok(());
        }
        for entry in page.entries {
            match root.unlink(dir, &entry.name).await {
                Ok(()) | Err(FsError::NotFound) => {}
                Err(error) => return Err(from_fs(error)),
            }
        }
    }
}
