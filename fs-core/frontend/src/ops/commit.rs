//! Making unstable writes durable.

use crate::{Frontend, Shards, Stripes};
use types::{FileKind, FsError};
use vfs::{Commit, CommitReply, Ctx};

pub(crate) async fn commit<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Commit,
) -> Result<CommitReply, FsError> {
    if let Some(node) = fe.0.nodes.find(request.file) {
        fe.flush(&node).await?;
    }
    match fe.inode(request.file).await?.kind {
        FileKind::File | FileKind::Directory => {}
        _ => return Err(FsError::WrongKind),
    }
    Ok(CommitReply { verifier: fe.0.verifier })
}
