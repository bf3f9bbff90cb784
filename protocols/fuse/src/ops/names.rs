//! Requests about names: lookup, making, linking, removing, renaming.

use crate::entries::Entry;
use crate::head::{Head, NONSENSE};
use crate::translate::{mode, name, node_kind};
use bytes::Bytes;
use fuser::{Generation, INodeNo, RenameFlags, ReplyData, ReplyEmpty, ReplyEntry, Request};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use types::{Attr, FileId, SetAttr};
use vfs::{
    Link, Lookup, LookupReply, Mkdir, Mknod, ReadLink, Rename, RenameHow, Rmdir, Symlink, Unlink, Vfs,
};

impl<V: Vfs> Head<V> {
    /// Tells the kernel of an entry.
    fn entry(&self) -> impl FnOnce(ReplyEntry, Attr) + Send + 'static {
        let entry = self.timed_entry();
        move |reply, found| entry(reply, found, Duration::ZERO, Duration::ZERO)
    }

    /// The same, and how long its attributes and its name in `dir` may be trusted.
    fn trusted_entry(
        &self,
        dir: FileId,
        name: &OsStr,
    ) -> impl FnOnce(ReplyEntry, LookupReply) + Send + 'static {
        let (entry, trusts, name) = (self.timed_entry(), self.trusts(dir), name.to_owned());
        move |reply, LookupReply { attr, trust, name_trust }| {
            let (trust, name_trust) =
                (trusts.attributes(&attr, trust), trusts.name(&name, &attr, name_trust));
            entry(reply, attr, trust, name_trust);
        }
    }

    fn timed_entry(&self) -> impl FnOnce(ReplyEntry, Attr, Duration, Duration) + Send + 'static {
        let (numbers, pages) = (self.numbers, self.pages.clone());
        let (entry, timeout) = (self.options.entry_timeout, self.options.attr_timeout);
        // Inode numbers are never reused, so that one generation is enough.
        move |reply, attr, attributes, name| {
            pages.told(&attr);
            let (attributes, name) = (timeout.max(attributes), entry.max(name));
            reply.entry_with_ttls(&attributes, &name, &numbers.attr(&attr), Generation(0));
        }
    }
}

pub(crate) fn lookup<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    parent: INodeNo,
    text: &OsStr,
    reply: ReplyEntry,
) {
    let (ctx, dir) = (head.ctx(request), head.numbers.file(parent));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request = Lookup { dir, name: name(text)? };
            Ok(async move { vfs.lookup(&ctx, request).await })
        },
        head.trusted_entry(dir, text),
    );
}

pub(crate) fn readlink<V: Vfs>(head: &Head<V>, request: &Request, ino: INodeNo, reply: ReplyData) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.serve(
        request.pid(),
        reply,
        |vfs| Ok(async move { vfs.readlink(&ctx, ReadLink { file }).await }),
        |reply, link| reply.data(&link.target),
    );
}

pub(crate) fn mknod<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (parent, text): (INodeNo, &OsStr),
    bits: u32,
    device: u32,
    reply: ReplyEntry,
) {
    let (ctx, dir) = (head.ctx(request), head.numbers.file(parent));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let (name, kind) = (name(text)?, node_kind(bits, device)?);
            let request = Mknod { dir, name, kind, mode: mode(bits), set: SetAttr::default() };
            Ok(async move { Ok(vfs.mknod(&ctx, request).await?.attr) })
        },
        head.entry(),
    );
}

pub(crate) fn mkdir<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (parent, text): (INodeNo, &OsStr),
    bits: u32,
    reply: ReplyEntry,
) {
    let (ctx, dir) = (head.ctx(request), head.numbers.file(parent));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request = Mkdir { dir, name: name(text)?, mode: mode(bits), set: SetAttr::default() };
            Ok(async move { Ok(vfs.mkdir(&ctx, request).await?.attr) })
        },
        head.entry(),
    );
}

pub(crate) fn symlink<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (parent, text): (INodeNo, &OsStr),
    target: &Path,
    reply: ReplyEntry,
) {
    let (ctx, dir) = (head.ctx(request), head.numbers.file(parent));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let target = Bytes::copy_from_slice(target.as_os_str().as_bytes());
            let request = Symlink { dir, name: name(text)?, target, set: SetAttr::default() };
            Ok(async move { Ok(vfs.symlink(&ctx, request).await?.attr) })
        },
        head.entry(),
    );
}

pub(crate) fn link<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    (parent, text): (INodeNo, &OsStr),
    reply: ReplyEntry,
) {
    let (ctx, file, dir) = (head.ctx(request), head.numbers.file(ino), head.numbers.file(parent));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request = Link { file, dir, name: name(text)? };
            Ok(async move { Ok(vfs.link(&ctx, request).await?.attr) })
        },
        head.entry(),
    );
}

pub(crate) fn unlink<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (parent, text): (INodeNo, &OsStr),
    reply: ReplyEmpty,
) {
    let (ctx, dir) = (head.ctx(request), head.numbers.file(parent));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request = Unlink { dir, name: name(text)? };
            Ok(async move { vfs.unlink(&ctx, request).await })
        },
        |reply, _| reply.ok(),
    );
}

pub(crate) fn rmdir<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (parent, text): (INodeNo, &OsStr),
    reply: ReplyEmpty,
) {
    let (ctx, dir, gone) = (head.ctx(request), head.numbers.file(parent), head.gone.clone());
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request = Rmdir { dir, name: name(text)? };
            Ok(async move {
                let removed = vfs.rmdir(&ctx, request).await?;
                removed.gone.into_iter().for_each(|attr| gone.note(attr));
                Ok(())
            })
        },
        |reply, ()| reply.ok(),
    );
}

pub(crate) fn rename<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (from_dir, from): (INodeNo, &OsStr),
    (to_dir, to): (INodeNo, &OsStr),
    flags: RenameFlags,
    reply: ReplyEmpty,
) {
    let ctx = head.ctx(request);
    let (from_dir, to_dir) = (head.numbers.file(from_dir), head.numbers.file(to_dir));
    let (gone, trusted) = (head.gone.clone(), head.trusted.clone());
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let how = if flags.is_empty() {
                RenameHow::Replace
            } else if flags == RenameFlags::RENAME_NOREPLACE {
                RenameHow::NoReplace
            } else if flags == RenameFlags::RENAME_EXCHANGE {
                RenameHow::Exchange
            } else {
                // Whiteouts and combinations that renameat2(2) refuses.
                return Err(NONSENSE);
            };
            let (from_name, to_name) = (name(from)?, name(to)?);
            let exchange = how == RenameHow::Exchange;
            let from = Entry { dir: from_dir, name: from.to_owned() };
            let to = Entry { dir: to_dir, name: to.to_owned() };
            trusted.renaming(&from, &to, exchange);
            let request = Rename { from_dir, from_name, to_dir, to_name, how };
            Ok(async move {
                let renamed = vfs.rename(&ctx, request).await?;
                trusted.renamed(from, to, exchange);
                renamed.gone.into_iter().for_each(|attr| gone.note(attr));
                Ok(())
            })
        },
        |reply, ()| reply.ok(),
    );
}
