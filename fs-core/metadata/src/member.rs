//! A shard as transactions need it: in this process, in memory, or behind a network.

use crate::{Answer, Board, Locking, MetadataError, Record, Shard, View};
use bytes::Bytes;
use map::OrderedMap;
use std::future::Future;
use std::sync::Arc;

/// One of the shards that hold all slots together.
pub trait Member: Send + Sync + 'static {
    /// A consistent view of its map.
    type View: OrderedMap + Send + Sync;

    /// See [`Shard::submit`].
    ///
    /// # Errors
    /// Those of [`Shard::submit`].
    fn submit(&self, command: Bytes) -> impl Future<Output = Result<Bytes, MetadataError>> + Send;

    /// See [`Shard::tell`]. A record may be lost, or take effect late; nobody but who calls this repeats it.
    ///
    /// # Errors
    /// Those of [`Shard::submit`].
    fn tell(&self, record: Record) -> impl Future<Output = Result<Answer, MetadataError>> + Send;

    /// See [`Shard::view_as`].
    ///
    /// # Errors
    /// Those of [`Shard::view`].
    fn view(&self, locking: Locking) -> Result<Self::View, MetadataError>;

    /// See [`Shard::board`].
    ///
    /// # Errors
    /// Those of [`Shard::view`].
    fn board(&self) -> Result<Arc<Board>, MetadataError>;
}

impl Member for Shard {
    type View = View;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        Shard::submit(self, command).await
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        Shard::tell(self, &record).await
    }

    fn view(&self, locking: Locking) -> Result<View, MetadataError> {
        self.view_as(locking)
    }

    fn board(&self) -> Result<Arc<Board>, MetadataError> {
        Ok(Shard::board(self))
    }
}
