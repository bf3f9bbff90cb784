//! Asking for rights.

use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use types::FsError;
use vfs::{Access, AccessReply, Ctx};

pub(crate) async fn access<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Access,
) -> Result<AccessReply, FsError> {
    fe.steady(|| async {
        let inode = fe.seen_inode(request.file).await?;
        let granted = inode::access(&ctx.cred, &inode, request.mask);
        Ok(AccessReply { granted, attr: fe.laid_over(inode::attr_of(request.file, &inode)) })
    })
    .await
}
