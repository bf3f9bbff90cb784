//! Entries of directories.

use super::{Answer, reader};
use crate::commands::system;
use crate::inodes::allow;
use crate::keys;
use crate::records::{Entry, Inode, Record};
use map::{MapError, OrderedMap};
use types::{AccessMask, Attr, Cookie, Cred, FileId, FileKind, FsError, InodeId, Name};

/// The inode that `name` names in `dir`.
///
/// # Errors
/// [`FsError::NotFound`], [`FsError::NotDirectory`], [`FsError::AccessDenied`].
pub fn lookup(map: &dyn OrderedMap, cred: &Cred, dir: FileId, name: &Name) -> Answer<(InodeId, Inode)> {
    let read = reader(map, dir.fs);
    let inode = read.directory(dir.ino)?;
    allow(cred, &inode, AccessMask::EXECUTE)?;
    let found = read.entry(dir.ino, inode.as_directory()?, name)?;
    let (_, entry) = found.ok_or(FsError::NotFound)?;
    Ok((entry.ino, read.inode(entry.ino)?))
}

/// The inode that `name` names in `dir`, whoever asks.
///
/// # Errors
/// [`FsError::NotDirectory`], [`FsError::Stale`].
pub fn named(map: &dyn OrderedMap, dir: FileId, name: &Name) -> Answer<Option<(InodeId, Inode)>> {
    let read = reader(map, dir.fs);
    let inode = read.inode(dir.ino)?;
    let Some((_, entry)) = read.entry(dir.ino, inode.as_directory()?, name)? else { return Ok(None) };
    Ok(Some((entry.ino, read.inode(entry.ino)?)))
}

/// The directory that `dir` is in; the root is in itself.
///
/// # Errors
/// [`FsError::NotDirectory`], [`FsError::AccessDenied`].
pub fn parent(map: &dyn OrderedMap, cred: &Cred, dir: FileId) -> Answer<(InodeId, Inode)> {
    let read = reader(map, dir.fs);
    let inode = read.directory(dir.ino)?;
    allow(cred, &inode, AccessMask::EXECUTE)?;
    let parent = inode.as_directory()?.parent;
    Ok((parent, read.inode(parent)?))
}

/// One entry of a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its place.
    pub cookie: Cookie,
    /// Its name.
    pub name: Name,
    /// The inode.
    pub file: FileId,
    /// What that is.
    pub kind: FileKind,
    /// Its attributes, where asked for.
    pub attr: Option<Attr>,
}

/// Up to `limit` entries after `after`, and whether the directory ends there; with attributes of inodes for which
/// `attrs` says so.
///
/// # Errors
/// [`FsError::NotDirectory`], [`FsError::AccessDenied`].
pub fn list(
    map: &dyn OrderedMap,
    cred: &Cred,
    dir: FileId,
    after: Cookie,
    limit: usize,
    attrs: impl Fn(InodeId) -> bool,
) -> Answer<(Vec<Listed>, bool)> {
    let read = reader(map, dir.fs);
    let inode = read.inode(dir.ino)?;
    inode.as_directory()?;
    allow(cred, &inode, AccessMask::READ)?;
    let mut entries: Vec<Result<Listed, MapError>> = Vec::new();
    let mut end = true;
    if after < Cookie::LAST {
        let (from, to) = keys::entries_after(dir, after);
        map.scan(&from, &to, &mut |key, value| {
            if entries.len() == limit {
                end = false;
                return false;
            }
            let entry = Entry::decode(value);
            if matches!(&entry, Ok(entry) if system::is_hidden(dir.ino, &entry.name)) {
                return true;
            }
            let entry = entry.and_then(|Entry { name, ino, kind }| {
                let cookie = keys::entry_cookie(key)
                    .ok_or_else(|| MapError::Broken("an entry's key has no cookie".into()))?;
                Ok(Listed { cookie, name, file: read.file(ino), kind, attr: None })
            });
            entries.push(entry);
            true
        })?;
    }
    let mut entries = entries.into_iter().collect::<Result<Vec<_>, _>>()?;
    for entry in entries.iter_mut().filter(|entry| attrs(entry.file.ino)) {
        entry.attr = Some(read.attr(entry.file.ino, &read.inode(entry.file.ino)?));
    }
    Ok((entries, end))
}
