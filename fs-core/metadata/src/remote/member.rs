//! A shard elsewhere, as a member of the shards.

use super::view::RemoteView;
use super::wire::{Ask, Failure, ShardAsk, ShardLimits, ShardTell, Tell, VIEWS_MAX, service};
use crate::{Answer, Locking, Member, MetadataError, Record, TxId, UnderWay};
use bytes::Bytes;
use fabric::{Address, Client, FabricError, Link};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::ShardId;
use types::limits::COMMAND_BYTES_MAX;

/// How long a command may take before it is not known what became of it.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// How long a question may take.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Views that have ended and of which the server is told with a later question; more are told at once.
const RELEASED_MAX: usize = VIEWS_MAX / 4;
/// How long it may take until the server is told.
const RELEASE: Duration = Duration::from_millis(200);

/// Uses a shard over the fabric. Clones are handles of the same.
#[derive(Clone)]
pub struct RemoteShard {
    way: Arc<Way>,
}

/// The connections to a shard: what reads does not wait behind what writes.
pub(crate) struct Way {
    commands: Link<ShardAsk, ShardTell>,
    reads: Link<ShardAsk, ShardTell>,
    numbers: AtomicU64,
    released: Mutex<Vec<u64>>,
}

impl RemoteShard {
    /// Shard `shard` of `cluster`, which is served at `address`; nothing is connected yet.
    #[must_use]
    pub fn new(address: &Address, cluster: &[u8; 16], shard: ShardId) -> RemoteShard {
        let link = || {
            let (service, limits) = (service(cluster, shard), ShardLimits::of_connection());
            Link::new(address.clone(), service, limits)
        };
        RemoteShard::over_links(link(), link())
    }

    /// Over a connection that there is, and never another.
    #[must_use]
    pub fn over(client: &Client<ShardAsk, ShardTell>) -> RemoteShard {
        RemoteShard::over_links(Link::over(client.clone()), Link::over(client.clone()))
    }

    fn over_links(commands: Link<ShardAsk, ShardTell>, reads: Link<ShardAsk, ShardTell>) -> RemoteShard {
        let (numbers, released) = (AtomicU64::new(1), Mutex::default());
        RemoteShard { way: Arc::new(Way { commands, reads, numbers, released }) }
    }
}

impl Way {
    /// To nobody.
    #[cfg(feature = "fuzz")]
    pub(crate) fn nowhere() -> Way {
        let link = || {
            let address = Address::Unix(std::path::PathBuf::new());
            Link::new(address, String::new(), ShardLimits::of_connection())
        };
        Way { commands: link(), reads: link(), numbers: AtomicU64::new(1), released: Mutex::default() }
    }

    /// For a new view.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Nobody needs the view any more. The server hears of it with the next question, or soon.
    pub(crate) fn release(self: &Arc<Self>, view: u64) {
        let first = {
            let mut released = self.released.lock();
            released.push(view);
            released.len() == 1 || released.len() == RELEASED_MAX
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if first {
            let way = Arc::downgrade(self);
            runtime.spawn(async move {
                tokio::time::sleep(RELEASE).await;
                if let Some(way) = way.upgrade() {
                    way.tell_released().await;
                }
            });
        }
    }

    async fn tell_released(&self) {
        let released = self.released();
        if released.is_empty() {
            return;
        }
        let ask = Ask::Read { view: 0, open: None, wants: Vec::new(), released };
        if let Err(error) = self.read(ask).await {
            // With their connection views end, too.
            tracing::debug!(%error, "views are not released");
        }
    }

    /// Those that the server has not been told of.
    pub(crate) fn released(&self) -> Vec<u64> {
        let mut released = self.released.lock();
        let some = released.len().min(VIEWS_MAX);
        released.drain(..some).collect()
    }

    /// Asks what changes nothing.
    pub(crate) async fn read(&self, ask: Ask) -> Result<(Tell, Bytes), MetadataError> {
        let answer = self.reads.call(ShardAsk(ask), Bytes::new(), Some(READ_DEADLINE)).await;
        let (ShardTell(tell), payload) = answer.map_err(|error| MetadataError::Stopped(away(&error)))?;
        Ok((tell?, payload))
    }

    async fn command(&self, ask: Ask, payload: Bytes) -> Result<Bytes, MetadataError> {
        if payload.len() > COMMAND_BYTES_MAX {
            return Err(MetadataError::TooLarge(payload.len()));
        }
        let client = self.commands.client().await.map_err(|error| {
            tracing::warn!(%error, "a shard is out of reach");
            MetadataError::Busy
        })?;
        let answer = client.call(ShardAsk(ask), payload, Some(COMMAND_DEADLINE)).await;
        match answer.map_err(|error| MetadataError::Stopped(away(&error)))? {
            (ShardTell(Ok(Tell::Reply)), reply) => Ok(reply),
            (ShardTell(Err(failure)), _) => Err(failure.into()),
            (ShardTell(Ok(_)), _) => Err(Failure::Nonsense.into()),
        }
    }
}

fn away(error: &FabricError) -> String {
    format!("it is out of reach: {error}")
}

impl Member for RemoteShard {
    type View = RemoteView;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        self.way.command(Ask::Submit, command).await
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        let record = record.encode().ok_or(MetadataError::TooLarge(COMMAND_BYTES_MAX + 1))?;
        Answer::decode(&self.way.command(Ask::Tell, record).await?)
    }

    fn view(&self, locking: Locking) -> Result<RemoteView, MetadataError> {
        Ok(RemoteView::new(self.way.clone(), locking))
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        match self.way.read(Ask::UnderWay).await? {
            (Tell::UnderWay(under_way), _) => Ok(under_way),
            _ => Err(Failure::Nonsense.into()),
        }
    }

    async fn ended(&self, tx: TxId) -> Result<(), MetadataError> {
        let answer = self.way.reads.call(ShardAsk(Ask::Ended(tx)), Bytes::new(), None).await;
        let (ShardTell(tell), _) = answer.map_err(|error| MetadataError::Stopped(away(&error)))?;
        Ok(tell.map(drop)?)
    }
}
