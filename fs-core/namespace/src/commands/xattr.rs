//! Setting and removing extended attributes.

use crate::commands::retention;
use crate::extents::less;
use crate::inodes::{Step, Work};
use crate::outcome::Reply;
use crate::records::{Inode, Xattr};
use crate::{keys, queries};
use bytes::Bytes;
use types::limits::{XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use types::{FsError, InodeId, Name};

/// See [`crate::Action::SetXattr`].
pub(crate) fn set(
    work: &mut Work<'_>,
    ino: InodeId,
    name: &Name,
    value: Option<Bytes>,
    must_exist: Option<bool>,
) -> Step<Reply> {
    let mut inode = work.read().inode(ino)?;
    let before = inode.change;
    queries::xattr::allow_change(&work.cred, &inode, name)?;
    retention::refuse(&inode, work.now)?;
    if value.as_ref().is_some_and(|value| value.len() > XATTR_VALUE_BYTES_MAX) {
        return Err(FsError::AttributeTooLarge.into());
    }
    let key = keys::xattr(work.file(ino), name);
    let exists = work.map.get(&key)?.is_some();
    match (must_exist, exists) {
        (Some(true), false) => return Err(FsError::NoAttribute.into()),
        (Some(false), true) => return Err(FsError::Exists.into()),
        _ => {}
    }
    match value {
        Some(value) => {
            if !exists {
                let names = queries::xattr::names(&work.read(), ino)?;
                let listed: usize = names.iter().chain([name]).map(|name| name.as_bytes().len() + 1).sum();
                if listed > XATTR_LIST_BYTES_MAX {
                    return Err(FsError::AttributeTooLarge.into());
                }
                inode.xattrs = inode.xattrs.saturating_add(1);
            }
            work.put(&key, &Xattr { value });
        }
        None if exists => {
            inode.xattrs = less(inode.xattrs, 1)?;
            work.map.delete(&key);
        }
        None => return Err(FsError::NoAttribute.into()),
    }
    inode.touch(work.now);
    Ok(work.keep_changed(ino, &inode, before))
}

impl Work<'_> {
    /// A program that changes has no capabilities any more (capabilities(7)); says whether it had.
    pub(crate) fn forget_capability(&mut self, ino: InodeId, inode: &mut Inode) -> Step<bool> {
        let key = keys::capability(self.file(ino));
        if inode.xattrs == 0 || self.map.get(&key)?.is_none() {
            return Ok(false);
        }
        self.map.delete(&key);
        inode.xattrs = less(inode.xattrs, 1)?;
        Ok(true)
    }

    /// The caller changes the content: setuid, setgid and capabilities fall. Says whether any did.
    pub(crate) fn drop_privileges(&mut self, ino: InodeId, inode: &mut Inode) -> Step<bool> {
        let mode = access::kill_privileges(&self.cred, inode.kind, inode.mode, false);
        let fell = mode != inode.mode;
        inode.mode = mode;
        Ok(self.forget_capability(ino, inode)? || fell)
    }
}
