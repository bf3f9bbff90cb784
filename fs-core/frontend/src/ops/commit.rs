//! Making unstable writes durable.

use crate::{Frontend, Shards, Stripes};
use types::FsError;
use vfs::{Commit, CommitReply, Ctx};

pub(crate) async fn commit<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Commit,
) -> Result<CommitReply, FsError> {
    if let Some(node) = fe.0.nodes.find(request.file) {
        let result = fe.flush(&node).await;
        fe.0.nodes.release(node);
        result?;
    }
    Ok(CommitReply { verifier: fe.0.verifier })
}
