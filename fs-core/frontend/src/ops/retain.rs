//! Keeping files as they are.

use crate::{Frontend, Shards, Stripes};
use namespace::Action;
use types::FsError;
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
    fe.propose_change(ctx, file, Action::Retain { ino: file.ino, retention, bypass, seen }).await
}

pub(crate) async fn set_guard<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: SetGuard,
) -> Result<GetAttrReply, FsError> {
    let SetGuard { dir, guard } = request;
    fe.propose_change(ctx, dir, Action::Guard { ino: dir.ino, guard }).await
}
