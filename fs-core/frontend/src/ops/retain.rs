//! Keeping files as they are.

use crate::propose::unexpected;
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Reply};
use std::time::Duration;
use types::{FileId, FsError};
use vfs::{Ctx, GetAttrReply, Retain, SetGuard};

pub(crate) async fn retain<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Retain,
) -> Result<GetAttrReply, FsError> {
    let Retain { file, retention, bypass, seen } = request;
    let node = fe.0.nodes.get(file);
    // What was taken before is in the map, and nothing more is taken until it is retained.
    let _still = node.gate.write().await;
    let _one = node.flushing.lock().await;
    fe.flush_held(&node).await?;
    propose(fe, ctx, file, Action::Retain { ino: file.ino, retention, bypass, seen }).await
}

pub(crate) async fn set_guard<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: SetGuard,
) -> Result<GetAttrReply, FsError> {
    let SetGuard { dir, guard } = request;
    propose(fe, ctx, dir, Action::Guard { ino: dir.ino, guard }).await
}

async fn propose<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    file: FileId,
    action: Action,
) -> Result<GetAttrReply, FsError> {
    match fe.propose(ctx, file.fs, || Ok(action.clone())).await? {
        Reply::Attr { attr, .. } => {
            fe.note_change(file);
            Ok(GetAttrReply { attr: fe.laid_over(attr), trust: Duration::ZERO })
        }
        reply => Err(unexpected(&reply)),
    }
}
