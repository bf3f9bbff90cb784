//! Extended attributes.

use crate::propose::unexpected;
use crate::{Frontend, Shards, Stripes};
use bytes::Bytes;
use namespace::queries::xattr;
use namespace::{Action, Reply};
use types::{FileId, FsError, Name};
use vfs::{
    Ctx, DirChange, GetXattr, GetXattrReply, ListXattr, ListXattrReply, RemoveXattr, SetXattr, SetXattrHow,
    SetXattrReply,
};

pub(crate) async fn getxattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: GetXattr,
) -> Result<GetXattrReply, FsError> {
    let look = || fe.look(|map| xattr::get(map, &ctx.cred, request.file, &request.name));
    Ok(GetXattrReply { value: fe.unlocked(look).await? })
}

pub(crate) async fn listxattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: ListXattr,
) -> Result<ListXattrReply, FsError> {
    let look = || fe.look(|map| xattr::list(map, &ctx.cred, request.file));
    Ok(ListXattrReply { names: fe.unlocked(look).await? })
}

pub(crate) async fn setxattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: SetXattr,
) -> Result<SetXattrReply, FsError> {
    let must_exist = match request.how {
        SetXattrHow::Either => None,
        SetXattrHow::Create => Some(false),
        SetXattrHow::Replace => Some(true),
    };
    change(fe, ctx, request.file, request.name, Some(request.value), must_exist).await
}

pub(crate) async fn removexattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: RemoveXattr,
) -> Result<SetXattrReply, FsError> {
    change(fe, ctx, request.file, request.name, None, None).await
}

async fn change<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    file: FileId,
    name: Name,
    value: Option<Bytes>,
    must_exist: Option<bool>,
) -> Result<SetXattrReply, FsError> {
    let action = Action::SetXattr { ino: file.ino, name, value, must_exist };
    match fe.propose(ctx, file.fs, || Ok(action.clone())).await? {
        Reply::Attr { attr, before, .. } => {
            let seen = fe.0.nodes.find(file).map(|node| node.state.lock().note_change());
            let (seen_before, seen_after) = seen.unwrap_or_default();
            let change = DirChange { before: before.max(seen_before), after: attr.change.max(seen_after) };
            Ok(SetXattrReply { change })
        }
        reply => Err(unexpected(&reply)),
    }
}
