//! Changing attributes.

use crate::background::Work;
use crate::nodes::Node;
use crate::propose::unexpected;
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Reply};
use std::sync::Arc;
use types::{Attr, FsError, SetAttr, Time};
use vfs::{Ctx, GetAttrReply, SetAttrOf};

pub(crate) async fn setattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: SetAttrOf,
) -> Result<GetAttrReply, FsError> {
    let SetAttrOf { file, open, set, if_ctime } = request;
    let may_write = match open {
        Some(open) => fe.0.opens.of(open, file)?.access.write,
        None => false,
    };
    let node = fe.0.nodes.get(file);
    let result = if set.size.is_some() {
        let _still = node.gate.write().await;
        change_held(fe, ctx, &node, set, may_write, if_ctime).await
    } else {
        change_held(fe, ctx, &node, set, may_write, if_ctime).await
    };
    fe.0.nodes.release(node);
    Ok(GetAttrReply { attr: result? })
}

/// Cuts or extends a file that is being opened.
pub(crate) async fn resize<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    node: &Arc<Node>,
    set: SetAttr,
    may_write: bool,
) -> Result<(), FsError> {
    let _still = node.gate.write().await;
    // Its create may have used the request's identity already; cutting again does no harm.
    let ctx = Ctx { request: None, ..ctx.clone() };
    change_held(fe, &ctx, node, set, may_write, None).await.map(drop)
}

async fn change_held<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    node: &Arc<Node>,
    set: SetAttr,
    may_write: bool,
    if_ctime: Option<Time>,
) -> Result<Attr, FsError> {
    let _one = node.flushing.lock().await;
    if set.size.is_some()
        || set.mode.is_some()
        || set.uid.is_some()
        || set.gid.is_some()
        || if_ctime.is_some()
    {
        // What waits must not undo the change when it is written back.
        fe.flush_held(node).await?;
    }
    let (ino, fs) = (node.file.ino, node.file.fs);
    let sets_mtime = set.mtime.is_some();
    let action = Action::SetAttr { ino, set, may_write, if_ctime };
    match fe.propose(ctx, fs, || Ok(action.clone())).await? {
        Reply::Attr { attr, drain, .. } => {
            if drain {
                fe.later(Work::Drain(node.file));
            }
            let mut state = node.state.lock();
            if sets_mtime && state.dirty.bytes() > 0 {
                state.dirty.written = None;
            }
            state.change_seen = state.change_seen.max(attr.change);
            drop(state);
            Ok(fe.laid_over(attr))
        }
        reply => Err(unexpected(&reply)),
    }
}
