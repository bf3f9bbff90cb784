//! One shard's part of a drive's log.

use super::commit::Request;
use super::engine::Store;
use super::record::{LogRecord, Mark};
use super::{Done, LogError};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};
use types::ShardId;

/// What becomes durable together, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogWrite {
    /// Entries at and behind this index are gone; a new one takes it.
    pub cut_from: Option<u64>,
    /// Entries that follow the last one.
    pub entries: Vec<LogRecord>,
    /// New values of marks.
    pub marks: Vec<(Mark, Bytes)>,
    /// Entries up to and with this index are no longer needed.
    pub purge_to: Option<u64>,
}

impl LogWrite {
    /// About how many bytes it writes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|r| r.body.len() + 32).sum::<usize>()
            + self.marks.iter().map(|(_, v)| v.len() + 16).sum::<usize>()
            + 32
    }
}

/// The entries that a shard's log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogBounds {
    /// Index of the first one.
    pub first: u64,
    /// Index of the last one.
    pub last: u64,
}

/// The log of one shard on one drive. Clones are handles of the same.
#[derive(Clone)]
pub struct ShardLog {
    pub(super) shard: ShardId,
    pub(super) queue: mpsc::Sender<Request>,
    pub(super) store: Arc<dyn Store>,
    pub(super) pressure: Arc<Notify>,
}

impl ShardLog {
    /// Whose log it is.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Queues `write`, waiting while the queue is full. Writes of a shard become durable in the
    /// order in which they were queued; `done` hears of it, exactly once if this returned well.
    ///
    /// # Errors
    /// [`LogError::Closed`]; `done` is dropped.
    pub async fn write(&self, write: LogWrite, done: Done) -> Result<(), LogError> {
        let request = Request::Write { shard: self.shard, write, done };
        self.queue.send(request).await.map_err(|_| LogError::Closed)
    }

    /// Queues `write` if there is room, else gives both back: for a mirror that does not wait for
    /// a slow drive.
    ///
    /// # Errors
    /// The write and its `done`: the queue is full or closed.
    pub fn try_write(&self, write: LogWrite, done: Done) -> Result<(), (LogWrite, Done)> {
        let request = Request::Write { shard: self.shard, write, done };
        self.queue.try_send(request).or_else(|refused| match refused.into_inner() {
            Request::Write { write, done, .. } => Err((write, done)),
            Request::Close { .. } => Ok(()),
        })
    }

    /// Queues `write` and waits until it is durable.
    ///
    /// # Errors
    /// [`LogError`]: it is not known to be durable.
    pub async fn write_durably(&self, write: LogWrite) -> Result<(), LogError> {
        let (sender, receiver) = oneshot::channel();
        self.write(write, Box::new(move |result| drop(sender.send(result)))).await?;
        receiver.await.unwrap_or(Err(LogError::Closed))
    }

    /// The entries there are; none when all were purged or none was ever written.
    #[must_use]
    pub fn bounds(&self) -> Option<LogBounds> {
        self.store.bounds(self.shard)
    }

    /// The entries `from..to` that there are, cut short after about `bytes` but never empty while
    /// there is one. Blocks on the disk.
    ///
    /// # Errors
    /// [`LogError::Damaged`] or [`LogError::UnknownVersion`]: an entry cannot be trusted.
    pub fn read(&self, from: u64, to: u64, bytes: usize) -> Result<Vec<LogRecord>, LogError> {
        self.store.read(self.shard, from, to, bytes)
    }

    /// The value of `mark`.
    ///
    /// # Errors
    /// [`LogError::UnknownVersion`] or [`LogError::Damaged`].
    pub fn mark(&self, mark: Mark) -> Result<Option<Bytes>, LogError> {
        self.store.mark(self.shard, mark)
    }

    /// Waits until the drive cannot free files because of old entries of this shard.
    pub async fn pressed(&self) {
        self.pressure.notified().await;
    }
}
