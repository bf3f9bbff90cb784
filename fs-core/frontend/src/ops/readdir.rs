//! Listing a directory.

use crate::{Frontend, Shards, Stripes};
use map::OrderedMap;
use namespace::queries::directory::{self, Listed};
use namespace::queries::inode::attr_of;
use std::time::Duration;
use types::limits::READDIR_ENTRIES_MAX;
use types::{Attr, FileId, FsError, Name};
use vfs::{Ctx, DirEntry, ReadDir, ReadDirReply};

pub(crate) async fn readdir<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: ReadDir,
) -> Result<ReadDirReply, FsError> {
    let limit = (request.limit as usize).clamp(1, READDIR_ENTRIES_MAX);
    let mut after = request.after;
    loop {
        let home = fe.0.shards.shard_of(request.dir.ino.slot());
        let near = |ino: types::InodeId| request.attrs && fe.0.shards.shard_of(ino.slot()) == home;
        let list = || async {
            let look =
                |map: &dyn OrderedMap| directory::list(map, &ctx.cred, request.dir, after, limit, near);
            let (mut listed, end) = fe.look(look).await?;
            for entry in &mut listed {
                entry.attr = entry.attr.take().map(|attr| fe.laid_over(attr));
            }
            Ok((listed, end))
        };
        let (listed, end) = fe.steady(list).await?;
        after = listed.last().map_or(after, |last| last.cookie);
        let entries = with_attributes(fe, request.dir, listed, request.attrs).await?;
        // A page whose entries have all gone meanwhile must not look like the end.
        if end || !entries.is_empty() {
            return Ok(ReadDirReply { entries, end });
        }
    }
}

/// Adds the attributes of what is in other shards than the directory. A name that has gone since is left out; one
/// that was replaced names what it names now.
async fn with_attributes<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    dir: FileId,
    listed: Vec<Listed>,
    attrs: bool,
) -> Result<Vec<DirEntry>, FsError> {
    let mut entries = Vec::with_capacity(listed.len());
    for Listed { cookie, name, file, kind, attr } in listed {
        let attr = match attr {
            None if attrs => match far_attributes(fe, file).await {
                Err(FsError::Stale) => match named_now(fe, dir, &name).await? {
                    Some(attr) => Some(attr),
                    None => continue,
                },
                found => Some(found?),
            },
            attr => attr,
        };
        let (file, kind) = attr.as_ref().map_or((file, kind), |attr| (attr.file, attr.kind));
        entries.push(DirEntry { cookie, name, file, kind, attr, trust: Duration::ZERO });
    }
    Ok(entries)
}

/// What a name names now, to whoever may list the directory.
async fn named_now<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    dir: FileId,
    name: &Name,
) -> Result<Option<Attr>, FsError> {
    let look = || async {
        let found = fe.look_far(|map| directory::named(map, dir, name)).await?;
        Ok(found.map(|(ino, inode)| fe.laid_over(attr_of(FileId { fs: dir.fs, ino }, &inode))))
    };
    fe.steady(look).await
}

async fn far_attributes<S: Shards, D: Stripes>(fe: &Frontend<S, D>, file: FileId) -> Result<Attr, FsError> {
    fe.steady(|| async { Ok(fe.laid_over(attr_of(file, &fe.seen_inode(file).await?))) }).await
}
