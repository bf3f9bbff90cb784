//! Capacity and counts.

use crate::propose::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use types::{FsError, InodeId};
use vfs::{Ctx, StatFs, StatFsReply};

pub(crate) async fn statfs<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    _: &Ctx,
    request: StatFs,
) -> Result<StatFsReply, FsError> {
    let usage = fe.0.stripes.usage();
    let files = answer(inode::inodes(&fe.view()?, request.fs))?;
    Ok(StatFsReply {
        total: usage.total,
        free: usage.free,
        available: usage.free,
        files,
        files_free: (1 << InodeId::SEQUENCE_BITS) - files,
    })
}
