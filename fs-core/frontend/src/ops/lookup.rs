//! Finding entries and parents.

use crate::{Frontend, Shards, Stripes};
use map::OrderedMap;
use namespace::queries::{directory, inode};
use types::{FileId, FsError};
use vfs::{Ctx, Lookup, LookupParent, LookupReply};

pub(crate) async fn lookup<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Lookup,
) -> Result<LookupReply, FsError> {
    fe.steady(|| async {
        let look = |map: &dyn OrderedMap| directory::lookup(map, &ctx.cred, request.dir, &request.name);
        let (ino, inode) = fe.look_far(look).await?;
        let file = FileId { ino, ..request.dir };
        Ok(LookupReply::untrusted(fe.laid_over(inode::attr_of(file, &inode))))
    })
    .await
}

pub(crate) async fn lookup_parent<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: LookupParent,
) -> Result<LookupReply, FsError> {
    let look = || fe.look_far(|map| directory::parent(map, &ctx.cred, request.dir));
    let (ino, inode) = fe.unlocked(look).await?;
    Ok(LookupReply::untrusted(inode::attr_of(FileId { ino, ..request.dir }, &inode)))
}
