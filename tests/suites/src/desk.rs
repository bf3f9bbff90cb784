//! Short words for the requests that every topic makes.

use bytes::Bytes;
use std::fmt::Debug;
use types::{Attr, Cookie, Cred, FileId, FsError, Mode, Name, SetAttr};
use vfs::*;

/// A directory to work in, on behalf of somebody.
pub struct Desk<'a, V> {
    /// The file system.
    pub vfs: &'a V,
    /// On whose behalf.
    pub ctx: Ctx,
    /// The directory.
    pub dir: FileId,
}

/// What must have worked.
///
/// # Panics
/// When it has not.
pub(crate) fn must<T>(what: &str, result: FsResult<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// What must have been refused in this way.
pub(crate) fn refused<T: Debug>(what: &str, result: FsResult<T>, with: FsError) {
    match result {
        Err(error) if error == with => {}
        other => panic!("{what}: expected {with:?}, got {other:?}"),
    }
}

pub(crate) fn name(text: &str) -> Name {
    match Name::new(text.to_owned()) {
        Ok(name) => name,
        Err(error) => panic!("{text}: {error}"),
    }
}

pub(crate) const READ: OpenAccess = OpenAccess { read: true, write: false };
pub(crate) const WRITE: OpenAccess = OpenAccess { read: false, write: true };
pub(crate) const BOTH: OpenAccess = OpenAccess { read: true, write: true };
pub(crate) const NOTHING: OpenAccess = OpenAccess { read: false, write: false };

impl<'a, V: Vfs> Desk<'a, V> {
    pub(crate) async fn below(vfs: &'a V, root: FileId, topic: &str) -> Desk<'a, V> {
        let desk = Desk { vfs, ctx: Ctx::new(Cred::root()), dir: root };
        let dir = must(topic, desk.mkdir(topic, 0o777).await).file;
        Desk { dir, ..desk }
    }

    pub(crate) fn by(&self, cred: Cred) -> Desk<'a, V> {
        Desk { vfs: self.vfs, ctx: Ctx { cred, ..self.ctx.clone() }, dir: self.dir }
    }

    pub(crate) fn at(&self, dir: FileId) -> Desk<'a, V> {
        Desk { vfs: self.vfs, ctx: self.ctx.clone(), dir }
    }

    pub(crate) async fn mkdir(&self, text: &str, mode: u16) -> FsResult<Attr> {
        let request = Mkdir { dir: self.dir, name: name(text), mode: Mode(mode), set: SetAttr::default() };
        self.vfs.mkdir(&self.ctx, request).await.map(|reply| reply.attr)
    }

    pub(crate) async fn sub(&self, text: &str) -> Desk<'a, V> {
        self.at(must(text, self.mkdir(text, 0o777).await).file)
    }

    pub(crate) async fn mknod(&self, text: &str, kind: NodeKind, mode: u16) -> FsResult<Attr> {
        let mode = Mode(mode);
        let request = Mknod { dir: self.dir, name: name(text), kind, mode, set: SetAttr::default() };
        self.vfs.mknod(&self.ctx, request).await.map(|reply| reply.attr)
    }

    pub(crate) async fn file(&self, text: &str) -> FileId {
        must(text, self.mknod(text, NodeKind::File, 0o644).await).file
    }

    pub(crate) async fn symlink(&self, text: &str, target: &[u8]) -> FsResult<Attr> {
        let target = Bytes::copy_from_slice(target);
        let request = Symlink { dir: self.dir, name: name(text), target, set: SetAttr::default() };
        self.vfs.symlink(&self.ctx, request).await.map(|reply| reply.attr)
    }

    pub(crate) async fn link(&self, file: FileId, text: &str) -> FsResult<LinkReply> {
        self.vfs.link(&self.ctx, Link { file, dir: self.dir, name: name(text) }).await
    }

    pub(crate) async fn unlink(&self, text: &str) -> FsResult<RemoveReply> {
        self.vfs.unlink(&self.ctx, Unlink { dir: self.dir, name: name(text) }).await
    }

    pub(crate) async fn rmdir(&self, text: &str) -> FsResult<RemoveReply> {
        self.vfs.rmdir(&self.ctx, Rmdir { dir: self.dir, name: name(text) }).await
    }

    pub(crate) async fn rename(&self, from: &str, to: &str) -> FsResult<RenameReply> {
        self.rename_to(from, self.dir, to, RenameHow::Replace).await
    }

    pub(crate) async fn rename_to(
        &self,
        from: &str,
        to_dir: FileId,
        to: &str,
        how: RenameHow,
    ) -> FsResult<RenameReply> {
        let (from_name, to_name) = (name(from), name(to));
        self.vfs.rename(&self.ctx, Rename { from_dir: self.dir, from_name, to_dir, to_name, how }).await
    }

    pub(crate) async fn lookup(&self, text: &str) -> FsResult<Attr> {
        let request = Lookup { dir: self.dir, name: name(text) };
        self.vfs.lookup(&self.ctx, request).await.map(|reply| reply.attr)
    }

    pub(crate) async fn attr(&self, file: FileId) -> Attr {
        must("getattr", self.vfs.getattr(&self.ctx, GetAttr { file }).await).attr
    }

    pub(crate) async fn here(&self) -> Attr {
        self.attr(self.dir).await
    }

    pub(crate) async fn set(&self, file: FileId, set: SetAttr) -> FsResult<Attr> {
        let request = SetAttrOf { file, open: None, set, if_ctime: None };
        self.vfs.setattr(&self.ctx, request).await.map(|reply| reply.attr)
    }

    pub(crate) async fn chmod(&self, file: FileId, mode: u16) -> FsResult<Attr> {
        self.set(file, SetAttr { mode: Some(Mode(mode)), ..SetAttr::default() }).await
    }

    pub(crate) async fn chown(&self, file: FileId, uid: Option<u32>, gid: Option<u32>) -> FsResult<Attr> {
        self.set(file, SetAttr { uid, gid, ..SetAttr::default() }).await
    }

    pub(crate) async fn truncate(&self, file: FileId, size: u64) -> FsResult<Attr> {
        self.set(file, SetAttr { size: Some(size), ..SetAttr::default() }).await
    }

    pub(crate) async fn open(
        &self,
        text: &str,
        access: OpenAccess,
        how: Option<CreateHow>,
    ) -> FsResult<OpenReply> {
        let target = OpenTarget::Entry { dir: self.dir, name: name(text) };
        let create = how.map(|how| Create { how, mode: Mode(0o644), set: SetAttr::default() });
        self.open_with(target, access, NOTHING, create).await
    }

    pub(crate) async fn open_with(
        &self,
        target: OpenTarget,
        access: OpenAccess,
        deny: OpenAccess,
        create: Option<Create>,
    ) -> FsResult<OpenReply> {
        let request =
            Open { target, access, deny, create, truncate: false, reclaim: false, for_execution: false };
        self.vfs.open(&self.ctx, request).await
    }

    pub(crate) async fn close(&self, open: OpenId) {
        must("close", self.vfs.close(&self.ctx, Close { open }).await);
    }

    pub(crate) async fn write(&self, file: FileId, offset: u64, data: &[u8]) -> FsResult<WriteReply> {
        self.write_with(file, None, WriteOffset::At(offset), data).await
    }

    pub(crate) async fn write_with(
        &self,
        file: FileId,
        open: Option<OpenId>,
        offset: WriteOffset,
        data: &[u8],
    ) -> FsResult<WriteReply> {
        let data = Bytes::copy_from_slice(data);
        let request = Write { file, open, offset, data, durability: Durability::Unstable };
        self.vfs.write(&self.ctx, request).await
    }

    pub(crate) async fn read(&self, file: FileId, offset: u64, length: u32) -> FsResult<Bytes> {
        self.read_with(file, None, offset, length).await
    }

    pub(crate) async fn read_with(
        &self,
        file: FileId,
        open: Option<OpenId>,
        offset: u64,
        length: u32,
    ) -> FsResult<Bytes> {
        let reply = self.vfs.read(&self.ctx, Read { file, open, offset, length }).await?;
        let size = self.attr(file).await.size;
        assert_eq!(reply.end, offset.saturating_add(reply.data.len() as u64) >= size, "end of file");
        Ok(reply.data)
    }

    pub(crate) async fn list(&self, limit: u32) -> Vec<DirEntry> {
        let mut all = vec![];
        let mut after = Cookie::START;
        loop {
            let request = ReadDir { dir: self.dir, after, limit, attrs: true };
            let reply = must("readdir", self.vfs.readdir(&self.ctx, request).await);
            all.extend(reply.entries);
            match all.last() {
                Some(last) if !reply.end => {
                    assert!(last.cookie > after, "cookies grow");
                    after = last.cookie;
                }
                _ => return all,
            }
        }
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.list(100).await.iter().map(|entry| entry.name.to_string()).collect();
        names.sort();
        names
    }
}
