//! Extended attributes.

use crate::propose::{answer, unexpected};
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
    Ok(GetXattrReply { value: answer(xattr::get(&fe.view()?, &ctx.cred, request.file, &request.name))? })
}

pub(crate) async fn listxattr<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: ListXattr,
) -> Result<ListXattrReply, FsError> {
    Ok(ListXattrReply { names: answer(xattr::list(&fe.view()?, &ctx.cred, request.file))? })
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
            Ok(SetXattrReply { change: DirChange { before, after: attr.change } })
        }
        reply => Err(unexpected(&reply)),
    }
}
