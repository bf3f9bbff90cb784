//! Another name for an inode.

use super::create::change;
use crate::propose::unexpected;
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Reply};
use types::FsError;
use vfs::{Ctx, Link, LinkReply};

pub(crate) async fn link<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Link,
) -> Result<LinkReply, FsError> {
    let Link { file, dir, name } = request;
    if file.fs != dir.fs {
        return Err(FsError::CrossFilesystem);
    }
    // What the command says of the file's size is older than a write-back that ends meanwhile.
    let node = fe.0.nodes.find(file);
    let _one = match &node {
        Some(node) => Some(node.flushing.lock().await),
        None => None,
    };
    let action = Action::Link { ino: file.ino, dir: dir.ino, name };
    match fe.propose(ctx, dir.fs, || Ok(action.clone())).await? {
        Reply::Created { attr, dir, .. } => {
            fe.note_change(file);
            Ok(LinkReply { attr: fe.laid_over(attr), dir: change(dir) })
        }
        reply => Err(unexpected(&reply)),
    }
}
