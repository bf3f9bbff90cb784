//! The frontend's shards: one Raft group that holds every slot, and can be opened anew on other homes
//! and maps.

use bytes::Bytes;
use metadata::{MetadataError, Shard, ShardConfig, Standing, View};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::{RwLock as AsyncRwLock, watch};

/// The shard of all slots. More of them, and transactions over them, come with more machines.
#[derive(Clone)]
pub(crate) struct OneShard(Arc<Inner>);

struct Inner {
    /// Held by commands on their way, so that none is cut off when homes or maps change.
    commands: AsyncRwLock<()>,
    /// Or why there is none any more.
    shard: RwLock<Result<Arc<Shard>, String>>,
}

impl OneShard {
    pub(crate) fn new(shard: Shard) -> OneShard {
        OneShard(Arc::new(Inner {
            commands: AsyncRwLock::default(),
            shard: RwLock::new(Ok(Arc::new(shard))),
        }))
    }

    /// Closes the shard and opens it as `config` says; who reads or writes meanwhile waits.
    pub(crate) async fn reopen(&self, config: ShardConfig) -> Result<(), String> {
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
    pub(crate) async fn close(&self) -> Result<(), MetadataError> {
        let _none = self.0.commands.write().await;
        match self.current() {
            Ok(shard) => shard.close().await,
            Err(why) => Err(MetadataError::Stopped(why)),
        }
    }

    /// Which copies of log and map take part; `None` when there is no shard that answers.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let shard = self.current().ok().filter(|shard| shard.answers())?;
        Some(shard.standing().borrow().clone())
    }

    /// Hears of changes of the standing, until the shard is opened anew.
    pub(crate) fn standing_changes(&self) -> Option<watch::Receiver<Standing>> {
        Some(self.current().ok()?.standing())
    }

    fn current(&self) -> Result<Arc<Shard>, String> {
        self.0.shard.read().clone()
    }
}

impl frontend::Shards for OneShard {
    type View = View;

    async fn submit(&self, command: Bytes) -> Result<Bytes, String> {
        let _on_its_way = self.0.commands.read().await;
        self.current()?.submit(command).await.map_err(|error| error.to_string())
    }

    fn view(&self) -> Result<View, String> {
        self.current()?.view().map_err(|error| error.to_string())
    }
}
