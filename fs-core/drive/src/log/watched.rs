//! A file system that remembers the first failed sync, and that writes what it allocates.
//!
//! The engine panics where a sync fails. Here it is told that all is well, and the commit thread,
//! which looks at [`Failed`] before it acknowledges anything, poisons the log.
//!
//! Space that was allocated and never written is written for the first time with a record, and then every sync has the file
//! system below write down that it is used now: another write and another flush of the drive. So it is filled with zeros first.

use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};
use std::io::{Result, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The first failed sync, once there is one.
#[derive(Clone, Default)]
pub(super) struct Failed(Arc<OnceLock<String>>);

impl Failed {
    pub(super) fn reason(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

pub(super) struct Watched<F> {
    inner: Arc<F>,
    failed: Failed,
}

impl<F> Watched<F> {
    pub(super) fn new(inner: Arc<F>, failed: Failed) -> Watched<F> {
        Watched { inner, failed }
    }
}

pub(super) struct WatchedHandle<H> {
    inner: Arc<H>,
    failed: Failed,
}

pub(super) struct WatchedWriter<W> {
    inner: W,
}

impl<H: Handle> Handle for WatchedHandle<H> {
    fn truncate(&self, offset: usize) -> Result<()> {
        self.inner.truncate(offset)
    }

    fn file_size(&self) -> Result<usize> {
        self.inner.file_size()
    }

    fn sync(&self) -> Result<()> {
        // After a failure the kernel may call dirty pages clean: a second sync proves nothing.
        if self.failed.0.get().is_none()
            && let Err(e) = self.inner.sync()
        {
            tracing::error!(error = %e, "a sync of the log failed");
            let _ = self.failed.0.set(format!("a sync failed: {e}"));
        }
        Ok(())
    }
}

impl<W: Write> Write for WatchedWriter<W> {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        self.inner.write(buf)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

impl<W: Write + Seek> WatchedWriter<W> {
    fn fill(&mut self, offset: usize, size: usize) -> Result<()> {
        self.inner.seek(SeekFrom::Start(offset as u64))?;
        let mut left = size;
        while left > 0 {
            let some = left.min(ZEROS.len());
            self.inner.write_all(&ZEROS[..some])?;
            left -= some;
        }
        Ok(())
    }
}

impl<W: Seek> Seek for WatchedWriter<W> {
    fn seek(&mut self, pos: SeekFrom) -> Result<u64> {
        self.inner.seek(pos)
    }
}

impl<W: WriteExt + Write + Seek> WriteExt for WatchedWriter<W> {
    fn truncate(&mut self, offset: usize) -> Result<()> {
        self.inner.truncate(offset)
    }

    fn allocate(&mut self, offset: usize, size: usize) -> Result<()> {
        self.inner.allocate(offset, size)?;
        let at = self.inner.stream_position()?;
        let filled = self.fill(offset, size);
        self.inner.seek(SeekFrom::Start(at))?;
        filled
    }
}

impl<F: FileSystem> FileSystem for Watched<F> {
    type Handle = WatchedHandle<F::Handle>;
    type Reader = F::Reader;
    type Writer = WatchedWriter<F::Writer>;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<Self::Handle> {
        let inner = Arc::new(self.inner.create(path)?);
        Ok(WatchedHandle { inner, failed: self.failed.clone() })
    }

    fn open<P: AsRef<Path>>(&self, path: P, perm: Permission) -> Result<Self::Handle> {
        let inner = Arc::new(self.inner.open(path, perm)?);
        Ok(WatchedHandle { inner, failed: self.failed.clone() })
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        self.inner.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn new_reader(&self, handle: Arc<Self::Handle>) -> Result<Self::Reader> {
        self.inner.new_reader(handle.inner.clone())
    }

    fn new_writer(&self, handle: Arc<Self::Handle>) -> Result<Self::Writer> {
        Ok(WatchedWriter { inner: self.inner.new_writer(handle.inner.clone())? })
    }
}
