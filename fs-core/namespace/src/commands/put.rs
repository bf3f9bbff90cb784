//! Giving a name to a whole file, in the place of what stands there.

use crate::command::{Put, PutIf, PutSource};
use crate::commands::retention;
use crate::extents::STRIPES_PER_COMMAND;
use crate::inodes::{Step, Work, allow};
use crate::keys;
use crate::outcome::{Failure, Removed, Reply};
use crate::records::{Entry, Inode};
use bytes::Bytes;
use types::limits::{INLINE_FILE_BYTES_MAX, LINKS_MAX, SYSTEM_PUT_BYTES_MAX};
use types::{AccessMask, FileKind, FsError, InodeId};

/// See [`crate::Action::Put`].
pub(crate) fn put(work: &mut Work<'_>, put: Put) -> Step<Reply> {
    let mut dir = work.read().directory(put.dir)?;
    allow(&work.cred, &dir, AccessMask::EXECUTE)?;
    let found = work.find(put.dir, &dir, &put.name)?;
    if found.as_ref().map(|(_, entry)| entry.ino) != put.seen {
        return Err(Failure::Moved.into());
    }
    work.allow_entries(&dir)?;
    let old = found.as_ref().map(|(_, entry)| work.read().inode(entry.ino)).transpose()?;
    check(work, &put, &dir, old.as_ref())?;
    let (ino, mut inode) = source(work, &put, &dir)?;

    let mut removed = None;
    if let (Some((cookie, entry)), Some(old)) = (found, old) {
        work.remove_entry(put.dir, &mut dir, cookie, &entry)?;
        removed = set_aside(work, &put, &entry, old)?;
    }
    let entry = Entry { name: put.name.clone(), ino, kind: FileKind::File };
    work.add_entry(put.dir, &mut dir, entry)?;
    work.put_inode(put.dir, &dir);
    inode.modify(work.now);
    inode.mark_content();
    inode.as_file_mut()?.retention = put.retention;
    for (name, value) in put.values {
        work.set_system(ino, &mut inode, &name, Some(value))?;
    }
    work.put_inode(ino, &inode);
    Ok(Reply::Put { attr: work.read().attr(ino, &inode), removed })
}

fn check(work: &Work<'_>, put: &Put, dir: &Inode, old: Option<&Inode>) -> Step<()> {
    if let Some(old) = old {
        work.allow_removal(dir, old)?;
        if put.aside.is_none() {
            retention::refuse(old, work.now)?;
        }
        if old.kind == FileKind::Directory {
            return Err(FsError::IsDirectory.into());
        }
    }
    match (put.only, old) {
        (PutIf::Absent, Some(_)) => return Err(FsError::Exists.into()),
        (PutIf::Is { .. }, None) => return Err(FsError::Busy.into()),
        (PutIf::Is { ino, content }, Some(old)) if put.seen != Some(ino) || old.content != content => {
            return Err(FsError::Busy.into());
        }
        _ => {}
    }
    let bytes: usize = put.values.iter().map(|(name, value)| name.as_bytes().len() + value.len()).sum();
    if bytes > SYSTEM_PUT_BYTES_MAX {
        return Err(FsError::AttributeTooLarge.into());
    }
    Ok(())
}

/// The file with its one name to be, and not an orphan any more.
fn source(work: &mut Work<'_>, put: &Put, dir: &Inode) -> Step<(InodeId, Inode)> {
    match &put.source {
        PutSource::Staged(ino) => {
            let file = work.file(*ino);
            let mut inode = work.read().inode(*ino)?;
            inode.as_file()?;
            // Only what has just been staged, and belongs to whoever puts it.
            if inode.links != 0 || !access::owns(&work.cred, inode.uid) {
                return Err(FsError::Invalid.into());
            }
            work.map.delete(&keys::orphan(file));
            inode.links = 1;
            Ok((*ino, inode))
        }
        PutSource::Content { data, .. } if data.len() > INLINE_FILE_BYTES_MAX => Err(FsError::Invalid.into()),
        PutSource::Content { data, mode } => {
            let ino = work.new_inode_id(put.dir.slot())?;
            let mut inode = work.new_file(dir, *mode, data.clone());
            work.set_used(ino, &mut inode, data.len() as u64);
            Ok((ino, inode))
        }
        PutSource::Laid { extents, .. } if extents.len() > STRIPES_PER_COMMAND => {
            Err(FsError::Invalid.into())
        }
        PutSource::Laid { stripes, extents, mode } => {
            let ino = work.new_inode_id(put.dir.slot())?;
            let mut inode = work.new_file(dir, *mode, Bytes::new());
            super::commit::lay(work, ino, &mut inode, stripes, extents)?;
            Ok((ino, inode))
        }
    }
}

/// The file that stood there gets the name that it is kept under, or loses its name.
fn set_aside(work: &mut Work<'_>, put: &Put, entry: &Entry, mut old: Inode) -> Step<Option<Removed>> {
    let Some((keep_ino, name)) = &put.aside else {
        return work.drop_link(put.dir.slot(), entry.ino, old, put.keep).map(Some);
    };
    // Its directory is another, and none of the caller's.
    if *keep_ino == put.dir {
        return Err(FsError::Invalid.into());
    }
    let mut keep = work.read().directory(*keep_ino)?;
    if work.find(*keep_ino, &keep, name)?.is_some() {
        return Err(FsError::Exists.into());
    }
    if old.links >= LINKS_MAX {
        return Err(FsError::TooManyLinks.into());
    }
    let kept = Entry { name: name.clone(), ..entry.clone() };
    work.add_entry(*keep_ino, &mut keep, kept)?;
    work.put_inode(*keep_ino, &keep);
    old.touch(work.now);
    work.put_inode(entry.ino, &old);
    Ok(None)
}
