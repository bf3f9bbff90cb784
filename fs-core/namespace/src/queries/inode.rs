//! Inodes and filesystems.

use super::{Answer, reader};
use crate::commands::retention;
use crate::inodes::allow;
use crate::keys;
use crate::records::{Body, Filesystem, Inode, Record};
use bytes::Bytes;
use map::OrderedMap;
use types::{AccessMask, Attr, Cred, FileId, FsError, FsId, Time};

/// The inode as it is stored.
///
/// # Errors
/// [`FsError::Stale`] when it is gone.
pub fn inode(map: &dyn OrderedMap, file: FileId) -> Answer<Inode> {
    Ok(reader(map, file.fs).inode(file.ino)?)
}

/// The attributes of an inode as it is stored.
#[must_use]
pub fn attr_of(file: FileId, inode: &Inode) -> Attr {
    crate::inodes::attr(file, inode)
}

/// The rights of `mask` that `cred` has.
#[must_use]
pub fn access(cred: &Cred, inode: &Inode, mask: AccessMask) -> AccessMask {
    access::decide(cred, inode.uid, inode.gid, inode.mode, inode.kind, mask)
}

/// Whether `cred` may do what only the owner and the superuser may.
#[must_use]
pub fn owns(cred: &Cred, inode: &Inode) -> bool {
    access::owns(cred, inode.uid)
}

/// Fails unless `cred` has all of `mask`.
///
/// # Errors
/// [`FsError::AccessDenied`].
pub fn require(cred: &Cred, inode: &Inode, mask: AccessMask) -> Answer<()> {
    Ok(allow(cred, inode, mask)?)
}

/// Fails while the file is retained.
///
/// # Errors
/// [`FsError::NotPermitted`].
pub fn refuse_retained(inode: &Inode, now: Time) -> Answer<()> {
    Ok(retention::refuse(inode, now)?)
}

/// The target of a symbolic link.
///
/// # Errors
/// [`FsError::Invalid`] for anything else.
pub fn readlink(map: &dyn OrderedMap, file: FileId) -> Answer<Bytes> {
    match inode(map, file)?.body {
        Body::Symlink(target) => Ok(target),
        _ => Err(FsError::Invalid.into()),
    }
}

/// A filesystem by name.
///
/// # Errors
/// [`FsError::NotFound`].
pub fn filesystem(map: &dyn OrderedMap, name: &str) -> Answer<Filesystem> {
    reader(map, FsId(0)).record(&keys::filesystem_name(name))?.ok_or_else(|| FsError::NotFound.into())
}

/// All filesystems by name.
///
/// # Errors
/// Those of the map.
pub fn filesystems(map: &dyn OrderedMap) -> Answer<Vec<Filesystem>> {
    let (from, to) = keys::filesystem_names();
    let mut found = Vec::new();
    map.scan(&from, &to, &mut |_, value| {
        found.push(Filesystem::decode(value));
        true
    })?;
    Ok(found.into_iter().collect::<Result<_, _>>()?)
}
