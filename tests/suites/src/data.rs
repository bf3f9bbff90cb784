//! Data: holes, appends, ends, sizes, allocation, seeking, clones.

use crate::desk::{Desk, must, refused};
use types::limits::{FILE_BYTES_MAX, IO_BYTES_MAX};
use types::{ByteRange, FileId, FsError};
use vfs::{Allocate, AllocateHow, CloneRange, Commit, FsResult, Seek, SeekWhat, Vfs, WriteOffset};

pub(crate) async fn run<V: Vfs>(desk: &Desk<'_, V>) {
    writes(&desk.sub("writes").await).await;
    ends(&desk.sub("ends").await).await;
    allocation(&desk.sub("allocation").await).await;
    holes(&desk.sub("holes").await).await;
    clones(&desk.sub("clones").await).await;
}

async fn writes<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    assert_eq!(must("read of nothing", desk.read(file, 0, 10).await).len(), 0);
    for (offset, data) in [(0, &b"hello"[..]), (3, b"LOW"), (10_000, b"far"), (4095, b"xy"), (10_001, b"A")] {
        let reply = must("write", desk.write(file, offset, data).await);
        assert_eq!(reply.offset, offset);
    }
    assert_eq!(desk.attr(file).await.size, 10_003);
    assert_eq!(&must("read", desk.read(file, 0, 8).await)[..], b"helLOW\0\0");
    assert_eq!(&must("read", desk.read(file, 4094, 4).await)[..], b"\0xy\0");
    assert_eq!(&must("read", desk.read(file, 9_999, 100).await)[..], b"\0fAr");
    assert_eq!(must("read at the end", desk.read(file, 10_003, 100).await).len(), 0);
    assert_eq!(must("read beyond", desk.read(file, u64::MAX, 100).await).len(), 0);

    let appended = must("append", desk.write_with(file, None, WriteOffset::End, b"tail").await);
    assert_eq!(appended.offset, 10_003);
    assert_eq!(desk.attr(file).await.size, 10_007);

    let big: Vec<u8> = (0..IO_BYTES_MAX).map(|i| (i / 7) as u8).collect();
    must("the largest write", desk.write(file, 12_345, &big).await);
    assert!(must("the largest read", desk.read(file, 12_345, IO_BYTES_MAX as u32).await) == big[..]);
    let commit = Commit { file, range: ByteRange { offset: 0, end: u64::MAX } };
    must("commit", desk.vfs.commit(&desk.ctx, commit).await);
    let dir = desk.sub("d").await;
    refused("read of a directory", desk.read(dir.dir, 0, 1).await, FsError::IsDirectory);
    refused("write of a directory", desk.write(dir.dir, 0, b"x").await, FsError::IsDirectory);
    let link = must("symlink", desk.symlink("s", b"f").await).file;
    refused("read of a symlink", desk.read(link, 0, 1).await, FsError::IsSymlink);
}

async fn ends<V: Vfs>(desk: &Desk<'_, V>) {
    let file = desk.file("f").await;
    must("write", desk.write(file, 0, &[7; 9000]).await);
    must("cut", desk.truncate(file, 4097).await);
    must("extend", desk.truncate(file, 9000).await);
    let data = must("read", desk.read(file, 4000, 5000).await);
    assert!(data[..97].iter().all(|b| *b == 7) && data[97..].iter().all(|b| *b == 0), "cut bytes stay gone");
    must("to nothing", desk.truncate(file, 0).await);
    assert_eq!(desk.attr(file).await.used, 0);
    must("the largest size", desk.truncate(file, FILE_BYTES_MAX).await);
    assert_eq!(desk.attr(file).await.size, FILE_BYTES_MAX);
    refused("a larger size", desk.truncate(file, FILE_BYTES_MAX + 1).await, FsError::FileTooLarge);
    must("the last byte", desk.write(file, FILE_BYTES_MAX - 1, b"z").await);
    assert_eq!(&must("read", desk.read(file, FILE_BYTES_MAX - 2, 9).await)[..], b"\0z");
    refused("beyond it", desk.write(file, FILE_BYTES_MAX, b"z").await, FsError::FileTooLarge);
    refused("beyond all", desk.write(file, u64::MAX, b"z").await, FsError::FileTooLarge);
    let dir = desk.sub("d").await;
    refused("size of a directory", desk.truncate(dir.dir, 0).await, FsError::IsDirectory);
}

async fn allocate<V: Vfs>(
    desk: &Desk<'_, V>,
    file: FileId,
    how: AllocateHow,
    at: u64,
    length: u64,
) -> FsResult<()> {
    let range = ByteRange::new(at, length);
    desk.vfs.allocate(&desk.ctx, Allocate { file, open: None, range, how }).await
}

