//! Setting and removing extended attributes.

use crate::command::Reply;
use crate::inodes::{Step, Work};
use crate::records::Xattr;
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
    let key = keys::xattr(work.file(ino), name);
    let exists = work.map.get(&key)?.is_some();
    match (must_exist, exists) {
        (Some(true), false) => return Err(FsError::NoAttribute.into()),
        (Some(false), true) => return Err(FsError::Exists.into()),
        _ => {}
    }
    match value {
        Some(value) if value.len() > XATTR_VALUE_BYTES_MAX => return Err(FsError::AttributeTooLarge.into()),
        Some(value) => {
            let listed = queries::xattr::names(&work.read(), ino)?
                .iter()
                .map(|n| n.as_bytes().len() + 1)
                .sum::<usize>();
            if !exists && listed + name.as_bytes().len() + 1 > XATTR_LIST_BYTES_MAX {
                return Err(FsError::NoSpace.into());
            }
            inode.xattrs += u32::from(!exists);
            work.put(&key, &Xattr { value });
        }
        None if exists => {
            inode.xattrs -= 1;
            work.map.delete(&key);
        }
        None => return Err(FsError::NoAttribute.into()),
    }
    inode.touch(work.now);
    work.put_inode(ino, &inode);
    Ok(Reply::Attr { attr: work.read().attr(ino, &inode), before, drain: false })
}
