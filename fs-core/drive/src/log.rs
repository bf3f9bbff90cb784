//! The log of one drive: every shard that has a home here appends to the same files, and one
//! thread writes and syncs for all of them together (group commit).
//!
//! The files are a maintained log engine's. A sync that failed is never tried again: from then on
//! the log is poisoned, and nothing is acknowledged any more.

mod commit;
#[cfg(test)]
mod crashes;
mod engine;
mod giving_way;
mod open;
#[cfg(test)]
mod points;
mod record;
mod shard;
pub mod sim;
#[cfg(test)]
mod tests;
mod watched;

pub use open::DriveLog;
pub use record::{LogRecord, Mark};
pub use shard::{LogBounds, LogWrite, ShardLog};

/// Called when a write is durable, or will never be; on the log's thread, so it must not block.
pub type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// Bytes of one record's body.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// Sizes of a drive's log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A file is closed and the next begun beyond this many bytes.
    pub file_bytes: u64,
    /// Files are freed when all together are larger than this; at least `file_bytes`.
    pub purge_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { file_bytes: 16 << 20, purge_bytes: 64 << 20 }
    }
}

/// The log cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A write or sync failed earlier; what was acknowledged stands, nothing more will be.
    #[error("the log is poisoned: {0}")]
    Poisoned(String),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// What was read is not what was written.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// The system has no thread to read with; later it may.
    #[error("the log cannot be read now: {0}")]
    Unreadable(String),
    /// A record or mark of a version that this program does not know.
    #[error("a log record of version {0}, which this version does not know")]
    UnknownVersion(u8),
    /// The log cannot be opened.
    #[error("the log in {dir} cannot be opened: {reason}")]
    Open {
        /// Where.
        dir: String,
        /// Why.
        reason: String,
    },
    /// A write that breaks the order of indices, or is too large.
    #[error("not a write for this log: {0}")]
    Invalid(String),
}
