//! The mount's end of trust: how much of it is left when a reply comes, and who hears that it ends.

use crate::client::{Pauses, Shared};
use crate::coherent::Told;
use crate::wire::{Ask, Tell};
use bytes::Bytes;
use fabric::Client;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use types::Leased;
use vfs::{FsResult, GetAttrReply, LookupReply, ReadDirReply, Reply};

/// A reply to what was asked at `asked`: trust counts from then on, not from when the reply has come.
pub(crate) fn since(asked: Instant, mut reply: FsResult<Reply>) -> FsResult<Reply> {
    let count = |trust: &mut Duration| *trust = trust.saturating_sub(asked.elapsed());
    match &mut reply {
        Ok(Reply::GetAttr(GetAttrReply { trust, .. })) => count(trust),
        Ok(Reply::Lookup(LookupReply { trust, name_trust, .. })) => {
            count(trust);
            count(name_trust);
        }
        Ok(Reply::ReadDir(ReadDirReply { entries, .. })) => {
            entries.iter_mut().for_each(|entry| count(&mut entry.trust));
        }
        _ => {}
    }
    reply
}

/// Has `told` called with everything that is about to change, and says so when it has come to its end.
pub(crate) async fn listen<F, R>(shared: Arc<Shared>, told: Arc<F>)
where
    F: Fn(Leased) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let mut forgetting = JoinSet::new();
    let mut pauses = Pauses::new();
    loop {
        let Ok(client) = shared.present().await else { return };
        let ask = Ask::Changes { client: shared.options.client() };
        let Ok((Tell::Changes(changes), _)) = client.call(ask, Bytes::new(), None).await else {
            pauses.pause().await;
            continue;
        };
        pauses = Pauses::new();
        while forgetting.try_join_next().is_some() {}
        for change in changes {
            forgetting.spawn(forget(client.clone(), told.clone(), change));
        }
    }
}

async fn forget<F, R>(client: Client<Ask, Tell>, told: Arc<F>, change: Told)
where
    F: Fn(Leased) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    told(change.what).await;
    // Where this is lost, the trust ends by itself.
    let _ = client.call(Ask::Forgotten { told: vec![change] }, Bytes::new(), None).await;
}
