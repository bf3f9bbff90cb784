//! Changing attributes.

use super::may_use::may_use;
use crate::background::Work;
use crate::nodes::Held;
use crate::present::lay_over;
use crate::propose::unexpected;
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Reply};
use types::{Attr, FileId, FsError, SetAttr, Time};
use vfs::{Ctx, GetAttrReply, OpenAccess, SetAttrOf};

pub(crate) async fn setattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: SetAttrOf,
) -> Result<GetAttrReply, FsError> {
    let SetAttrOf { file, open, set, if_ctime } = request;
    if ctx.again {
        return first_answer(fe, ctx, file, set).await;
    }
    if set.size.is_some() {
        may_use(fe, ctx, file, open, OpenAccess { read: false, write: true }).await?;
    }
    let may_write = set.size.is_some() && open.is_some();
    let node = fe.0.nodes.get(file);
    let attr = change(fe, ctx, &node, set, may_write, if_ctime).await?;
    Ok(GetAttrReply::untrusted(attr))
}

/// What the first try was answered with. What it did was done then.
async fn first_answer<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    file: FileId,
    set: SetAttr,
) -> Result<GetAttrReply, FsError> {
    let action = Action::SetAttr { ino: file.ino, set, may_write: true, if_ctime: None };
    match fe.propose(ctx, file.fs, || Ok(action.clone())).await? {
        Reply::Attr { attr, .. } => Ok(GetAttrReply::untrusted(attr)),
        reply => Err(unexpected(&reply)),
    }
}

/// Cuts or extends a file that is being opened by who may.
pub(crate) async fn resize<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    node: &Held,
    size: u64,
) -> Result<(), FsError> {
    // Its create may have used the request's identity already; cutting again does no harm.
    let ctx = Ctx { request: None, again: false, ..ctx.clone() };
    let set = SetAttr { size: Some(size), ..SetAttr::default() };
    change(fe, &ctx, node, set, true, None).await.map(drop)
}

async fn change<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    node: &Held,
    set: SetAttr,
    may_write: bool,
    if_ctime: Option<Time>,
) -> Result<Attr, FsError> {
    // A write is wholly before a new size or time of modification, or wholly after it.
    let (size, orders_writes) = (set.size, set.size.is_some() || set.mtime.is_some());
    let _still = if orders_writes { Some(node.gate.write().await) } else { None };
    let _one = node.flushing.lock().await;
    if if_ctime.is_some() {
        fe.flush_held(node).await?;
    }
    let changes = set != SetAttr::default();
    let action = Action::SetAttr { ino: node.file.ino, set, may_write, if_ctime };
    match fe.propose(ctx, node.file.fs, || Ok(action.clone())).await? {
        Reply::Attr { mut attr, drain, .. } => {
            if drain {
                fe.later(Work::Drain(node.file));
            }
            let mut state = node.state.lock();
            // What waits need not go out first, so that a full drive can be relieved.
            if let Some(size) = size {
                fe.resize_waiting(&mut state, size);
            }
            if orders_writes {
                state.dirty.written = None;
            }
            if changes {
                state.note_change();
            }
            lay_over(&mut attr, &state);
            Ok(attr)
        }
        reply => Err(unexpected(&reply)),
    }
}
