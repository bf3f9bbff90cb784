//! The file system on somebody's behalf, in the words of S3.

use crate::error::from_fs;
use bytes::Bytes;
use s3s::S3Result;
use std::sync::Arc;
use types::{Attr, Cred, FileId, FsError, Mode, Name, SetAttr};
use vfs::{
    CloneRange, Close, Commit, Ctx, FsResult, GetSystem, GetSystemReply, List, ListReply, Lookup, Mkdir,
    Open, OpenAccess, OpenId, OpenTarget, Put, Read, ReadReply, Rename, RenameHow, Rmdir, SetSystem, Stage,
    Unlink, Vfs,
};

/// Who may read and write what S3 makes: the directory of the bucket itself is only its owner's.
pub(crate) const FILE_MODE: Mode = Mode(0o644);
pub(crate) const DIR_MODE: Mode = Mode(0o755);

/// The file system on behalf of `ctx`.
pub(crate) struct Files<V> {
    pub(crate) vfs: Arc<V>,
    pub(crate) ctx: Ctx,
}

impl<V> Clone for Files<V> {
    fn clone(&self) -> Files<V> {
        Files { vfs: self.vfs.clone(), ctx: self.ctx.clone() }
    }
}

impl<V: Vfs> Files<V> {
    pub(crate) fn new(vfs: Arc<V>, cred: Cred) -> Files<V> {
        Files { vfs, ctx: Ctx::new(cred) }
    }

    /// What a name names, if it does.
    pub(crate) async fn find(&self, dir: FileId, name: &Name) -> S3Result<Option<Attr>> {
        match self.vfs.lookup(&self.ctx, Lookup { dir, name: name.clone() }).await {
            Ok(reply) => Ok(Some(reply.attr)),
            Err(FsError::NotFound | FsError::NotDirectory | FsError::Stale) => Ok(None),
            Err(error) => Err(from_fs(error)),
        }
    }

    pub(crate) async fn mkdir(&self, dir: FileId, name: &Name, mode: Mode, set: SetAttr) -> FsResult<Attr> {
        let request = Mkdir { dir, name: name.clone(), mode, set };
        self.vfs.mkdir(&self.ctx, request).await.map(|reply| reply.attr)
    }

