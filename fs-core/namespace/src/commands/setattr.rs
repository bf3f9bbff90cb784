//! Changing attributes.

use crate::commands::retention;
use crate::extents::{EXTENTS_PER_COMMAND, shortened};
use crate::inodes::{Step, Stop, Work, allow};
use crate::keys;
use crate::outcome::{Failure, Reply};
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
    if set.size.is_some() {
        inode.as_file()?;
        if !may_write {
            allow(&work.cred, &inode, AccessMask::WRITE)?;
        }
    }
    if if_ctime.is_some_and(|ctime| ctime != inode.ctime) {
        return Err(FsError::Busy.into());
    }
    check(&work.cred, &inode, set, may_write)?;
    let mut drain = false;
    if *set != SetAttr::default() {
        // Whoever reads leaves a time behind.
        if *set != (SetAttr { atime: set.atime, ..SetAttr::default() }) {
            retention::refuse(&inode, work.now)?;
        }
        if let Some(size) = set.size {
            drain = resize(work, ino, &mut inode, size)?;
        }
        if set.size.is_some() || set.uid.is_some() || set.gid.is_some() {
            work.forget_capability(ino, &mut inode)?;
        }
        assign(&work.cred, &mut inode, set, work.now);
        inode.touch(work.now);
        if set.size.is_some() {
            inode.mark_content();
        }
        work.put_inode(ino, &inode);
    }
    Ok(Reply::Attr { attr: work.read().attr(ino, &inode), before, drain })
}

/// Whether the caller may make all the changes of `set`; the right to change the size is asked elsewhere.
pub(crate) fn check(cred: &Cred, inode: &Inode, set: &SetAttr, may_write: bool) -> Step<()> {
    let owns = access::owns(cred, inode.uid);
    if let Some(size) = set.size {
        inode.as_file()?;
        if size > FILE_BYTES_MAX {
            return Err(FsError::FileTooLarge.into());
        }
    }
    if set.mode.is_some() && inode.kind == FileKind::Symlink {
        return Err(FsError::NotSupported.into());
    }
    let uid_fits = set.uid.is_none_or(|uid| cred.uid == 0 || (owns && uid == inode.uid));
    let gid_fits =
        set.gid.is_none_or(|gid| cred.uid == 0 || (owns && (gid == inode.gid || cred.in_group(gid))));
    if (set.mode.is_some() && !owns) || !uid_fits || !gid_fits {
        return Err(FsError::NotPermitted.into());
    }
    let given = |time: Option<SetTime>| if let Some(SetTime::At(time)) = time { Some(time) } else { None };
    let times = [given(set.atime), given(set.mtime), set.btime];
    if !owns && times.iter().any(Option::is_some) {
        return Err(FsError::NotPermitted.into());
    }
    if times.iter().flatten().any(|time| time.nanoseconds >= 1_000_000_000) {
        return Err(FsError::Invalid.into());
    }
    if !owns && !may_write && (set.atime.is_some() || set.mtime.is_some()) {
        allow(cred, inode, AccessMask::WRITE)?;
    }
    Ok(())
}

/// Makes the changes of `set` that [`check`] has allowed, and what follows from them; the size itself is
/// the caller's.
pub(crate) fn assign(cred: &Cred, inode: &mut Inode, set: &SetAttr, now: Time) {
    if set.size.is_some() {
        inode.mode = access::kill_privileges(cred, inode.kind, inode.mode, false);
        inode.mtime = now;
    }
    if set.uid.is_some() || set.gid.is_some() {
        inode.uid = set.uid.unwrap_or(inode.uid);
        inode.gid = set.gid.unwrap_or(inode.gid);
        inode.mode = access::kill_privileges(cred, inode.kind, inode.mode, true);
    }
    if let Some(mode) = set.mode {
        inode.mode = access::chmod(cred, inode.gid, mode);
    }
    let at = |time: SetTime| if let SetTime::At(time) = time { time } else { now };
    inode.atime = set.atime.map_or(inode.atime, at);
    inode.mtime = set.mtime.map_or(inode.mtime, at);
    inode.btime = set.btime.unwrap_or(inode.btime);
}

/// Cuts or extends; says whether extents are left to be drained.
fn resize(work: &mut Work<'_>, ino: InodeId, inode: &mut Inode, size: u64) -> Step<bool> {
    let grows = size >= inode.size;
    inode.size = size;
    if grows {
        return Ok(false);
    }
    if let Some(content) = &inode.as_file()?.inline {
        let content = shortened(content, size);
        work.set_used(ino, inode, content.len() as u64);
        inode.as_file_mut()?.inline = Some(content);
        return Ok(false);
    }
    match work.punch(ino, inode, ByteRange { offset: size, end: u64::MAX }, EXTENTS_PER_COMMAND) {
        Ok(_) => return Ok(inode.as_file()?.cut.is_some()),
        Err(Stop::Fail(Failure::Split { .. })) => {}
        Err(stop) => return Err(stop),
    }
    // Too many: trim the one that straddles the end, and let what is beyond read as a hole meanwhile.
    if let Some(straddling) = work.read().runs(ino, ByteRange::new(size, 1), 1)?.pop() {
        work.punch(ino, inode, ByteRange { offset: size, end: straddling.range().end }, 1)?;
    }
    let file = inode.as_file_mut()?;
    let from = file.cut.map_or(size, |cut| cut.min(size));
    file.cut = Some(from);
    let key = keys::intent(work.file(ino));
    work.put(&key, &Intent::Cut { from });
    Ok(true)
}
