//! Requests about extended attributes.

use crate::head::{Head, NONSENSE};
use crate::translate::name;
use bytes::Bytes;
use fuser::{Errno, INodeNo, ReplyEmpty, ReplyXattr, Request};
use rustix::fs::XattrFlags;
use std::ffi::OsStr;
use vfs::{GetXattr, ListXattr, RemoveXattr, SetXattr, SetXattrHow, Vfs};

/// Gives what fits into `size`; a size of 0 only asks how much there is (getxattr(2)).
fn give(reply: ReplyXattr, size: u32, value: &[u8]) {
    if size == 0 {
        reply.size(value.len() as u32);
    } else if value.len() > size as usize {
        reply.error(Errno::ERANGE);
    } else {
        reply.data(value);
    }
}

pub(crate) fn get<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    text: &OsStr,
    size: u32,
    reply: ReplyXattr,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request = GetXattr { file, name: name(text)? };
            Ok(async move { vfs.getxattr(&ctx, request).await })
        },
        move |reply, got| give(reply, size, &got.value),
    );
}

pub(crate) fn list<V: Vfs>(head: &Head<V>, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.serve(
        request.pid(),
        reply,
        |vfs| Ok(async move { vfs.listxattr(&ctx, ListXattr { file }).await }),
        move |reply, listed| {
            let mut names = Vec::new();
            for name in &listed.names {
                names.extend_from_slice(name.as_bytes());
                names.push(0);
            }
            give(reply, size, &names);
        },
    );
}

pub(crate) fn set<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    text: &OsStr,
    value: &[u8],
    flags: i32,
    reply: ReplyEmpty,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let flags = XattrFlags::from_bits(flags as u32).ok_or(NONSENSE)?;
            let how = match (flags.contains(XattrFlags::CREATE), flags.contains(XattrFlags::REPLACE)) {
                (false, false) => SetXattrHow::Either,
                (true, false) => SetXattrHow::Create,
                (false, true) => SetXattrHow::Replace,
                (true, true) => return Err(NONSENSE),
            };
            let value = Bytes::copy_from_slice(value);
            let request = SetXattr { file, name: name(text)?, value, how };
            Ok(async move { vfs.setxattr(&ctx, request).await })
        },
        |reply, _| reply.ok(),
    );
}

pub(crate) fn remove<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    text: &OsStr,
    reply: ReplyEmpty,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let request = RemoveXattr { file, name: name(text)? };
            Ok(async move { vfs.removexattr(&ctx, request).await })
        },
        |reply, _| reply.ok(),
    );
}
