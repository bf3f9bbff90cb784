//! Reading a symbolic link.

use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use types::FsError;
use vfs::{Ctx, ReadLink, ReadLinkReply};

pub(crate) async fn readlink<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: ReadLink,
) -> Result<ReadLinkReply, FsError> {
    let target = fe.unlocked(|| fe.look(|map| inode::readlink(map, request.file))).await?;
    Ok(ReadLinkReply { target })
}
