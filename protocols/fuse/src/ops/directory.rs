//! Requests that list directories.

use crate::head::{Head, UNTIL_DONE};
use crate::pages::Pages;
use crate::translate::{Numbers, kind};
use crate::trusted::{Trusted, Trusts};
use fuser::{
    FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyOpen, Request,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;
use types::{Attr, Cookie, FileId};
use vfs::{Ctx, DirEntry, FsResult, GetAttr, GetAttrReply, LookupParent, ReadDir, ReadDirReply, Vfs};

/// Entries to ask for at once; what the kernel's buffer does not hold is asked for again.
const BATCH: u32 = 128;
/// Cookies of "." and "..", below those of entries.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;

/// A buffer for entries of either kind of listing; `true` when the entry did not fit.
trait Buffer {
    const PLUS: bool;
    fn special(&mut self, attr: &Attr, offset: u64, name: &str) -> bool;
    fn entry(&mut self, entry: &DirEntry) -> bool;
}

struct Names {
    reply: ReplyDirectory,
    numbers: Numbers,
}

impl Buffer for Names {
    const PLUS: bool = false;

    fn special(&mut self, attr: &Attr, offset: u64, name: &str) -> bool {
        self.reply.add(self.numbers.ino(attr.file), offset, FileType::Directory, name)
    }

    fn entry(&mut self, entry: &DirEntry) -> bool {
        let name = OsStr::from_bytes(entry.name.as_bytes());
        self.reply.add(self.numbers.ino(entry.file), entry.cookie.0, kind(entry.kind), name)
    }
}

struct Entries {
    reply: ReplyDirectoryPlus,
    numbers: Numbers,
    pages: Arc<Pages>,
    timeout: Duration,
    trusts: Trusts,
}

impl Buffer for Entries {
    const PLUS: bool = true;

    fn special(&mut self, attr: &Attr, offset: u64, name: &str) -> bool {
        let attr = self.numbers.attr(attr);
        self.reply.add(attr.ino, offset, name, &self.timeout, &attr, Generation(0))
    }

    fn entry(&mut self, entry: &DirEntry) -> bool {
        let Some(attr) = &entry.attr else { return false };
        self.pages.told(attr);
        let name = OsStr::from_bytes(entry.name.as_bytes());
        let trust = self.timeout.max(self.trusts.entry(name, attr, entry.trust));
        let attr = self.numbers.attr(attr);
        self.reply.add(attr.ino, entry.cookie.0, name, &trust, &attr, Generation(0))
    }
}

/// A folder that is listed.
struct Folder<V> {
    vfs: Arc<V>,
    ctx: Ctx,
    dir: FileId,
    root: FileId,
    pages: Arc<Pages>,
    trusted: Arc<Trusted>,
}

impl<V: Vfs> Folder<V> {
    fn of(head: &Head<V>, request: &Request, ino: INodeNo) -> Folder<V> {
        Folder {
            vfs: head.vfs.clone(),
            ctx: head.ctx(request),
            dir: head.numbers.file(ino),
            root: head.numbers.root,
            pages: head.pages.clone(),
            trusted: head.trusted.clone(),
        }
    }

    /// What it is, from before any of its names is asked for.
    async fn begin(&self) -> FsResult<Attr> {
        let asked = self.trusted.asked();
        let GetAttrReply { attr, trust } = self.vfs.getattr(&self.ctx, GetAttr { file: self.dir }).await?;
        self.pages.listed(&attr);
        self.trusted.listed(asked, &attr, trust);
        Ok(attr)
    }
}

async fn fill<V: Vfs, B: Buffer>(folder: &Folder<V>, offset: u64, buffer: &mut B) -> FsResult<()> {
    let Folder { vfs, ctx, dir, root, .. } = folder;
    let (dir, root) = (*dir, *root);
    if offset < DOT {
        let own = folder.begin().await?;
        if buffer.special(&own, DOT, ".") {
            return Ok(());
        }
    }
    if offset < DOT_DOT {
        let parent = if dir == root {
            Err(types::FsError::NotFound)
        } else {
            vfs.lookup_parent(ctx, LookupParent { dir }).await
        };
        // What is above the mount is not ours to show; the kernel goes up by itself.
        let above = match parent {
            Ok(parent) => parent.attr,
            Err(_) => vfs.getattr(ctx, GetAttr { file: dir }).await?.attr,
        };
        if buffer.special(&above, DOT_DOT, "..") {
            return Ok(());
        }
    }
    let mut after = if offset < Cookie::FIRST.0 { Cookie::START } else { Cookie(offset) };
    loop {
        let request = ReadDir { dir, after, limit: BATCH, attrs: B::PLUS };
        let ReadDirReply { entries, end } = vfs.readdir(ctx, request).await?;
        for entry in &entries {
            if buffer.entry(entry) {
                return Ok(());
            }
        }
        match entries.last() {
            Some(last) if !end => after = last.cookie,
            _ => return Ok(()),
        }
    }
}

/// Needs nothing of the file system. The kernel keeps the listing, and what it has of an earlier one while that is right.
pub(crate) fn opendir<V: Vfs>(head: &Head<V>, ino: INodeNo, reply: ReplyOpen) {
    let dir = head.numbers.file(ino);
    let keep = match head.trusted.listing(dir) {
        Some(attr) => {
            head.pages.opened(&attr);
            FopenFlags::FOPEN_KEEP_CACHE
        }
        None => {
            head.pages.opened_unheard(dir);
            FopenFlags::empty()
        }
    };
    reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR | keep);
}

pub(crate) fn releasedir<V: Vfs>(head: &Head<V>, ino: INodeNo, reply: ReplyEmpty) {
    head.pages.closed(head.numbers.file(ino));
    reply.ok();
}

pub(crate) fn readdir<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    offset: u64,
    reply: ReplyDirectory,
) {
    let (folder, mut names) = (Folder::of(head, request, ino), Names { reply, numbers: head.numbers });
    head.desk.answer(
        UNTIL_DONE,
        Settled,
        async move {
            let result = fill(&folder, offset, &mut names).await;
            Ok((names, result))
        },
        |_, (names, result)| match result {
            Ok(()) => names.reply.ok(),
            Err(error) => names.reply.error(crate::status::errno(error)),
        },
    );
}

pub(crate) fn readdirplus<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    offset: u64,
    reply: ReplyDirectoryPlus,
) {
    let folder = Folder::of(head, request, ino);
    let timeout = head.options.entry_timeout.min(head.options.attr_timeout);
    let (pages, trusts) = (head.pages.clone(), head.trusts(folder.dir));
    let mut entries = Entries { reply, numbers: head.numbers, pages, timeout, trusts };
    head.desk.answer(
        UNTIL_DONE,
        Settled,
        async move {
            let result = fill(&folder, offset, &mut entries).await;
            Ok((entries, result))
        },
        |_, (entries, result)| match result {
            Ok(()) => entries.reply.ok(),
            Err(error) => entries.reply.error(crate::status::errno(error)),
        },
    );
}

/// In place of a reply that the work itself fills and carries along.
struct Settled;

impl crate::answer::Fail for Settled {
    fn fail(self, _errno: fuser::Errno) {}
}
