//! Names: finding, making, removing and listing them.

use crate::attrs;
use crate::inode::{Body, Directory, Inode};
use crate::state::{FS, State};
use std::ops::Bound;
use std::time::Duration;
use types::limits::{LINKS_MAX, READDIR_ENTRIES_MAX, SYMLINK_BYTES_MAX};
use types::{AccessMask, Attr, Device, FileId, FileKind, FsError, InodeId, Mode, Name, SetAttr};
use vfs::{
    CreateReply, Ctx, DirChange, DirEntry, FsResult, Link, LinkReply, Lookup, LookupParent, LookupReply,
    Mkdir, Mknod, NodeKind, ReadDir, ReadDirReply, ReadLink, ReadLinkReply, RemoveReply, Rmdir, Symlink,
    Unlink,
};

impl State {
    pub(crate) fn lookup(&self, ctx: &Ctx, request: &Lookup) -> FsResult<LookupReply> {
        self.demand_search(&ctx.cred, request.dir)?;
        let file = self.entry(request.dir, &request.name)?;
        Ok(LookupReply::untrusted(self.inode(file)?.attr(file)))
    }

    pub(crate) fn lookup_parent(&self, ctx: &Ctx, request: &LookupParent) -> FsResult<LookupReply> {
        self.demand_search(&ctx.cred, request.dir)?;
        let file = FileId { fs: FS, ino: self.directory(request.dir)?.parent };
        Ok(LookupReply::untrusted(self.inode(file)?.attr(file)))
    }

    /// Gives a fresh inode its first attributes and its name.
    pub(crate) fn enter(
        &mut self,
        ctx: &Ctx,
        dir: FileId,
        name: &Name,
        mut inode: Inode,
        set: &SetAttr,
    ) -> FsResult<(FileId, DirChange)> {
        let now = inode.btime;
        attrs::apply(&ctx.cred, &mut inode, set, now)?;
        let is_dir = inode.kind == FileKind::Directory;
        if is_dir && self.inode(dir)?.links >= LINKS_MAX {
            return Err(FsError::TooManyLinks);
        }
        let file = FileId { fs: FS, ino: self.insert(inode) };
        self.directory_mut(dir)?.put(name.clone(), file.ino);
        if is_dir {
            self.inode_mut(dir)?.links += 1;
        }
        Ok((file, self.touch_dir(dir)?))
    }

    fn create(
        &mut self,
        ctx: &Ctx,
        (dir, name): (FileId, &Name),
        (kind, mode, device): (FileKind, Mode, Device),
        body: Body,
        set: &SetAttr,
    ) -> FsResult<CreateReply> {
        self.demand_new(&ctx.cred, dir, name)?;
        let mut inode = self.new_inode(ctx, dir, kind, mode, body)?;
        inode.device = device;
        let (file, dir) = self.enter(ctx, dir, name, inode, set)?;
        Ok(CreateReply { attr: self.inode(file)?.attr(file), dir })
    }

    pub(crate) fn mkdir(&mut self, ctx: &Ctx, request: &Mkdir) -> FsResult<CreateReply> {
        let what = (FileKind::Directory, request.mode, Device::default());
        let body = Body::Directory(Directory::new(request.dir.ino));
        self.create(ctx, (request.dir, &request.name), what, body, &request.set)
    }

    pub(crate) fn symlink(&mut self, ctx: &Ctx, request: &Symlink) -> FsResult<CreateReply> {
        match request.target.len() {
            0 => return Err(FsError::NotFound),
            n if n > SYMLINK_BYTES_MAX => return Err(FsError::NameTooLong),
            _ if request.target.contains(&0) => return Err(FsError::Invalid),
            _ => {}
        }
        let what = (FileKind::Symlink, Mode(0o777), Device::default());
        let set = SetAttr { mode: None, ..request.set.clone() };
        let body = Body::Symlink(request.target.clone());
        self.create(ctx, (request.dir, &request.name), what, body, &set)
    }

