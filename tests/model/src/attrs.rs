//! Reading and changing attributes.

use crate::inode::{Body, Inode};
use crate::state::State;
use types::{AccessMask, Cred, FileId, FileKind, FsError, SetAttr, SetTime, Time, limits};
use vfs::{Access, AccessReply, Ctx, FsResult, GetAttrReply, OpenAccess, SetAttrOf};

impl State {
    pub(crate) fn getattr(&self, file: FileId) -> FsResult<GetAttrReply> {
        Ok(GetAttrReply::untrusted(self.inode(file)?.attr(file)))
    }

    pub(crate) fn access(&self, ctx: &Ctx, request: &Access) -> FsResult<AccessReply> {
        let inode = self.inode(request.file)?;
        let granted = access::decide(&ctx.cred, inode.uid, inode.gid, inode.mode, inode.kind, request.mask);
        Ok(AccessReply { granted, attr: inode.attr(request.file) })
    }

    pub(crate) fn setattr(&mut self, ctx: &Ctx, request: &SetAttrOf) -> FsResult<GetAttrReply> {
        let now = self.now();
        if request.set.size.is_some() {
            let write = OpenAccess { read: false, write: true };
            self.demand_data(ctx, request.file, request.open, write)?;
        }
        if request.set != (SetAttr { atime: request.set.atime, ..SetAttr::default() }) {
            self.demand_free(request.file)?;
        }
        let inode = self.inode_mut(request.file)?;
        if request.if_ctime.is_some_and(|ctime| ctime != inode.ctime) {
            return Err(FsError::Busy);
        }
        apply(&ctx.cred, inode, &request.set, now)?;
        Ok(GetAttrReply::untrusted(inode.attr(request.file)))
    }

    /// Sets the size of a regular file for somebody who may.
    pub(crate) fn resize(&mut self, ctx: &Ctx, file: FileId, size: u64) -> FsResult<()> {
        let now = self.now();
        let set = SetAttr { size: Some(size), ..SetAttr::default() };
        apply(&ctx.cred, self.inode_mut(file)?, &set, now)
    }
}

/// Checks everything, then changes everything. The right to change the size is the caller's to ask.
pub(crate) fn apply(cred: &Cred, inode: &mut Inode, set: &SetAttr, now: Time) -> FsResult<()> {
    check(cred, inode, set)?;
    if *set == SetAttr::default() {
        return Ok(());
    }
    if let (Some(size), Body::File(content)) = (set.size, &mut inode.body) {
        content.resize(size);
        inode.durable = None;
        inode.mode = access::kill_privileges(cred, inode.kind, inode.mode, false);
        inode.forget_capability();
        inode.mtime = now;
    }
    if set.uid.is_some() || set.gid.is_some() {
        inode.uid = set.uid.unwrap_or(inode.uid);
        inode.gid = set.gid.unwrap_or(inode.gid);
        inode.mode = access::kill_privileges(cred, inode.kind, inode.mode, true);
        inode.forget_capability();
    }
    if let Some(mode) = set.mode {
        inode.mode = access::chmod(cred, inode.gid, mode);
    }
    let time = |time| match time {
        SetTime::Now => now,
        SetTime::At(time) => time,
    };
    inode.atime = set.atime.map_or(inode.atime, time);
    inode.mtime = set.mtime.map_or(inode.mtime, time);
    inode.btime = set.btime.unwrap_or(inode.btime);
    inode.touch(now);
    if set.size.is_some() {
        inode.content = inode.change;
    }
    Ok(())
}

fn check(cred: &Cred, inode: &Inode, set: &SetAttr) -> FsResult<()> {
    let owns = access::owns(cred, inode.uid);
    if let Some(size) = set.size {
        match inode.kind {
            FileKind::File if size <= limits::FILE_BYTES_MAX => {}
            FileKind::File => return Err(FsError::FileTooLarge),
            FileKind::Directory => return Err(FsError::IsDirectory),
            _ => return Err(FsError::Invalid),
        }
    }
    if set.mode.is_some() {
        if inode.kind == FileKind::Symlink {
            return Err(FsError::NotSupported);
        }
        if !owns {
            return Err(FsError::NotPermitted);
        }
    }
    if cred.uid != 0 {
        let uid_fits = set.uid.is_none_or(|uid| owns && uid == inode.uid);
        let gid_fits = set.gid.is_none_or(|gid| owns && (gid == inode.gid || cred.in_group(gid)));
        if !uid_fits || !gid_fits {
            return Err(FsError::NotPermitted);
        }
    }
    let times = [set.atime, set.mtime];
    let explicit = times.iter().any(|time| matches!(time, Some(SetTime::At(_))));
    if (explicit || set.btime.is_some()) && !owns {
        return Err(FsError::NotPermitted);
    }
    let fits = |time: &Time| time.nanoseconds < 1_000_000_000;
    let sane = times.iter().all(|time| !matches!(time, Some(SetTime::At(time)) if !fits(time)));
    if !sane || !set.btime.as_ref().is_none_or(fits) {
        return Err(FsError::Invalid);
    }
    if times.iter().any(Option::is_some) && !owns {
        let may_write =
            access::allowed(cred, inode.uid, inode.gid, inode.mode, inode.kind, AccessMask::WRITE);
        if !may_write {
            return Err(FsError::AccessDenied);
        }
    }
    Ok(())
}
