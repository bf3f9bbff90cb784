//! Finding a filesystem by its name.

use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use types::{FileId, FsError};
use vfs::{Ctx, Filesystem, FilesystemReply};

pub(crate) async fn filesystem<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Filesystem,
) -> Result<FilesystemReply, FsError> {
    let found = fe.unlocked(|| fe.look(|map| inode::filesystem(map, &request.name))).await?;
    Ok(FilesystemReply { root: FileId::root(found.id) })
}