    pub(crate) fn mknod(&mut self, ctx: &Ctx, request: &Mknod) -> FsResult<CreateReply> {
        let (kind, device, body) = match request.kind {
            NodeKind::File => (FileKind::File, Device::default(), Body::File(<_>::default())),
            NodeKind::Fifo => (FileKind::Fifo, Device::default(), Body::Node),
            NodeKind::Socket => (FileKind::Socket, Device::default(), Body::Node),
            NodeKind::CharDevice(device) => (FileKind::CharDevice, device, Body::Node),
            NodeKind::BlockDevice(device) => (FileKind::BlockDevice, device, Body::Node),
        };
        self.demand_new(&ctx.cred, request.dir, &request.name)?;
        if matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) && ctx.cred.uid != 0 {
            return Err(FsError::NotPermitted);
        }
        self.create(ctx, (request.dir, &request.name), (kind, request.mode, device), body, &request.set)
    }

    pub(crate) fn readlink(&self, request: &ReadLink) -> FsResult<ReadLinkReply> {
        match &self.inode(request.file)?.body {
            Body::Symlink(target) => Ok(ReadLinkReply { target: target.clone() }),
            _ => Err(FsError::Invalid),
        }
    }

    pub(crate) fn link(&mut self, ctx: &Ctx, request: &Link) -> FsResult<LinkReply> {
        self.demand_new(&ctx.cred, request.dir, &request.name)?;
        if request.file.fs != request.dir.fs {
            return Err(FsError::CrossFilesystem);
        }
        let now = self.now();
        let inode = self.inode_mut(request.file)?;
        if inode.kind == FileKind::Directory {
            return Err(FsError::NotPermitted);
        }
        match inode.links {
            0 => return Err(FsError::NotFound),
            n if n >= LINKS_MAX => return Err(FsError::TooManyLinks),
            _ => inode.links += 1,
        }
        inode.touch(now);
        let attr = inode.attr(request.file);
        self.directory_mut(request.dir)?.put(request.name.clone(), request.file.ino);
        Ok(LinkReply { attr, dir: self.touch_dir(request.dir)? })
    }

    pub(crate) fn unlink(&mut self, ctx: &Ctx, request: &Unlink) -> FsResult<RemoveReply> {
        self.demand_search(&ctx.cred, request.dir)?;
        let victim = self.entry(request.dir, &request.name)?;
        self.demand_remove(&ctx.cred, request.dir, victim)?;
        self.demand_free(victim)?;
        if self.inode(victim)?.kind == FileKind::Directory {
            return Err(FsError::IsDirectory);
        }
        self.directory_mut(request.dir)?.remove(&request.name);
        self.drop_link(victim)?;
        Ok(RemoveReply { dir: self.touch_dir(request.dir)?, gone: None })
    }

    /// What is left to be said of a directory that goes.
    pub(crate) fn gone_directory(&self, file: FileId) -> FsResult<Attr> {
        Ok(Attr { links: 0, ..self.inode(file)?.attr(file) })
    }

    pub(crate) fn rmdir(&mut self, ctx: &Ctx, request: &Rmdir) -> FsResult<RemoveReply> {
        self.demand_search(&ctx.cred, request.dir)?;
        let victim = self.entry(request.dir, &request.name)?;
        self.demand_remove(&ctx.cred, request.dir, victim)?;
        if !self.directory(victim)?.by_name.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.demand_movable(victim)?;
        let gone = Some(self.gone_directory(victim)?);
        self.directory_mut(request.dir)?.remove(&request.name);
        self.drop_link(victim)?;
        self.inode_mut(request.dir)?.links -= 1;
        Ok(RemoveReply { dir: self.touch_dir(request.dir)?, gone })
    }

    pub(crate) fn readdir(&self, ctx: &Ctx, request: &ReadDir) -> FsResult<ReadDirReply> {
        let directory = self.directory(request.dir)?;
        self.demand(&ctx.cred, request.dir, AccessMask::READ)?;
        if request.limit == 0 {
            return Err(FsError::Invalid);
        }
        let limit = READDIR_ENTRIES_MAX.min(request.limit as usize);
        let mut rest = directory.by_cookie.range((Bound::Excluded(request.after), Bound::Unbounded));
        let mut entries = Vec::new();
        for (cookie, name) in rest.by_ref().take(limit) {
            let file = self.entry(request.dir, name)?;
            let inode = self.inode(file)?;
            let attr = request.attrs.then(|| inode.attr(file));
            let (cookie, name, kind) = (*cookie, name.clone(), inode.kind);
            entries.push(DirEntry { cookie, name, file, kind, attr, trust: Duration::ZERO });
        }
        Ok(ReadDirReply { entries, end: rest.next().is_none() })
    }

    /// Whether `ino` is `below` itself or one of its ancestors.
    pub(crate) fn is_ancestor(&self, ino: InodeId, below: FileId) -> FsResult<bool> {
        let mut at = below;
        loop {
            if at.ino == ino {
                return Ok(true);
            }
            if at.ino == InodeId::ROOT {
                return Ok(false);
            }
            at.ino = self.directory(at)?.parent;
        }
    }
}
