//! What is retained stays as it is.

use crate::state::State;
use types::{FileId, FileKind, FsError};
use vfs::{Ctx, FsResult, GetAttrReply, Retain, SetGuard};

impl State {
    /// Fails while the file is retained.
    pub(crate) fn demand_free(&self, file: FileId) -> FsResult<()> {
        if self.inode(file)?.retention.holds(self.now()) { Err(FsError::NotPermitted) } else { Ok(()) }
    }

    /// Fails where a name may not go: of a file while that is retained, of a directory on the way to such.
    pub(crate) fn demand_movable(&self, file: FileId) -> FsResult<()> {
        self.demand_free(file)?;
        let inode = self.inode(file)?;
        let crate::inode::Body::Directory(directory) = &inode.body else { return Ok(()) };
        let stays = inode.guard.itself || !directory.by_name.is_empty();
        if inode.guard.stands(self.now()) && stays { Err(FsError::NotPermitted) } else { Ok(()) }
    }

    pub(crate) fn retain(&mut self, ctx: &Ctx, request: &Retain) -> FsResult<GetAttrReply> {
        let now = self.now();
        let inode = self.inode_mut(request.file)?;
        if inode.kind != FileKind::File || request.retention.until < 0 {
            return Err(FsError::Invalid);
        }
        let owns = access::owns(&ctx.cred, inode.uid);
        if !owns || !request.retention.may_follow(&inode.retention, now, request.bypass) {
            return Err(FsError::NotPermitted);
        }
        if request.seen.is_some_and(|seen| seen != inode.retention) {
            return Err(FsError::Busy);
        }
        inode.retention = request.retention;
        inode.touch(now);
        Ok(GetAttrReply::untrusted(inode.attr(request.file)))
    }

    pub(crate) fn set_guard(&mut self, ctx: &Ctx, request: &SetGuard) -> FsResult<GetAttrReply> {
        let now = self.now();
        self.directory(request.dir)?;
        let inode = self.inode_mut(request.dir)?;
        if !access::owns(&ctx.cred, inode.uid) {
            return Err(FsError::NotPermitted);
        }
        inode.guard = request.guard.map_or_else(Default::default, |guard| inode.guard.with(guard));
        inode.touch(now);
        Ok(GetAttrReply::untrusted(inode.attr(request.dir)))
    }
}
