//! Block files: a drive's large file, read and written in whole aligned blocks.
//!
//! Three engines stand behind one trait: io_uring on a thread of its own, a thread pool where
//! io_uring is refused, and the simulated device of [`crate::sim`].

mod pool;
mod real;
mod uring;

use crate::AlignedBuf;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use types::limits::BLOCK_BYTES;

pub use real::OpenBlockFile;

/// Requests in flight per file; more wait for their turn.
pub const QUEUE_DEPTH: usize = 256;

/// Bytes of one transfer, at most.
pub const TRANSFER_BYTES_MAX: usize = 64 << 20;

/// Why a block file did not do as told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    /// The operating system refused.
    #[error("{operation}: {message}")]
    Io {
        /// The operation.
        operation: &'static str,
        /// `errno`, 0 where there is none.
        code: i32,
        /// In words.
        message: String,
    },
    /// Offset or length are no multiples of 4 KiB, or reach beyond the end.
    #[error("offset {offset}, length {length}: not whole blocks within the file")]
    BadRange {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// The device or its engine is gone.
    #[error("the device is gone")]
    Gone,
}

impl BlockError {
    pub(crate) fn io(operation: &'static str, error: &std::io::Error) -> BlockError {
        BlockError::Io { operation, code: error.raw_os_error().unwrap_or(0), message: error.to_string() }
    }
}

/// An operation in flight. Dropping it before it ends does not stop what has begun.
pub type IoFuture<T> = Pin<Box<dyn Future<Output = Result<T, BlockError>> + Send + 'static>>;

/// A file of fixed length in 4 KiB blocks. A write is durable only after a [`BlockFile::sync`]
/// that began after the write had ended; until then any 512-byte part of it may be lost or kept.
pub trait BlockFile: Send + Sync + 'static {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no blocks.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads `length` bytes at `offset`; both multiples of 4 KiB.
    fn read_at(&self, offset: u64, length: usize) -> IoFuture<AlignedBuf>;

    /// Writes `data` at `offset`; both multiples of 4 KiB.
    fn write_at(&self, offset: u64, data: AlignedBuf) -> IoFuture<()>;

    /// Makes all writes that have ended durable.
    fn sync(&self) -> IoFuture<()>;

    /// As [`BlockFile::write_at`] and then [`BlockFile::sync`], on the way of one.
    fn write_synced(&self, offset: u64, data: AlignedBuf) -> IoFuture<()>;

    /// Tells the device that the range holds nothing of worth; reads of it give zeros or what was there.
    fn discard(&self, offset: u64, length: u64) -> IoFuture<()>;
}

/// Which engine drives a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Engine {
    /// io_uring, or the thread pool where io_uring is refused.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// The thread pool.
    Pool,
}

/// A shared block file.
pub type SharedBlockFile = Arc<dyn BlockFile>;

/// Refuses ranges that are not whole blocks within `len`.
pub(crate) fn check_range(len: u64, offset: u64, length: u64) -> Result<(), BlockError> {
    let block = BLOCK_BYTES as u64;
    let inside = offset.checked_add(length).is_some_and(|end| end <= len);
    if inside && offset.is_multiple_of(block) && length.is_multiple_of(block) && length > 0 {
        Ok(())
    } else {
        Err(BlockError::BadRange { offset, length })
    }
}

/// As [`check_range`], for a transfer through memory.
pub(crate) fn check_transfer(len: u64, offset: u64, length: usize) -> Result<(), BlockError> {
    if length > TRANSFER_BYTES_MAX {
        return Err(BlockError::BadRange { offset, length: length as u64 });
    }
    check_range(len, offset, length as u64)
}

#[cfg(test)]
mod tests;
