//! The shards of this daemon: Raft groups that hold the slots between them, and can be opened anew on other
//! homes and maps.

use crate::wires::{Served, Wires};
use bytes::Bytes;
use metadata::{
    Answer, AnyView, Anywhere, Locking, Member, MetadataError, Record, Shard, ShardConfig, ShardSet,
    Standing, TxId, UnderWay, View,
};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::RwLock as AsyncRwLock;
use tokio::task::JoinSet;

/// All of them, and transactions over them.
pub(crate) type Shards = ShardSet<OneShard>;

/// A shard of this daemon, and the way to it that the other roles take.
#[derive(Clone)]
pub(crate) struct OneShard {
    here: ShardHere,
    way: Anywhere<ShardHere>,
    served: Arc<Served>,
}

impl OneShard {
    /// Opens a shard of `cluster`, and serves it where roles reach each other through `wires`.
    pub(crate) async fn open(
        config: ShardConfig,
        wires: &Wires,
        cluster: &[u8; 16],
    ) -> Result<OneShard, MetadataError> {
        let id = config.id;
        let here = ShardHere::open(config).await?;
        let way = wires.shard(here.clone(), cluster, id).await;
        let (way, served) = way.map_err(|error| MetadataError::Config(format!("no port for it: {error}")))?;
        Ok(OneShard { here, way, served: Arc::new(served) })
    }

    /// A view of what is stored, for checking.
    pub(crate) fn view_here(&self) -> Result<View, MetadataError> {
        self.here.view(Locking::Nobody)
    }

    /// Ends the shard, its map durable.
    async fn close(self) -> Result<(), MetadataError> {
        self.served.stop().await;
        self.here.close().await
    }
}

impl Member for OneShard {
    type View = AnyView<View>;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        self.way.submit(command).await
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        self.way.tell(record).await
    }

    fn view(&self, locking: Locking) -> Result<AnyView<View>, MetadataError> {
        self.way.view(locking)
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        self.way.under_way().await
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        self.way.ended(tx).await
    }
}

/// A shard in this process that can be opened anew while it is in use.
#[derive(Clone)]
pub(crate) struct ShardHere(Arc<Inner>);

struct Inner {
    /// Held by commands on their way, so that none is cut off when homes or maps change.
    commands: AsyncRwLock<()>,
    /// Or why there is none any more.
    shard: RwLock<Result<Arc<Shard>, String>>,
}

impl ShardHere {
    async fn open(config: ShardConfig) -> Result<ShardHere, MetadataError> {
        let shard = Arc::new(Shard::open(config).await?);
        Ok(ShardHere(Arc::new(Inner { commands: AsyncRwLock::default(), shard: RwLock::new(Ok(shard)) })))
    }

    /// Closes the shard and opens it as `config` says; who reads or writes meanwhile waits.
    async fn reopen(self, config: ShardConfig) -> Result<(), String> {
        let inner = self.0.clone();
        let _none = self.0.commands.write().await;
        let handle = tokio::runtime::Handle::current();
        // On a thread of its own: readers may block every worker of the runtime until this is done.
        let reopening = tokio::task::spawn_blocking(move || {
            let mut shard = inner.shard.write();
            let opened = handle.block_on(async {
                if let Ok(shard) = &*shard
                    && let Err(error) = shard.close().await
                {
                    tracing::warn!(%error, "shard not closed well; its log has everything");
                }
                Shard::open(config).await
            });
            let result = opened.map(Arc::new).map_err(|error| error.to_string());
            let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
            *shard = result;
            outcome
        });
        reopening.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Ends the shard, its map durable.
    async fn close(self) -> Result<(), MetadataError> {
        let _none = self.0.commands.write().await;
        self.current()?.close().await
    }

    fn current(&self) -> Result<Arc<Shard>, MetadataError> {
        self.0.shard.read().clone().map_err(MetadataError::Stopped)
    }
}

impl Member for ShardHere {
    type View = View;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        let _on_its_way = self.0.commands.read().await;
        self.current()?.submit(command).await
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        let _on_its_way = self.0.commands.read().await;
        self.current()?.tell(&record).await
    }

    fn view(&self, locking: Locking) -> Result<View, MetadataError> {
        self.current()?.view_as(locking)
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        Ok(self.current()?.board().under_way())
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        let board = self.current()?.board();
        board.until_ended(tx).await;
        Ok(())
    }
}

/// Opens all shards anew, side by side; the first error comes back when all have been tried.
pub(crate) async fn reopen(shards: &Shards, configs: Vec<ShardConfig>) -> Result<(), String> {
    let mut opening = JoinSet::new();
    for config in configs {
        if let Some((_, shard)) = shards.members().find(|(id, _)| *id == config.id) {
            opening.spawn(shard.here.clone().reopen(config));
        }
    }
    let mut result = Ok(());
    while let Some(opened) = opening.join_next().await {
        result = result.and(opened.unwrap_or_else(|error| Err(error.to_string())));
    }
    result
}

/// Ends all shards, their maps durable.
pub(crate) async fn close(shards: &Shards) -> Result<(), MetadataError> {
    let mut closing = JoinSet::new();
    for (_, shard) in shards.members() {
        closing.spawn(shard.clone().close());
    }
    let mut result = Ok(());
    while let Some(closed) = closing.join_next().await {
        result = result.and(closed.unwrap_or_else(|error| Err(MetadataError::Stopped(error.to_string()))));
    }
    result
}

/// Which copies of logs and maps take part, for each shard; `None` when one of them does not answer.
pub(crate) fn standing(shards: &Shards) -> Option<Vec<Standing>> {
    let standing = |shard: &OneShard| {
        let shard = shard.here.current().ok().filter(|shard| shard.answers())?;
        Some(shard.standing().borrow().clone())
    };
    shards.members().map(|(_, shard)| standing(shard)).collect()
}

/// Ends with the next change of what [`standing`] tells, or when one is opened anew.
pub(crate) fn standing_change(shards: &Shards) -> impl Future<Output = ()> + use<> {
    let mut changes = JoinSet::new();
    for (_, shard) in shards.members() {
        if let Ok(shard) = shard.here.current() {
            let mut standing = shard.standing();
            changes.spawn(async move { drop(standing.changed().await) });
        }
    }
    async move {
        match changes.join_next().await {
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}
