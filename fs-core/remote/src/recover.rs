//! Finding the daemon again, and giving it back what its last life has lost.

use crate::client::Pauses;
use crate::client::{Shared, again, once};
use crate::link::{self, Greeted};
use crate::wire::{Ask, Tell};
use fabric::{Client, FabricError};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{Cred, FsError, SetAttr, SetTime};
use vfs::{Ctx, FsResult, GetAttr, Open, OpenTarget, Reply, Request, SetAttrOf};

/// Keeps a way to the daemon open for as long as the mount lives.
pub(crate) async fn keep_connected(shared: Arc<Shared>, mut instance: u64) {
    loop {
        // The guard of the watch must not be held over an await.
        let present = shared.link.borrow().clone();
        if let Some(client) = present {
            client.closed().await;
        }
        shared.link.send_replace(None);
        tracing::warn!("the daemon is gone; requests wait for it");
        let mut pauses = Pauses::new();
        let client = loop {
            let mounted = *shared.mounted.lock();
            match link::connect(&shared.address, shared.options.client(), mounted).await {
                Ok(greeted) => match restore(&shared, &greeted, instance).await {
                    Ok(()) => {
                        instance = greeted.instance;
                        break greeted.client;
                    }
                    Err(error) => tracing::warn!(%error, "the daemon has gone again"),
                },
                Err(error) => tracing::debug!(%error, "no daemon yet"),
            }
            pauses.pause().await;
        };
        tracing::info!("the daemon is back");
        shared.link.send_replace(Some(client));
    }
}

/// Restores opens, locks and unstable data, in this order, before anybody else may ask.
async fn restore(shared: &Shared, greeted: &Greeted, instance: u64) -> Result<(), FabricError> {
    let client = &greeted.client;
    // Whoever had an answer of the last life has noted it now.
    let _alone = shared.life.write().await;
    let same_life = greeted.instance == instance;
    if !(same_life && greeted.known) {
        opens(shared, client).await?;
        locks(shared, client).await?;
    }
    if !same_life {
        data(shared, client).await?;
        reclaimed(shared, client).await?;
    }
    Ok(())
}

/// Nothing more will be claimed: others need not wait any longer.
async fn reclaimed(shared: &Shared, client: &Client<Ask, Tell>) -> Result<(), FabricError> {
    let mut owners = BTreeSet::from([shared.options.client()]);
    owners.extend(shared.opens.all().into_iter().map(|(_, open)| open.client));
    owners.extend(shared.held.claims().into_iter().map(|lock| lock.owner.client));
    for owner in owners {
        if let Err(error) = ask(client, owner, vfs::Reclaimed { client: owner }.into()).await? {
            tracing::warn!(%error, "the daemon waits for claims that will not come");
        }
    }
    Ok(())
}

/// Asks until the daemon no longer says "later".
async fn ask(
    client: &Client<Ask, Tell>,
    owner: vfs::ClientId,
    request: Request,
) -> Result<FsResult<Reply>, FabricError> {
    let ctx = Ctx { client: owner, ..Ctx::new(Cred::root()) };
    let mut pauses = Pauses::new();
    // Bounded, so that one thing that never comes right does not keep all others waiting.
    for _ in 0..60 {
        match once(client, ctx.clone(), request.clone()).await? {
            Err(FsError::Delay | FsError::Grace | FsError::Uncertain) => pauses.pause().await,
            reply => return Ok(reply),
        }
    }
    tracing::error!(request = request.name(), "the daemon says later for ever");
    Ok(Err(FsError::Delay))
}

async fn opens(shared: &Shared, client: &Client<Ask, Tell>) -> Result<(), FabricError> {
    for (id, open) in shared.opens.all() {
        // What was lost once stays lost: its user must hear of it.
        if open.there.is_none() {
            continue;
        }
        let request = |reclaim| Open {
            target: OpenTarget::File(open.file),
            access: open.access,
            deny: open.deny,
            create: None,
            truncate: false,
            reclaim,
            for_execution: false,
        };
        // With everybody's right: it was granted at the first time.
        let there = match ask(client, open.client, request(true).into()).await? {
            // Too late to claim: as good as any other open, unless something has come in its way.
            Err(FsError::NoGrace) => ask(client, open.client, request(false).into()).await?,
            claimed => claimed,
        };
        let there = match there {
            Ok(Reply::Open(reply)) => Some(reply.open),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(%error, file = %open.file, "an open did not survive the restart");
                None
            }
        };
        if !shared.opens.settle(id, there)
            && let Some(open_there) = there
        {
            // Closed meanwhile.
            let request = vfs::Close { open: open_there };
            if let Err(error) = ask(client, open.client, request.into()).await? {
                tracing::warn!(%error, "an open that is not needed stays");
            }
        }
    }
    Ok(())
}

async fn locks(shared: &Shared, client: &Client<Ask, Tell>) -> Result<(), FabricError> {
    for lock in shared.held.claims() {
        let (file, owner) = (lock.file, lock.owner);
        if let Err(error) = ask(client, owner.client, lock.into()).await? {
            tracing::error!(%error, %file, "a lock did not survive the restart");
            shared.held.release(file, owner);
            shared.opens.lose(file);
        }
    }
    Ok(())
}

async fn data(shared: &Shared, client: &Client<Ask, Tell>) -> Result<(), FabricError> {
    for file in shared.retained.files() {
        let root = shared.options.client();
        let mtime = if shared.retained.is_mtime_pinned(file) {
            match ask(client, root, GetAttr { file }.into()).await? {
                Ok(Reply::GetAttr(reply)) => Some(SetTime::At(reply.attr.mtime)),
                _ => None,
            }
        } else {
            None
        };
        for (place, kept) in shared.retained.of(file) {
            match ask(client, root, again(file, &kept)).await? {
                Ok(Reply::Write(reply)) => shared.retained.renewed(file, place, reply.verifier),
                // Removed since: nobody can miss it.
                Err(FsError::Stale) => shared.retained.drop_all(file, &[place]),
                Ok(_) | Err(_) => {
                    tracing::error!(%file, "written data did not survive the restart");
                    shared.retained.drop_all(file, &[place]);
                    shared.opens.lose(file);
                }
            }
        }
        if mtime.is_some() {
            let set = SetAttr { mtime, ..SetAttr::default() };
            let request = SetAttrOf { file, open: None, set, if_ctime: None };
            if let Err(error) = ask(client, root, request.into()).await? {
                tracing::warn!(%error, %file, "a modification time did not survive the restart");
            }
        }
    }
    Ok(())
}
