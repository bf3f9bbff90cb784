//! Versions that are not the newest, and delete markers. They are files in the system directory, in a tree like the
//! bucket's: those of the key `a/b` are called `a/b`, U+0001 and what orders them, newest first.

use crate::bucket::Bucket;
use crate::error::from_fs;
use crate::files::Files;
use crate::head::Head;
use crate::key::ObjectPath;
use crate::object::Object;
use bytes::Bytes;
use s3s::{S3Result, s3_error};
use types::limits::{NAME_BYTES_MAX, READDIR_ENTRIES_MAX};
use types::{Cred, FileId, FsError, Mode, Name};
use vfs::{List, Vfs};

/// Between the last part of a key and the version.
pub(crate) const MARK: u8 = 1;
/// Hexadecimal digits of a version: a time that runs backwards, and something random.
pub(crate) const VERSION_DIGITS: usize = 32;
/// Follows the time of what is the null version.
const NULL: &str = "-null";
/// What the head keeps is only the superuser's.
pub(crate) const MODE: Mode = Mode(0o700);

/// A version that is not the newest.
pub(crate) struct Old {
    pub(crate) dir: FileId,
    pub(crate) name: Name,
}

/// The part of a name that orders versions, for the time of a version.
fn backwards(nanoseconds: u64) -> u64 {
    u64::MAX - nanoseconds
}

/// The name under which a version of the key that ends in `last` is kept.
pub(crate) fn name_of(last: &Name, order: &str) -> S3Result<Name> {
    let mut bytes = last.as_bytes().to_vec();
    bytes.push(MARK);
    bytes.extend_from_slice(order.as_bytes());
    if bytes.len() > NAME_BYTES_MAX {
        return Err(s3_error!(
            KeyTooLongError,
            "The last part of a key with versions is at most 217 bytes long."
        ));
    }
    Name::new(bytes).map_err(|_| s3_error!(InvalidArgument, "The key cannot have versions."))
}

/// A new version, before (newer than) `current` whatever the clock says.
pub(crate) fn new_version<V: Vfs>(head: &Head<V>, current: Option<&Object>) -> String {
    let now = head.now();
    let nanoseconds =
        u64::try_from(now.seconds).unwrap_or(0).saturating_mul(1_000_000_000) + u64::from(now.nanoseconds);
    let order = match current.and_then(order_of) {
        Some(order) => backwards(nanoseconds).min(order.saturating_sub(1)),
        None => backwards(nanoseconds),
    };
    format!("{order:016x}{:016x}", head.random())
}

/// Where a current object stands among versions.
fn order_of(object: &Object) -> Option<u64> {
    let version = &object.record.as_ref()?.version;
    u64::from_str_radix(version.get(..16)?, 16).ok()
}

/// What orders an object that a newer one takes the place of.
pub(crate) fn order_when_replaced(object: &Object, newer: &str) -> String {
    match object.record.as_ref().map(|record| record.version.as_str()).filter(|version| !version.is_empty()) {
        Some(version) => version.to_owned(),
        None => {
            let newer = newer.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
            format!("{:016x}{NULL}", newer.saturating_add(1))
        }
    }
}

/// The version that a name of the tree is of, as clients name it.
pub(crate) fn version_of(order: &str) -> &str {
    if order.ends_with(NULL) { "null" } else { order }
}

