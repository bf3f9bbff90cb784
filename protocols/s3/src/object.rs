//! An object as it is now: a file, or a directory that is one.

use crate::acl::{Acl, Of};
use crate::bucket::{Bucket, find};
use crate::error::from_fs;
use crate::files::Files;
use crate::key::ObjectPath;
use crate::records::{LockRecord, ObjectRecord, decode, of_object};
use crate::sums::{Sum, hex};
use s3s::S3Result;
use s3s::dto::{ETag, Timestamp};
use std::time::{Duration, UNIX_EPOCH};
use types::{Attr, FileId, FileKind, FsError, Name, Retention, Time};
use vfs::{GetSystemReply, SystemValue, Vfs};

/// The type of content of which nobody has said one.
pub(crate) const DEFAULT_TYPE: &str = "binary/octet-stream";

/// How often an object is looked for that others replace all the time.
pub(crate) const LOOKS: usize = 64;

/// Where a key leads, as far as there are directories.
pub(crate) struct Place {
    /// The directory that its last name is in.
    pub(crate) dir: FileId,
    pub(crate) name: Name,
    /// The key ends in a slash.
    pub(crate) is_directory: bool,
    /// What stands there.
    pub(crate) attr: Option<Attr>,
}

/// An object.
pub(crate) struct Object {
    pub(crate) attr: Attr,
    pub(crate) record: Option<ObjectRecord>,
    /// The content is that which the record came with.
    pub(crate) fresh: bool,
    /// What keeps a file as it is.
    pub(crate) retention: Retention,
    values: Vec<(Name, SystemValue)>,
}

impl Object {
    /// From what is kept with a file; `None` for what is no object: symbolic links, devices, directories that only
    /// hold others.
    pub(crate) fn of(GetSystemReply { attr, values, retention, .. }: GetSystemReply) -> Option<Object> {
        let found = find(&values, of_object::RECORD);
        let fresh = found.is_some_and(|value| value.fresh);
        let record: Option<ObjectRecord> = found.and_then(|value| decode(&value.value));
        is_object(&attr, record.as_ref()).then_some(Object { attr, record, fresh, retention, values })
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.attr.kind == FileKind::Directory
    }

    pub(crate) fn size(&self) -> u64 {
        if self.is_directory() { self.content().len() as u64 } else { self.attr.size }
    }

    /// What a directory that is an object has.
    pub(crate) fn content(&self) -> &[u8] {
        self.record.as_ref().map_or(&[], |record| &record.content)
    }

    pub(crate) fn etag(&self) -> ETag {
        ETag::Strong(etag_of(&self.attr, self.record.as_ref().filter(|_| self.fresh)))
    }

    pub(crate) fn last_modified(&self) -> Timestamp {
        timestamp(self.attr.mtime)
    }

    /// Checksums of the content; none when it has changed since.
    pub(crate) fn sums(&self) -> &[Sum] {
        self.record.as_ref().filter(|_| self.fresh).map_or(&[], |record| &record.sums)
    }

    /// The canonical id of who owns it: what another head has made is the bucket's owner's.
    pub(crate) fn owner_id<'a>(&'a self, bucket: &'a Bucket) -> &'a str {
        let own = self.record.as_ref().map(|record| record.owner.as_str()).filter(|own| !own.is_empty());
        own.filter(|_| crate::acl::counts(&bucket.record)).unwrap_or(&bucket.record.owner)
    }

    /// Its version as clients name it.
    pub(crate) fn version(&self) -> String {
        let own = self.record.as_ref().map(|record| record.version.as_str()).filter(|own| !own.is_empty());
        own.unwrap_or("null").to_owned()
    }

