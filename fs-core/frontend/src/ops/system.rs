//! What heads keep: the system directory and system attributes.

use super::list::seen_value;
use crate::propose::unexpected;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode::attr_of;
use namespace::queries::system as queries;
use namespace::{Action, Reply};
use types::{Cred, FsError};
use vfs::{Ctx, GetAttrReply, GetSystem, GetSystemReply, SetSystem, System, SystemReply};

pub(crate) async fn system<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: System,
) -> Result<SystemReply, FsError> {
    let look = || fe.look_far(|map| queries::directory(map, request.fs));
    if let Some(dir) = fe.unlocked(look).await? {
        return Ok(SystemReply { dir });
    }
    match fe.propose_as(Cred::root(), request.fs, Action::MakeSystem).await? {
        Reply::Created { attr, .. } => Ok(SystemReply { dir: attr.file }),
        reply => Err(unexpected(&reply)),
    }
}

pub(crate) async fn getsystem<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: GetSystem,
) -> Result<GetSystemReply, FsError> {
    let look = || async {
        let (inode, values) = fe.look(|map| queries::all(map, request.file)).await?;
        let attr = fe.laid_over(attr_of(request.file, &inode));
        let seen = |(name, value)| (name, seen_value(value, attr.content));
        let values = values.into_iter().map(seen).collect();
        Ok(GetSystemReply { values, attr, retention: inode.retention(), guard: inode.guard() })
    };
    fe.steady(look).await
}

pub(crate) async fn setsystem<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: SetSystem,
) -> Result<GetAttrReply, FsError> {
    let SetSystem { file, name, value, if_content, if_value } = request;
    if let Some(node) = fe.0.nodes.find(file) {
        // What the attribute is said to be of must be in the map.
        fe.flush(&node).await?;
    }
    let action = Action::SetSystem { ino: file.ino, name, value, if_content, if_value };
    fe.propose_change(ctx, file, action).await
}
