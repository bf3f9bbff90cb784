//! Ending a client.

use super::close::close_open;
use crate::{Frontend, Shards, Stripes};
use namespace::Channels;
use types::FsError;
use vfs::{Ctx, EndClient};

pub(crate) async fn end_client<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: EndClient,
) -> Result<(), FsError> {
    // Before anybody else can have what it had: after a crash it must not claim that again.
    let ended = fe.end_remembered(request.client).await?;
    let mut closed = Ok(());
    for open in fe.0.opens.of_client(request.client) {
        match close_open(fe, open).await {
            Ok(()) | Err(FsError::BadOpen) => {}
            // The others go all the same: nobody asks for them any more.
            Err(error) => closed = Err(error),
        }
    }
    fe.0.locks.end_client(request.client);
    fe.settle_client(request.client);
    fe.0.forgetting.add(Channels { client: request.client.0, first: 0, last: u32::MAX }, ended).await;
    closed
}
