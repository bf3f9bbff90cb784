//! Requests about attributes, rights and capacity.

use crate::head::Head;
use fuser::{AccessFlags, FileHandle, INodeNo, ReplyAttr, ReplyEmpty, ReplyStatfs, Request};
use std::time::Duration;
use types::limits::NAME_BYTES_MAX;
use types::{AccessMask, Attr, FsError, SetAttr};
use vfs::{Access, GetAttr, GetAttrReply, OpenId, SetAttrOf, StatFs, Vfs};

/// Unit of the block counts of statfs(2).
const STATFS_UNIT: u32 = 4096;

impl<V: Vfs> Head<V> {
    fn attr(&self) -> impl FnOnce(ReplyAttr, (Attr, Duration)) + Send + 'static {
        let (numbers, timeout) = (self.numbers, self.options.attr_timeout);
        let (pages, trusted) = (self.pages.clone(), self.trusted.clone());
        let asked = trusted.asked();
        move |reply, (attr, trust)| {
            pages.told(&attr);
            let trust = trusted.attributes(asked, attr.file, trust);
            reply.attr(&timeout.max(trust), &numbers.attr(&attr));
        }
    }
}

pub(crate) fn getattr<V: Vfs>(head: &Head<V>, request: &Request, ino: INodeNo, reply: ReplyAttr) {
    let (ctx, file, gone) = (head.ctx(request), head.numbers.file(ino), head.gone.clone());
    let pages = head.pages.clone();
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            Ok(async move {
                let GetAttrReply { attr, trust } = match vfs.getattr(&ctx, GetAttr { file }).await {
                    Err(FsError::Stale) => {
                        return gone.attr(file).map(|attr| (attr, Duration::ZERO)).ok_or(FsError::Stale);
                    }
                    reply => reply?,
                };
                pages.asked(&attr).await;
                Ok((attr, trust))
            })
        },
        head.attr(),
    );
}

pub(crate) fn setattr<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    open: Option<FileHandle>,
    set: SetAttr,
    reply: ReplyAttr,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    let (pages, numbers, timeout) = (head.pages.clone(), head.numbers, head.options.attr_timeout);
    // The open speaks for the size only; an open that reads must not stand in the way of the rest.
    let open = open.filter(|_| set.size.is_some()).map(|open| OpenId(open.0));
    let wanted = SetAttrOf { file, open, set, if_ctime: None };
    head.serve(
        request.pid(),
        reply,
        |vfs| Ok(async move { Ok(vfs.setattr(&ctx, wanted).await?.attr) }),
        move |reply, attr| {
            pages.set(&attr);
            reply.attr(&timeout, &numbers.attr(&attr));
        },
    );
}

pub(crate) fn access<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    mask: AccessFlags,
    reply: ReplyEmpty,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    // The bits of access(2) are those of the contract.
    let mask = AccessMask((mask.bits() & 7) as u8);
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            Ok(async move {
                let granted = vfs.access(&ctx, Access { file, mask }).await?.granted;
                if granted.contains(mask) { Ok(()) } else { Err(FsError::AccessDenied) }
            })
        },
        |reply, ()| reply.ok(),
    );
}

pub(crate) fn statfs<V: Vfs>(head: &Head<V>, request: &Request, reply: ReplyStatfs) {
    let (ctx, fs) = (head.ctx(request), head.numbers.root.fs);
    head.serve(
        request.pid(),
        reply,
        |vfs| Ok(async move { vfs.statfs(&ctx, StatFs { fs }).await }),
        |reply, has| {
            let units = |bytes: u64| bytes / u64::from(STATFS_UNIT);
            let (total, free, available) = (units(has.total), units(has.free), units(has.available));
            let files = has.files.saturating_add(has.files_free);
            let name = NAME_BYTES_MAX as u32;
            reply.statfs(total, free, available, files, has.files_free, STATFS_UNIT, name, STATFS_UNIT);
        },
    );
}
