//! Requests about data.

use crate::head::Head;
use crate::ops::file::has;
use bytes::Bytes;
use fuser::{FileHandle, INodeNo, OpenFlags, ReplyData, ReplyWrite, Request, WriteFlags};
use rustix::fs::OFlags;
use vfs::{Durability, OpenId, Read, Vfs, Write, WriteOffset};

pub(crate) fn read<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (ino, open): (INodeNo, FileHandle),
    offset: u64,
    length: u32,
    reply: ReplyData,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    let wanted = Read { file, open: Some(OpenId(open.0)), offset, length };
    head.serve(
        request.pid(),
        reply,
        |vfs| Ok(async move { vfs.read(&ctx, wanted).await }),
        |reply, read| reply.data(&read.data),
    );
}

pub(crate) fn write<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (ino, open): (INodeNo, FileHandle),
    offset: u64,
    data: &[u8],
    (how, flags): (WriteFlags, OpenFlags),
    reply: ReplyWrite,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    let length = data.len() as u32;
    // The kernel's idea of the end may be old. Pages of a mapping have their place already.
    let appends = has(flags, OFlags::APPEND) && !how.contains(WriteFlags::FUSE_WRITE_CACHE);
    let offset = if appends { WriteOffset::End } else { WriteOffset::At(offset) };
    let durability = if has(flags, OFlags::SYNC) {
        Durability::File
    } else if has(flags, OFlags::DSYNC) {
        Durability::Data
    } else {
        Durability::Unstable
    };
    let data = Bytes::copy_from_slice(data);
    let wanted = Write { file, open: Some(OpenId(open.0)), offset, data, durability };
    head.serve(
        request.pid(),
        reply,
        |vfs| Ok(async move { vfs.write(&ctx, wanted).await }),
        move |reply, _| reply.written(length),
    );
}
