//! Making a file that has no name yet.

use crate::inodes::{Step, Work, allow};
use crate::keys;
use crate::outcome::{DirChange, Reply};
use crate::records::{Body, File, Inode, Orphan};
use bytes::Bytes;
use types::{AccessMask, FileKind, InodeId, Mode};

/// See [`crate::Action::Stage`].
pub(crate) fn stage(work: &mut Work<'_>, near: InodeId, mode: Mode) -> Step<Reply> {
    let dir = work.read().directory(near)?;
    allow(&work.cred, &dir, AccessMask::EXECUTE)?;
    work.allow_entries(&dir)?;
    let ino = work.new_inode_id(near.slot())?;
    let inode = Inode { links: 0, ..work.new_file(&dir, mode, Bytes::new()) };
    work.put_inode(ino, &inode);
    let orphan = keys::orphan(work.file(ino));
    work.put(&orphan, &Orphan { since: work.now });
    let attr = work.read().attr(ino, &inode);
    Ok(Reply::Created { attr, dir: DirChange { before: dir.change, after: dir.change }, created: true })
}

impl Work<'_> {
    /// A regular file of the caller's with one name, as it would be made in `dir`.
    pub(crate) fn new_file(&self, dir: &Inode, mode: Mode, content: Bytes) -> Inode {
        let asked = Mode(mode.0 & 0o7777);
        let (gid, mode) = access::inherit(&self.cred, dir.gid, dir.mode, FileKind::File, asked);
        let body = Body::File(File { inline: Some(content), ..File::default() });
        self.new_inode(FileKind::File, mode, (self.cred.uid, gid), body)
    }
}
