//! Requests about holes, reservations and copies.

use crate::head::{Head, NONSENSE};
use fuser::{FileHandle, INodeNo, ReplyEmpty, ReplyLseek, ReplyWrite, Request};
use rustix::fs::FallocateFlags;
use types::limits::{BLOCK_BYTES, IO_BYTES_MAX};
use types::{ByteRange, FileId, FsError};
use vfs::{
    Allocate, AllocateHow, CloneRange, Commit, Ctx, Durability, FsResult, GetAttr, OpenId, Read, Seek,
    SeekWhat, Vfs, Write, WriteOffset,
};

/// Whence of lseek(2) on Linux.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;
/// Bytes that one copy request shares at most; the reply counts in 32 bits.
const SHARED_BYTES_MAX: u64 = 1 << 30;
/// Bytes that one copy request moves at most; the caller asks for the rest.
const COPY_BYTES_MAX: u64 = 16 << 20;

fn how(mode: i32) -> Result<AllocateHow, FsError> {
    let (keep, punch, zero) =
        (FallocateFlags::KEEP_SIZE, FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE);
    let flags = FallocateFlags::from_bits_retain(mode as u32);
    [
        (FallocateFlags::empty(), AllocateHow::Reserve),
        (keep, AllocateHow::ReserveKeepSize),
        (punch | keep, AllocateHow::Punch),
        (zero, AllocateHow::Zero),
        (zero | keep, AllocateHow::ZeroKeepSize),
    ]
    .into_iter()
    .find_map(|(known, how)| (known == flags).then_some(how))
    .ok_or(FsError::NotSupported)
}

pub(crate) fn fallocate<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (ino, open): (INodeNo, FileHandle),
    (offset, length): (u64, u64),
    mode: i32,
    reply: ReplyEmpty,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let (open, range, how) = (Some(OpenId(open.0)), ByteRange::new(offset, length), how(mode)?);
            Ok(async move { vfs.allocate(&ctx, Allocate { file, open, range, how }).await })
        },
        |reply, ()| reply.ok(),
    );
}

pub(crate) fn lseek<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    ino: INodeNo,
    offset: i64,
    whence: i32,
    reply: ReplyLseek,
) {
    let (ctx, file) = (head.ctx(request), head.numbers.file(ino));
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            let offset = u64::try_from(offset).map_err(|_| FsError::NothingThere)?;
            let what = match whence {
                SEEK_DATA => SeekWhat::Data,
                SEEK_HOLE => SeekWhat::Hole,
                _ => return Err(NONSENSE),
            };
            Ok(async move { vfs.seek(&ctx, Seek { file, offset, what }).await })
        },
        |reply, found| reply.offset(i64::try_from(found.offset).unwrap_or(i64::MAX)),
    );
}

/// Where one file ends and the other begins.
#[derive(Clone, Copy)]
struct Ends {
    from: (FileId, OpenId, u64),
    to: (FileId, OpenId, u64),
}

/// Shares whole blocks, and copies what cannot be shared: the kernel would take its pages for the source, and does not
/// ask whether they are still what others see.
pub(crate) fn copy_file_range<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (from, from_open, from_offset): (INodeNo, FileHandle, u64),
    (to, to_open, to_offset): (INodeNo, FileHandle, u64),
    length: u64,
    reply: ReplyWrite,
) {
    let ctx = head.ctx(request);
    let ends = Ends {
        from: (head.numbers.file(from), OpenId(from_open.0), from_offset),
        to: (head.numbers.file(to), OpenId(to_open.0), to_offset),
    };
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            Ok(async move {
                let size = vfs.getattr(&ctx, GetAttr { file: ends.from.0 }).await?.attr.size;
                let rest = size.saturating_sub(ends.from.2);
                if rest == 0 {
                    return Ok(0);
                }
                if let Some(shared) = share(&*vfs, &ctx, ends, length.min(SHARED_BYTES_MAX), rest).await? {
                    return Ok(shared as u32);
                }
                copy(&*vfs, &ctx, ends, length.min(rest).min(COPY_BYTES_MAX)).await
            })
        },
        |reply, copied| reply.written(copied),
    );
}

/// Shares what is asked for or as many whole blocks of it as there are; nothing when their place does not allow it.
async fn share<V: Vfs>(vfs: &V, ctx: &Ctx, ends: Ends, asked: u64, rest: u64) -> FsResult<Option<u64>> {
    let block = BLOCK_BYTES as u64;
    let ((from, from_open, from_offset), (to, to_open, to_offset)) = (ends.from, ends.to);
    let length = if asked >= rest { rest } else { asked / block * block };
    if length == 0 || !from_offset.is_multiple_of(block) || !to_offset.is_multiple_of(block) {
        return Ok(None);
    }
    let (from_open, to_open) = (Some(from_open), Some(to_open));
    let request = CloneRange { from, from_open, from_offset, to, to_open, to_offset, length };
    match vfs.clone_range(ctx, request).await {
        Ok(()) => Ok(Some(length)),
        // The source has just become shorter, or the ranges overlap.
        Err(FsError::Invalid | FsError::NotSupported) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies bytes, durable when it returns: whether the target was opened with O_SYNC, this request does not say.
async fn copy<V: Vfs>(vfs: &V, ctx: &Ctx, ends: Ends, length: u64) -> FsResult<u32> {
    let ((from, from_open, from_offset), (to, to_open, to_offset)) = (ends.from, ends.to);
    let mut done = 0;
    while done < length {
        let piece = (length - done).min(IO_BYTES_MAX as u64) as u32;
        let read = Read { file: from, open: Some(from_open), offset: from_offset + done, length: piece };
        let data = vfs.read(ctx, read).await?.data;
        if data.is_empty() {
            break;
        }
        let copied = data.len() as u64;
        let (open, offset) = (Some(to_open), WriteOffset::At(to_offset + done));
        vfs.write(ctx, Write { file: to, open, offset, data, durability: Durability::Unstable }).await?;
        done += copied;
    }
    vfs.commit(ctx, Commit { file: to, range: ByteRange::new(to_offset, done) }).await?;
    Ok(done as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_of_fallocate_are_told_apart() {
        assert_eq!(how(0), Ok(AllocateHow::Reserve));
        assert_eq!(how(1), Ok(AllocateHow::ReserveKeepSize));
        assert_eq!(how(3), Ok(AllocateHow::Punch));
        assert_eq!(how(0x10), Ok(AllocateHow::Zero));
        assert_eq!(how(0x11), Ok(AllocateHow::ZeroKeepSize));
        assert_eq!(how(2), Err(FsError::NotSupported));
        assert_eq!(how(8), Err(FsError::NotSupported));
    }
}
