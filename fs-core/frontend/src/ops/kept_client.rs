//! What heads keep of their clients, and the end of claims.

use crate::{Frontend, Shards, Stripes};
use bytes::Bytes;
use map::OrderedMap;
use namespace::Channels;
use namespace::queries::client;
use namespace::records::Kept;
use types::FsError;
use types::limits::CLIENT_RECORD_BYTES_MAX;
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
    let (head, after) = (number(request.head), request.after.map(|client| client.0));
    let list = |map: &dyn OrderedMap| {
        let (mut clients, mut left, mut end): (Vec<(ClientId, Bytes)>, _, _) =
            (Vec::new(), LISTED_BYTES_MAX, true);
        client::clients(map, after, &mut |id, client| {
            end = left > 0;
            if let Some(kept) = client.kept.filter(|kept| end && kept.head == head) {
                left = left.saturating_sub(kept.data.len() + size_of::<ClientId>());
                clients.push((ClientId(id), kept.data));
            }
            end
        })?;
        Ok((clients, end))
    };
    let (clients, end) = fe.past(list).await?;
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
    fe.0.forgetting.add(Channels { client: request.client, first, last }, false).await;
    Ok(())
}
