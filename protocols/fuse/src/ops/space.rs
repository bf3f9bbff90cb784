//! Requests about holes, reservations and copies.

use crate::head::{Head, NONSENSE};
use fuser::{FileHandle, INodeNo, ReplyEmpty, ReplyLseek, ReplyWrite, Request};
use rustix::fs::FallocateFlags;
use types::limits::BLOCK_BYTES;
use types::{ByteRange, FsError};
use vfs::{Allocate, AllocateHow, CloneRange, GetAttr, OpenId, Seek, SeekWhat, Vfs};

/// Whence of lseek(2) on Linux.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;
/// Bytes that one copy request moves at most; the reply counts in 32 bits.
const COPY_BYTES_MAX: u64 = 1 << 30;

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

/// Shares whole blocks; what cannot be shared is refused, and the kernel then copies by itself.
pub(crate) fn copy_file_range<V: Vfs>(
    head: &Head<V>,
    request: &Request,
    (from, from_open, from_offset): (INodeNo, FileHandle, u64),
    (to, to_open, to_offset): (INodeNo, FileHandle, u64),
    length: u64,
    reply: ReplyWrite,
) {
    let ctx = head.ctx(request);
    let (from, to) = (head.numbers.file(from), head.numbers.file(to));
    let (from_open, to_open) = (Some(OpenId(from_open.0)), Some(OpenId(to_open.0)));
    let block = BLOCK_BYTES as u64;
    head.serve(
        request.pid(),
        reply,
        |vfs| {
            Ok(async move {
                let size = vfs.getattr(&ctx, GetAttr { file: from }).await?.attr.size;
                let rest = size.saturating_sub(from_offset);
                if rest == 0 {
                    return Ok(0);
                }
                let asked = length.min(COPY_BYTES_MAX);
                let length = if asked >= rest { rest } else { asked / block * block };
                let fits = from_offset.is_multiple_of(block) && to_offset.is_multiple_of(block);
                if !fits || length == 0 {
                    return Err(FsError::NotSupported);
                }
                let request = CloneRange { from, from_open, from_offset, to, to_open, to_offset, length };
                match vfs.clone_range(&ctx, request).await {
                    Ok(()) => Ok(length as u32),
                    // The source has just become shorter, or the ranges overlap.
                    Err(FsError::Invalid) => Err(FsError::NotSupported),
                    Err(error) => Err(error),
                }
            })
        },
        |reply, copied| reply.written(copied),
    );
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
