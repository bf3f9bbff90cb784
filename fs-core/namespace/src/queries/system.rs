//! System attributes, the system directory, and listings in the order of names.

use super::{Answer, reader};
use crate::commands::system;
use crate::inodes::{Reader, allow};
use crate::keys;
use crate::records::{EntryName, Inode, Record, SystemValue};
use map::{MapError, OrderedMap};
use types::{AccessMask, Cred, FileId, FileKind, FsId, InodeId, Name};

/// The system directory of a filesystem, where it has been made.
///
/// # Errors
/// [`types::FsError::Stale`] where there is no such filesystem.
pub fn directory(map: &dyn OrderedMap, fs: FsId) -> Answer<Option<FileId>> {
    let read = reader(map, fs);
    let root = read.directory(InodeId::ROOT)?;
    let found = read.entry_of_any(InodeId::ROOT, root.as_directory()?, &system::name()?)?;
    Ok(found.map(|(_, entry)| read.file(entry.ino)))
}

/// The inode and all its system attributes, in the order of names.
///
/// # Errors
/// [`types::FsError::Stale`].
pub fn all(map: &dyn OrderedMap, file: FileId) -> Answer<(Inode, Vec<(Name, SystemValue)>)> {
    let read = reader(map, file.fs);
    let inode = read.inode(file.ino)?;
    let values = if inode.xattrs == 0 { Vec::new() } else { values(&read, file)? };
    Ok((inode, values))
}

fn values(read: &Reader<'_>, file: FileId) -> Result<Vec<(Name, SystemValue)>, MapError> {
    let (from, to) = keys::systems(file);
    let mut found = Vec::new();
    read.map.scan(&from, &to, &mut |key, value| {
        let name =
            keys::xattr_name(key).ok_or_else(|| MapError::Broken("a system attribute has no name".into()));
        found.push(name.and_then(|name| Ok((name, SystemValue::decode(value)?))));
        true
    })?;
    found.into_iter().collect()
}

/// Number of system attributes of an inode.
pub(crate) fn count(read: &Reader<'_>, ino: InodeId) -> Result<usize, MapError> {
    let (from, to) = keys::systems(read.file(ino));
    let mut count = 0;
    read.map.scan(&from, &to, &mut |_, _| {
        count += 1;
        true
    })?;
    Ok(count)
}

/// One entry of a listing by name.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name.
    pub name: Name,
    /// The inode.
    pub file: FileId,
    /// What stands behind it, where that was asked for.
    pub found: Option<(Inode, Option<SystemValue>)>,
}

/// What is asked of a listing by name.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// The first name that is not less, with the `/` of a directory.
    pub from: &'a [u8],
    /// Without what is exactly there.
    pub past: bool,
    /// Most entries.
    pub limit: usize,
}

/// Up to `limit` entries in the order of names, and whether the directory ends there; with inode and the system
/// attribute `value` of those for which `near` says so.
///
/// # Errors
/// [`types::FsError::NotDirectory`], [`types::FsError::AccessDenied`].
pub fn list(
    map: &dyn OrderedMap,
    cred: &Cred,
    dir: FileId,
    at: From<'_>,
    value: Option<&Name>,
    near: impl Fn(InodeId) -> bool,
) -> Answer<(Vec<Named>, bool)> {
    let read = reader(map, dir.fs);
    let inode = read.directory(dir.ino)?;
    allow(cred, &inode, AccessMask::READ)?;
    let mut entries: Vec<Result<Named, MapError>> = Vec::new();
    let mut end = true;
    let (from, to) = keys::entry_names_from(dir, at.from);
    map.scan(&from, &to, &mut |key, record| {
        let listed = keys::listed_name(key).unwrap_or_default();
        // What ends where the bound goes on stands behind the bound among keys, and before it among names.
        if listed < at.from || at.past && listed == at.from {
            return true;
        }
        if entries.len() == at.limit {
            end = false;
            return false;
        }
        let named = EntryName::decode(record).and_then(|EntryName { ino, kind, .. }| {
            let name = if kind == FileKind::Directory { listed.strip_suffix(b"/") } else { Some(listed) };
            let name = name.and_then(|name| Name::new(name.to_vec()).ok());
            let name = name.ok_or_else(|| MapError::Broken("an entry's key has no name".into()))?;
            Ok(Named { name, file: read.file(ino), found: None })
        });
        if !matches!(&named, Ok(named) if system::is_hidden(dir.ino, &named.name)) {
            entries.push(named);
        }
        true
    })?;
    let mut entries = entries.into_iter().collect::<Result<Vec<_>, _>>()?;
    for entry in entries.iter_mut().filter(|entry| near(entry.file.ino)) {
        entry.found = Some(of(map, entry.file, value)?);
    }
    Ok((entries, end))
}

/// An inode and one of its system attributes.
///
/// # Errors
/// [`types::FsError::Stale`].
pub fn of(map: &dyn OrderedMap, file: FileId, value: Option<&Name>) -> Answer<(Inode, Option<SystemValue>)> {
    let read = reader(map, file.fs);
    let inode = read.inode(file.ino)?;
    let value = match value.filter(|_| inode.xattrs > 0) {
        Some(name) => read.record(&keys::system(file, name))?,
        None => None,
    };
    Ok((inode, value))
}
