//! Ending an open.

use crate::{Frontend, Shards, Stripes};
use types::FsError;
use vfs::{Close, Ctx, OpenId};

pub(crate) async fn close<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Close,
) -> Result<(), FsError> {
    close_open(fe, request.open).await
}

/// Ends an open; an orphan goes with its last one.
pub(crate) async fn close_open<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    open: OpenId,
) -> Result<(), FsError> {
    let opened = fe.0.opens.remove(open)?;
    fe.0.locks.close(opened.file, open);
    let node = fe.0.nodes.get(opened.file);
    let gone = {
        let mut state = node.state.lock();
        state.opens = state.opens.saturating_sub(1);
        state.opens == 0 && state.orphan
    };
    if gone {
        fe.drop_orphan(&node).await;
    }
    Ok(())
}
