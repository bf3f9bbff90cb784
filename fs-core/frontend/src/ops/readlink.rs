//! Reading a symbolic link.

use crate::propose::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use types::FsError;
use vfs::{Ctx, ReadLink, ReadLinkReply};

pub(crate) async fn readlink<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: ReadLink,
) -> Result<ReadLinkReply, FsError> {
    Ok(ReadLinkReply { target: answer(inode::readlink(&fe.view()?, request.file))? })
}
