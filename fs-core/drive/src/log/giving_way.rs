//! A file system whose writes take what they are short of from the drive's headroom.

use crate::headroom::Headroom;
use raft_engine::env::{FileSystem, Permission, WriteExt};
use std::io::{Result, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

/// What a new file takes beside what is written to it.
const FILE_BYTES: u64 = 16 << 10;

pub(super) struct GivingWay<F> {
    pub(super) inner: F,
    pub(super) headroom: Headroom,
}

pub(super) struct GivingWriter<W> {
    inner: W,
    headroom: Headroom,
}

impl<W: Write> Write for GivingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        self.headroom.giving_way(buf.len() as u64, || self.inner.write(buf))
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

impl<W: Seek> Seek for GivingWriter<W> {
    fn seek(&mut self, pos: SeekFrom) -> Result<u64> {
        self.inner.seek(pos)
    }
}

impl<W: WriteExt> WriteExt for GivingWriter<W> {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        self.inner.truncate(offset)
    }

    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        // Only a convenience of the engine: it writes all the same.
        self.inner.allocate(offset, size)
    }
}

impl<F: FileSystem> FileSystem for GivingWay<F> {
    type Handle = F::Handle;
    type Reader = F::Reader;
    type Writer = GivingWriter<F::Writer>;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<Self::Handle> {
        self.headroom.giving_way(FILE_BYTES, || self.inner.create(&path))
    }

    fn open<P: AsRef<Path>>(&self, path: P, perm: Permission) -> Result<Self::Handle> {
        self.inner.open(path, perm)
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        self.inner.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        self.headroom.giving_way(FILE_BYTES, || self.inner.rename(&from, &to))
    }

    fn new_reader(&self, handle: Arc<Self::Handle>) -> Result<Self::Reader> {
        self.inner.new_reader(handle)
    }

    fn new_writer(&self, handle: Arc<Self::Handle>) -> Result<Self::Writer> {
        Ok(GivingWriter { inner: self.inner.new_writer(handle)?, headroom: self.headroom.clone() })
    }
}
