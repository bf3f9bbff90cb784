//! The fall-back engine: blocking calls on tokio's blocking threads, bounded.

use super::{BlockError, BlockFile, IoFuture, check_range, check_transfer};
use crate::AlignedBuf;
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Threads that one file may occupy.
const THREADS: usize = 16;

pub(super) struct PoolFile {
    file: Arc<File>,
    length: u64,
    permits: Arc<Semaphore>,
}

impl PoolFile {
    pub(super) fn new(file: File, length: u64) -> PoolFile {
        PoolFile { file: Arc::new(file), length, permits: Arc::new(Semaphore::new(THREADS)) }
    }

    fn run<T: Send + 'static>(
        &self,
        check: Result<(), BlockError>,
        work: impl FnOnce(&File) -> Result<T, BlockError> + Send + 'static,
    ) -> IoFuture<T> {
        let (file, permits) = (self.file.clone(), self.permits.clone());
        Box::pin(async move {
            check?;
            let permit = permits.acquire_owned().await.map_err(|_| BlockError::Gone)?;
            tokio::task::spawn_blocking(move || {
                let result = work(&file);
                drop(permit);
                result
            })
            .await
            .map_err(|_| BlockError::Gone)?
        })
    }
}

impl BlockFile for PoolFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, length: usize) -> IoFuture<AlignedBuf> {
        self.run(check_transfer(self.length, offset, length), move |file| {
            let mut data = AlignedBuf::used(length);
            file.read_exact_at(&mut data, offset).map_err(|e| BlockError::io("read", &e))?;
            Ok(data)
        })
    }

    fn write_at(&self, offset: u64, data: AlignedBuf) -> IoFuture<()> {
        self.run(check_transfer(self.length, offset, data.len()), move |file| {
            file.write_all_at(&data, offset).map_err(|e| BlockError::io("write", &e))
        })
    }

    fn sync(&self) -> IoFuture<()> {
        self.run(Ok(()), |file| file.sync_data().map_err(|e| BlockError::io("fdatasync", &e)))
    }

    fn write_synced(&self, offset: u64, data: AlignedBuf) -> IoFuture<()> {
        self.run(check_transfer(self.length, offset, data.len()), move |file| {
            file.write_all_at(&data, offset).map_err(|e| BlockError::io("write", &e))?;
            file.sync_data().map_err(|e| BlockError::io("fdatasync", &e))
        })
    }

    fn discard(&self, offset: u64, length: u64) -> IoFuture<()> {
        self.run(check_range(self.length, offset, length), move |file| {
            let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
            match rustix::fs::fallocate(file, flags, offset, length) {
                // Advice only: where the file system cannot, nothing is lost.
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                Err(error) => Err(BlockError::io("discard", &error.into())),
            }
        })
    }
}
