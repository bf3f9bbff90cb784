//! Removing a name: unlink and rmdir.

use crate::commands::retention;
use crate::inodes::{Step, Work, allow};
use crate::outcome::{Failure, Reply};
use types::{AccessMask, FileKind, FsError, InodeId, Name};

/// Removes `name` from `dir` while it still names `seen`.
pub(crate) fn remove(
    work: &mut Work<'_>,
    dir_ino: InodeId,
    name: &Name,
    directory: bool,
    seen: InodeId,
    keep: bool,
) -> Step<Reply> {
    let mut dir = work.read().directory(dir_ino)?;
    allow(&work.cred, &dir, AccessMask::EXECUTE)?;
    let Some((cookie, entry)) = work.find(dir_ino, &dir, name)? else { return Err(FsError::NotFound.into()) };
    if entry.ino != seen {
        return Err(Failure::Moved.into());
    }
    work.allow_entries(&dir)?;
    let inode = work.read().inode(entry.ino)?;
    work.allow_removal(&dir, &inode)?;
    retention::refuse(&inode, work.now)?;
    match (directory, inode.kind == FileKind::Directory) {
        (true, false) => return Err(FsError::NotDirectory.into()),
        (false, true) => return Err(FsError::IsDirectory.into()),
        (true, true) if inode.size > 0 => return Err(FsError::NotEmpty.into()),
        (true, true) => retention::refuse_move(&inode, work.now)?,
        (false, false) => {}
    }
    let change = work.remove_entry(dir_ino, &mut dir, cookie, &entry)?;
    work.put_inode(dir_ino, &dir);
    let removed = work.drop_link(dir_ino.slot(), entry.ino, inode, keep)?;
    Ok(Reply::Removed { dir: change, removed })
}