    /// The directory of this name, made when it is not there.
    pub(crate) async fn sub(&self, dir: FileId, name: &Name, mode: Mode) -> FsResult<(Attr, bool)> {
        loop {
            match self.vfs.lookup(&self.ctx, Lookup { dir, name: name.clone() }).await {
                Ok(reply) => return Ok((reply.attr, false)),
                Err(FsError::NotFound) => {}
                Err(error) => return Err(error),
            }
            match self.mkdir(dir, name, mode, SetAttr::default()).await {
                Ok(attr) => return Ok((attr, true)),
                Err(FsError::Exists) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn rmdir(&self, dir: FileId, name: &Name) -> FsResult<()> {
        self.vfs.rmdir(&self.ctx, Rmdir { dir, name: name.clone() }).await.map(drop)
    }

    pub(crate) async fn unlink(&self, dir: FileId, name: &Name) -> FsResult<()> {
        self.vfs.unlink(&self.ctx, Unlink { dir, name: name.clone() }).await.map(drop)
    }

    /// Moves a version, also one that is locked.
    pub(crate) async fn restore(&self, from: (FileId, &Name), to: (FileId, &Name)) -> FsResult<()> {
        let request = Rename {
            from_dir: from.0,
            from_name: from.1.clone(),
            to_dir: to.0,
            to_name: to.1.clone(),
            how: RenameHow::Restore,
        };
        self.vfs.rename(&self.ctx, request).await.map(drop)
    }

    pub(crate) async fn list(&self, request: List) -> FsResult<ListReply> {
        self.vfs.list(&self.ctx, request).await
    }

    pub(crate) async fn kept(&self, file: FileId) -> FsResult<GetSystemReply> {
        self.vfs.getsystem(&self.ctx, GetSystem { file }).await
    }

    pub(crate) async fn keep(&self, file: FileId, name: Name, value: Option<Bytes>) -> FsResult<Attr> {
        let request = SetSystem { file, name, value, if_content: None, if_value: None };
        self.vfs.setsystem(&self.ctx, request).await.map(|reply| reply.attr)
    }

    /// As [`Self::keep`], while what is there is what was `seen`; else [`FsError::Busy`].
    pub(crate) async fn keep_if(
        &self,
        file: FileId,
        name: Name,
        value: Bytes,
        seen: Option<Bytes>,
    ) -> FsResult<Attr> {
        let request = SetSystem { file, name, value: Some(value), if_content: None, if_value: Some(seen) };
        self.vfs.setsystem(&self.ctx, request).await.map(|reply| reply.attr)
    }

    pub(crate) async fn put(&self, request: Put) -> FsResult<Attr> {
        self.vfs.put(&self.ctx, request).await.map(|reply| reply.attr)
    }

    pub(crate) async fn read(&self, held: &Held<V>, offset: u64, length: u32) -> FsResult<ReadReply> {
        self.read_open(held.as_opened(), offset, length).await
    }

    /// Reads a file, through an open or by the right to read it.
    pub(crate) async fn read_open(
        &self,
        (file, open): (FileId, Option<OpenId>),
        offset: u64,
        length: u32,
    ) -> FsResult<ReadReply> {
        self.vfs.read(&self.ctx, Read { file, open, offset, length }).await
    }

    pub(crate) async fn commit(&self, file: FileId) -> FsResult<()> {
        let range = types::ByteRange { offset: 0, end: u64::MAX };
        self.vfs.commit(&self.ctx, Commit { file, range }).await.map(drop)
    }

    pub(crate) async fn clone_range(
        &self,
        (from, from_offset): (&Held<V>, u64),
        (to, to_offset): (&Held<V>, u64),
        length: u64,
    ) -> FsResult<()> {
        let request = CloneRange {
            from: from.file,
            from_open: Some(from.open),
            from_offset,
            to: to.file,
            to_open: Some(to.open),
            to_offset,
            length,
        };
        self.vfs.clone_range(&self.ctx, request).await
    }

    /// A new file without a name, that goes when this is dropped unless it was put somewhere.
    pub(crate) async fn stage(&self, near: FileId, mode: Mode) -> FsResult<Held<V>> {
        let (vfs, ctx) = (self.vfs.clone(), self.ctx.clone());
        let request = Stage { near, mode };
        self.hold(async move { vfs.stage(&ctx, request).await }).await
    }

    /// Opens a file for reading: it stays what it is however it is replaced meanwhile.
    pub(crate) async fn open(&self, file: FileId) -> FsResult<Held<V>> {
        let (vfs, ctx) = (self.vfs.clone(), self.ctx.clone());
        let request = Open {
            target: OpenTarget::File(file),
            access: OpenAccess { read: true, write: false },
            deny: OpenAccess::default(),
            create: None,
            truncate: false,
            reclaim: false,
            for_execution: false,
        };
        self.hold(async move { vfs.open(&ctx, request).await }).await
    }

    /// In a task of its own: when the client goes away in between, what was opened is closed.
    async fn hold(
        &self,
        open: impl Future<Output = FsResult<vfs::OpenReply>> + Send + 'static,
    ) -> FsResult<Held<V>> {
        let files = self.clone();
        let opened = tokio::spawn(async move {
            let reply = open.await?;
            Ok(Held { file: reply.attr.file, open: reply.open, attr: reply.attr, files })
        });
        opened.await.unwrap_or(Err(FsError::Io))
    }
}

/// An open file; dropping it closes it.
pub(crate) struct Held<V: Vfs> {
    pub(crate) file: FileId,
    pub(crate) open: OpenId,
    /// As it was when it was opened.
    pub(crate) attr: Attr,
    files: Files<V>,
}

impl<V: Vfs> Held<V> {
    /// For reading, as long as this is there.
    pub(crate) fn as_opened(&self) -> (FileId, Option<OpenId>) {
        (self.file, Some(self.open))
    }
}

impl<V: Vfs> Drop for Held<V> {
    fn drop(&mut self) {
        // Outside a runtime the process ends, and every open with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (files, open) = (self.files.clone(), self.open);
        runtime.spawn(async move {
            if let Err(error) = files.vfs.close(&files.ctx, Close { open }).await {
                tracing::debug!(%error, "an open was not there to be closed");
            }
        });
    }
}
