//! Listing a directory in the order of names.

use crate::look::Stop;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode::attr_of;
use namespace::queries::system::{self, From, Named};
use namespace::records::{Inode, SystemValue};
use types::limits::READDIR_ENTRIES_MAX;
use types::{FileId, FsError, InodeId, Name};
use vfs::{Ctx, List, ListEntry, ListReply};

pub(crate) async fn list<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: List,
) -> Result<ListReply, FsError> {
    let limit = (request.limit as usize).clamp(1, READDIR_ENTRIES_MAX);
    let home = fe.0.shards.shard_of(request.dir.ino.slot());
    let near = |ino: InodeId| fe.0.shards.shard_of(ino.slot()) == home;
    let (mut from, mut past) = (request.from.to_vec(), request.past);
    loop {
        let look = || {
            let at = From { from: &from, past, limit };
            let value = request.value.as_ref();
            let (named, end) = fe.look(|map| system::list(map, &ctx.cred, request.dir, at, value, near))?;
            let next = named.last().map(|last| last.name.clone());
            let entries: Vec<Result<ListEntry, Named>> = named
                .into_iter()
                .map(|mut named| match named.found.take() {
                    Some(found) => Ok(fe.listed(named.name, named.file, found)),
                    None => Err(named),
                })
                .collect();
            Ok((entries, next, end))
        };
        let (listed, next, end) = fe.steady(look).await?;
        let mut entries = Vec::with_capacity(listed.len());
        let mut last_is_directory = false;
        for entry in listed {
            let entry = match entry {
                Ok(entry) => Some(entry),
                Err(named) => fe.far(named, request.value.as_ref()).await?,
            };
            last_is_directory =
                entry.as_ref().is_some_and(|entry| entry.attr.kind == types::FileKind::Directory);
            entries.extend(entry);
        }
        // A page whose entries have all gone meanwhile must not look like the end.
        match next {
            Some(next) if !end && entries.is_empty() => {
                from = next.as_bytes().to_vec();
                if last_is_directory {
                    from.push(b'/');
                }
                past = true;
            }
            _ => return Ok(ListReply { entries, end }),
        }
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    fn listed(&self, name: Name, file: FileId, (inode, value): (Inode, Option<SystemValue>)) -> ListEntry {
        let attr = self.laid_over(attr_of(file, &inode));
        let value = value.map(|value| seen_value(value, attr.content));
        ListEntry { name, attr, value }
    }

    /// An entry whose inode is in another shard; none, when it has gone meanwhile.
    async fn far(&self, named: Named, value: Option<&Name>) -> Result<Option<ListEntry>, FsError> {
        let look = || {
            let found = self.look(|map| system::of(map, named.file, value))?;
            Ok::<_, Stop>(self.listed(named.name.clone(), named.file, found))
        };
        match self.steady(look).await {
            Ok(entry) => Ok(Some(entry)),
            Err(FsError::Stale) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// As the contract has it, of a file with this content.
pub(crate) fn seen_value(value: SystemValue, content: u64) -> vfs::SystemValue {
    vfs::SystemValue { fresh: value.content == content, value: value.value }
}
