//! A shard that is here or elsewhere.

use super::{RemoteShard, RemoteView};
use crate::{Answer, Locking, Member, MetadataError, Record, ShardView, TxId, UnderWay};
use bytes::Bytes;
use map::{MapError, OrderedMap, Visit};

/// A member of the shards: in this process, or behind the fabric.
#[derive(Clone)]
pub enum Anywhere<M> {
    /// In this process.
    Here(M),
    /// Behind the fabric.
    There(RemoteShard),
}

/// A view of one.
pub enum AnyView<V> {
    /// In this process.
    Here(V),
    /// Behind the fabric.
    There(RemoteView),
}

impl<M: Member> Member for Anywhere<M> {
    type View = AnyView<M::View>;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        match self {
            Anywhere::Here(member) => member.submit(command).await,
            Anywhere::There(remote) => remote.submit(command).await,
        }
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        match self {
            Anywhere::Here(member) => member.tell(record).await,
            Anywhere::There(remote) => remote.tell(record).await,
        }
    }

    fn view(&self, locking: Locking) -> Result<Self::View, MetadataError> {
        match self {
            Anywhere::Here(member) => member.view(locking).map(AnyView::Here),
            Anywhere::There(remote) => remote.view(locking).map(AnyView::There),
        }
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        match self {
            Anywhere::Here(member) => member.under_way().await,
            Anywhere::There(remote) => remote.under_way().await,
        }
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        match self {
            Anywhere::Here(member) => member.ended(tx).await,
            Anywhere::There(remote) => remote.ended(tx).await,
        }
    }
}

impl<V: ShardView> ShardView for AnyView<V> {
    async fn open(&self) -> Result<(), MapError> {
        match self {
            AnyView::Here(view) => view.open().await,
            AnyView::There(remote) => remote.open().await,
        }
    }

    fn forget(&self) {
        match self {
            AnyView::Here(view) => view.forget(),
            AnyView::There(remote) => remote.forget(),
        }
    }

    async fn fetch(&self) -> Result<bool, MapError> {
        match self {
            AnyView::Here(view) => view.fetch().await,
            AnyView::There(remote) => remote.fetch().await,
        }
    }
}

impl<V: OrderedMap> OrderedMap for AnyView<V> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        match self {
            AnyView::Here(view) => view.get(key),
            AnyView::There(remote) => remote.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        match self {
            AnyView::Here(view) => view.scan(from, to, visit),
            AnyView::There(remote) => remote.scan(from, to, visit),
        }
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        match self {
            AnyView::Here(view) => view.scan_back(from, to, visit),
            AnyView::There(remote) => remote.scan_back(from, to, visit),
        }
    }
}
