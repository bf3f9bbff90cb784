//! Finding a filesystem by its name.

use crate::propose::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use types::{FileId, FsError};
use vfs::{Ctx, Filesystem, FilesystemReply};

pub(crate) async fn filesystem<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: Filesystem,
) -> Result<FilesystemReply, FsError> {
    let found = answer(inode::filesystem(&fe.view()?, &request.name))?;
    Ok(FilesystemReply { root: FileId::root(found.id) })
}
