//! Listing a directory in the order of names.

use crate::{Frontend, Shards, Stripes};
use map::OrderedMap;
use namespace::queries::directory;
use namespace::queries::inode::attr_of;
use namespace::queries::system::{self, From, Named};
use namespace::records::{Inode, SystemValue};
use types::limits::READDIR_ENTRIES_MAX;
use types::{FileId, FsError, InodeId, Name};
use vfs::{Ctx, List, ListEntry, ListReply};

/// How often a name may be replaced while it is listed.
const LOOKS_MAX: u32 = 100;

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
        let look = || async {
            let at = From { from: &from, past, limit };
            let value = request.value.as_ref();
            let look = |map: &dyn OrderedMap| system::list(map, &ctx.cred, request.dir, at, value, near);
            let (named, end) = fe.look(look).await?;
            let next = named.last().map(|last| last.name.clone());
            let entries: Vec<Result<ListEntry, (Name, FileId)>> = named
                .into_iter()
                .map(|Named { name, file, found }| match found {
                    Some(found) => Ok(fe.listed(name, file, found)),
                    None => Err((name, file)),
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
                Err(named) => fe.far(request.dir, named, request.value.as_ref()).await?,
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

    /// An entry whose inode is in another shard. A name that has gone since gives none; one that was replaced names what
    /// it names now.
    async fn far(
        &self,
        dir: FileId,
        (name, mut file): (Name, FileId),
        value: Option<&Name>,
    ) -> Result<Option<ListEntry>, FsError> {
        for _ in 0..LOOKS_MAX {
            let look = || async {
                let found = self.look_far(|map| system::of(map, file, value)).await?;
                Ok(self.listed(name.clone(), file, found))
            };
            match self.steady(look).await {
                Err(FsError::Stale) => {}
                found => return found.map(Some),
            }
            let now = self.unlocked(|| self.look_far(|map| directory::named(map, dir, &name))).await?;
            match now {
                Some((ino, _)) => file = FileId { ino, ..dir },
                None => return Ok(None),
            }
        }
        Err(FsError::Delay)
    }
}

/// As the contract has it, of a file with this content.
pub(crate) fn seen_value(value: SystemValue, content: u64) -> vfs::SystemValue {
    vfs::SystemValue { fresh: value.content == content, value: value.value }
}