    pub(crate) fn is_marker(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.marker)
    }

    pub(crate) fn acl(&self, owner: Of<'_>) -> Acl {
        let acl = find(&self.values, of_object::ACL).and_then(|value| decode(&value.value));
        acl.unwrap_or_else(|| Acl::private(owner))
    }

    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        find(&self.values, of_object::TAGS).and_then(|value| decode(&value.value)).unwrap_or_default()
    }

    /// What it is locked by; of a file that is what keeps it as it is at all heads.
    pub(crate) fn lock(&self) -> LockRecord {
        if !self.is_directory() {
            return LockRecord::of(self.retention);
        }
        find(&self.values, of_object::LOCK).and_then(|value| decode(&value.value)).unwrap_or_default()
    }

    /// What is kept with it beside its record, as it is, for a copy of it.
    pub(crate) fn raw(&self, name: &'static str) -> Option<bytes::Bytes> {
        find(&self.values, name).map(|value| value.value.clone())
    }
}

/// Whether what has this record is an object: a file, a directory that a client has made as one, and an empty one that
/// another head has made, as nothing else would show it.
pub(crate) fn is_object(attr: &Attr, record: Option<&ObjectRecord>) -> bool {
    match (attr.kind, record) {
        (FileKind::File, _) => true,
        (FileKind::Directory, Some(record)) => !record.marker,
        (FileKind::Directory, None) => attr.size == 0,
        _ => false,
    }
}

/// The MD5 that the content came with, `-` and the number of its parts; or what changes with every change of content
/// and looks like no MD5.
pub(crate) fn etag_of(attr: &Attr, fresh: Option<&ObjectRecord>) -> String {
    match fresh {
        Some(record) if record.parts == 0 => hex(&record.md5),
        Some(record) => format!("{}-{}", hex(&record.md5), record.parts),
        None if attr.kind == FileKind::Directory => "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        None => format!("{:016x}{:016x}-0", attr.file.ino.0, attr.content),
    }
}

/// A time of a file.
pub(crate) fn timestamp(time: Time) -> Timestamp {
    // Clients show whole seconds, and what is older than 1970 as 1970.
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    Timestamp::from(UNIX_EPOCH + Duration::new(seconds, time.nanoseconds))
}

/// Seconds since 1970 of a time as S3 has it.
pub(crate) fn seconds(time: &Timestamp) -> i64 {
    time::OffsetDateTime::from(time.clone()).unix_timestamp()
}

impl<V: Vfs> Files<V> {
    /// Where the path leads below `top`; `None` where a directory on the way is missing or is none.
    pub(crate) async fn place(&self, top: FileId, path: &ObjectPath) -> S3Result<Option<Place>> {
        let is_directory = path.file.is_none();
        let mut names: Vec<&Name> = path.dirs.iter().collect();
        names.extend(path.file.as_ref());
        let Some(last) = names.pop() else { return Ok(None) };
        let mut dir = top;
        for name in names {
            match self.find(dir, name).await? {
                Some(attr) if attr.kind == FileKind::Directory => dir = attr.file,
                _ => return Ok(None),
            }
        }
        let attr = self.find(dir, last).await?;
        Ok(Some(Place { dir, name: last.clone(), is_directory, attr }))
    }

    /// The object at a key.
    pub(crate) async fn object(&self, top: FileId, key: &str) -> S3Result<Option<Object>> {
        // What no file can be called is not there.
        let Ok(path) = ObjectPath::of(key) else { return Ok(None) };
        for _ in 0..LOOKS {
            let Some(Place { attr: Some(attr), is_directory, .. }) = self.place(top, &path).await? else {
                return Ok(None);
            };
            if is_directory != (attr.kind == FileKind::Directory) {
                return Ok(None);
            }
            match self.kept(attr.file).await {
                Ok(kept) => return Ok(Object::of(kept)),
                // Another has taken its place, or it was removed: there may be one all the same.
                Err(FsError::Stale) => {}
                Err(error) => return Err(from_fs(error)),
            }
        }
        Err(from_fs(FsError::Delay))
    }

    /// The object that a file is.
    pub(crate) async fn object_of(&self, file: FileId) -> S3Result<Option<Object>> {
        match self.kept(file).await {
            Ok(kept) => Ok(Object::of(kept)),
            Err(FsError::Stale) => Ok(None),
            Err(error) => Err(from_fs(error)),
        }
    }
}
