//! For simulations: a shard behind a fabric in memory that takes its time.

use super::wire::{Failure, ShardAsk, ShardLimits, ShardTell};
use super::{RemoteShard, ShardDoor};
use crate::Member;
use bytes::Bytes;
use fabric::{Client, Handler, Peer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

struct Slowly<M: Member, W> {
    door: ShardDoor<M>,
    wait: W,
}

/// `member` as one sees it from afar: every message is written down and read again, and waits both ways.
pub fn far_away<M: Member>(member: M, wait: impl Fn() -> Duration + Send + Sync + 'static) -> RemoteShard {
    let slowly = Slowly { door: ShardDoor::new(member), wait };
    RemoteShard::over(&Client::in_process(Arc::new(slowly), &ShardLimits::of_connection()))
}

impl<M: Member, W: Fn() -> Duration + Send + Sync + 'static> Handler<ShardAsk, ShardTell> for Slowly<M, W> {
    async fn handle(&self, peer: &Peer, ask: ShardAsk, payload: Bytes) -> (ShardTell, Bytes) {
        tokio::time::sleep((self.wait)()).await;
        let nonsense = || ShardTell(Err(Failure::Nonsense));
        let Some(ask) = carried(&ask) else { return (nonsense(), Bytes::new()) };
        let (tell, payload) = self.door.handle(peer, ask, payload).await;
        tokio::time::sleep((self.wait)()).await;
        (carried(&tell).unwrap_or_else(nonsense), payload)
    }
}

fn carried<T: Serialize + DeserializeOwned>(message: &T) -> Option<T> {
    postcard::from_bytes(&postcard::to_stdvec(message).ok()?).ok()
}
