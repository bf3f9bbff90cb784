//! Requests about opens: their beginning, their durability, their end.

use crate::head::{Head, UNTIL_DONE};
use crate::translate::{mode, name};
use fuser::{
    FileHandle, FopenFlags, Generation, INodeNo, LockOwner, OpenAccMode, OpenFlags, ReplyCreate, ReplyEmpty,
    ReplyOpen, Request,
};
use rustix::fs::OFlags;
use std::ffi::OsStr;
use types::{ByteRange, SetAttr};
use vfs::{Close, Commit, Create, CreateHow, Open, OpenAccess, OpenId, OpenTarget, ReleaseOwner, Vfs};

/// Set in the flags of an open by execve(2) (`__FMODE_EXEC` of the Linux kernel).
const FOR_EXECUTION: i32 = 0x20;

pub(crate) fn has(flags: OpenFlags, wanted: OFlags) -> bool {
    OFlags::from_bits_retain(flags.0 as u32).contains(wanted)
}

fn access(flags: OpenFlags) -> OpenAccess {
    match flags.acc_mode() {
        OpenAccMode::O_RDONLY => OpenAccess { read: true, write: false },
        OpenAccMode::O_WRONLY => OpenAccess { read: false, write: true },
        OpenAccMode::O_RDWR => OpenAccess { read: true, write: true },
    }
}

fn request_of(target: OpenTarget, flags: OpenFlags, create: Option<Create>) -> Open {
    Open {
        target,
        access: access(flags),
        deny: OpenAccess::default(),
        create,
        truncate: has(flags, OFlags::TRUNC),
        reclaim: false,
        for_execution: flags.0 & FOR_EXECUTION != 0,
    }
}

/// Pages survive the open only while the kernel may trust attributes for a time.
fn caching<V: Vfs>(head: &Head<V>) -> FopenFlags {
    if head.options.attr_timeout.is_zero() { FopenFlags::empty() } else { FopenFlags::FOPEN_KEEP_CACHE }
}

pub(crate) fn open<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    flags: OpenFlags,
    reply: ReplyOpen,
) {
    let (ctx, file, caching) = (head.ctx(request), head.numbers.file(ino), caching(head));
    let pages = head.pages.clone();
    let wanted = request_of(OpenTarget::File(file), flags, None);
    head.serve(
        UNTIL_DONE,
        reply,
        |vfs| Ok(async move { vfs.open(&ctx, wanted).await }),
        move |reply, opened| {
            pages.opened(&opened.attr);
            reply.opened(FileHandle(opened.open.0), caching);
        },
    );
}

pub(crate) fn create<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (parent, text): (INodeNo, &OsStr),
    bits: u32,
    flags: OpenFlags,
    reply: ReplyCreate,
) {
    let (ctx, dir, caching) = (head.ctx(request), head.numbers.file(parent), caching(head));
    let (numbers, timeout) = (head.numbers, head.options.entry_timeout.min(head.options.attr_timeout));
    let (pages, trusts, named) = (head.pages.clone(), head.trusts(dir), text.to_owned());
    head.serve(
        UNTIL_DONE,
        reply,
        |vfs| {
            let target = OpenTarget::Entry { dir, name: name(text)? };
            let how = if has(flags, OFlags::EXCL) { CreateHow::Guarded } else { CreateHow::Unchecked };
            let create = Create { how, mode: mode(bits), set: SetAttr::default() };
            let request = request_of(target, flags, Some(create));
            Ok(async move { vfs.open(&ctx, request).await })
        },
        move |reply, opened| {
            pages.opened(&opened.attr);
            let trust = timeout.max(trusts.entry(&named, &opened.attr, opened.trust));
            let attr = numbers.attr(&opened.attr);
            reply.created(&trust, &attr, Generation(0), FileHandle(opened.open.0), caching);
        },
    );
}

/// A descriptor closes: POSIX locks of its owner on the file go, whichever descriptor took them.
pub(crate) fn flush<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    owner: LockOwner,
    reply: ReplyEmpty,
) {
    let file = head.numbers.file(ino);
    if !head.lockers.closes(file, owner.0) {
        return reply.ok();
    }
    let (ctx, owner) = (head.ctx(request), head.owner(owner));
    head.serve(
        UNTIL_DONE,
        reply,
        |vfs| Ok(async move { vfs.release_owner(&ctx, ReleaseOwner { file, owner }).await }),
        |reply, ()| reply.ok(),
    );
}

/// The last descriptor has closed: the open ends, with the flock and OFD locks taken through it.
pub(crate) fn release<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    open: FileHandle,
    reply: ReplyEmpty,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.pages.closed(file);
    let owners: Vec<_> =
        head.lockers.ends(file, open.0).into_iter().map(|owner| head.owner(LockOwner(owner))).collect();
    head.serve(
        UNTIL_DONE,
        reply,
        |vfs| {
            Ok(async move {
                for owner in owners {
                    if let Err(error) = vfs.release_owner(&ctx, ReleaseOwner { file, owner }).await {
                        tracing::warn!(%error, %file, "locks of a closed file stay");
                    }
                }
                vfs.close(&ctx, Close { open: OpenId(open.0) }).await
            })
        },
        |reply, ()| reply.ok(),
    );
}

pub(crate) fn fsync<V: Vfs>(head: &Head<V>, request: &Request, ino: INodeNo, reply: ReplyEmpty) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    let wanted = Commit { file, range: ByteRange { offset: 0, end: u64::MAX } };
    head.serve(
        request.pid(),
        reply,
        |vfs| Ok(async move { vfs.commit(&ctx, wanted).await }),
        |reply, _| reply.ok(),
    );
}
