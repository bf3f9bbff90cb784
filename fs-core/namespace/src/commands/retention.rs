//! What is retained stays as it is, for every command and every caller: the decision is here and nowhere else.
//!
//! The present is the command's. Refused is [`FsError::NotPermitted`], as of what is immutable in Linux.

use crate::inodes::{Step, Work};
use crate::outcome::Reply;
use crate::records::{Body, Inode};
use types::{FileKind, FsError, Guard, InodeId, Retention, Time};

/// Fails while the file is retained.
pub(crate) fn refuse(inode: &Inode, now: Time) -> Step<()> {
    if inode.retention().holds(now) { Err(FsError::NotPermitted.into()) } else { Ok(()) }
}

/// Fails where the directory may not lose its name, or its place: with something in it, or ever.
pub(crate) fn refuse_move(inode: &Inode, now: Time) -> Step<()> {
    let guard = inode.guard();
    let refused = guard.stands(now) && (guard.itself || inode.size > 0);
    if refused { Err(FsError::NotPermitted.into()) } else { refuse(inode, now) }
}

impl Inode {
    /// What keeps the file as it is.
    #[must_use]
    pub fn retention(&self) -> Retention {
        if let Body::File(file) = &self.body { file.retention } else { Retention::default() }
    }

    /// What guards the directory.
    #[must_use]
    pub fn guard(&self) -> Guard {
        if let Body::Directory(directory) = &self.body { directory.guard } else { Guard::default() }
    }
}

/// See [`crate::Action::Retain`].
pub(crate) fn retain(
    work: &mut Work<'_>,
    ino: InodeId,
    retention: Retention,
    bypass: bool,
    seen: Option<Retention>,
) -> Step<Reply> {
    let mut inode = work.read().inode(ino)?;
    let before = inode.change;
    if inode.kind != FileKind::File || retention.until < 0 {
        return Err(FsError::Invalid.into());
    }
    if !access::owns(&work.cred, inode.uid) || !retention.may_follow(&inode.retention(), work.now, bypass) {
        return Err(FsError::NotPermitted.into());
    }
    if seen.is_some_and(|seen| seen != inode.retention()) {
        return Err(FsError::Busy.into());
    }
    inode.as_file_mut()?.retention = retention;
    inode.touch(work.now);
    Ok(work.keep_changed(ino, &inode, before))
}

/// See [`crate::Action::Guard`].
pub(crate) fn guard(work: &mut Work<'_>, ino: InodeId, guard: Option<Guard>) -> Step<Reply> {
    let mut inode = work.read().directory(ino)?;
    let before = inode.change;
    if !access::owns(&work.cred, inode.uid) {
        return Err(FsError::NotPermitted.into());
    }
    let directory = inode.as_directory_mut()?;
    directory.guard = guard.map_or(Guard::default(), |guard| directory.guard.with(guard));
    inode.touch(work.now);
    Ok(work.keep_changed(ino, &inode, before))
}
