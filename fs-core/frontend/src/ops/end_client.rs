//! Ending a client.

use super::close::close_open;
use super::kept_client::forget;
use crate::{Frontend, Shards, Stripes};
use types::FsError;
use vfs::{Ctx, EndClient};

pub(crate) async fn end_client<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: EndClient,
) -> Result<(), FsError> {
    // Before anybody else can have what it had: after a crash it must not claim that again.
    fe.drop_client(request.client).await?;
    for open in fe.0.opens.of_client(request.client) {
        match close_open(fe, open).await {
            Ok(()) | Err(FsError::BadOpen) => {}
            Err(error) => return Err(error),
        }
    }
    fe.0.locks.end_client(request.client);
    fe.settle_client(request.client);
    forget(fe, request.client.0, (0, u32::MAX)).await
}