async fn allocation<V: Vfs>(desk: &Desk<'_, V>) {
    for (how, extends, zeroes) in [
        (AllocateHow::Reserve, true, false),
        (AllocateHow::ReserveKeepSize, false, false),
        (AllocateHow::Punch, false, true),
        (AllocateHow::Zero, true, true),
        (AllocateHow::ZeroKeepSize, false, true),
    ] {
        let file = desk.file(&format!("{how:?}")).await;
        must("write", desk.write(file, 0, &[9; 20_000]).await);
        must("in the middle", allocate(desk, file, how, 5000, 9000).await);
        let data = must("read", desk.read(file, 0, 20_000).await);
        let middle = if zeroes { 0 } else { 9 };
        assert!(data[..5000].iter().chain(&data[14_000..]).all(|b| *b == 9), "{how:?}: around");
        assert!(data[5000..14_000].iter().all(|b| *b == middle), "{how:?}: inside");
        must("over the end", allocate(desk, file, how, 19_000, 9000).await);
        let size = if extends { 28_000 } else { 20_000 };
        assert_eq!(desk.attr(file).await.size, size, "{how:?}: size");
        let tail = must("read", desk.read(file, 19_000, 9000).await);
        assert!(tail[1000..].iter().all(|b| *b == 0), "{how:?}: beyond the old end");
        refused("nothing", allocate(desk, file, how, 0, 0).await, FsError::Invalid);
        let far = allocate(desk, file, how, FILE_BYTES_MAX, 1).await;
        refused("too far", far, FsError::FileTooLarge);
    }
}

async fn seek<V: Vfs>(desk: &Desk<'_, V>, file: FileId, what: SeekWhat, offset: u64) -> FsResult<u64> {
    desk.vfs.seek(&desk.ctx, Seek { file, offset, what }).await.map(|reply| reply.offset)
}

async fn holes<V: Vfs>(desk: &Desk<'_, V>) {
    const MIB: u64 = 1 << 20;
    let file = desk.file("f").await;
    refused("in nothing", seek(desk, file, SeekWhat::Data, 0).await, FsError::NothingThere);
    must("write", desk.write(file, 4 * MIB, &[1; 1 << 20]).await);
    must("extend", desk.truncate(file, 8 * MIB).await);
    assert_eq!(must("data", seek(desk, file, SeekWhat::Data, 0).await), 4 * MIB);
    assert_eq!(must("hole", seek(desk, file, SeekWhat::Hole, 0).await), 0);
    assert_eq!(must("data", seek(desk, file, SeekWhat::Data, 4 * MIB + 5).await), 4 * MIB + 5);
    assert_eq!(must("hole", seek(desk, file, SeekWhat::Hole, 4 * MIB).await), 5 * MIB);
    refused("no more data", seek(desk, file, SeekWhat::Data, 5 * MIB).await, FsError::NothingThere);
    assert_eq!(must("hole", seek(desk, file, SeekWhat::Hole, 6 * MIB).await), 6 * MIB);
    refused("at the end", seek(desk, file, SeekWhat::Hole, 8 * MIB).await, FsError::NothingThere);
    let used = desk.attr(file).await.used;
    assert!((MIB..2 * MIB).contains(&used), "holes use nothing: {used}");
    must("punch", allocate(desk, file, AllocateHow::Punch, 4 * MIB, MIB).await);
    refused("all punched", seek(desk, file, SeekWhat::Data, 0).await, FsError::NothingThere);
    let full = desk.file("full").await;
    must("write", desk.write(full, 0, b"data").await);
    assert_eq!(must("the end is a hole", seek(desk, full, SeekWhat::Hole, 1).await), 4);
}

async fn clones<V: Vfs>(desk: &Desk<'_, V>) {
    let (from, to) = (desk.file("from").await, desk.file("to").await);
    must("write", desk.write(from, 0, &[3; 8192]).await);
    must("write", desk.write(from, 8192, b"tail").await);
    must("write", desk.write(to, 0, &[8; 4096]).await);
    let clone = |from, from_offset, to, to_offset, length| {
        let request = CloneRange { from, from_open: None, from_offset, to, to_open: None, to_offset, length };
        desk.vfs.clone_range(&desk.ctx, request)
    };
    must("all", clone(from, 0, to, 4096, 0).await);
    assert_eq!(desk.attr(to).await.size, 4096 + 8196);
    must("write to the source", desk.write(from, 0, &[4; 8196]).await);
    let data = must("read", desk.read(to, 0, 20_000).await);
    assert!(data[..4096].iter().all(|b| *b == 8) && data[4096..12_288].iter().all(|b| *b == 3));
    assert_eq!(&data[12_288..], b"tail", "later writes to the source do not show");
    must("write to the copy", desk.write(to, 4096, &[5; 10]).await);
    assert_eq!(must("read", desk.read(from, 0, 1).await)[0], 4);
    must("a part", clone(from, 4096, to, 0, 4096).await);
    assert_eq!(must("read", desk.read(to, 4095, 1).await)[0], 4);
    must("within a file", clone(from, 0, from, 16_384, 4096).await);
    for (from_offset, to_offset, length) in [(1, 0, 4096), (0, 1, 4096), (0, 0, 5), (0, 0, 1 << 20)] {
        let result = clone(from, from_offset, to, to_offset, length).await;
        refused("not aligned, or beyond the end", result, FsError::Invalid);
    }
    refused("onto itself", clone(from, 0, from, 4096, 8192).await, FsError::Invalid);
}