impl<V: Vfs> Head<V> {
    /// A directory that the head keeps for a bucket, made where `make` says so.
    pub(crate) async fn kept_dir(
        &self,
        bucket: &Bucket,
        what: &'static [u8],
        make: bool,
    ) -> S3Result<Option<FileId>> {
        let root = self.files(Cred::root());
        let system =
            self.0.vfs.system(&root.ctx, vfs::System { fs: bucket.dir.fs }).await.map_err(from_fs)?.dir;
        let of_bucket = format!("{:016x}", bucket.dir.ino.0);
        let mut dir = system;
        for part in [&b"s3"[..], of_bucket.as_bytes(), what] {
            let name = Name::new(Bytes::copy_from_slice(part)).map_err(|_| s3_error!(InternalError))?;
            if make {
                dir = root.sub(dir, &name, MODE).await.map_err(from_fs)?.0.file;
            } else {
                match root.find(dir, &name).await? {
                    Some(attr) => dir = attr.file,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(dir))
    }

    /// Where versions of a path are kept.
    pub(crate) async fn versions_dir(
        &self,
        bucket: &Bucket,
        path: &ObjectPath,
        make: bool,
    ) -> S3Result<Option<FileId>> {
        let root = self.files(Cred::root());
        let Some(mut dir) = self.kept_dir(bucket, b"versions", make).await? else { return Ok(None) };
        for name in dirs_of(path) {
            if make {
                dir = root.sub(dir, name, MODE).await.map_err(from_fs)?.0.file;
            } else {
                match root.find(dir, name).await? {
                    Some(attr) => dir = attr.file,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(dir))
    }

    /// Old versions of a path from a place on, newest first: a page, and whether it was the last.
    pub(crate) async fn old_versions(
        &self,
        dir: FileId,
        last: &Name,
        from: &str,
        limit: usize,
    ) -> S3Result<Vec<(String, Old, Object)>> {
        let root = self.files(Cred::root());
        let mut prefix = last.as_bytes().to_vec();
        prefix.push(MARK);
        let request = List {
            dir,
            from: [&prefix[..], from.as_bytes()].concat().into(),
            past: false,
            limit: u32::try_from(limit.min(READDIR_ENTRIES_MAX)).unwrap_or(1),
            value: None,
        };
        let listed = match root.list(request).await {
            Ok(listed) => listed,
            Err(FsError::Stale) => return Ok(Vec::new()),
            Err(error) => return Err(from_fs(error)),
        };
        let mut found = Vec::new();
        for entry in listed.entries {
            let Some(order) = entry.name.as_bytes().strip_prefix(&prefix[..]) else { break };
            let Ok(order) = std::str::from_utf8(order) else { continue };
            let Some(object) = root.object_of(entry.attr.file).await? else { continue };
            let old = Old { dir, name: entry.name.clone() };
            found.push((order.to_owned(), old, object));
        }
        Ok(found)
    }

    /// An old version of a path by its name.
    pub(crate) async fn old_version(
        &self,
        bucket: &Bucket,
        path: &ObjectPath,
        version: &str,
    ) -> S3Result<Option<(Old, Object)>> {
        let Some(dir) = self.versions_dir(bucket, path, false).await? else { return Ok(None) };
        let Some(last) = last_of(path) else { return Ok(None) };
        if version != "null" {
            if version.len() != VERSION_DIGITS || !version.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Ok(None);
            }
            let root = self.files(Cred::root());
            let name = name_of(last, version)?;
            let Some(attr) = root.find(dir, &name).await? else { return Ok(None) };
            let object = root.object_of(attr.file).await?;
            return Ok(object.map(|object| (Old { dir, name }, object)));
        }
        let mut from = String::new();
        loop {
            let page = self.old_versions(dir, last, &from, 100).await?;
            let Some((order, _, _)) = page.last() else { return Ok(None) };
            from = format!("{order}\u{1}");
            for (order, old, object) in page {
                if version_of(&order) == "null" {
                    return Ok(Some((old, object)));
                }
            }
        }
    }

    /// Removes an old version, and the directories that were only there for it.
    pub(crate) async fn forget_old(&self, bucket: &Bucket, path: &ObjectPath, old: &Old) -> S3Result<()> {
        let root = self.files(Cred::root());
        match root.unlink(old.dir, &old.name).await {
            Ok(()) | Err(FsError::NotFound) => {}
            Err(error) => return Err(from_fs(error)),
        }
        let Some(top) = self.kept_dir(bucket, b"versions", false).await? else { return Ok(()) };
        prune(&root, top, dirs_of(path)).await
    }
}

/// The directories on the way to a path's last name.
pub(crate) fn dirs_of(path: &ObjectPath) -> &[Name] {
    match (&path.file, path.dirs.split_last()) {
        (None, Some((_, before))) => before,
        _ => &path.dirs,
    }
}

/// The last name of a path.
pub(crate) fn last_of(path: &ObjectPath) -> Option<&Name> {
    path.file.as_ref().or(path.dirs.last())
}

/// Removes the directories of a way below `top` from its end on, as long as they are empty.
pub(crate) async fn prune<V: Vfs>(files: &Files<V>, top: FileId, names: &[Name]) -> S3Result<()> {
    let mut way = vec![top];
    for name in names {
        match way.last() {
            Some(dir) => match files.find(*dir, name).await? {
                Some(attr) => way.push(attr.file),
                None => break,
            },
            None => break,
        }
    }
    way.pop();
    for (dir, name) in way.iter().zip(names).rev() {
        match files.rmdir(*dir, name).await {
            Ok(()) | Err(FsError::NotFound) => {}
            Err(FsError::NotEmpty) => break,
            Err(error) => return Err(from_fs(error)),
        }
    }
    Ok(())
}
