//! Finding entries and parents.

use crate::propose::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::{directory, inode};
use types::{FileId, FsError};
use vfs::{Ctx, Lookup, LookupParent, LookupReply};

pub(crate) async fn lookup<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Lookup,
) -> Result<LookupReply, FsError> {
    fe.steady(|| {
        let (ino, inode) = answer(directory::lookup(&fe.view()?, &ctx.cred, request.dir, &request.name))?;
        let file = FileId { ino, ..request.dir };
        Ok(LookupReply { attr: fe.laid_over(inode::attr_of(file, &inode)) })
    })
}

pub(crate) async fn lookup_parent<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: LookupParent,
) -> Result<LookupReply, FsError> {
    let (ino, inode) = answer(directory::parent(&fe.view()?, &ctx.cred, request.dir))?;
    Ok(LookupReply { attr: inode::attr_of(FileId { ino, ..request.dir }, &inode) })
}
