//! Moving and exchanging names, in the order of checks of Linux's renameat2.

use crate::state::State;
use types::limits::LINKS_MAX;
use types::{AccessMask, FileId, FileKind, FsError};
use vfs::{Ctx, DirChange, FsResult, Rename, RenameHow, RenameReply};

impl State {
    pub(crate) fn rename(&mut self, ctx: &Ctx, request: &Rename) -> FsResult<RenameReply> {
        let (from_dir, to_dir) = (request.from_dir, request.to_dir);
        if from_dir.fs != to_dir.fs {
            return Err(FsError::CrossFilesystem);
        }
        self.demand_search(&ctx.cred, from_dir)?;
        self.demand_search(&ctx.cred, to_dir)?;
        let source = self.entry(from_dir, &request.from_name)?;
        let target = match self.entry(to_dir, &request.to_name) {
            Ok(_) if matches!(request.how, RenameHow::NoReplace | RenameHow::Restore) => {
                return Err(FsError::Exists);
            }
            Ok(target) => Some(target),
            Err(FsError::NotFound) if request.how != RenameHow::Exchange => None,
            Err(error) => return Err(error),
        };
        if self.is_ancestor(source.ino, to_dir)? {
            return Err(FsError::Invalid);
        }
        if let Some(target) = target
            && self.is_ancestor(target.ino, from_dir)?
        {
            let exchange = request.how == RenameHow::Exchange;
            return Err(if exchange { FsError::Invalid } else { FsError::NotEmpty });
        }
        if target == Some(source) {
            let still = |change| DirChange { before: change, after: change };
            return Ok(RenameReply {
                from_dir: still(self.inode(from_dir)?.change),
                to_dir: still(self.inode(to_dir)?.change),
                gone: None,
            });
        }
        self.demand_rename(ctx, request, source, target)?;
        let replaced = target.filter(|_| request.how == RenameHow::Replace);
        let gone = match replaced {
            Some(target) if self.inode(target)?.kind == FileKind::Directory => {
                Some(self.gone_directory(target)?)
            }
            _ => None,
        };
        self.move_names(request, source, target)?;
        let from_change = self.touch_dir(from_dir)?;
        let to_change = if from_dir == to_dir { from_change } else { self.touch_dir(to_dir)? };
        Ok(RenameReply { from_dir: from_change, to_dir: to_change, gone })
    }

    fn demand_rename(
        &self,
        ctx: &Ctx,
        request: &Rename,
        source: FileId,
        target: Option<FileId>,
    ) -> FsResult<()> {
        let (from_dir, to_dir) = (request.from_dir, request.to_dir);
        let is_dir = |file| self.inode(file).map(|inode| inode.kind == FileKind::Directory);
        self.demand_remove(&ctx.cred, from_dir, source)?;
        if request.how != RenameHow::Restore {
            self.demand_movable(source)?;
        }
        match target {
            None => self.demand(&ctx.cred, to_dir, AccessMask::WRITE)?,
            Some(target) => {
                self.demand_remove(&ctx.cred, to_dir, target)?;
                self.demand_movable(target)?;
                if request.how != RenameHow::Exchange {
                    match (is_dir(source)?, is_dir(target)?) {
                        (true, false) => return Err(FsError::NotDirectory),
                        (false, true) => return Err(FsError::IsDirectory),
                        _ => {}
                    }
                }
            }
        }
        if from_dir == to_dir {
            return Ok(());
        }
        // A directory that changes its parent changes its own "..".
        if is_dir(source)? {
            self.demand(&ctx.cred, source, AccessMask::WRITE)?;
        }
        let exchanged = target.filter(|_| request.how == RenameHow::Exchange);
        if let Some(target) = exchanged
            && is_dir(target)?
        {
            self.demand(&ctx.cred, target, AccessMask::WRITE)?;
        }
        let arrives = is_dir(source)? && !target.map(is_dir).transpose()?.unwrap_or(false);
        if arrives && self.inode(to_dir)?.links >= LINKS_MAX {
            return Err(FsError::TooManyLinks);
        }
        Ok(())
    }

    fn move_names(&mut self, request: &Rename, source: FileId, target: Option<FileId>) -> FsResult<()> {
        let now = self.now();
        let (from_dir, to_dir) = (request.from_dir, request.to_dir);
        if let (Some(target), RenameHow::Exchange) = (target, request.how) {
            self.directory_mut(from_dir)?.put(request.from_name.clone(), target.ino);
            self.directory_mut(to_dir)?.put(request.to_name.clone(), source.ino);
            self.settle_parent(target, to_dir, from_dir)?;
            self.settle_parent(source, from_dir, to_dir)?;
            self.inode_mut(target)?.touch(now);
        } else {
            if let Some(target) = target {
                let is_dir = self.inode(target)?.kind == FileKind::Directory;
                if is_dir {
                    if !self.directory(target)?.by_name.is_empty() {
                        return Err(FsError::NotEmpty);
                    }
                    self.inode_mut(to_dir)?.links -= 1;
                }
                self.drop_link(target)?;
            }
            self.directory_mut(from_dir)?.remove(&request.from_name);
            self.directory_mut(to_dir)?.put(request.to_name.clone(), source.ino);
            self.settle_parent(source, from_dir, to_dir)?;
        }
        self.inode_mut(source)?.touch(now);
        Ok(())
    }

    /// Corrects ".." and the parents' link counts of something that has moved.
    fn settle_parent(&mut self, moved: FileId, from: FileId, to: FileId) -> FsResult<()> {
        if from != to && self.inode(moved)?.kind == FileKind::Directory {
            self.directory_mut(moved)?.parent = to.ino;
            self.inode_mut(from)?.links -= 1;
            self.inode_mut(to)?.links += 1;
        }
        Ok(())
    }
}
