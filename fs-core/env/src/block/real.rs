//! Opening a real file: preallocation, direct I/O, choice of the engine.

use super::pool::PoolFile;
use super::uring::UringFile;
use super::{BlockError, Engine, SharedBlockFile};
use crate::durable;
use rustix::fs::{FallocateFlags, OFlags};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use types::limits::BLOCK_BYTES;

/// How to open a real block file.
#[derive(Clone, Debug)]
pub struct OpenBlockFile {
    /// Where.
    pub path: PathBuf,
    /// Create it with this many bytes, preallocated; an existing file is refused. `None` opens what is there.
    pub create: Option<u64>,
    /// The engine.
    pub engine: Engine,
}

impl OpenBlockFile {
    /// Opens or creates the file. Blocks: call it where that does no harm.
    ///
    /// # Errors
    /// [`BlockError::Io`] with what the file system said (`ENOSPC` when the space is not there),
    /// [`BlockError::BadRange`] for a length that is no multiple of 4 KiB.
    pub fn open(&self) -> Result<SharedBlockFile, BlockError> {
        if let Some(length) = self.create {
            self.preallocate(length)?;
        }
        let file = self.open_direct()?;
        let length = file.metadata().map_err(|e| BlockError::io("stat", &e))?.len();
        if length == 0 || !length.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(BlockError::BadRange { offset: 0, length });
        }
        match self.engine {
            Engine::Pool => Ok(Arc::new(PoolFile::new(file, length))),
            Engine::Uring => Ok(Arc::new(UringFile::new(file, length)?)),
            Engine::Auto => {
                let spare = file.try_clone().map_err(|e| BlockError::io("dup", &e))?;
                match UringFile::new(file, length) {
                    Ok(uring) => Ok(Arc::new(uring)),
                    Err(error) => {
                        tracing::warn!(path = %self.path.display(), %error, "no io_uring: threads do the I/O");
                        Ok(Arc::new(PoolFile::new(spare, length)))
                    }
                }
            }
        }
    }

    fn preallocate(&self, length: u64) -> Result<(), BlockError> {
        if length == 0 || !length.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(BlockError::BadRange { offset: 0, length });
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&self.path)
            .map_err(|e| BlockError::io("create", &e))?;
        let made = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length)
            .map_err(|e| BlockError::io("fallocate", &e.into()))
            .and_then(|()| file.sync_all().map_err(|e| BlockError::io("fsync", &e)))
            .and_then(|()| durable::sync_parent(&self.path).map_err(|e| BlockError::io("fsync", &e)));
        if made.is_err() {
            // The file is ours, made a moment ago: do not leave half of it in the way of the next try.
            if let Err(error) = std::fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove a half-made file");
            }
        }
        made
    }

    /// With O_DIRECT; without it where the file system has none (some tmpfs, overlays).
    fn open_direct(&self) -> Result<File, BlockError> {
        let open = |flags: OFlags| {
            let flags = i32::try_from(flags.bits()).unwrap_or(0);
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path)
        };
        match open(OFlags::DIRECT) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                tracing::warn!(path = %self.path.display(), "no direct I/O on this file system");
                open(OFlags::empty()).map_err(|e| BlockError::io("open", &e))
            }
            result => result.map_err(|e| BlockError::io("open", &e)),
        }
    }
}
