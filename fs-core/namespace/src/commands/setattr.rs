//! Changing attributes.

use crate::command::{Failure, Reply};
use crate::extents::{EXTENTS_PER_COMMAND, shortened};
use crate::inodes::{Step, Stop, Work, allow};
use crate::keys;
use crate::records::{Inode, Intent};
use types::limits::FILE_BYTES_MAX;
use types::{AccessMask, ByteRange, Cred, FileKind, FsError, InodeId, SetAttr, SetTime, Time};

/// Applies all of `set` or nothing.
pub(crate) fn setattr(
    work: &mut Work<'_>,
    ino: InodeId,
    set: &SetAttr,
    may_write: bool,
    if_ctime: Option<Time>,
) -> Step<Reply> {
    let mut inode = work.read().inode(ino)?;
    let before = inode.change;
    if if_ctime.is_some_and(|ctime| ctime != inode.ctime) {
        return Err(FsError::Busy.into());
    }
    let asked = inode.clone();
    owners(&work.cred, &mut inode, set)?;
    if let Some(mode) = set.mode {
        if !access::owns(&work.cred, asked.uid) {
            return Err(FsError::NotPermitted.into());
        }
        inode.mode = access::chmod(&work.cred, inode.gid, mode);
    }
    times(work, &asked, &mut inode, set, may_write)?;
    let mut drain = false;
    if let Some(size) = set.size {
        if !may_write {
            inode.as_file()?;
            allow(&work.cred, &asked, AccessMask::WRITE)?;
        }
        drain = resize(work, ino, &mut inode, size)?;
        inode.mode = access::kill_privileges(&work.cred, inode.kind, inode.mode, false);
        if set.mtime.is_none() {
            inode.mtime = work.now;
        }
    }
    if let crate::records::Body::File(file) = &mut inode.body {
        file.verifier = None;
    }
    inode.touch(work.now);
    work.put_inode(ino, &inode);
    Ok(Reply::Attr { attr: work.read().attr(ino, &inode), before, drain })
}

/// Gives the inode another owner and group, as far as the caller may (chown(2)).
pub(crate) fn owners(cred: &Cred, inode: &mut Inode, set: &SetAttr) -> Step<()> {
    if set.uid.is_none() && set.gid.is_none() {
        return Ok(());
    }
    let owns = access::owns(cred, inode.uid);
    let uid_may = set.uid.is_none_or(|uid| cred.uid == 0 || (owns && uid == inode.uid));
    let gid_may =
        set.gid.is_none_or(|gid| cred.uid == 0 || (owns && (gid == inode.gid || cred.in_group(gid))));
    if !uid_may || !gid_may {
        return Err(FsError::NotPermitted.into());
    }
    inode.uid = set.uid.unwrap_or(inode.uid);
    inode.gid = set.gid.unwrap_or(inode.gid);
    inode.mode = access::kill_privileges(cred, inode.kind, inode.mode, true);
    Ok(())
}

fn times(work: &Work<'_>, asked: &Inode, inode: &mut Inode, set: &SetAttr, may_write: bool) -> Step<()> {
    let given = [set.atime, set.mtime].into_iter().flatten();
    let owns = access::owns(&work.cred, asked.uid);
    for time in given {
        match time {
            _ if owns => {}
            SetTime::At(_) => return Err(FsError::NotPermitted.into()),
            SetTime::Now if may_write => {}
            SetTime::Now => allow(&work.cred, asked, AccessMask::WRITE)?,
        }
    }
    if set.btime.is_some() && !owns {
        return Err(FsError::NotPermitted.into());
    }
    let at = |time: SetTime| if let SetTime::At(time) = time { time } else { work.now };
    inode.atime = set.atime.map_or(inode.atime, at);
    inode.mtime = set.mtime.map_or(inode.mtime, at);
    inode.btime = set.btime.unwrap_or(inode.btime);
    let valid = |time: Time| time.nanoseconds < 1_000_000_000;
    if valid(inode.atime) && valid(inode.mtime) && valid(inode.btime) {
        Ok(())
    } else {
        Err(FsError::Invalid.into())
    }
}

/// Extends by a hole.
pub(crate) fn grow(inode: &mut Inode, size: u64) -> Step<()> {
    inode.as_file()?;
    inode.size = size;
    Ok(())
}

/// Cuts or extends; says whether extents are left to be drained.
fn resize(work: &mut Work<'_>, ino: InodeId, inode: &mut Inode, size: u64) -> Step<bool> {
    if inode.kind != FileKind::File {
        inode.as_file()?;
    }
    if size > FILE_BYTES_MAX {
        return Err(FsError::FileTooLarge.into());
    }
    if size >= inode.size {
        grow(inode, size)?;
        return Ok(false);
    }
    inode.size = size;
    if let Some(content) = &inode.as_file()?.inline {
        let content = shortened(content, size);
        inode.used = content.len() as u64;
        inode.as_file_mut()?.inline = Some(content);
        return Ok(false);
    }
    match work.punch(ino, inode, ByteRange { offset: size, end: u64::MAX }, EXTENTS_PER_COMMAND) {
        Ok(()) => return Ok(inode.as_file()?.cut.is_some()),
        Err(Stop::Fail(Failure::Split { .. })) => {}
        Err(stop) => return Err(stop),
    }
    // Too many: trim the one that straddles the end, and let what is beyond read as a hole meanwhile.
    if let Some(straddling) = work.read().runs(ino, ByteRange::new(size, 1), 1)?.pop() {
        work.punch(ino, inode, ByteRange { offset: size, end: straddling.range().end }, 1)?;
    }
    let file = inode.as_file_mut()?;
    file.cut = Some(file.cut.map_or(size, |cut| cut.min(size)));
    let key = keys::intent(work.file(ino));
    work.put(&key, &Intent::Cut);
    Ok(true)
}
