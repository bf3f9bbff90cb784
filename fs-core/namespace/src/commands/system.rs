//! What heads keep: the system directory, and the system attributes of inodes.

use crate::extents::less;
use crate::inodes::{Step, Work, allow};
use crate::outcome::Reply;
use crate::records::{Body, Directory, Entry, Inode, SystemValue};
use crate::{keys, queries};
use bytes::Bytes;
use types::limits::{SYSTEM_ATTRIBUTES_MAX, XATTR_VALUE_BYTES_MAX};
use types::{AccessMask, FileKind, FsError, Guard, InodeId, Mode, Name};

/// The name of the system directory in the root of its filesystem, which is hidden from everybody.
const NAME: &[u8] = b".plexus";

/// Whether `name` in `dir` is that of the system directory.
pub(crate) fn is_hidden(dir: InodeId, name: &Name) -> bool {
    dir == InodeId::ROOT && name.as_bytes() == NAME
}

/// That name.
pub(crate) fn name() -> Step<Name> {
    Name::new(NAME).map_err(|_| FsError::Io.into())
}

/// See [`crate::Action::MakeSystem`].
pub(crate) fn make(work: &mut Work<'_>) -> Step<Reply> {
    let name = name()?;
    let mut root = work.read().directory(InodeId::ROOT)?;
    let &Directory { depth, hash_key, .. } = root.as_directory()?;
    let there = root.change;
    let unchanged = crate::DirChange { before: there, after: there };
    if let Some((_, entry)) = work.read().entry_of_any(InodeId::ROOT, root.as_directory()?, &name)? {
        let inode = work.read().inode(entry.ino)?;
        let attr = work.read().attr(entry.ino, &inode);
        return Ok(Reply::Created { attr, dir: unchanged, created: false });
    }
    let ino = work.new_inode_id(InodeId::ROOT.slot())?;
    let body = Body::Directory(Directory {
        parent: InodeId::ROOT,
        depth: depth + 1,
        displaced: 0,
        hash_key,
        guard: Guard::default(),
    });
    let inode = work.new_inode(FileKind::Directory, Mode(0o700), (0, 0), body);
    let change =
        work.add_any_entry(InodeId::ROOT, &mut root, Entry { name, ino, kind: FileKind::Directory })?;
    work.put_inode(InodeId::ROOT, &root);
    work.put_inode(ino, &inode);
    Ok(Reply::Created { attr: work.read().attr(ino, &inode), dir: change, created: true })
}

/// See [`crate::Action::SetSystem`].
pub(crate) fn set(
    work: &mut Work<'_>,
    ino: InodeId,
    name: &Name,
    value: Option<Bytes>,
    if_content: Option<u64>,
    if_value: Option<Option<Bytes>>,
) -> Step<Reply> {
    let mut inode = work.read().inode(ino)?;
    let before = inode.change;
    allow(&work.cred, &inode, AccessMask::WRITE)?;
    if if_content.is_some_and(|content| content != inode.content) {
        return Err(FsError::Busy.into());
    }
    if let Some(seen) = if_value {
        let there: Option<SystemValue> = work.read().record(&keys::system(work.file(ino), name))?;
        if there.map(|there| there.value) != seen {
            return Err(FsError::Busy.into());
        }
    }
    work.set_system(ino, &mut inode, name, value)?;
    inode.touch(work.now);
    Ok(work.keep_changed(ino, &inode, before))
}

impl Work<'_> {
    /// Sets or removes a system attribute of `inode`, which the caller writes.
    pub(crate) fn set_system(
        &mut self,
        ino: InodeId,
        inode: &mut Inode,
        name: &Name,
        value: Option<Bytes>,
    ) -> Step<()> {
        let key = keys::system(self.file(ino), name);
        let there = self.map.get(&key)?.is_some();
        match value {
            Some(value) if value.len() > XATTR_VALUE_BYTES_MAX => {
                return Err(FsError::AttributeTooLarge.into());
            }
            Some(value) => {
                if !there {
                    if queries::system::count(&self.read(), ino)? >= SYSTEM_ATTRIBUTES_MAX {
                        return Err(FsError::AttributeTooLarge.into());
                    }
                    inode.xattrs = inode.xattrs.saturating_add(1);
                }
                self.put(&key, &SystemValue { content: inode.content, value });
            }
            None if there => {
                inode.xattrs = less(inode.xattrs, 1)?;
                self.map.delete(&key);
            }
            None => {}
        }
        Ok(())
    }
}
