//! A shard as transactions need it: in this process, in memory, or behind a network.

use crate::{Answer, Locking, MetadataError, Pending, Record, Shard, TxId, View};
use bytes::Bytes;
use map::{MapError, OrderedMap};
use serde::{Deserialize, Serialize};
use std::future::Future;
use types::{ShardId, Slot};

/// One of the shards that hold all slots together.
pub trait Member: Send + Sync + 'static {
    /// A consistent view of its map.
    type View: ShardView;

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

    /// What transactions have under way in it now.
    ///
    /// # Errors
    /// Those of [`Shard::view`].
    fn under_way(&self) -> impl Future<Output = Result<UnderWay, MetadataError>> + Send;

    /// Waits until a transaction is not prepared in it any more.
    ///
    /// # Errors
    /// Those of [`Shard::view`].
    fn ended(&self, tx: TxId) -> impl Future<Output = Result<(), MetadataError>> + Send;
}

/// A view of a shard's map, be the shard here or elsewhere.
pub trait ShardView: OrderedMap + Send + Sync + 'static {
    /// Asks the shard now, and not when something is first fetched.
    ///
    /// # Errors
    /// Those of reading.
    fn open(&self) -> impl Future<Output = Result<(), MapError>> + Send {
        async { Ok(()) }
    }

    /// Lets go of what was fetched; it can be fetched again, and is the same.
    fn forget(&self) {}

    /// Brings here what was read of it in vain, with [`MapError::Absent`]; whether there was anything. What comes is
    /// of the moment at which the shard was first asked for something. A view of a shard in this process has all.
    ///
    /// # Errors
    /// Those of reading.
    fn fetch(&self) -> impl Future<Output = Result<bool, MapError>> + Send {
        async { Ok(false) }
    }
}

/// What transactions have under way in a shard: of [`Pending`], what others need to know.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UnderWay {
    /// What is prepared, each with the shard that decides.
    pub prepared: Vec<(TxId, ShardId)>,
    /// What was decided here, each with the participants of which not all have heard it.
    pub decided: Vec<(TxId, Vec<ShardId>)>,
    /// Slots in which what is prepared is about to write, in order.
    pub written: Vec<Slot>,
}

impl UnderWay {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prepared.is_empty() && self.decided.is_empty()
    }
}

impl From<&Pending> for UnderWay {
    fn from(pending: &Pending) -> UnderWay {
        let mut written: Vec<Slot> =
            pending.prepared.values().flat_map(|held| held.written_slots()).collect();
        written.sort_unstable();
        written.dedup();
        UnderWay {
            prepared: pending.prepared.values().map(|held| (held.tx, held.coordinator)).collect(),
            decided: pending.decided.iter().map(|(tx, it)| (*tx, it.participants.clone())).collect(),
            written,
        }
    }
}

impl ShardView for View {}

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

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        Ok(self.board().under_way())
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        self.board().until_ended(tx).await;
        Ok(())
    }
}
