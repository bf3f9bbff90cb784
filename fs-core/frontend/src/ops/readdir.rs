//! Listing a directory.

use crate::propose::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::directory;
use types::FsError;
use types::limits::READDIR_ENTRIES_MAX;
use vfs::{Ctx, DirEntry, ReadDir, ReadDirReply};

pub(crate) async fn readdir<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: ReadDir,
) -> Result<ReadDirReply, FsError> {
    let limit = (request.limit as usize).clamp(1, READDIR_ENTRIES_MAX);
    let entry = |listed: directory::Listed| DirEntry {
        cookie: listed.cookie,
        name: listed.name,
        file: listed.file,
        kind: listed.kind,
        attr: listed.attr.map(|attr| fe.laid_over(attr)),
    };
    fe.steady(|| {
        let view = fe.view()?;
        let (listed, end) =
            answer(directory::list(&view, &ctx.cred, request.dir, request.after, limit, request.attrs))?;
        Ok(ReadDirReply { entries: listed.into_iter().map(entry).collect(), end })
    })
}
