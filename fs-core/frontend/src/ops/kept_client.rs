//! What heads keep of their clients, and the end of claims.

use crate::look::answer;
use crate::{Frontend, Shards, Stripes};
use bytes::Bytes;
use namespace::queries::{client, inode, pending};
use namespace::records::Kept;
use namespace::{Action, Reply};
use types::limits::CLIENT_RECORD_BYTES_MAX;
use types::{Cred, FsError, InodeId};
use vfs::{ClientId, Ctx, ForgetRequests, Head, KeepClient, KeptClients, KeptClientsReply, Reclaimed};

/// Bytes of records in one listing, about.
const LISTED_BYTES_MAX: usize = 256 * 1024;

/// As it stands in records.
fn number(head: Head) -> u8 {
    match head {
        Head::Nfs => 0,
    }
}

pub(crate) async fn keep_client<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: KeepClient,
) -> Result<(), FsError> {
    if request.client == ClientId(0) || request.data.len() > CLIENT_RECORD_BYTES_MAX {
        return Err(FsError::Invalid);
    }
    fe.keep_client(request.client, Kept { head: number(request.head), data: request.data }).await
}

pub(crate) async fn kept_clients<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: KeptClients,
) -> Result<KeptClientsReply, FsError> {
    let (mut clients, mut left, mut end): (Vec<(ClientId, Bytes)>, _, _) =
        (Vec::new(), LISTED_BYTES_MAX, true);
    let head = number(request.head);
    answer(client::clients(&fe.past_view(), request.after.map(|client| client.0), &mut |id, client| {
        end = left > 0;
        if let Some(kept) = client.kept.filter(|kept| end && kept.head == head) {
            left = left.saturating_sub(kept.data.len() + size_of::<ClientId>());
            clients.push((ClientId(id), kept.data));
        }
        end
    }))?;
    Ok(KeptClientsReply { clients, end })
}

pub(crate) async fn reclaimed<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Reclaimed,
) -> Result<(), FsError> {
    fe.settle_client(request.client);
    Ok(())
}

pub(crate) async fn forget_requests<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: ForgetRequests,
) -> Result<(), FsError> {
    let (first, last) = request.channels.into_inner();
    if first > last {
        return Ok(());
    }
    forget(fe, request.client, (first, last)).await
}

/// Forgets the replies to a client's changes on these channels.
pub(crate) async fn forget<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    client: u128,
    channels: (u32, u32),
) -> Result<(), FsError> {
    let mut remembered = Vec::new();
    {
        // None of its changes is under way any more.
        let view = fe.past_view();
        for fs in answer(inode::filesystems(&view))? {
            let slots = answer(pending::slots_with_replays(&view, fs.id, client, channels))?;
            remembered.extend(slots.into_iter().map(|slot| (fs.id, InodeId::new(slot, 0))));
        }
    }
    for (fs, near) in remembered {
        let action = Action::ForgetReplays { client, channels, near };
        while let Reply::Drained { more: true } = fe.propose_as(Cred::root(), fs, action.clone()).await? {}
    }
    Ok(())
}
