//! Another name for an inode.

use crate::inodes::{Step, Work, allow};
use crate::outcome::Reply;
use crate::records::Entry;
use types::limits::LINKS_MAX;
use types::{AccessMask, FileKind, FsError, InodeId, Name};

/// Gives `ino` the name `name` in `dir`.
pub(crate) fn link(work: &mut Work<'_>, ino: InodeId, dir_ino: InodeId, name: Name) -> Step<Reply> {
    let mut dir = work.read().directory(dir_ino)?;
    allow(&work.cred, &dir, AccessMask::EXECUTE)?;
    if work.find(dir_ino, &dir, &name)?.is_some() {
        return Err(FsError::Exists.into());
    }
    work.allow_entries(&dir)?;
    let mut inode = work.read().inode(ino)?;
    if inode.kind == FileKind::Directory {
        return Err(FsError::NotPermitted.into());
    }
    if inode.links == 0 {
        return Err(FsError::NotFound.into());
    }
    if inode.links >= LINKS_MAX {
        return Err(FsError::TooManyLinks.into());
    }
    inode.links += 1;
    inode.touch(work.now);
    let change = work.add_entry(dir_ino, &mut dir, Entry { name, ino, kind: inode.kind })?;
    work.put_inode(dir_ino, &dir);
    work.put_inode(ino, &inode);
    let attr = work.read().attr(ino, &inode);
    Ok(Reply::Created { attr, dir: change, created: true })
}
