//! Extended attributes, and who may see and change them.

use super::{Answer, reader};
use crate::inodes::{Reader, Step, allow};
use crate::keys;
use crate::records::{Inode, Record, Xattr};
use bytes::Bytes;
use map::{MapError, OrderedMap};
use types::{AccessMask, Cred, FileId, FileKind, FsError, InodeId, Mode, Name};

/// The families of names that Linux knows (xattr(7)).
enum Family {
    User,
    Trusted,
    Security,
}

fn family(name: &Name) -> Step<Family> {
    let name = name.as_bytes();
    for (prefix, family) in
        [(&b"user."[..], Family::User), (b"trusted.", Family::Trusted), (b"security.", Family::Security)]
    {
        if let Some(rest) = name.strip_prefix(prefix) {
            return if rest.is_empty() { Err(FsError::Invalid.into()) } else { Ok(family) };
        }
    }
    Err(FsError::NotSupported.into())
}

/// Fails unless `cred` may set or remove `name`.
pub(crate) fn allow_change(cred: &Cred, inode: &Inode, name: &Name) -> Step<()> {
    match family(name)? {
        Family::User if !matches!(inode.kind, FileKind::File | FileKind::Directory) => {
            Err(FsError::NotPermitted.into())
        }
        Family::User
            if inode.kind == FileKind::Directory
                && inode.mode != Mode(inode.mode.0 & !access::STICKY)
                && !access::owns(cred, inode.uid) =>
        {
            Err(FsError::NotPermitted.into())
        }
        Family::User => allow(cred, inode, AccessMask::WRITE),
        Family::Trusted | Family::Security if cred.uid == 0 => Ok(()),
        Family::Trusted | Family::Security => Err(FsError::NotPermitted.into()),
    }
}

/// The value of an attribute.
///
/// # Errors
/// [`FsError::NoAttribute`], [`FsError::AccessDenied`], [`FsError::NotSupported`].
pub fn get(map: &dyn OrderedMap, cred: &Cred, file: FileId, name: &Name) -> Answer<Bytes> {
    let read = reader(map, file.fs);
    let inode = read.inode(file.ino)?;
    match family(name)? {
        Family::User if !matches!(inode.kind, FileKind::File | FileKind::Directory) => {
            return Err(FsError::NoAttribute.into());
        }
        Family::User => allow(cred, &inode, AccessMask::READ)?,
        Family::Trusted if cred.uid != 0 => return Err(FsError::NoAttribute.into()),
        Family::Trusted | Family::Security => {}
    }
    let record: Option<Xattr> = if inode.xattrs == 0 { None } else { read.record(&keys::xattr(file, name))? };
    record.map(|record| record.value).ok_or_else(|| FsError::NoAttribute.into())
}

/// The names that `cred` may see, in order.
///
/// # Errors
/// [`FsError::Stale`].
pub fn list(map: &dyn OrderedMap, cred: &Cred, file: FileId) -> Answer<Vec<Name>> {
    let read = reader(map, file.fs);
    if read.inode(file.ino)?.xattrs == 0 {
        return Ok(Vec::new());
    }
    let mut names = names(&read, file.ino)?;
    names.retain(|name| cred.uid == 0 || !name.as_bytes().starts_with(b"trusted."));
    Ok(names)
}

/// All names of an inode.
pub(crate) fn names(read: &Reader<'_>, ino: InodeId) -> Result<Vec<Name>, MapError> {
    let (from, to) = keys::xattrs(read.file(ino));
    let mut names = Vec::new();
    let mut broken = false;
    read.map.scan(&from, &to, &mut |key, value| {
        match (keys::xattr_name(key), Xattr::decode(value)) {
            (Some(name), Ok(_)) => names.push(name),
            _ => broken = true,
        }
        !broken
    })?;
    if broken { Err(MapError::Broken("an extended attribute cannot be read".into())) } else { Ok(names) }
}

/// Whether a write of `cred` makes privileges of the file fall: setuid, setgid, capabilities.
///
/// # Errors
/// Those of the map.
pub fn has_privileges(map: &dyn OrderedMap, cred: &Cred, file: FileId, inode: &Inode) -> Answer<bool> {
    Ok(access::kill_privileges(cred, inode.kind, inode.mode, false) != inode.mode
        || (inode.xattrs > 0 && map.get(&keys::capability(file))?.is_some()))
}
